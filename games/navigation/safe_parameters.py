"""The parameters of `safe_navigation`, with their ranges, and its contact distances."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from functools import lru_cache

import torch
from torch import Tensor

from games.common.errors import InputError, did_you_mean
from games.navigation.barriers import ROUNDING, safe_distances
from games.navigation.layouts import num_obstacles
from games.navigation.parameters import Parameters

RESPONSIBILITIES = ("own", "half")


@dataclass(frozen=True)
class SafeParameters(Parameters):
    """Parameters of `SafeNavigation`, in addition to those of `navigation`."""

    dynamics: str = "single_integrator"  # or double_integrator
    layout: str = "swap"
    max_steps: int = 400
    dt: float = 0.05
    max_acceleration: float = 10.0
    collision_cost: float = 0.0  # nobody touches
    hold: int = 5  # control steps for which an action holds
    zeta_least: float = 0.1  # 1/s
    zeta_most: float = 10.0
    eta_least: float = 0.5
    eta_most: float = 2.0
    inner: float = 10.0  # 1/s, of double integrators: see `games.navigation.barriers`; GCBF+: 10
    responsibility: str = "own"
    """What each of two double integrators answers for. `own` motion: there always is a safe
    control, which is to brake (so inner dt <= 1 and max_acceleration (2 / inner + dt) >=
    2 max_speed are asked for), but nobody has to make way, and agents jam earlier. `half` of how
    the two move, as in GCBF+: others make way, and it flows better, but there may be no safe
    control. Single integrators may stop at once, and always have one."""
    buffer: float = 0.002  # m, by which discs count as wider than they are
    gain: float = 2.0  # 1/s, of the controller: speed asked for, for the distance to the goal
    team: float = 0.0  # share of the mean of all rewards in everybody's own
    central: bool = False
    """Whether everybody sees everybody, which is what a central policy knows; barriers mind those
    that are near in either case."""


def check(game: SafeParameters) -> None:
    """Refuse parameters with which discs would not be safe.

    Raises:
        InputError: a parameter out of its range; discs that would see each other too late, that
            could not brake, or that begin nearer than they may be.
    """
    if game.responsibility not in RESPONSIBILITIES:
        fix = did_you_mean(str(game.responsibility), RESPONSIBILITIES)
        raise _refused(f"unknown responsibility {game.responsibility!r}: {fix}")
    for low, high in (("zeta_least", "zeta_most"), ("eta_least", "eta_most")):
        least, most = getattr(game, low), getattr(game, high)
        if not 0 < least <= most:
            raise _refused(f"{low} is {least!r} and {high} {most!r}; give 0 < {low} <= {high}")
    if not isinstance(game.hold, int) or isinstance(game.hold, bool) or game.hold < 1:
        raise _refused(f"hold is {game.hold!r}; give a whole number of at least 1")
    if not isinstance(game.central, bool):
        raise _refused(f"central is {game.central!r}; give True or False")
    if not 0 <= game.team <= 1:
        raise _refused(f"team is {game.team!r}; give a share from 0 to 1")
    if not 0 < game.gain * game.dt <= 1:
        raise _refused(
            f"gain is {game.gain!r}; give more than 0 and at most {_floor(1 / game.dt)} "
            f"with dt={game.dt:g}"
        )
    double = game.dynamics == "double_integrator"
    if double:
        _check_brakes(game)
    contact, share = contacts(game, torch.device("cpu"))
    hair = ROUNDING / (1 - ROUNDING) * float(contact.max() - game.buffer)  # ROUNDING of contact
    if game.buffer < hair:
        raise _refused(f"buffer is {game.buffer!r}; give at least {_ceiling(hair)}, of rounding")
    closing = game.max_speed / share  # m/s, of a node and an agent
    sight = game.communication - 2 * game.radius + contact - game.buffer
    sight = sight - closing * game.dt  # when somebody is first seen
    rest, first = contact, contact
    if double:
        rest, first = safe_distances(contact, closing, game.dt, game.inner)
    if (sight < first).any():
        late = float((first - sight).max())
        raise _refused(
            "discs at full speed see each other too late to be safe; make communication "
            f"larger by {_ceiling(late)} m, or max_speed smaller, or inner larger"
        )
    room = float((rest - contact).max()) + game.buffer
    if game.margin < room:
        raise _refused(
            f"discs may begin {game.margin:g} m apart, where barriers already forbid to be; "
            f"make margin at least {_ceiling(room)}"
        )


def _check_brakes(game: SafeParameters) -> None:
    """Refuse double integrators whose barriers are unsafe, or for which braking may not be enough.

    Raises:
        InputError: as said; the conditions are those of `games.navigation.barriers`.
    """
    own = game.responsibility == "own"
    if not 0 < game.inner * game.dt <= (1 if own else 2):
        more = _floor(2 / game.dt)
        most = f"{_floor(1 / game.dt)} (or {more} with responsibility=half)" if own else more
        raise _refused(
            f"inner is {game.inner!r}; give more than 0 and at most {most} with dt={game.dt:g}"
        )
    if not own:
        return
    fastest = 2 * game.max_speed
    needed = fastest / (2 / game.inner + game.dt)
    if game.max_acceleration < needed:
        inner = 2 / (fastest / game.max_acceleration - game.dt)
        raise _refused(
            f"max_acceleration is {game.max_acceleration!r}, too little to brake in time; make it "
            f"at least {_ceiling(needed)}, inner at most {_floor(inner)}, or responsibility=half"
        )


def _refused(why: str) -> InputError:
    return InputError(f"safe_navigation: {why}")


def _floor(number: float) -> str:
    """Three digits of a number, rounded down: for an upper limit."""
    return f"{float(Context(3, ROUND_FLOOR).create_decimal_from_float(number)):g}"


def _ceiling(number: float) -> str:
    """Three digits of a number, rounded up: for a lower limit."""
    return f"{float(Context(3, ROUND_CEILING).create_decimal_from_float(number)):g}"


@lru_cache(maxsize=64)
def contacts(game: SafeParameters, device: torch.device) -> Tensor:
    """[2, V] m between an agent's and a node's centre at which they touch, buffer included; share.

    The share is what the agent grants of what the two may do.
    """
    n = game.agents
    v = n + num_obstacles(game)
    table = torch.tensor([[2 * game.radius + game.buffer], [0.5]], dtype=torch.float64)
    table = table.repeat(1, v)
    table[0, n:] += game.obstacle_radius - game.radius
    table[1, n:] = 1.0
    return table.to(device)
