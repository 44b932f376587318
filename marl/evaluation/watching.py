"""One game looked at while a policy plays it: pictures of it, or its moves in words."""

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
PAUSE = 0.1  # seconds a picture of a game that does not say how long its steps are


class Watching:
    """Given to `marl.evaluation.episodes.evaluate` as `watch`, for one game; `finish` writes it."""

    def __init__(self, game: str, picture: Path | None, as_text: bool) -> None:
        """
        Args:
            game: by name.
            picture: where to draw it, .gif or .png.
            as_text: whether to tell it in words.

        Raises:
            InputError: a game that cannot be drawn or told, or a file that cannot be written.
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
            raise InputError(f"{game}: only trees and tables are told move by move; --render it")
        self.frames: list[NDArray[np.uint8]] = []  # [H, W, 3]
        self.states: list[Any] = []  # of a simulator, which is drawn when all is over
        self.lines: list[str] = []
        self._now: tuple[SimulatorVector, Any, Tensor] | None = None

    def __call__(self, games: Vector, seen: Observation, actions: Tensor) -> None:
        """Before every step."""
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
        """Write what was seen."""
        if self.lines:
            print("\n".join(self.lines), file=sys.stderr if to_stderr else sys.stdout)
        if self.picture is None:
            return
        moving, seconds = self.picture.suffix.lower() == ".gif", PAUSE
        if self._now is not None:  # the step that ended the game, which starts anew at once
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
        raise InputError(f"{name} cannot be drawn; --print tells it in words")


def _passed(simulator: Any, state: Any, actions: Tensor) -> list[Any]:
    """The states that a step goes through, from this one on, where the simulator says them."""
    through = getattr(simulator, "substeps", None)
    return through(state, actions) if callable(through) else [state]
