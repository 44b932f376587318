"""The examples run, are short, and say what is true."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("[!_]*.py"))
SAYS = {
    "solve": "value -0.0856064",  # Leduc's value, as published
    "train": "of uniform play: 0.917",  # Kuhn poker's, as OpenSpiel says
    "own_game": "",
    "own_method": "values -0.055",  # Kuhn poker's is -1/18
    "hysteretic": "return 11.00",
    "own_learner": "return 8.00",
    "judge_a_policy": "yielding",
}


def test_all_are_known_and_short():
    assert {path.stem for path in EXAMPLES} == set(SAYS)
    for path in EXAMPLES:
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 40, path.name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_runs(path, tmp_path):
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[path.stem] in done.stdout
