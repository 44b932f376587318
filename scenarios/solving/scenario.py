"""A scenario that solves: a game, one method or several to compare, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

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
from games.common.settings import Table
from marl.tabular import Method, Stop
from marl.tabular.method import DEFAULT
from marl.tabular.method import find as find_method
from scenarios.experiment import Experiment

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


class Scenario(Experiment):
    """One game, solved by one method or by several."""

    packages = (*Experiment.packages, "numba")

    kind: Literal["solve"] = "solve"
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
