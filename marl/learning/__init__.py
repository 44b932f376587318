"""Plans, schedules and learning methods, with one folder for each family of methods."""
