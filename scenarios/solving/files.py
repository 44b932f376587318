"""The files that an answer is written to, as given on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from games.common.errors import InputError

EXPORTS = (".npz", ".csv", ".efg", ".nfg")
PICTURES = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class Files:
    """The files that an answer is written to.

    Raises:
        InputError: a name with an unknown suffix, or a folder that does not exist.
    """

    export: Path | None = None
    plot: Path | None = None

    def __post_init__(self) -> None:
        for path, suffixes in ((self.export, EXPORTS), (self.plot, PICTURES)):
            if path is None:
                continue
            if path.suffix.lower() not in suffixes:
                raise InputError(f"{path}: end the name in {', '.join(suffixes)}")
            if not path.parent.is_dir():
                raise InputError(f"{path}: there is no folder {path.parent}")

    @property
    def wanted(self) -> list[Path]:
        """The files that were asked for."""
        return [path for path in (self.export, self.plot) if path is not None]
