"""Shared by all tests: a cache of their own, one thread, and forms compiled once."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["SCHELLING_CACHE"] = tempfile.mkdtemp(prefix="schelling-tests-")

import pygambit

import games

KUHN, LEDUC = "kuhn_poker", "leduc_poker"
LD4 = "liars_dice(numdice=1,dice_sides=4)"
LD5 = "liars_dice(numdice=1,dice_sides=5)"
LD6 = "liars_dice(numdice=1,dice_sides=6)"
GOOF4 = "goofspiel(num_cards=4,imp_info=True,points_order=random)"
GOOF5 = "goofspiel(num_cards=5,imp_info=True,points_order=random)"
BATTLESHIP = (
    "battleship(board_width=2,board_height=2,ship_sizes=[2],ship_values=[2],num_shots=3,"
    "allow_repeated_shots=False)"
)

# Gambit's own games; five of them are of imperfect recall.
CATALOGUE = Path(pygambit.__file__).parent / "catalog_data"
CATALOGUE_FILES = sorted(CATALOGUE.rglob("*.efg")) + sorted(CATALOGUE.rglob("*.nfg"))
FORGETFUL = (
    "fig5_12.efg", "fig10.7.efg", "gilboa1997/fig1.efg", "gilboa1997/fig2.efg", "wichardt2008.efg",
)  # fmt: skip


def forgets(path: Path) -> bool:
    """Whether a game of the catalogue is of imperfect recall."""
    return str(path).endswith(FORGETFUL)


def short(path: Path) -> str:
    """A file of the catalogue by its name there."""
    return str(path.relative_to(CATALOGUE))


@functools.cache
def form(name: str) -> games.SequenceForm:
    """The sequence form of a game, compiled once for all tests."""
    return games.load(name).sequence_form()


def cli(*arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "scenarios.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def last_json(text: str) -> dict:
    return json.loads(text.strip().splitlines()[-1])
