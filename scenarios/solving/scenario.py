"""Scenarios of kind `solve`: a game, one or several methods, and when to stop."""

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
    """When checkpoints are written."""

    seconds: Annotated[float, Field(gt=0)] = 10.0
    """Seconds between two checkpoints."""


class Scenario(Experiment):
    """One game, solved by one method or by several."""

    packages = (*Experiment.packages, "numba")

    kind: Literal["solve"] = "solve"
    node_budget: Annotated[int, Field(gt=0)] = NODE_BUDGET
    """Limit on histories to enumerate; sampling methods do not enumerate (see `exact_up_to`)."""
    method: MethodTable | None = None
    """The method: its name and parameters."""
    compare: Annotated[dict[str, MethodTable], Field(default_factory=dict)]
    """Several methods by label, drawn in one picture; `name` may be left out where the label is a
    method's name."""
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
                raise InputError(
                    f"compare: {label!r} cannot be a label: use up to 40 printable characters"
                )
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
        """The scenario as TOML, with every default written out."""
        unused = {"compare"} if self.method is not None else {"method"}
        return tomli_w.dumps(self.model_dump(exclude_none=True, exclude=unused))

    def prepare(self) -> Game | SequenceForm:
        """Load the game, compiled to a sequence form unless all methods sample.

        Raises:
            GameError: the game cannot be loaded or compiled.
        """
        game = load(self.game)
        if all(method.samples for method in self.methods.values()):
            return game
        return game.sequence_form(node_budget=self.node_budget)
