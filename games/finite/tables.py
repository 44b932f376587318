"""Payoff tables in files: `.csv` and `.npz`, two players or more."""

from __future__ import annotations

import itertools
import math
import re
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

from games.common.errors import InputError, one_line
from games.finite.bayesian import BayesianGame
from games.finite.normal_form import NormalForm
from games.finite.rows import read_rows
from games.finite.security import COLUMNS, SecurityGame

MOST_ENTRIES = 50_000_000


def read_npz(path: Path, name: str) -> NormalForm | BayesianGame:
    """A matrix game from an `.npz` (or `.npy`) file of numpy's.

    It holds `payoffs`, a tensor [A1, ..., AN, N] or the matrix of a zero-sum game; or one array
    [A1, ..., AN] a player, in the order in which they were stored (`np.savez(path, A=..., B=...)`);
    or the arrays `leader`, `follower` and `prior` of a `BayesianGame`.

    Raises:
        InputError: no such file, or arrays of other shapes.
    """
    try:
        stored = np.load(path, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            arrays = {"payoffs": stored}
        else:
            with stored:
                arrays = {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read as arrays ({one_line(error)})") from None
    for key, array in arrays.items():
        if array.dtype.kind not in "biuf":  # numpy would make floats of dates, or of half a number
            raise InputError(f"{path}: {key} holds {array.dtype}; payoffs have to be real numbers")
    if "prior" in arrays:
        return BayesianGame.read(path)
    if "payoffs" in arrays:
        arrays = {"payoffs": arrays["payoffs"]}
    try:
        return NormalForm.from_payoffs(*arrays.values(), name=name)
    except InputError as error:
        raise _in_file(path, error) from None


def read_csv(path: Path, name: str) -> NormalForm | SecurityGame:
    """A matrix game from a `.csv` file, of one of two kinds; or a security game.

    A *list*: a header, then a row for every combination of strategies: N names of strategies and N
    payoffs. The header names the players, then their payoffs (any words).

    A *grid* for two players: the second player's strategies in the first row (behind an empty
    cell), the first player's in the first column, and in every cell the two payoffs, split by a
    space, a semicolon or a slash; or one number, for a zero-sum game.

    A *security game*: a column `target` and the four payoffs of `SecurityGame`; it has one guard
    until `dataclasses.replace(game, resources=...)` gives it more.

    Raises:
        InputError: no such file, or something in it that is not as above, with its row.
    """
    rows = read_rows(path)
    if rows and set(COLUMNS) <= set(rows[0]):
        return SecurityGame.from_rows(rows, path, resources=1, name=name)
    if len(rows) < 2:
        raise InputError(f"{path}: a table needs a header and at least one row")
    try:
        return _grid(rows, name) if rows[0][0] == "" else _list(rows, name)
    except InputError as error:
        raise _in_file(path, error) from None


def _grid(rows: list[list[str]], name: str) -> NormalForm:
    columns, lines = rows[0][1:], rows[1:]
    for names in (columns, [line[0] for line in lines]):
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise InputError(f"the strategy {twice!r} stands twice; rename one, or delete one")
    cells = [[_numbers(cell, f"row {i + 2}") for cell in line[1:]] for i, line in enumerate(lines)]
    counts = {len(cell) for line in cells for cell in line}
    if counts not in ({1}, {2}):
        slash = any("/" in cell for line in lines for cell in line[1:])
        raise InputError(
            "every cell of a grid needs two payoffs (3 1), or every one a single"
            + ('; "/" splits two payoffs, write fractions as decimals' if slash else "")
        )
    payoffs = np.array(cells)
    return NormalForm.from_payoffs(
        payoffs if counts == {2} else payoffs[..., 0],
        name=name,
        actions=[[line[0] for line in lines], columns],
    )


def _list(rows: list[list[str]], name: str) -> NormalForm:
    header, lines = rows[0], rows[1:]
    if len(header) % 2 or len(header) < 4:
        raise InputError(
            f"the header has {len(header)} columns; a list needs one of strategies and one of "
            "payoffs for each player, a grid an empty first cell"
        )
    n = len(header) // 2
    actions = [list(dict.fromkeys(line[i] for line in lines)) for i in range(n)]
    shape = tuple(len(own) for own in actions)
    if math.prod(shape) != len(lines) or math.prod(shape) > MOST_ENTRIES:
        combinations = " x ".join(map(str, shape))
        missing = ""
        if math.prod(shape) <= MOST_ENTRIES:
            given = {tuple(line[:n]) for line in lines}
            absent = next((c for c in itertools.product(*actions) if c not in given), None)
            missing = f"; {', '.join(absent)} is missing" if absent else "; a row stands twice"
        raise InputError(
            f"{len(lines)} rows for {combinations} combinations of strategies{missing}"
        )
    number = [{action: k for k, action in enumerate(own)} for own in actions]
    payoffs = np.full((*shape, n), np.nan)
    for k, line in enumerate(lines):
        at = tuple(number[i][line[i]] for i in range(n))
        if not np.isnan(payoffs[at]).all():
            raise InputError(f"row {k + 2} repeats the combination {', '.join(line[:n])}")
        payoffs[at] = [_number(cell, f"row {k + 2}") for cell in line[n:]]
    return NormalForm.from_payoffs(payoffs, name=name, actions=actions, players=header[:n])


def _numbers(cell: str, where: str) -> list[float]:
    parts = [part for part in re.split(r"[\s;]+", cell.strip("()[] ")) if part]
    if len(parts) == 1 and cell.count("/") == 1:
        parts = cell.split("/")
    return [_number(part.strip(","), where) for part in parts]


def _number(text: str, where: str) -> float:
    try:
        number = float(text)
    except ValueError:
        fix = "; write fractions as decimals" if "/" in text else ""
        raise InputError(f"{where}: {text!r} is not a number{fix}") from None
    if not math.isfinite(number):
        raise InputError(f"{where}: the payoff {text} is not a finite number")
    return number


def _in_file(path: Path, error: InputError) -> InputError:
    """The same error with the file in front, unless the message begins with it."""
    message = str(error)
    return error if message.startswith(str(path)) else InputError(f"{path}: {message}")
