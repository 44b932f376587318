"""Files of training runs: plan, checkpoints, candidates, metrics.csv.

metrics.csv           one row an update; a cell is empty where a metric was not measured
tensorboard/          the same for TensorBoard, over steps
checkpoint/plan.json  what was trained, which no resumed run may change
checkpoint/update-*   the last checkpoints, a folder each: RLlib's state, in pickles, and policy.pt
checkpoint/digest-*   the digest of each, since to read another one would be to run it
checkpoint/exact-*    averages of exact play, where they are wanted, one a checkpoint
checkpoint/best-*     candidates for the best policy: the current one, and those of checkpoints
policy.pt             the policy, once the run is done
best.pt               the best policy, once the run is done, if one was chosen
strategy.npz          the average of exact play, where it is wanted, once the run is done
learning.png          metrics over steps, evaluations, and the optimum of a cost
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from games.common.errors import InputError, one_line
from games.common.storage import digest_of_folder, read_arrays, write_arrays, write_atomically
from marl.evaluation.exact import ExactLog
from marl.learning.trainer import Trainer
from scenarios.store import METRICS, SCENARIO

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, float]
FOLDER, PLAN = "checkpoint", "plan.json"
POLICY, BEST, PICTURE = "policy.pt", "best.pt", "learning.png"


def require_same(run: Path, identity: dict[str, Any]) -> None:
    """Record the plan; InputError if the run began with another one."""
    file = run / FOLDER / PLAN
    text = json.dumps(identity, indent=1, sort_keys=True)
    if not file.exists():
        write_atomically(file, text.encode() + b"\n")
        return
    before = _noted(file)
    now = json.loads(text)
    for key in now:
        if now[key] != before.get(key):
            raise InputError(
                f"{run / SCENARIO} has another {key} than the run began with: put that back, or "
                "start a new run"
            )


def steps_at_first(run: Path) -> int | None:
    """The run's length in steps when it began; None if no schedule depends on it."""
    file = run / FOLDER / PLAN
    if not file.exists():
        return None
    steps = _noted(file).get("steps")
    if steps is not None and type(steps) is not int:
        raise _damaged(file)
    return steps


