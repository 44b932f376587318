"""The kinds of scenarios: each is a folder with one object that runs and shows them.

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
    """What the commands `run`, `resume` and `show` ask of a kind of scenario; light to import."""

    changeable: tuple[str, ...]
    """Keys of a scenario that `schelling resume --set` may change."""

    @property
    def methods(self) -> Collection[str]:
        """Names of methods that make a scenario without `kind` one of this kind."""

    def takes(self, method: Any) -> bool:
        """Whether a class of a user's own is a method of this kind's scenarios."""

    def contents(self, data: Mapping[str, Any]) -> list[str]:
        """Methods or players named in a TOML file that was read but not checked, for lists."""

    def model(self) -> type[Experiment]:
        """The pydantic model of its scenarios; InputError if an extra is not installed."""

    def run(self) -> type[Any]:
        """The subclass of `scenarios.runs.Run` that carries its scenarios out."""

    def at(self, scenario: Any, address: str | None) -> Any:
        """The scenario with a cluster's address; InputError if it cannot use one."""

    def ready(self, scenario: Any) -> AbstractContextManager[Any]:
        """Start what `Run.execute` needs, before a folder is made; InputError if that fails."""

    def progress(self, scenario: Any) -> AbstractContextManager[Callable[..., object]]:
        """Show the progress of `Run.execute` on stderr, if that is a terminal."""

    def print(self, work: Any, results: list[Any], as_json: bool) -> None:
        """Print the results of a finished run, as a table or JSON."""

    def print_unfinished(self, work: Any, as_json: bool) -> None:
        """Print the progress of an unfinished run."""


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
    """The kind of a scenario as read: by its key `kind`, or else by its players or method.

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
