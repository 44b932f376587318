"""Compiled iterations of trigger regret dynamics: regret matching+ at every trigger, a fixed point.

Each trigger holds a regret minimiser over the continuations below it; a player's next plan is the
one that leaving at the triggers, as often as they now regret not to have left, maps to itself.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from analysis.correlated.triggers import observe, paid_below, payoffs
from games.finite.kernels import FAST, INLINE

POWERS = (0, 2)  # of t, in the weights of the mixtures that are measured


@njit(**INLINE)
def _improve(trigger_arrays, t, reach, gradient, answer, regret, value):
    """Predictive regret matching+ below trigger t; returns the value of its continuation."""
    _, start, first_unit, entry, unit_parent, unit_first, unit_count = trigger_arrays
    value[start[t]] = 0.0
    for e in range(start[t] + 1, start[t + 1]):
        value[e] = reach * gradient[entry[e]]
    for u in range(first_unit[t + 1] - 1, first_unit[t] - 1, -1):
        first, end = unit_first[u], unit_first[u] + unit_count[u]
        expected, total = 0.0, 0.0
        for e in range(first, end):
            expected += answer[e] * value[e]
        value[unit_parent[u]] += expected
        for e in range(first, end):
            instant = value[e] - expected
            regret[e] = max(regret[e] + instant, 0.0)
            answer[e] = max(regret[e] + instant, 0.0)
            total += answer[e]
        for e in range(first, end):
            answer[e] = answer[e] / total if total > 0.0 else 1.0 / unit_count[u]
    return value[start[t]]


@njit(**INLINE)
def _stationary(rate, actions, share):
    """The stationary distribution of a Markov chain from its rates, which are used up.

    Grassmann, Taksar & Heyman (1985): states are taken out one by one, without a subtraction.
    """
    last = 0
    for k in range(actions - 1, 0, -1):
        out = 0.0
        for i in range(k):
            out += rate[k, i]
        if out <= 0.0:  # nothing leads from here to the states that remain
            last = k
            break
        for i in range(k):
            rate[i, k] /= out
            for h in range(k):
                rate[i, h] += rate[i, k] * rate[k, h]
    share[:last] = 0.0
    share[last] = total = 1.0
    for k in range(last + 1, actions):
        share[k] = 0.0
        for i in range(last, k):
            share[k] += share[i] * rate[i, k]
        total += share[k]
    for k in range(actions):
        share[k] /= total


@njit(**INLINE)
def fixed_point(trigger_arrays, tree_arrays, sets, weights, answer, going_on, plan, flow, rate):
    """The plan [S] that leaving at the triggers with these weights [T] maps to itself.

    Writes also the continuations as plans, going_on [E]. flow and rate are scratch.
    """
    sequence, start, first_unit, _, unit_parent, unit_first, unit_count = trigger_arrays
    parent, first, count = tree_arrays
    set_start, units, unit_trigger = sets
    for t in range(len(sequence)):
        going_on[start[t]] = 1.0
        for u in range(first_unit[t], first_unit[t + 1]):
            for e in range(unit_first[u], unit_first[u] + unit_count[u]):
                going_on[e] = going_on[unit_parent[u]] * answer[e]
    for j in range(len(parent)):
        above, actions = plan[parent[j]], count[j]
        own = plan[first[j] : first[j] + actions]
        own[:] = 0.0
        if above == 0.0:
            continue
        # Rates from action to action: by triggers above, the same from all; by its own, in efce.
        flow[:actions] = 0.0
        rate[:actions, :actions] = 0.0
        coupled = 0.0
        for i in range(set_start[j], set_start[j + 1]):
            t, e = unit_trigger[i], unit_first[units[i]]
            weight = weights[t]
            q = sequence[t]
            if first[j] <= q < first[j] + actions:
                coupled += weight
                for k in range(actions):
                    rate[q - first[j], k] += weight * going_on[e + k]
            else:
                weight *= plan[q] / above
                for k in range(actions):
                    flow[k] += weight * going_on[e + k]
        total = flow[:actions].sum()
        if coupled > 0.0:
            for i in range(actions):
                for k in range(actions):
                    rate[i, k] += flow[k]
            _stationary(rate, actions, own)
            for k in range(actions):
                own[k] *= above
        elif total > 0.0:
            for k in range(actions):
                own[k] = above * flow[k] / total
        else:  # no trigger has regret, so any play will do: that of the lowest one
            e = unit_first[units[set_start[j + 1] - 1]]
            for k in range(actions):
                own[k] = above * answer[e + k]


@njit(**FAST)
def play_on(
    leaves, place, trigger_arrays, tree_arrays, left, sets, plan, answer, regret, leaving,
    iteration, end, stride, profiles, kept, seen, followed,
):  # fmt: skip
    """Iterations up to `end`; updates all arrays and returns how many profiles are kept now."""
    sequence, count = trigger_arrays[0], tree_arrays[2]
    placed, scratch, gradient, paid = np.empty((4, len(plan)))
    value, going_on = np.empty((2, len(regret)))
    worth = np.empty(len(sequence))
    flow, rate = np.empty(count.max()), np.empty((count.max(), count.max()))
    for t in range(iteration + 1, end + 1):
        payoffs(leaves, place, plan, placed, scratch, gradient)
        if t % stride == 0:
            profiles[kept] = plan
            kept += 1
            for k in range(len(POWERS)):
                weight = float(kept) ** POWERS[k]
                observe(trigger_arrays, weight, plan, gradient, seen[k], followed[k])
        for s in range(len(plan)):
            paid[s] = plan[s] * gradient[s]
        paid_below(tree_arrays, paid)
        for k in range(len(sequence)):
            reach = plan[sequence[k]]
            worth[k] = 0.0
            if reach > 0.0:
                worth[k] = _improve(trigger_arrays, k, reach, gradient, answer, regret, value)
        for s in range(len(plan)):
            if left[s] >= 0:
                worth[left[s]] -= paid[s]
        for k in range(len(sequence)):
            leaving[k] = max(leaving[k] + worth[k], 0.0)
            worth[k] = max(leaving[k] + worth[k], 0.0)  # the weight, expecting the same again
        fixed_point(trigger_arrays, tree_arrays, sets, worth, answer, going_on, plan, flow, rate)
    return kept
