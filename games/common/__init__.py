"""Shared by all packages: errors, files, settings, seeds, workers, programs; knows no game."""
