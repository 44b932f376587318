"""Demand from a file: recorded series, which each game follows from its own starting point."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import pandas as pd
import torch
from pydantic import Field, PrivateAttr

from games.common.errors import InputError, did_you_mean, one_line
from games.finite.sequence_form import Float64
from games.inventory.demand import Process, Sampler, Traces, counted, too_short

INDEX = ("period", "date", "week", "day")  # names of a first column that counts periods
Range = tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]]


class Series(Process):
    """Recorded demand of the past.

    A game begins anywhere in the window [first, last) of periods that leaves room for it, and for
    the past that it shows.

    Raises:
        InputError: the file cannot be read, has a gap, text, a negative number, or no series of
            one of the stores; a window that is not in it. Made directly, ValidationError.
    """

    kind: Literal["series"] = "series"
    file: str
    """CSV with a row a period and a column a series, named in the first line; a first column that
    is called period, date, week or day is passed over. Or .npy, or .npz of one array: [R, T] of R
    series of one store, or [R, T, K]."""
    first: Annotated[int, Field(ge=0)] = 0
    """The first period of the window, from 0."""
    last: Annotated[int, Field(ge=1)] | None = None
    """The period after its last one; None: to the end."""
    columns: tuple[str, ...] = ()
    """Of a CSV file. By default those called as the stores are; if there is but one store, all of
    them, each a trace of its own."""
    penalty: Range | None = None
    """Every series draws its own penalty uniformly from here; None: its store's."""
    price: Range | None = None
    """Every series draws its own price uniformly from here; None: its store's."""
    seed: int = 0
    """Seed of those draws, which do not depend on the window."""
    season: None = None
    """Always None: recorded series contain their seasons."""
    _stores: int = PrivateAttr(1)

    def of(self, stores: tuple[str, ...]) -> Self:
        columns = self.columns or (stores if len(stores) > 1 else ())
        if len(stores) > 1 and len(columns) != len(stores):
            raise InputError(f"demand: {counted(len(columns), 'column')} for {len(stores)} stores")
        made = self.model_copy(update={"columns": columns})
        made._stores = len(stores)
        made.table  # noqa: B018  reads the file, so that what is wrong with it is said now
        return made

    def require_periods(self, shown: int, played: int) -> None:
        length = self.table.shape[1]
        if shown + played > length:
            raise InputError(too_short(length, shown, played))

    @cached_property
    def table(self) -> np.ndarray:
        """[R, T, K] float32 of the window."""
        if Path(self.file).suffix in (".npy", ".npz"):
            whole, names = _from_numpy(self.file), None
            if self._stores == 1 and whole.ndim == 2:
                whole = whole[..., None]
            if whole.ndim != 3 or whole.shape[2] != self._stores:
                raise InputError(
                    f"{self.file}: an array {list(whole.shape)} is no demand of "
                    f"{counted(self._stores, 'store')}; give [series, periods, {self._stores}]"
                    + (" or [series, periods]" if self._stores == 1 else "")
                )
        else:
            frame = _columns(_from_csv(self.file), self.columns, self.file)
            names = list(frame.columns)
            found = _numbers(frame, self.file)  # [T, columns]
            whole = found.T[..., None] if self._stores == 1 else found[None]
        if not whole.size:
            raise InputError(f"{self.file}: an array {list(whole.shape)} has no demand in it")
        _check(whole, names, self.file)
        length = whole.shape[1]
        last = length if self.last is None else self.last
        if not self.first < last <= length:
            raise InputError(
                f"{self.file}: periods {self.first} to {last} are asked for, but there are "
                f"{length}; give 0 <= first < last <= {length}"
            )
        return np.ascontiguousarray(whole[:, self.first : last], np.float32)

    def worth(self, kind: Literal["penalty", "price"], stores: int) -> Float64 | None:
        among: Range | None = getattr(self, kind)
        if among is None:
            return None
        stream = np.random.SeedSequence([self.seed, ("penalty", "price").index(kind)])
        return np.random.default_rng(stream).uniform(*among, size=(len(self.table), stores))

    def means(self, stores: int) -> Float64:
        """[K] of the window, over all its series."""
        return self.table.mean(axis=(0, 1), dtype=float)

    def deviations(self, stores: int) -> Float64:
        """[K] of the window, over all its series."""
        return self.table.std(axis=(0, 1), dtype=float)

    def sampler(self, stores: int, device: torch.device) -> Sampler:
        table = torch.as_tensor(self.table)
        first = torch.zeros(len(table), dtype=torch.int64)
        return Traces(self, table, first, device, anywhere=True)


