"""Recording one game while a policy plays it: as pictures, or its moves as text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from games.adapters.pettingzoo.game import drawn
from games.common.errors import InputError
from games.load import vector
from games.simulators.pictures import animate, renderer, save_picture
from games.simulators.simulator import Observation
from games.simulators.vector import SimulatorVector, Vector

PICTURES = (".gif", ".png")
MOST_PICTURES = 5_000  # of one game: they are held in memory, up to a megabyte each
PAUSE = 0.1  # seconds per picture of a game without a step length


class Watching:
    """Records a game as `watch` of `marl.evaluation.episodes.evaluate`; `finish` writes it."""

    def __init__(self, game: str, picture: Path | None, as_text: bool) -> None:
        """
        Args:
            game: by name.
            picture: where to draw it, .gif or .png.
            as_text: whether to print its moves.

        Raises:
            InputError: a game that cannot be drawn or printed, or a file that cannot be written.
        """
        if picture is not None:
            if picture.suffix.lower() not in PICTURES:
                raise InputError(f"{picture}: end the name in {' or '.join(PICTURES)}")
            if not picture.parent.is_dir():
                raise InputError(f"{picture}: there is no folder {picture.parent}")
        self.picture, self.as_text = picture, as_text
        self.game = drawn(game) if picture is not None else game
        games = vector(self.game, 1)
        if picture is not None:
            _check_drawn(games, game)
        if as_text and not hasattr(games, "told"):
            raise InputError(f"{game}: only moves of trees and tables can be printed; use --render")
        self.frames: list[NDArray[np.uint8]] = []  # [H, W, 3]
        self.states: list[Any] = []  # of a simulator, which is drawn at the end
        self.lines: list[str] = []
        self._now: tuple[SimulatorVector, Any, Tensor] | None = None

    def __call__(self, games: Vector, seen: Observation, actions: Tensor) -> None:
        """Record the state before a step."""
        if self.as_text:
            self.lines += games.told(actions)  # type: ignore[attr-defined]
        if self.picture is None:
            return
        if isinstance(games, SimulatorVector):
            state = games.state()[0]
            self._now = (games, state, actions.clone())
            self.states += _passed(games.simulator, state, actions)
            if len(self.states) > MOST_PICTURES:
                raise InputError(
                    f"{self.game}: more than {MOST_PICTURES:,} pictures; draw a game of fewer steps"
                )
        else:
            self.frames.append(games.picture())  # type: ignore[attr-defined]

    def finish(self, to_stderr: bool = False) -> None:
        """Write the pictures or the text."""
        if self.lines:
            print("\n".join(self.lines), file=sys.stderr if to_stderr else sys.stdout)
        if self.picture is None:
            return
        moving, seconds = self.picture.suffix.lower() == ".gif", PAUSE
        if self._now is not None:  # the step that ended the game, which restarts at once
            games, state, actions = self._now
            seconds = getattr(games.simulator, "dt", PAUSE)
            last, _ = games.simulator.step(state, actions, torch.Generator().manual_seed(0))
            self.states.append(last)
            draw = renderer(games.simulator)
            assert draw is not None, "looked for before anything was played"
            self.frames = draw(self.states, 0 if moving else len(self.states) - 1)
        if moving:
            animate(self.frames, self.picture, seconds)
        else:
            save_picture(self.frames[-1], self.picture)


def _check_drawn(games: Vector, name: str) -> None:
    if isinstance(games, SimulatorVector):
        if renderer(games.simulator) is None:
            raise InputError(
                f"{name} cannot be drawn: give the simulator frame(state, game) -> uint8 [H, W, 3]"
            )
    elif not hasattr(games, "picture"):
        raise InputError(f"{name} cannot be drawn; use --print for its moves as text")


def _passed(simulator: Any, state: Any, actions: Tensor) -> list[Any]:
    """The states within a step, starting with this one, if the simulator provides them."""
    through = getattr(simulator, "substeps", None)
    return through(state, actions) if callable(through) else [state]
