"""The pages' examples do what they say; the notebooks are run by nbmake, beside the tests."""

import doctest
import json
import re
from pathlib import Path

import pytest

from scenarios.cli import _main

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples(page):
    tests = doctest.DocTestParser().get_doctest(
        page.read_text(encoding="utf-8").replace("```", ""), {}, page.name, str(page), 0
    )
    runner = doctest.DocTestRunner()
    runner.run(tests)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_pages_show_the_examples_as_they_are():
    """A block of code below a link to an example is a part of it."""
    shown = []
    for page in PAGES:
        pattern = r"\]\(([^)]*examples/\w+\.py)\):\n\n```python\n(.*?)```"
        for target, code in re.findall(pattern, page.read_text(encoding="utf-8"), flags=re.S):
            assert code in (page.parent / target).read_text(encoding="utf-8"), target
            shown.append(Path(target).stem)
    assert shown == ["own_learner", "hysteretic"]


def test_benchmarks_are_there():
    page = (ROOT / "docs/reports/benchmarks.md").read_text()
    for heading in (
        "CFR+ iterations", "NashConv", "Compiling", "From the command line",
        "Nash by linear program", "All equilibria", "Stackelberg", "Correlated equilibria",
        "Quantal response", "Training: PettingZoo's games, and several processes",
    ):  # fmt: skip
        assert f"\n## {heading}" in page
    assert "| Goofspiel-5 random | 3,346,656 |" in page


@pytest.mark.parametrize("module", ["marl.tabular"])
def test_docstring_examples(module):
    import importlib

    assert doctest.testmod(importlib.import_module(module)).failed == 0


def test_commands_of_the_readme(tmp_path, monkeypatch, capsys):
    """Every `schelling` line of the README, in order, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    lines = re.findall(r"^schelling (.*?)\s*(?:#.*)?$", PAGES[0].read_text(), flags=re.M)
    assert len(lines) == 13
    import shlex

    for line in lines:
        assert _main(shlex.split(line)) == 0, line
    assert "leduc_poker" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted((ROOT / "analysis/notebooks").glob("*.ipynb")))
def test_notebooks_are_stored_without_outputs(path):
    for cell in json.loads(path.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
