"""Pictures of games: finding a simulator's renderer, and writing PNG and GIF files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from games.common.errors import InputError, one_line

Picture = NDArray[np.uint8]  # [H, W, 3]
Renderer = Callable[..., list[Picture]]
"""`renderer(states, first=0)`: pictures of one game's states, in order, from number `first` on."""


def renderer(simulator: Any) -> Renderer | None:
    """The renderer of a simulator's games; None if it has none.

    A simulator says it by `frame(state, game) -> uint8 [H, W, 3]`; or, where a picture shows what
    was before it, by `frames(states, first=0) -> list of pictures` of the first game.
    """
    if callable(together := getattr(simulator, "frames", None)):
        return together
    if not callable(alone := getattr(simulator, "frame", None)):
        return None

    def draw(states: Sequence[Any], first: int = 0) -> list[Picture]:
        return [alone(state, 0) for state in states[first:]]

    return draw


def animate(
    frames: Sequence[NDArray[np.uint8]], path: str | os.PathLike[str], seconds: float = 0.1
) -> None:
    """Write pictures [H, W, 3] of one size as an endless GIF, each shown for so many seconds.

    Raises:
        InputError: no pictures, pictures of several sizes, a path that does not end in .gif, or
            that cannot be written.
    """
    from PIL import Image

    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise InputError(f"{path}: an animation is written as .gif; name it so")
    if not frames or len({picture.shape for picture in frames}) > 1:
        raise InputError(f"{path}: give one or more pictures of one size")
    images = [Image.fromarray(picture) for picture in frames]
    # One palette for all, or colours would flicker; the last picture has the most in it.
    palette = images[-1].quantize(256)
    shown = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    try:
        shown[0].save(
            path, save_all=True, append_images=shown[1:], duration=round(1000 * seconds), loop=0
        )
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}; choose a folder that can be written") from None


def save_picture(picture: Picture, path: str | os.PathLike[str]) -> None:
    """Write one picture; InputError if that fails."""
    from PIL import Image

    try:
        Image.fromarray(picture).save(path)
    except OSError as error:
        raise InputError(f"{path}: {one_line(error)}") from None
