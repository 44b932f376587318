"""Progress callbacks of long computations, which can also stop them."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], bool]
"""Called now and then with a long computation's progress as text; returns True to stop it."""
