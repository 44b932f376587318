"""Navigation: discs that move to their goals without collisions, with or without barriers."""
