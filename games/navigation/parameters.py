"""The parameters of `navigation`, with their ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from games.common.errors import InputError, did_you_mean

DYNAMICS = ("double_integrator", "single_integrator")
LAYOUTS = ("random", "swap", "corridor")
POSITIVE = (
    "area", "radius", "communication", "obstacle_radius", "dt", "max_speed", "max_acceleration",
    "goal_radius", "margin", "gap",
)  # fmt: skip
LARGEST = 1e9  # of any number: its square has to fit into float32


@dataclass(frozen=True)
class Parameters:
    """Parameters of `games.navigation.navigation.Navigation`; lengths in m, times in s."""

    agents: int = 4
    dynamics: str = "double_integrator"  # or single_integrator
    layout: str = "random"  # swap: to the other side of a circle; corridor: through a gap in a wall
    obstacles: int = 0  # discs that stand still; the corridor's wall is made by itself
    max_steps: int = 100  # GCBF+: 256 of .03 s
    dt: float = 0.1  # s, length of a step; GCBF+: .03
    area: float = 2.0  # m, side of the square in which games begin; GCBF+: 4
    radius: float = 0.05  # m, of an agent's disc
    obstacle_radius: float = 0.1  # m
    goal_radius: float = 0.1  # m, from the goal, within which an agent has arrived
    gap: float = 0.3  # m, free way through the corridor's wall
    jitter: float = 0.2  # of the swap's even spacing, at random; 0: perfect symmetry
    communication: float = 0.5
    """m between the centres of two discs that see each other. An obstacle is seen at the same
    clearance, communication - 2 radius, as a disc."""
    max_speed: float = 0.5  # m/s
    max_acceleration: float = 1.0  # m/s^2, along each axis; GCBF+: 10, a force of 1 on a mass of .1
    progress_reward: float = 1.0  # a metre nearer to the goal
    arrival_reward: float = 1.0  # on arrival, and taken back on leaving, so that staying pays
    away_cost: float = 0.1  # a second away from the goal
    collision_cost: float = 10.0  # a second in touch, for each that is touched
    margin: float = 0.05  # m of clearance within which that cost rises linearly from 0


def check_ranges(game: Parameters) -> None:
    """Refuse a parameter out of its range.

    Raises:
        InputError: as said; whether there is room for all is asked by `layouts.check`.
    """
    for name, known in (("dynamics", DYNAMICS), ("layout", LAYOUTS)):
        if getattr(game, name) not in known:
            given = getattr(game, name)
            raise InputError(
                f"navigation: unknown {name} {given!r}: {did_you_mean(str(given), known)}"
            )
    for name, fewest in (("agents", 1), ("obstacles", 0), ("max_steps", 1)):
        value = getattr(game, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < fewest:
            raise InputError(
                f"navigation: {name} is {value!r}; give a whole number of at least {fewest}"
            )
    for name in (f.name for f in fields(game) if f.type == "float"):
        number, least = getattr(game, name), "more than 0" if name in POSITIVE else "0 or more"
        if not isinstance(number, int | float) or not math.isfinite(number):
            raise InputError(f"navigation: {name} is {number!r}; give a finite number")
        if number > LARGEST:
            raise InputError(f"navigation: {name} is {number!r}; give at most {LARGEST:g}")
        if number < 0 or (name in POSITIVE and number == 0):
            raise InputError(f"navigation: {name} is {number!r}; give {least}")
    if game.jitter >= 1:
        raise InputError(f"navigation: jitter is {game.jitter!r}; give less than 1")
    if game.communication <= 2 * game.radius:
        raise InputError(
            f"navigation: discs of radius {game.radius!r} touch before they see each other; "
            f"give a communication radius of more than {2 * game.radius:g}"
        )
