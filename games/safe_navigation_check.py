"""What `games.safe_navigation` asks of its parameters, and what counts as a contact there."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from games.barriers import ROUNDING, safe_distances
from games.errors import InputError, did_you_mean

if TYPE_CHECKING:
    from games.safe_navigation import SafeNavigation

RESPONSIBILITIES = ("own", "half")


def check(game: SafeNavigation) -> None:
    """Refuse parameters with which discs would not be safe.

    Raises:
        InputError: a parameter out of its range; discs that would see each other too late, or begin
            nearer than they may be.
    """

    def refuse(why: str) -> InputError:
        return InputError(f"safe_navigation: {why}")

    if game.responsibility not in RESPONSIBILITIES:
        mend = did_you_mean(str(game.responsibility), RESPONSIBILITIES)
        raise refuse(f"unknown responsibility {game.responsibility!r}: {mend}")
    for low, high in (("zeta_least", "zeta_most"), ("eta_least", "eta_most")):
        least, most = getattr(game, low), getattr(game, high)
        if not 0 < least <= most:
            raise refuse(f"{low} is {least!r} and {high} {most!r}; give 0 < {low} <= {high}")
    if not isinstance(game.hold, int) or isinstance(game.hold, bool) or game.hold < 1:
        raise refuse(f"hold is {game.hold!r}; give a whole number of at least 1")
    if not 0 <= game.team <= 1:
        raise refuse(f"team is {game.team!r}; give a share from 0 to 1")
    if not 0 < game.gain * game.dt <= 1:
        raise refuse(f"gain is {game.gain!r}; give more than 0 and at most 1 / dt")
    double = game.dynamics == "double_integrator"
    if double and not 0 < game.inner * game.dt <= 2:
        raise refuse(f"inner is {game.inner!r}; give more than 0 and at most 2 / dt")
    contact, share = contacts(game, torch.device("cpu"))
    hair = ROUNDING * float(contact.max())
    if game.buffer < hair:
        raise refuse(f"buffer is {game.buffer!r}; give at least {hair:.2g}, of rounding")
    closing = game.max_speed / share  # m/s, of a node and an agent
    sight = game.communication - 2 * game.radius + contact - game.buffer
    sight = sight - closing * game.dt  # when somebody is first seen
    rest, first = contact, contact
    if double:
        rest, first = safe_distances(contact, closing, game.dt, game.inner)
    if (sight < first).any():
        late = float((first - sight).max())
        raise refuse(
            "discs at full speed see each other too late to be safe; make communication "
            f"larger by {late:.2g} m, or max_speed smaller, or inner larger"
        )
    room = float((rest - contact).max()) + game.buffer
    if game.margin < room:
        raise refuse(
            f"discs may begin {game.margin:g} m apart, where barriers already forbid to be; "
            f"make margin at least {room:.2g}"
        )


@lru_cache(maxsize=64)
def contacts(game: SafeNavigation, device: torch.device) -> Tensor:
    """[2, V] m between an agent's and a node's centre at which they touch, buffer included; share.

    The share is what the agent grants of what the two may do.
    """
    n, v = game.agents, game.spec.num_nodes
    table = torch.tensor([[2 * game.radius + game.buffer], [0.5]], dtype=torch.float64)
    table = table.repeat(1, v)
    table[0, n:] += game.obstacle_radius - game.radius
    table[1, n:] = 1.0
    return table.to(device)
