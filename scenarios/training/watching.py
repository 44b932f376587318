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

from games.common.errors import InputError, one_line
from games.load import vector
from games.names import PETTINGZOO, parse
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
        self.game = _drawn(game) if picture is not None else game
        games = vector(self.game, 1)
        if picture is not None:
            _check_drawn(games, game)
        if as_text and not hasattr(games, "_states"):
            raise InputError(f"{game}: only OpenSpiel's games are told move by move; --render it")
        self.frames: list[NDArray[np.uint8]] = []  # [H, W, 3]
        self.states: list[Any] = []  # of a simulator, which is drawn when all is over
        self.lines: list[str] = []
        self._now: tuple[SimulatorVector, Any, Tensor] | None = None

    def __call__(self, games: Vector, seen: Observation, actions: Tensor) -> None:
        """Before every step."""
        if self.as_text:
            self.lines += _told(games, seen, actions)
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
            self.frames.append(_rendered(games))

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
            draw = _artist(games.simulator, self.states)
            first = 0 if moving else len(self.states) - 1
            self.frames = [draw(at) for at in range(first, len(self.states))]
        from games.simulators.pictures import animate

        if moving:
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


def _check_drawn(games: Vector, name: str) -> None:
    if isinstance(games, SimulatorVector):
        if not callable(getattr(games.simulator, "frame", None)):
            raise InputError(
                f"{name} cannot be drawn: give the simulator frame(state, game) -> uint8 [H, W, 3]"
            )
    elif not hasattr(games, "_games"):
        raise InputError(f"{name} cannot be drawn; --print tells it in words")


def _passed(simulator: Any, state: Any, actions: Tensor) -> list[Any]:
    """The states that a step goes through: one a control step, the last of which leads to next."""
    from games.navigation.safe_navigation import SafeNavigation

    if not isinstance(simulator, SafeNavigation):
        return [state]
    states, generator = [simulator.tuned(state, actions)], torch.Generator().manual_seed(0)
    while len(states) < simulator.hold:
        states.append(simulator.advance(states[-1], generator)[0])
    return states


def _artist(simulator: Any, states: list[Any]) -> Callable[[int], NDArray[np.uint8]]:
    """What draws one of these states."""
    from games.navigation import draw as navigation_draw
    from games.navigation.navigation import Navigation

    if getattr(type(simulator), "frame", None) is not Navigation.frame:
        # A simulator's own: frame(state, game) -> [H, W, 3] uint8.
        return lambda at: simulator.frame(states[at], 0)
    trail = torch.stack([state.position[0] for state in states])  # [T, N, 2]
    zeta = None
    if hasattr(states[0], "parameters"):
        zeta = torch.stack([state.parameters[0, :, 0] for state in states])  # [T, N]

    def draw(at: int) -> NDArray[np.uint8]:
        return navigation_draw.frame(simulator, states[at], 0, trail[: at + 1], zeta)

    return draw


def _rendered(games: Any) -> NDArray[np.uint8]:
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
