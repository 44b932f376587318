"""Gambit's files: .efg and .nfg, read by pygambit and written with exact fractions."""
