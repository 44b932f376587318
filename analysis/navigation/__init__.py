"""How discs went, control step by control step."""
