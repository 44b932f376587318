"""How long computations say how far they are, and are told to stop."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], bool]
"""Told now and then, in words, how far a long computation is; it stops when this returns True."""
