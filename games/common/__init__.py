"""What all packages share: errors, files, settings, seeds, workers, progress, programs. Knows no game."""
