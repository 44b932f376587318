"""A scenario: a game, one method or several to compare, and when to stop. TOML to and fro.

What trains instead of solving has a model of its own, `scenarios.training.scenario`; which of the
two a file is follows from the name of its method.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tomli_w
from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from games import NODE_BUDGET, Game, InputError, SequenceForm, load
from games.common.errors import did_you_mean, one_line
from games.common.settings import Table, checked
from marl.learning.method import METHODS, is_method
from marl.tabular import Method, Stop
from marl.tabular.method import DEFAULT, REGISTRY
from marl.tabular.method import find as find_method
from scenarios.training.learners import installed

LIBRARY = files("scenarios") / "library"
LONGEST_LABEL = 40


def _to_method(given: object) -> object:
    """A method from its name, or from a table with `name` and the method's parameters."""
    if isinstance(given, str):
        return find_method(given)
    if isinstance(given, Mapping):
        options = dict(given)
        return find_method(options.pop("name", DEFAULT), options)
    return given


def _from_method(method: Method) -> dict[str, Any]:
    return {"name": method.name, **method.model_dump(exclude_none=True)}


MethodTable = Annotated[
    SerializeAsAny[Method], BeforeValidator(_to_method), PlainSerializer(_from_method)
]


class CheckpointTable(Table):
    """How much work a crash may cost."""

    seconds: Annotated[float, Field(gt=0)] = 10.0
    """Between two checkpoints."""


class Experiment(Table):
    """What every scenario has."""

    packages: ClassVar[tuple[str, ...]] = ("schelling", "open_spiel", "numpy")
    """Whose versions a result depends on."""

    name: Annotated[str, Field(pattern=r"^[\w-][\w.-]{0,79}$")] = "run"
    """Names the run's folder; the file's name if not given."""
    description: str = ""
    """One line for `schelling list scenarios`."""
    game: str
    """An OpenSpiel game string."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Of everything random."""

    def to_toml(self) -> str:
        """The scenario with every default written out."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))


class Scenario(Experiment):
    """One game, solved by one method or by several."""

    packages = (*Experiment.packages, "numba")

    node_budget: Annotated[int, Field(gt=0)] = NODE_BUDGET
    """The most histories to enumerate; methods that sample do not (see their `exact_up_to`)."""
    method: MethodTable | None = None
    """One method: its name and parameters."""
    compare: Annotated[dict[str, MethodTable], Field(default_factory=dict)]
    """Several methods by label, drawn in one picture; a label that is a method's name needs no
    `name`."""
    stop: Stop = Stop()
    checkpoint: CheckpointTable = CheckpointTable()

    @model_validator(mode="before")
    @classmethod
    def _labels_are_names(cls, data: Any) -> Any:
        compare = data.get("compare") if isinstance(data, dict) else None
        if isinstance(compare, dict):
            named = {
                label: {"name": label, **table} if isinstance(table, dict) else table
                for label, table in compare.items()
            }
            return {**data, "compare": named}
        return data

    @field_validator("compare")
    @classmethod
    def _labels_can_be_printed(cls, compare: dict[str, Method]) -> dict[str, Method]:
        for label in compare:
            if not label.isprintable() or not 0 < len(label) <= LONGEST_LABEL:
                raise InputError(f"compare: {label!r} cannot be a label: up to 40 printable signs")
        return compare

    @model_validator(mode="after")
    def _one_or_many(self) -> Scenario:
        if (self.method is None) == (not self.compare):
            raise InputError("give either [method] or [compare] with at least one method")
        return self

    @property
    def methods(self) -> dict[str, Method]:
        """Label to method, in the order in which they run."""
        if self.method is not None:
            return {self.method.name: self.method}
        return dict(self.compare)

    def to_toml(self) -> str:
        """The scenario with every default written out."""
        unused = {"compare"} if self.method is not None else {"method"}
        return tomli_w.dumps(self.model_dump(exclude_none=True, exclude=unused))

    def prepare(self) -> Game | SequenceForm:
        """The game as the methods need it: compiled, unless all of them sample.

        Raises:
            GameError: the game cannot be loaded or compiled.
        """
        game = load(self.game)
        if all(method.samples for method in self.methods.values()):
            return game
        return game.sequence_form(node_budget=self.node_budget)


def find(name: str, settings: Sequence[str] = (), **changes: Any) -> Experiment:
    """A shipped scenario by name, or one of your own by the path of its TOML file.

    Args:
        name: such as "leduc" or "experiments/mine.toml".
        settings: "key=value" with a dotted key; the value as in TOML, or a bare word.
        changes: top-level keys to replace, where not None.

    Raises:
        InputError: no such scenario, malformed TOML, an unknown key, or a value that does not fit.
    """
    path = Path(name)
    if path.suffix == ".toml" or os.sep in name:
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise InputError(f"cannot read scenario {name}: {reason.lower()}") from None
    else:
        entry = LIBRARY / f"{name}.toml"
        if name not in _library_names():
            raise InputError(
                f"unknown scenario {name!r}: {did_you_mean(name, _library_names())} "
                "(a file of your own is given by its path, ending in .toml)"
            )
        text = entry.read_text(encoding="utf-8")
    return parse(text, name, settings, **changes)


def parse(text: str, source: str, settings: Sequence[str] = (), **changes: Any) -> Experiment:
    """A scenario from the text of a TOML file; see `find`."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source} is not valid TOML: {one_line(error)}") from None
    if not data.get("name"):
        data["name"] = re.sub(r"[^\w.-]+", "-", Path(source).stem).strip(".-")[:80] or "run"
    data |= {key: value for key, value in changes.items() if value is not None}
    for setting in settings:
        _set(data, setting)
    return checked(_model(data, source), data, source)


