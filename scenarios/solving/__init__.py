"""Scenarios of kind `solve`: a finite game, one method or several, and their command."""
