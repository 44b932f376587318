"""Hundreds of bad inputs, drawn from a seed: each is refused in one line, and leaves nothing.

`SCHELLING_CAMPAIGN=SEED,COUNT pytest -m slow tests/scenarios/test_campaign.py -s` draws others.
What is drawn and how it is judged stands in `tests.helpers.bad_inputs`.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import cli
from tests.helpers.bad_inputs import (
    LET_IN,
    SOLVING,
    TRAINING,
    Outcome,
    draw,
    load_everything,
    play_out,
)

SEED, COUNT, REAL = 20_13, 600, 30


def campaign(seed: int, count: int, runs: dict[str, Path], folder: Path) -> list[Outcome]:
    load_everything()
    return [play_out(case, folder / "here", runs) for case in draw(seed, count, runs)]


def report(outcomes: list[Outcome]) -> str:
    """Counts by kind and status; then every input that was not treated as it must be."""
    counts: dict[str, Counter] = {}
    for one in outcomes:
        status = {2: "refused", 0: "done", LET_IN: "let in", None: "no end"}.get(
            one.status, "failed"
        )
        counts.setdefault(one.case.kind, Counter())[
            f"{status}, valid" if one.valid else status
        ] += 1
    lines = [f"{kind}: {dict(count)}" for kind, count in sorted(counts.items())]
    slowest = max(outcomes, key=lambda one: one.seconds)
    lines.append(
        f"{len(outcomes)} inputs, the slowest took {slowest.seconds:.1f} s: {slowest.case}"
    )
    for k, one in enumerate(outcomes):
        if one.wrong:
            lines += [f"\n{k}: {one.wrong}", str(one.case), f"  said: {one.error[-600:]}"]
    return "\n".join(lines)


def test_a_few_bad_inputs(tmp_path):
    outcomes = campaign(1, 28, {}, tmp_path)
    assert not [one for one in outcomes if one.wrong], report(outcomes)


def test_the_same_seed_draws_the_same_inputs():
    first, again, other = (draw(seed, 70, {}) for seed in (3, 3, 4))
    assert [str(case) for case in first] == [str(case) for case in again]
    assert [str(case) for case in first] != [str(case) for case in other]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A run that solved a game and one that trained, done by the command itself."""
    folder = tmp_path_factory.mktemp("runs")
    for name, text in (("solved", SOLVING), ("trained", TRAINING)):
        (folder / f"{name}.toml").write_text(text)
        done = cli("run", f"{name}.toml", "--out", name, cwd=folder, timeout=300)
        assert done.returncode == 0, done.stderr
    return {name: folder / name for name in ("solved", "trained")}


@pytest.mark.slow
def test_hundreds_of_bad_inputs(runs, tmp_path):
    given = os.environ.get("SCHELLING_CAMPAIGN", "").split(",")
    seed, count = (int(given[0]), int(given[1])) if len(given) == 2 else (SEED, COUNT)
    outcomes = campaign(seed, count, runs, tmp_path)
    # The same, of some that were refused, by the command as it is started from a shell.
    refused = [one.case for one in outcomes if one.status == 2]
    step = max(len(refused) // REAL, 1)
    started = [play_out(case, tmp_path / "real", runs, real=True) for case in refused[::step]]
    print(report(outcomes))
    print(f"{len(started)} of them as commands of their own: {report(started)}")
    assert not [one for one in [*outcomes, *started] if one.wrong], report([*outcomes, *started])
    assert len(outcomes) >= 500 or len(given) == 2
