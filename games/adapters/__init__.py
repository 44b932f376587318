"""Games that others wrote, as a `Vector` that learners play."""