def list_scenarios() -> list[dict[str, str]]:
    """The shipped scenarios, a row each: scenario, kind (solve or train), game, methods,
    description."""
    rows = []
    for name in _library_names():  # as they stand: to check them would load torch
        data = tomllib.loads((LIBRARY / f"{name}.toml").read_text(encoding="utf-8"))
        methods = list(data["compare"]) if "compare" in data else [_method_name(data)]
        rows.append(
            {
                "scenario": name,
                "kind": "train" if is_method(methods[0]) else "solve",
                "game": data["game"],
                "methods": ", ".join(methods),
                "description": data.get("description", ""),
            }
        )
    return rows


def _model(data: Mapping[str, Any], source: str) -> type[Experiment]:
    """Which kind of scenario a file is."""
    name = _method_name(data)
    if not isinstance(name, str) or name in REGISTRY:
        return Scenario
    if not is_method(name):
        known = did_you_mean(name, [*REGISTRY, *METHODS])
        raise InputError(f"{source}: unknown method {name!r}: {known}")
    with installed():
        from scenarios.training.scenario import TrainingScenario

        return TrainingScenario


def _method_name(data: Mapping[str, Any]) -> Any:
    method = data.get("method", DEFAULT)
    return method.get("name", DEFAULT) if isinstance(method, Mapping) else method


def _library_names() -> list[str]:
    return sorted(e.name.removesuffix(".toml") for e in LIBRARY.iterdir() if e.name[-5:] == ".toml")


def _set(data: dict[str, Any], setting: str) -> None:
    """Set a dotted key of nested tables, in place."""
    key, equals, text = setting.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise InputError(f"--set {setting}: write key=value, such as --set stop.iterations=500")
    set_key(data, key.strip(), value_of(text.strip()), f"--set {setting}")


def set_key(data: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set a dotted key of nested tables, in place; InputError if part of it is a value."""
    parts = key.split(".")
    table = data
    for part in parts[:-1]:
        inner = table.setdefault(part, {})
        if isinstance(inner, str) and (part == "method" or parts[0] == "compare"):
            inner = table[part] = {"name": inner}  # method = "cfr+" and a parameter of it
        if not isinstance(inner, dict):
            raise InputError(f"{source}: {part} is a value, not a table")
        table = inner
    table[parts[-1]] = value


def value_of(text: str) -> Any:
    """A value as in TOML, or a bare word."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text  # a bare word: cfr+, leduc_poker(players=2); or a number beyond Python's
