"""One game looked at while a policy plays it: pictures of it, or its moves in words."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from games.errors import InputError, one_line
from games.simulator import Observation, SimulatorVector, Vector
from games.vectors import PETTINGZOO, parse, vector

PICTURES = (".gif", ".png")
MOST_PICTURES = 5_000  # of one game: they are held in memory, up to a megabyte each
PAUSE = 0.1  # seconds a picture of a game that does not say how long its steps are


class Watching:
    """Given to `marl.evaluation.evaluate` as `watch`, for one game; `finish` writes it."""

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
        self.game = _drawn(game) if picture is not None else game
        games = vector(self.game, 1)
        self._draw = _artist(games, game) if picture is not None else None
        if as_text and not hasattr(games, "_states"):
            raise InputError(f"{game}: only OpenSpiel's games are told move by move; --render it")
        self.frames: list[NDArray[np.uint8]] = []  # [H, W, 3]
        self.lines: list[str] = []
        self._now: tuple[Vector, Tensor] | None = None

    def __call__(self, games: Vector, seen: Observation, actions: Tensor) -> None:
        """Before every step."""
        if self._draw is not None:
            self.frames.append(self._draw(games, None))
            self._now = (games, actions.clone()) if isinstance(games, SimulatorVector) else None
            self._last = games.state()[0] if self._now else None
        if self.as_text:
            self.lines += _told(games, seen, actions)

    def finish(self, to_stderr: bool = False) -> None:
        """Write what was seen."""
        if self.lines:
            print("\n".join(self.lines), file=sys.stderr if to_stderr else sys.stdout)
        if self.picture is None or self._draw is None:
            return
        seconds = PAUSE
        if self._now is not None:  # the step that ended the game, which starts anew at once
            games, actions = self._now
            seconds = getattr(games.simulator, "dt", PAUSE)  # type: ignore[attr-defined]
            state, _ = games.simulator.step(  # type: ignore[attr-defined]
                self._last, actions, torch.Generator().manual_seed(0)
            )
            self.frames.append(self._draw(games, state))
        from games.navigation_draw import animate

        if self.picture.suffix.lower() == ".gif":
            animate(self.frames, self.picture, seconds)
            return
        from PIL import Image

        try:
            Image.fromarray(self.frames[-1]).save(self.picture)
        except OSError as error:
            raise InputError(f"{self.picture}: {one_line(error)}") from None


def _drawn(game: str) -> str:
    """The game's name with what makes it draw."""
    if not game.startswith(PETTINGZOO) or "render_mode" in game:
        return game
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws without a screen
    target, given = parse(game)
    words = [f"{key}={value!r}" for key, value in given.items()]
    return f"{target}({','.join([*words, 'render_mode=rgb_array'])})"


def _artist(games: Vector, name: str) -> Callable[[Vector, Any], NDArray[np.uint8]]:
    """What draws the first of the games, in its state or in another."""
    if isinstance(games, SimulatorVector):
        from games.navigation import Navigation
        from games.navigation_draw import frame

        simulator = games.simulator
        trail: list[Tensor] = []  # [N, 2] each
        own = getattr(simulator, "frame", None)
        if callable(own):  # a user's own: frame(state, game) -> [H, W, 3] uint8
            return lambda games, state: own(games.state()[0] if state is None else state, 0)
        if isinstance(simulator, Navigation):

            def draw(games: Vector, state: Any) -> NDArray[np.uint8]:
                state = games.state()[0] if state is None else state
                trail.append(state.position[0])
                return frame(simulator, state, 0, torch.stack(trail))

            return draw
        raise InputError(
            f"{name} cannot be drawn: give the simulator frame(state, game) -> uint8 [H, W, 3]"
        )
    if hasattr(games, "_games"):
        return _rendered
    raise InputError(f"{name} cannot be drawn; --print tells it in words")


def _rendered(games: Any, state: Any) -> NDArray[np.uint8]:
    """What PettingZoo's own renderer says."""
    try:
        picture = games._games[0].env.env.render()
    except Exception as error:  # others' code
        raise InputError(f"{games.spec.name} cannot be drawn: {one_line(error)}") from None
    if not isinstance(picture, np.ndarray):
        raise InputError(f"{games.spec.name} gives no picture with render_mode=rgb_array")
    return np.asarray(picture[..., :3], np.uint8).copy()


def _told(games: Any, seen: Observation, actions: Tensor) -> list[str]:
    """OpenSpiel's words for where the game is and what is played; at its end also who got what."""
    state = games._states[0]
    player = state.current_player()
    action = int(actions[0, player, 0])
    lines = [str(state), f"player {player}: {state.action_to_string(player, action)}", ""]
    after = state.clone()
    after.apply_action(action)
    if after.is_terminal():
        lines += [str(after), f"returns: {', '.join(f'{r:g}' for r in after.returns())}"]
    return lines
