"""What every scenario has, of whichever kind."""

from __future__ import annotations

from typing import Annotated, ClassVar

import tomli_w
from pydantic import Field

from games.common.settings import Table


class Experiment(Table):
    """What every scenario has."""

    packages: ClassVar[tuple[str, ...]] = ("schelling", "open_spiel", "numpy")
    """Whose versions a result depends on."""

    kind: str
    """Of scenario: solve, train or play; if not given, what the method or the players say."""
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