def _noted(file: Path) -> dict[str, Any]:
    """The content of plan.json; InputError if it is damaged."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise _damaged(file) from None
    if not isinstance(found, dict):
        raise _damaged(file)
    return found


def _damaged(file: Path) -> InputError:
    return InputError(f"{file} is damaged: delete it if {SCENARIO} is as it was")


def checkpoints(run: Path) -> list[Path]:
    """Folders of the last checkpoints, the newest first."""
    found = [p for p in (run / FOLDER).glob("update-*") if re.fullmatch(r"update-\d+", p.name)]
    return sorted(found, key=update_of, reverse=True)


def checkpoint(run: Path, update: int) -> Path:
    return run / FOLDER / f"update-{update:06d}"


def candidate(run: Path, update: int) -> Path:
    return run / FOLDER / f"best-{update:06d}.pt"


def candidates(run: Path) -> list[Path]:
    """Policy files that were the best so far when evaluated, the newest first."""
    found = [p for p in (run / FOLDER).glob("best-*") if re.fullmatch(r"best-\d+\.pt", p.name)]
    return sorted(found, key=update_of, reverse=True)


def forget_candidates(run: Path) -> None:
    """Delete the candidates, so that the choice of the best policy starts again."""
    for file in candidates(run):
        file.unlink(missing_ok=True)


def update_of(path: Path) -> int:
    """The number of updates that a checkpoint or a candidate was made after."""
    return int(path.stem.partition("-")[2])


def save(run: Path, training: Trainer, exact: ExactLog | None, keep: int) -> None:
    """Write a checkpoint atomically, and delete all but the last `keep`."""
    folder = checkpoint(run, training.updates)
    if exact is not None:  # first: a checkpoint is there once its folder is
        write_arrays(_exact(folder), {k: np.asarray(v) for k, v in exact.state().items()})
    training.save(folder, lambda digest: write_atomically(_digest(folder), digest.encode()))
    # Later ones could not be read when the run was resumed.
    kept = [f for f in checkpoints(run) if update_of(f) <= training.updates][:keep]
    for folder in set(checkpoints(run)) - set(kept):
        shutil.rmtree(folder, ignore_errors=True)
    beside = set((run / FOLDER).glob("exact-*.npz")) | set((run / FOLDER).glob("digest-*"))
    for file in beside - set(map(_exact, kept)) - set(map(_digest, kept)):
        file.unlink(missing_ok=True)
    updates = [*map(update_of, kept), training.updates]
    used = {next((f for f in candidates(run) if update_of(f) <= at), None) for at in updates}
    for file in set(candidates(run)) - used:
        file.unlink(missing_ok=True)


def restore(
    run: Path, training: Trainer, exact: ExactLog | None, tell: Callable[[str], object]
) -> int:
    """Go back to the newest checkpoint that can be read; returns the updates made by then.

    Args:
        tell: called with a line for each checkpoint that had to be skipped.

    Raises:
        InputError: there are checkpoints, and all are damaged.
    """
    found = checkpoints(run)
    for k, folder in enumerate(found):
        try:
            _require_own(folder)
            training.restore(folder)
            if exact is not None:
                exact.restore(read_arrays(_exact(folder)))
        except InputError as error:
            if k + 1 == len(found):
                raise _unreadable(folder, error) from None
            tell(f"{folder} cannot be read: going on from {found[k + 1].name}")
        else:
            break
    for file in candidates(run):
        if update_of(file) > training.updates:  # it is about to be found again, or not
            file.unlink(missing_ok=True)
    return training.updates


def require_checkpoint(run: Path) -> None:
    """Raise InputError if there are checkpoints, but none is unchanged."""
    found = checkpoints(run)
    for k, folder in enumerate(found):
        try:
            _require_own(folder)
        except InputError as error:
            if k + 1 == len(found):
                raise _unreadable(folder, error) from None
        else:
            return


def _require_own(folder: Path) -> None:
    """Raises InputError unless a checkpoint is, byte by byte, what this run wrote."""
    try:
        noted = _digest(folder).read_text(encoding="ascii").strip()
        found = digest_of_folder(folder)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"its digest cannot be read: {one_line(error)}") from None
    if found != noted:
        raise InputError("it is not what this run wrote: its digest is another")


def _unreadable(folder: Path, error: InputError) -> InputError:
    why = one_line(error).removeprefix(str(folder.absolute())).strip(" /:")
    return InputError(
        f"{folder} cannot be read ({why}): put it back from a copy, or delete it to start over"
    )


def _digest(folder: Path) -> Path:
    return folder.with_name(f"digest-{update_of(folder):06d}")


def _exact(folder: Path) -> Path:
    return folder.with_name(f"exact-{update_of(folder):06d}.npz")


class Metrics:
    """Writes metrics.csv: rows are appended and flushed, columns added as they appear.

    Rows are kept in the file only: a run of a week has a million of them.
    """

    def __init__(self, run: Path, updates: int) -> None:
        """Cut the file back to the first `updates` updates."""
        self.run, self.file = run, run / METRICS
        rows = [row for row in self.rows if row["update"] <= updates]
        used = {key for row in rows for key in row}
        self.columns = [key for key in _header(self.file) if key in used]
        self._write(rows)

    @property
    def rows(self) -> list[Row]:
        """All rows in the file."""
        return read(self.run)

    def append(self, row: Row, instead: bool = False) -> None:
        """Add a row, or put it instead of the last one.

        The file is rewritten when a new column appears.
        """
        if self._add_columns(row) or instead:
            rows = self.rows
            self._write([*(rows[:-1] if instead else rows), row])
            return
        with self.file.open("a", encoding="utf-8", newline="") as file:
            file.write(self._line(row))

    def sync(self) -> None:
        """Flush all rows to the disk."""
        descriptor = os.open(self.file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _add_columns(self, row: Row) -> bool:
        """Put each new column behind the one that it follows in the row."""
        at, new = -1, False
        for key in row:
            if key in self.columns:
                at = self.columns.index(key)
            else:
                at, new = at + 1, True
                self.columns.insert(at, key)
        return new

    def _write(self, rows: list[Row]) -> None:
        lines = [_csv(self.columns)] if self.columns else []
        lines += [self._line(row) for row in rows]
        write_atomically(self.file, "".join(lines).encode())

    def _line(self, row: Row) -> str:
        return _csv([_cell(row[key]) if key in row else "" for key in self.columns])


def read(run: Path) -> list[Row]:
    """Rows of metrics.csv, without empty cells. A last row that a crash cut short is left out.

    Raises:
        InputError: another row is not one that was written here.
    """
    file = run / METRICS
    try:
        header, rows = _header(file), []
        text = file.read_text(encoding="utf-8") if header else ""
        for cells in list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))[1:]:
            pairs = zip(header, cells, strict=True)
            rows.append({key: float(cell) for key, cell in pairs if cell})
        if any("update" not in row for row in rows):
            raise ValueError
    except ValueError:  # cells that are too few, too many, no numbers, no text
        raise InputError(
            f"{file} is damaged: fix it, or delete it to go on with `schelling resume {run}` "
            "without its rows"
        ) from None
    return rows


def table(run: Path) -> pd.DataFrame:
    """metrics.csv: a row an update; NaN where a metric was not measured."""
    import pandas as pd

    return pd.DataFrame(read(run), columns=_header(run / METRICS))


def _header(file: Path) -> list[str]:
    if not file.exists():
        return []
    text = file.read_text(encoding="utf-8")
    line, end, _ = text.partition("\n")
    return next(csv.reader([line]), []) if end else []


def _csv(cells: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _cell(number: float) -> str:
    """The shortest that reads back as the same number."""
    return repr(float(number)).removesuffix(".0")
