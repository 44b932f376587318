"""Experiments as data: scenarios, runs that can be resumed, and the command `schelling`."""

from importlib import import_module
from typing import Any

# Loaded on first use, so that the command line starts fast.
_HOMES = {
    "Result": "scenarios.solving.run",
    "Run": "scenarios.runs",
    "Scenario": "scenarios.solving.scenario",
    "find": "scenarios.lookup",
    "list_scenarios": "scenarios.lookup",
}
__all__ = ["Result", "Run", "Scenario", "find", "list_scenarios"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
