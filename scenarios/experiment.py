"""What scenarios of all kinds have in common."""

from __future__ import annotations

from typing import Annotated, ClassVar

import tomli_w
from pydantic import Field

from games.common.settings import Table


class Experiment(Table):
    """The keys that scenarios of all kinds have."""

    packages: ClassVar[tuple[str, ...]] = ("schelling", "open_spiel", "numpy")
    """Packages whose versions a run records, since results depend on them."""

    kind: str
    """Kind of scenario: solve, train or play; by default it follows from the method or players."""
    name: Annotated[str, Field(pattern=r"^[\w-][\w.-]{0,79}$")] = "run"
    """Name of the run's folder; by default the file's name."""
    description: str = ""
    """One line, shown by `schelling list scenarios`."""
    game: str
    """The game's name, such as kuhn_poker, navigation(agents=4) or market.efg."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of everything random."""

    def to_toml(self) -> str:
        """The scenario as TOML, with every default written out."""
        return tomli_w.dumps(self.model_dump(exclude_none=True))
