"""Reading the rows of `.csv` files."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from games.common.errors import InputError, one_line


def read_rows(path: Path) -> list[list[str]]:
    """The rows of a `.csv` file, the header first, all of its length; empty ones are left out.

    Raises:
        InputError: no such file, no text, rows of different lengths, or cells that are separated by
            something else than commas.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table ({one_line(error)})") from None
    rows = [row for row in rows if any(row)]
    if rows and len(rows[0]) == 1 and re.search(r"[;\t]", rows[0][0]):
        found = "semicolons" if ";" in rows[0][0] else "tabs"
        raise InputError(f"{path}: {found} stand between the cells; separate cells by commas")
    for k, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise InputError(f"{path}: row {k + 1} has {len(row)} cells, the header {len(rows[0])}")
    return rows
