"""Playing batches of games and recording what happened. Knows no learning method."""
