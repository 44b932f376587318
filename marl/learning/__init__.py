"""What a plan is, what a learning method is, and one folder for each family of methods."""
