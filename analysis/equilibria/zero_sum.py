"""Two-player zero-sum games: the sequence-form linear program.

Koller, Megiddo & von Stengel, "Efficient computation of equilibria for extensive two-person games"
(1996), section 4. A matrix game is the case of one information set a player.
"""

from __future__ import annotations

import numpy as np

from analysis.equilibria.equilibrium import (
    Equilibrium,
    is_constant_sum,
    require_two_players,
    verified,
)
from analysis.equilibria.treeplex_rows import add_plan, best_value_rows
from analysis.equilibria.units import Units
from games import Game, InputError, SequenceForm, Strategy, as_form
from games.common.programs import INFINITY, Program
from games.common.progress import Progress
from games.finite.kernels import plans_to_behaviour


def sequence_form_lp(
    game: Game | SequenceForm,
    *,
    player: int = 0,
    tolerance: float = 1e-9,
    progress: Progress | None = None,
) -> Equilibrium:
    """A Nash equilibrium and the value of a two-player zero-sum (or constant-sum) game.

    `player` maximises what it gets for certain; its plan is the program's solution and the other's
    its dual. Best responses to both, by a sweep of ours, bound the value from two sides; they have
    to meet.

    Args:
        game: with perfect recall.
        player: whose program is solved, 0 or 1; the value is the same.
        tolerance: of the gap between the two bounds, relative to the range of utilities.
        progress: see `games.common.progress.Progress`.

    Raises:
        InputError: not two players, or not constant-sum.
        Unverified: the bounds do not meet.
    """
    form = as_form(game)
    require_two_players(form, "the linear program")
    if not is_constant_sum(form):
        raise InputError(
            f"{form.game} is not zero-sum, which the linear program needs; use method auto"
        )
    own, other = form.players[player], form.players[1 - player]
    units = Units.of(form)
    program = Program()
    plan = program.variables(own.num_sequences)
    # The other's best value from each of its information sets on; the first is the whole game's.
    value = program.variables(
        1 + len(other.information_sets),
        lower=-INFINITY,
        cost=np.eye(1, 1 + len(other.information_sets))[0],
    )
    add_plan(program, own, plan)
    responses = program.rows(
        other.num_sequences,
        [
            *best_value_rows(other, value),
            (
                form.leaf_sequence[:, 1 - player],
                plan[form.leaf_sequence[:, player]],
                units.form.leaf_utility[:, player],
            ),
        ],
        lower=0.0,
    )
    answer = program.solve(maximise=True, progress=progress)
    parts = [answer.x[plan], np.abs(answer.duals[responses])]
    together = np.concatenate(parts if player == 0 else parts[::-1])
    behaviour = plans_to_behaviour(form, np.maximum(together, 0.0))
    values, gains = units.measured(behaviour)
    found = Equilibrium(
        concept="nash",
        game=form.game,
        method=f"sequence-form LP of player {player} (HiGHS)",
        values=values,
        gains=gains,
        strategy=Strategy.from_behaviour(form, behaviour),
        facts={"lp_value": float(units.lowest[player] + units.width[player] * answer.objective)},
    )
    return verified(found, form, tolerance)
