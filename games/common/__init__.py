"""What all packages share: errors, files, settings, seeds, workers, programs; knows no game."""
