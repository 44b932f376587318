"""The play of an equilibrium as rows: exact for files and JSON, shortened for the screen."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.concepts import COVERAGE
from analysis.equilibria.equilibrium import Equilibrium, Joint
from analysis.plots.labels import short_labels
from games import Game, SequenceForm, Strategy, as_form
from games.finite.kernels import plans
from games.finite.security import SecurityGame
from games.finite.sequence_form import Treeplex

if TYPE_CHECKING:
    import pandas as pd

PLAYED = 1e-9  # information sets that a player gets to less often count as not reached
LEAST_SHOWN = 5e-7  # probabilities below are left out on the screen, and there only


def is_mixture(joint: Joint) -> bool:
    """Whether players randomise inside a profile, as they do in regret dynamics."""
    return not np.all((joint.plans == 0) | (joint.plans == 1))


def num_rows(game: Game, e: Equilibrium) -> int:
    """How many rows `table` has."""
    if e.joint is not None and is_mixture(e.joint):
        return int(np.count_nonzero(e.joint.plans[:, e.joint.form.rows[3]]))
    return len(table(game, e))


def table(game: Game, e: Equilibrium) -> pd.DataFrame:
    """The play as rows, unrounded.

    A strategy: a row an action, as `Strategy.from_frame` reads them, with `label`, what the game
    calls the action, and `reached`, whether the player's own play leads there. A lottery over pure
    profiles: a row a profile, the likeliest first. Over mixed profiles: a row for each action that
    a profile plays, with the profile's number and weight. A correlation plan: a row for each pair
    of sequences that is recommended at all, each by its last information set and action. A security
    game: a row a target, with what either player gets if that one is attacked.
    """
    import pandas as pd

    if e.strategy is not None:
        return _strategy(as_form(game), e.strategy)
    if e.joint is not None:
        mixture = is_mixture(e.joint)
        return _mixture(e.joint) if mixture else pd.DataFrame(_profiles(e.joint, list))
    if e.plan is not None:
        pairs, p = e.plan.pairs, e.plan.probability
        drawn = p > 0
        names = [np.array(_sequences(player), dtype=object) for player in e.plan.form.players]
        return pd.DataFrame(
            {
                "player 0": names[0][pairs.first[drawn]],
                "player 1": names[1][pairs.second[drawn]],
                "probability": p[drawn],
            }
        )
    assert isinstance(game, SecurityGame)
    coverage = np.array([float(e.facts[COVERAGE + target]) for target in game.targets])
    return pd.DataFrame(
        {
            "target": game.targets,
            "coverage": coverage,
            "defender": game.defender_values(coverage),
            "attacker": game.attacker_values(coverage),
            "attacked": [target == e.facts["attacked"] for target in game.targets],
        }
    )


def words(game: Game, e: Equilibrium) -> list[dict[str, str]]:
    """The play for the screen, rounded and shortened; empty for lotteries over mixed profiles."""
    if e.strategy is not None:
        return strategy_words(as_form(game), e.strategy, _shown, LEAST_SHOWN)
    if e.joint is not None:
        rows = [] if is_mixture(e.joint) else _profiles(e.joint, short_labels, LEAST_SHOWN)
    elif e.plan is not None:  # its leaves say it; the pairs above follow from them
        rows = e.plan.to_frame().to_dict("records")
    else:
        rows = table(game, e).to_dict("records")
    return [{key: _cell(value) for key, value in row.items()} for row in rows]


def strategy_words(
    form: SequenceForm,
    strategy: Strategy,
    number: Callable[[float], str] = repr,
    least: float = -1.0,
) -> list[dict[str, str]]:
    """Rows, one an information set, by player; sets that are reached come first.

    Args:
        form: the game.
        strategy: its play.
        number: writes a probability.
        least: probabilities up to this are left out.
    """
    behaviour = strategy.behaviour(form)
    plan = plans(form, behaviour)
    rows, start = [], 0
    everything = True
    for i, player in enumerate(form.players):
        reached = plan[start + player.parent_sequence] > PLAYED
        everything &= bool(reached.all())
        for j in np.argsort(~reached, kind="stable").tolist():
            first, count = int(player.first_sequence[j]), int(player.num_actions[j])
            shown = ", ".join(
                f"{player.labels[s]} {number(float(behaviour[start + s]))}"
                for s in range(first, first + count)
                if behaviour[start + s] > least
            )
            name = " ".join(player.information_sets[j].split()) or "(empty)"
            row = {"player": str(i), "information set": name, "plays": shown}
            rows.append({**row, "reached by own play": "yes" if reached[j] else "no"})
        start += player.num_sequences
    if everything:  # then the column says nothing
        rows = [{k: v for k, v in row.items() if k != "reached by own play"} for row in rows]
    return rows


def _strategy(form: SequenceForm, strategy: Strategy) -> pd.DataFrame:
    behaviour = strategy.behaviour(form)
    plan = plans(form, behaviour)
    frame = Strategy.from_behaviour(form, behaviour).to_frame()
    frame.insert(3, "label", [label for player in form.players for label in player.labels[1:]])
    starts = form.arrays.players.astype(int)
    frame["reached"] = np.concatenate(
        [
            np.repeat(plan[start + player.parent_sequence] > PLAYED, player.num_actions)
            for start, player in zip(starts, form.players, strict=False)
        ]
    )
    return frame


def _mixture(joint: Joint) -> pd.DataFrame:
    """A row for each profile and action that it plays."""
    import pandas as pd

    form = joint.form
    owner, first_action, actions, is_action = form.rows
    starts = form.arrays.players.astype(int)
    count = np.diff(first_action)
    parent = np.concatenate(  # [A]  the sequence that leads to each action
        [
            np.repeat(start + player.parent_sequence, player.num_actions)
            for start, player in zip(starts, form.players, strict=False)
        ]
    )
    own = joint.plans[:, is_action]
    m, a = np.nonzero(own)
    labels = [label for treeplex in form.players for label in treeplex.labels[1:]]
    return pd.DataFrame(
        {
            "profile": m,
            "weight": joint.weights[m],
            "player": np.repeat(owner, count)[a],
            "information_set": np.repeat(np.array(form.information_sets, dtype=object), count)[a],
            "action": actions[a],
            "label": np.array(labels, dtype=object)[a],
            "probability": own[m, a] / joint.plans[m, parent[a]],
        }
    )


def _profiles(
    joint: Joint, names: Callable[[tuple[str, ...]], list[str]], least: float = 0.0
) -> list[dict[str, Any]]:
    """Pure profiles more likely than `least`, with strategies by their actions' names."""
    players = joint.form.players
    sequences = [_sequences(player, names(player.information_sets)) for player in players]
    rows = []
    for m in np.argsort(-joint.weights, kind="stable"):
        if joint.weights[m] <= least:
            break
        start, row = 0, {}
        for i, (player, own) in enumerate(zip(players, sequences, strict=True)):
            plan = joint.plans[m, start : start + player.num_sequences]
            row[f"player {i}"] = "; ".join(own[s] for s in np.flatnonzero(plan) if s > 0)
            start += player.num_sequences
        rows.append({**row, "probability": float(joint.weights[m])})
    return rows


def _sequences(player: Treeplex, sets: list[str] | None = None) -> list[str]:
    """Names of sequences [S]: last information set and action; a single set is left out."""
    names = list(player.information_sets) if sets is None else sets
    owner = np.repeat(np.arange(len(names)), player.num_actions).tolist()
    return [
        "-",
        *(
            (f"{names[j]}: " if len(names) > 1 else "") + label
            for j, label in zip(owner, player.labels[1:], strict=True)
        ),
    ]


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else ""
    return _shown(value) if isinstance(value, float) else str(value)


def _shown(number: float) -> str:
    """With up to six decimals, and no -0."""
    return f"{round(number, 6) + 0.0:.6f}".rstrip("0").rstrip(".")