def _from_numpy(file: str) -> np.ndarray:
    """The array of a .npy file, or the only one of a .npz file."""
    try:
        found = np.load(file, allow_pickle=False)
        if isinstance(found, np.lib.npyio.NpzFile):
            with found:
                arrays = [found[name] for name in found.files]
        else:
            arrays = [found]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(unreadable("demand", file, error)) from None
    if len(arrays) != 1:
        raise InputError(f"{file}: it holds {counted(len(arrays), 'array')}; give one")
    if arrays[0].dtype.kind not in "iuf":
        raise InputError(f"{file}: an array of {arrays[0].dtype} is not demand; give numbers")
    return arrays[0]


def _from_csv(file: str) -> pd.DataFrame:
    """Its columns, without one that counts periods."""
    try:
        text = Path(file).read_text(encoding="utf-8-sig").rstrip()
        _require_columns(text, file)
        # An empty line of a file of one series is a gap, and is not to be passed over.
        frame = pd.read_csv(io.StringIO(text), skip_blank_lines=False, index_col=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(unreadable("demand", file, error)) from None
    frame.columns = [str(name).strip() for name in frame.columns]
    if len(frame.columns) and frame.columns[0].lower() in INDEX:
        frame = frame.iloc[:, 1:]
    if not frame.size:
        raise InputError(f"{file}: it holds no demand; give a row per period, a column per series")
    if all(_is_number(name) for name in frame.columns):
        raise InputError(f"{file}: its first line has numbers; write the names of the series there")
    return frame


def _require_columns(text: str, file: str) -> None:
    """Raises InputError for a row that is longer than the first one; pandas would cut it."""
    rows = csv.reader(io.StringIO(text))
    try:
        names = len(next(rows, []))
        for period, row in enumerate(rows):
            if len(row) > names:
                raise InputError(
                    f"{file}: period {period} (line {rows.line_num}) has {len(row)} numbers for "
                    f"{counted(names, 'column')}; name every column in the first line, part them "
                    "by commas, and write 3.5, not 3,5"
                )
    except csv.Error as error:
        raise InputError(unreadable("demand", file, error)) from None


def _columns(frame: pd.DataFrame, names: tuple[str, ...], file: str) -> pd.DataFrame:
    for name in names:
        if name not in frame.columns:
            near = did_you_mean(name, [str(known) for known in frame.columns])
            raise InputError(f"{file}: there is no series of {name!r}: {near}")
    return frame[list(names)] if names else frame


def _numbers(frame: pd.DataFrame, file: str) -> np.ndarray:
    """[T, columns] float64, NaN where there is a gap; text is refused."""
    for name in frame.columns:
        column = frame[name]
        if column.dtype.kind in "iuf":
            continue
        bad = pd.to_numeric(column, errors="coerce").isna() & column.notna()
        if bad.any() or column.dtype.kind == "b":
            row = int(bad.to_numpy().argmax())
            raise InputError(
                f"{file}: series {name!r} has {str(column.iloc[row])!r} in period {row} (line "
                f"{row + 2}); write a number"
            )
    return frame.apply(pd.to_numeric).to_numpy(float)


def _check(whole: np.ndarray, names: list[str] | None, file: str) -> None:
    """Raises InputError for the first gap or negative number of [R, T, K]."""
    for bad, said, fix in (
        (~np.isfinite(whole), "a gap", "fill it in, or take out the series"),
        (whole < 0, "a negative number", "give what customers wanted, not what they brought back"),
    ):
        if bad.any():
            series, period, store = (int(i) for i in np.argwhere(bad)[0])
            if names is not None:
                which, line = repr(names[max(series, store)]), f" (line {period + 2})"
            else:
                which, line = f"{series}" + (f", store {store}," if whole.shape[2] > 1 else ""), ""
            raise InputError(f"{file}: series {which} has {said} in period {period}{line}; {fix}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def unreadable(what: str, file: str | os.PathLike[str], error: Exception) -> str:
    """Why a file cannot be read, and where it was looked for."""
    reason = getattr(error, "strerror", None)
    if isinstance(error, UnicodeDecodeError):
        reason = "not a text file"
    said = f"cannot read {what} {file}: {reason.lower() if reason else one_line(error)}"
    if not isinstance(error, FileNotFoundError) or Path(file).is_absolute():
        return said
    return (
        f"{said} in {Path(file).absolute().parent}; go to the folder it was named from, or "
        "give its full path"
    )
