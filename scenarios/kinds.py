"""The kinds of scenarios: each is a folder with one object that says how it is run and shown.

A new kind is a folder like `scenarios.playing` and a line in `KINDS`; a user's own is registered
by `KINDS.register`, or named in a scenario: kind = "module:attribute".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from games.common.extras import learning
from games.common.registry import PATH, Registry, attribute_of
from scenarios.experiment import Experiment


class Kind(Protocol):
    """What the commands `run`, `resume` and `show` ask of a kind; nothing heavy to import."""

    changeable: tuple[str, ...]
    """Keys of a scenario that `schelling resume --set` may change."""

    @property
    def methods(self) -> Collection[str]:
        """The methods by whose name a scenario without `kind` is known as one of this kind."""

    def takes(self, method: Any) -> bool:
        """Whether a class of a user's own is a method of this kind's scenarios."""

    def contents(self, data: Mapping[str, Any]) -> list[str]:
        """Who solves, learns or plays by a TOML file that was read but not checked, for lists."""

    def model(self) -> type[Experiment]:
        """What its scenarios are made of; InputError if an extra is not installed."""

    def run(self) -> type[Any]:
        """The `scenarios.runs.Run` of its scenarios."""

    def at(self, scenario: Any, address: str | None) -> Any:
        """The scenario on a cluster; InputError if an address is given that it cannot use."""

    def ready(self, scenario: Any) -> AbstractContextManager[Any]:
        """What `Run.execute` needs, started before a folder is made; InputError if it cannot be."""

    def progress(self, scenario: Any) -> AbstractContextManager[Callable[..., object]]:
        """A line on stderr that follows `Run.execute`; a function that does nothing elsewhere."""

    def print(self, work: Any, results: list[Any], as_json: bool) -> None:
        """The table that a run ends with, or its JSON."""

    def print_unfinished(self, work: Any, as_json: bool) -> None:
        """How far a run has come."""


KINDS: Registry[Kind] = Registry(
    "kind of scenario",
    {
        "solve": "scenarios.solving.kind:KIND",
        "train": "scenarios.training.kind:KIND",
        "play": "scenarios.playing.kind:KIND",
    },
)
PLAY = "play"


def name_of(data: Mapping[str, Any]) -> str | None:
    """The kind of a scenario as it was read: by `kind`, or else by who plays and by its method.

    Which kind a method named by where it stands ("module:Class") is of, its class says, for which
    its module is imported. None: a method that no kind knows.

    Raises:
        InputError: a module or a class that is not there.
    """
    if "kind" in data:
        return data["kind"]
    if "players" in data:
        return PLAY
    method = data.get("method", {})
    name = method.get("name") if isinstance(method, Mapping) else method
    if isinstance(name, str):
        known = {kind: KINDS.load(kind) for kind in KINDS}
        if not PATH.fullmatch(name):
            return next((kind for kind in known if name in known[kind].methods), None)
        with learning():
            found = attribute_of(name, "method")
        return next((kind for kind in known if known[kind].takes(found)), None)
    return next(iter(KINDS))  # which says what is wrong with the method, or takes its default
