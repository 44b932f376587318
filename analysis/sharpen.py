"""An approximate equilibrium of a table brought to rounding, by Newton's method on its support."""

from __future__ import annotations

import numpy as np

from games import NormalForm
from games.sequence_form import Float64

SUPPORT = 1e-4  # probabilities below are taken for 0


def sharpened(game: NormalForm, profile: tuple[Float64, ...]) -> tuple[Float64, ...]:
    """An approximate equilibrium brought to rounding by Newton's method on its support.

    On the support of each player the payoffs are equal and the probabilities add up to 1. Where
    that does not make the regret smaller (a wrong support, a singular system), nothing is changed.
    """
    clean = tuple(np.maximum(x, 0.0) / np.maximum(x, 0.0).sum() for x in profile)
    before = _regret(game, clean)
    if before <= 1e-13:
        return clean
    supports = [np.flatnonzero(x > SUPPORT) for x in clean]
    x = [np.where(y > SUPPORT, y, 0.0) for y in clean]
    for _ in range(20):
        residual, jacobian = _indifference(game, x, supports)
        step = np.linalg.lstsq(jacobian, -residual, rcond=None)[0]
        at = 0
        for i, support in enumerate(supports):
            x[i][support] += step[at : at + len(support)]
            at += len(support)
        if np.abs(step).max() < 1e-15:
            break
    if any(np.any(y < 0) or not np.all(np.isfinite(y)) for y in x):
        return clean
    better = tuple(y / y.sum() for y in x)
    return better if _regret(game, better) < before else clean


def _indifference(
    game: NormalForm, x: list[Float64], supports: list[np.ndarray]
) -> tuple[Float64, Float64]:
    """The equations of a totally mixed equilibrium on the supports, and their derivatives."""
    sizes = [len(s) for s in supports]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows, residual = [], []
    for i, support in enumerate(supports):
        pay = game.against(x, i)[support]
        for k in range(1, len(support)):
            residual.append(pay[k] - pay[0])
            row = np.zeros(starts[-1])
            for j, theirs in enumerate(supports):
                if j != i:
                    slope = game.against(x, i, (j,))[np.ix_(support, theirs)]
                    row[starts[j] : starts[j + 1]] = slope[k] - slope[0]
            rows.append(row)
        total = np.zeros(starts[-1])
        total[starts[i] : starts[i + 1]] = 1.0
        rows.append(total)
        residual.append(x[i][support].sum() - 1.0)
    return np.array(residual), np.array(rows)


def _regret(game: NormalForm, x: tuple[Float64, ...]) -> float:
    gains = []
    for i in range(game.num_players):
        pay = game.against(x, i)
        gains.append(float(pay.max() - pay @ x[i]))
    return max(gains)
