"""Commitment: in tables, against unknown types, in security games, on trees."""
