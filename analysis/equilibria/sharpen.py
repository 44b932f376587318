"""Newton's method on an equilibrium's support: sharpens it up to rounding.

In the sequence form of N players (Koller, Megiddo & von Stengel 1996) a plan x is an equilibrium if
there are values v of the information sets with

    B'x = -e,  x >= 0        (plans: the actions at a set add up to their parent)
    g(x) + B v <= 0          (no player does better than v),  with equality where x > 0

where g is the gradient of a player's utility by its own plan. Which actions have x > 0, the
support, is guessed from the approximate answer. What remains are equations, and `sharpened` solves
them from where it is; or equations and inequalities, for which `settled` takes Newton's steps as
linear programs (Robinson, "Extension of Newton's method to nonlinear functions with values in a
cone", 1972). The inequalities matter where play never gets to: there a player has to be kept from
leaving. A matrix game is the case of one information set a player.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from games import SequenceForm
from games.common.programs import INFINITY, Infeasible, Program
from games.common.progress import Progress
from games.finite.kernels import gradients, plans, plans_to_behaviour, respond
from games.finite.sequence_form import Float64

SUPPORT = 1e-4  # probabilities below are taken for 0
EXACT = 1e-13  # regret in units of the game's own at which there is nothing left to do
SETTLED = 1e-9  # the same, of what counts as an equilibrium with a given support
MOST_STEPS = 20
DAMPING = 1e-11  # of Newton's equations, which need not be independent
MOST_ENTRIES = 3_000_000  # of the derivatives, beyond which a step takes minutes
UNREACHED = 1e-12  # plans below lead nowhere


def sharpened(form: SequenceForm, behaviour: Float64, support: np.ndarray | None = None) -> Float64:
    """Behaviour [S] of smaller regret, by Newton's method on the support's equations.

    Where that does not make the regret smaller (a wrong support, a singular system), nothing is
    changed.

    Args:
        form: the normalised game, see `analysis.equilibria.units`.
        behaviour: of all players, laid end to end; negative probabilities count as 0.
        support: which actions [S] have probability; by default those above `SUPPORT`.
    """
    conditions = _Conditions(form)
    clean = conditions.normalised(np.maximum(behaviour, 0.0))
    before = regret(form, clean)
    if before <= EXACT or conditions.num_entries > MOST_ENTRIES:
        return clean
    used = clean > SUPPORT if support is None else support
    start = plans(form, conditions.normalised(np.where(used, clean, 0.0)))
    plan = conditions.newton(start, start > 0)
    if plan is None:
        return clean
    better = conditions.behaviour(plan, clean)
    return better if regret(form, better) < before else clean


def with_support(
    form: SequenceForm, behaviour: Float64, used: np.ndarray, progress: Progress | None = None
) -> Float64 | None:
    """The equilibrium [S] nearby in which only the actions `used` [S] are played, if there is one.

    By the equations, which costs least; where these are not enough by `settled`.
    """
    found = sharpened(form, behaviour, used)
    if regret(form, found) <= SETTLED:
        return found
    return settled(form, behaviour, used, progress)


def settled(
    form: SequenceForm, behaviour: Float64, used: np.ndarray, progress: Progress | None = None
) -> Float64 | None:
    """The nearest equilibrium [S] in which only the actions `used` [S] are played on its path.

    Each step is a linear program: the least change of the plans (in the sum of absolute values)
    that meets the conditions as they are at the last plan, to first order. Of two players these
    are linear, and one step is enough.

    Args:
        form: the normalised game.
        behaviour: where to start, an approximate equilibrium.
        used: the support's guess; off the path, where play cannot get to, it does not bind.
        progress: see `games.common.progress.Progress`.

    Returns:
        None if there is none with this support, or the steps do not get there.
    """
    conditions = _Conditions(form)
    if conditions.num_entries > MOST_ENTRIES:
        return None
    x = plans(form, conditions.normalised(np.where(used, behaviour, 0.0)))
    free = conditions.unreached(x)
    least = np.inf
    for _ in range(MOST_STEPS):
        try:
            x = conditions.step(x, used | free, progress)
        except (Infeasible, RuntimeError):
            break
        found = conditions.behaviour(x, behaviour)
        now = regret(form, found)
        if not now < 0.5 * least:
            break
        least = now
        if now <= SETTLED:
            return sharpened(form, found, found > UNREACHED)
    return None


class _Conditions:
    """What makes a plan [S] an equilibrium, and its derivatives.

    Sequences are those of all players laid end to end, S; owners the information sets of all, J,
    and then a root of each player, N, to which its empty sequence belongs.
    """

    def __init__(self, form: SequenceForm) -> None:
        self.form = form
        self.utility, self.chance = form.leaf_utility, form.leaf_chance  # made at each reading
        starts = form.arrays.players.astype(np.int64)[:-1]
        self.leaf = form.leaf_sequence + starts  # [L, N]
        sets = [len(p.information_sets) for p in form.players]
        num_sets = sum(sets)
        self.owner = np.empty(form.arrays.num_sequences, np.int64)
        self.owner[starts] = num_sets + np.arange(form.num_players)
        self.parent = np.concatenate(
            [p.parent_sequence + s for p, s in zip(form.players, starts, strict=True)]
        ).astype(np.int64)
        counts = np.concatenate([p.num_actions for p in form.players])
        self.owner[form.rows[3]] = np.repeat(np.arange(num_sets), counts)
        self.empty = starts

    @property
    def num_entries(self) -> int:
        return self.leaf.size * (self.form.num_players - 1)

    @cached_property
    def values(self) -> Any:
        """B [S, J + N]: a sequence's row has the values of the sets after it, less its own."""
        from scipy.sparse import csr_matrix

        size, num_sets = len(self.owner), len(self.parent)
        row = np.concatenate([self.parent, np.arange(size)])
        column = np.concatenate([np.arange(num_sets), self.owner])
        entry = np.concatenate([np.ones(num_sets), -np.ones(size)])
        return csr_matrix((entry, (row, column)), shape=(size, num_sets + len(self.empty)))

    def slope(self, x: Float64) -> Any:
        """The derivatives [S, S] of the gradients by the plans."""
        from scipy.sparse import csr_matrix

        players = range(self.form.num_players)
        rows, columns, entries = [], [], []
        for i in players:
            for j in players:
                if i != j:
                    others = [k for k in players if k not in (i, j)]
                    reach = x[self.leaf[:, others]].prod(axis=1)
                    rows.append(self.leaf[:, i])
                    columns.append(self.leaf[:, j])
                    entries.append(self.utility[:, i] * reach)
        if not rows:
            return csr_matrix((len(x), len(x)))
        where = (np.concatenate(rows), np.concatenate(columns))
        matrix = csr_matrix((np.concatenate(entries), where), shape=(len(x), len(x)))
        matrix.eliminate_zeros()
        return matrix

    def gradient(self, x: Float64) -> Float64:
        # With a single player nothing depends on the plans; the kernel takes any.
        return gradients(self.form, x)

    def normalised(self, weight: Float64) -> Float64:
        """Behaviour from weights [S]; uniform where they are all zero."""
        total = np.bincount(self.owner, weight)
        size = np.bincount(self.owner)
        there = total[self.owner] > 0
        return np.divide(weight, total[self.owner], out=1.0 / size[self.owner], where=there)

    def behaviour(self, x: Float64, otherwise: Float64) -> Float64:
        """Behaviour [S] of plans; `otherwise` at information sets to which they do not lead."""
        leads = np.append(x[self.parent] > UNREACHED, np.ones(len(self.empty), dtype=bool))
        return np.where(leads[self.owner], plans_to_behaviour(self.form, x), otherwise)

    def unreached(self, x: Float64) -> np.ndarray:
        """Which actions [S] are at sets that the others' plans and chance leave unreached."""
        reached = np.zeros(len(x), dtype=bool)
        for i in range(self.form.num_players):
            others = np.delete(self.leaf, i, axis=1)
            open_leaf = (self.chance > 0) & np.all(x[others] > UNREACHED, axis=1)
            reached[self.leaf[open_leaf, i]] = True
        at_set = np.bincount(self.owner, reached, len(self.parent) + len(self.empty)) > 0
        # Sets stand after their parents, player by player: from the last one up.
        for j in range(len(self.parent) - 1, -1, -1):
            if at_set[j]:
                at_set[self.owner[self.parent[j]]] = True
        return ~at_set[self.owner]

    def newton(self, x: Float64, used: np.ndarray) -> Float64 | None:
        """Newton's method on the equations of the used sequences, of the least change each time."""
        from scipy.sparse import bmat, identity
        from scipy.sparse.linalg import splu

        sets = np.unique(self.owner[used])
        at = np.flatnonzero(used)
        belief = self.values[at][:, sets]
        target = np.zeros(len(sets))
        target[np.searchsorted(sets, self.owner[self.empty])] = -1.0
        value = np.zeros(len(sets))
        x = np.where(used, x, 0.0)
        for _ in range(MOST_STEPS):
            jacobian = bmat([[self.slope(x)[at][:, at], belief], [belief.T, None]], format="csr")
            residual = np.concatenate(
                [self.gradient(x)[at] + belief @ value, belief.T @ x[at] - target]
            )
            size = jacobian.shape[0]
            system = bmat(
                [[identity(size), jacobian.T], [jacobian, -DAMPING * identity(size)]], format="csc"
            )
            try:
                step = splu(system).solve(np.concatenate([np.zeros(size), -residual]))[:size]
            except RuntimeError:  # singular
                return None
            if not np.all(np.isfinite(step)):
                return None
            x[at] += step[: len(at)]
            value += step[len(at) :]
            if np.abs(step[: len(at)]).max() < 1e-15:
                break
        if x.min() < -1e-9:
            return None
        return np.maximum(x, 0.0)

    def step(self, x: Float64, used: np.ndarray, progress: Progress | None) -> Float64:
        """The plan after one of Robinson's steps.

        Raises:
            Infeasible, RuntimeError: the program has no solution, or HiGHS found none.
        """
        program = Program()
        allowed = np.where(used, INFINITY, 0.0)
        more = program.variables(len(x), upper=allowed, cost=1.0)
        less = program.variables(len(x), lower=np.where(used, 0.0, x), upper=x, cost=1.0)
        value = program.variables(self.values.shape[1], lower=-INFINITY)
        slope, belief = self.slope(x).tocoo(), self.values.tocoo()
        gradient = self.gradient(x)
        program.rows(
            len(x),
            [
                (slope.row, more[slope.col], slope.data),
                (slope.row, less[slope.col], -slope.data),
                (belief.row, value[belief.col], belief.data),
            ],
            lower=np.where(used, -gradient, -INFINITY),
            upper=-gradient,
        )
        missing = -(self.values.T @ x)
        missing[self.owner[self.empty]] -= 1.0
        program.rows(
            len(missing),
            [
                (belief.col, more[belief.row], belief.data),
                (belief.col, less[belief.row], -belief.data),
            ],
            lower=missing,
            upper=missing,
        )
        answer = program.solve(progress=progress)
        return np.maximum(x + answer.x[more] - answer.x[less], 0.0)


def regret(form: SequenceForm, behaviour: Float64) -> float:
    """The most that a player could gain by its best response."""
    _, best, current = respond(form, behaviour)
    return float((best - current).max())
