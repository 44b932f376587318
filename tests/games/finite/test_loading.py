"""Games that take all memory, never end or crash are refused in one line, and so are deep ones."""

from __future__ import annotations

import importlib
import io
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import numpy as np
import pygambit
import pyspiel
import pytest

import analysis
import games
from games.common import memory, trial
from games.finite import budget as walk
from games.finite.budget import refuse_hopeless
from games.finite.enumerate import enumerate_game
from games.finite.gambit.depth import depth
from games.finite.gambit.reading import to_gambit
from games.finite.game import TERMINAL
from games.finite.openspiel.loading import _register_python_games
from tests.conftest import CATALOGUE_FILES, short
from tests.games.finite.test_bad_files import assert_refused
from tests.helpers import coin_game

# ---- parameters that OpenSpiel does not survive ----

HOSTILE = [
    ("first_sealed_auction(max_value=100000000)", "max_value=100000000"),
    ("hex(board_size=1000000)", "board_size=1000000"),
    ("goofspiel(players=1000000000)", "players=1000000000"),
    ("misere(game=goofspiel(players=1000000000))", "players=1000000000"),
    ("sheriff(max_items=-1)", "max_items=-1"),
    ("go_fish(ranks=1000000000)", "ranks=1000000000"),
    ("blotto(coins=1000,fields=100)", "coins=1000 (by default 10), fields=100 (by default 3)"),
    ("yacht(players=0)", "a game without players; change players=0"),
    ("hanabi(players=6)", "crashes (Aborted); change players=6"),
    ("connect_four(rows=0)", "crashes (Segmentation fault); change rows=0"),
    ("universal_poker(numRanks=0)", "crashes"),
    ("universal_poker(numPlayers=1)", "crashes"),
    ("breakthrough(rows=0)", "rows_ > 1"),
    ("nim(pile_sizes=1000000000;1)", "pile_sizes"),
    ("start_at(history=0;0,game=kuhn_poker())", "action 0 at move 2, where legal are 1, 2"),
    ("misere(game=start_at(history=0;0,game=kuhn_poker()))", "action 0 at move 2"),
    ("start_at(history=0;1;0;0;0,game=kuhn_poker())", "at move 5, where the game is over"),
    ("start_at(history=0;a,game=kuhn_poker())", "history=0;a"),
]


@pytest.fixture
def impatient(monkeypatch):
    """A second of computing for a trial, and an eighth of the memory, to keep the tests short."""
    limits = dict(seconds=1, memory=trial.MEMORY // 8)
    monkeypatch.setattr(trial, "attempt", partial(trial.attempt, **limits))


@pytest.mark.parametrize(("name", "says"), HOSTILE)
def test_hostile_parameters(name, says, impatient, capfd):
    assert_refused(["solve", name], says, capfd)


def hostile_strings() -> list[str]:
    """Every number that a game of OpenSpiel's takes, at absurd values and at small ones."""
    _register_python_games()
    strings = []
    for kind in sorted(pyspiel.registered_games(), key=lambda kind: kind.short_name):
        for key, default in kind.parameter_specification.items():
            if isinstance(default, int | float) and not isinstance(default, bool):
                for value in (10**9, 10**6, 1000, 2**31 - 1, 0, -1, 1, 2, default // 2):
                    strings.append(f"{kind.short_name}({key}={type(default)(value)})")
    return sorted(set(strings))


def refusal(name: str, node_budget: int = 2_000) -> str:
    """Why a game has no sequence form, or "" if it has one; whatever it is, this process lives."""
    try:
        games.load(name).sequence_form(node_budget=node_budget)
    except games.InputError as error:
        return str(error)
    return ""


def assert_loads_or_refuses(name: str) -> None:
    began = time.monotonic()
    said = refusal(name)
    assert "\n" not in said, name
    assert said == "" or said.count(name) == 1, said
    assert time.monotonic() - began < 60, name


@pytest.mark.parametrize("seed", range(3))
def test_absurd_numbers(seed, impatient):
    for name in random.Random(seed).sample(hostile_strings(), 15):
        assert_loads_or_refuses(name)


@pytest.mark.slow
def test_absurd_numbers_of_every_game(impatient):
    for name in random.Random(0).sample(hostile_strings(), 500):
        assert_loads_or_refuses(name)


def test_usual_parameters_are_not_tried(monkeypatch):
    monkeypatch.setattr(trial, "attempt", None)  # would raise
    for name in (
        "leduc_poker",
        "goofspiel(num_cards=13,imp_info=True)",
        "misere(game=matrix_pd())",
    ):
        games.load(name)


def test_attempt_says_how_a_child_ended():
    attempt = partial(trial.attempt, seconds=1)
    assert attempt(lambda: "") == ""
    assert attempt(lambda: "a word") == "a word"
    assert attempt(lambda: "x" * len(bytearray(3 << 30))) == trial.TOO_MUCH_MEMORY
    assert attempt(forever) == "takes longer than 1 s"
    assert trial.attempt(lambda: str(time.sleep(60)), wait=0.2) == "has not ended after 0.2 s"
    assert attempt(lambda: __import__("os").abort()) == "crashes (Aborted)"
    assert attempt(lambda: __import__("os")._exit(3)) == "crashes (ends the process)"


def test_a_trial_says_what_was_raised():
    assert trial.attempt(lambda: {}["a word"]) == "KeyError: 'a word'"


@pytest.fixture
def no_children_kept():
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


def test_trials_where_the_system_keeps_no_ended_children(no_children_kept):
    assert trial.attempt(lambda: "a word") == "a word"
    assert trial.attempt(lambda: os.abort()) == "crashes (ends the process)"
    assert trial.attempt(lambda: str(time.sleep(60)), wait=0.2) == "has not ended after 0.2 s"


@pytest.mark.parametrize(("work", "says"), [(str, ""), (os.abort, "crashes (Aborted)")])
def test_another_process_holds_the_pipe_of_a_trial(work, says, monkeypatch):
    """As one does that another thread starts just then."""
    others = []

    def shared():
        monkeypatch.undo()
        reader, writer = os.pipe()
        others.append(subprocess.Popen(["sleep", "60"], pass_fds=[writer]))
        return reader, writer

    monkeypatch.setattr(os, "pipe", shared)
    began = time.monotonic()
    try:
        assert trial.attempt(work) == says
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert time.monotonic() - began < 20


def test_no_process_to_be_had_for_a_trial(monkeypatch):
    def refused():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refused)
    before = len(os.listdir("/proc/self/fd"))
    assert trial.attempt(lambda: "a word") == ""  # not tried
    assert len(os.listdir("/proc/self/fd")) == before


FLAWS = ["new_initial_state", "information_state_string", "_legal_actions", "_apply_action"]


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_flaw_in_a_users_game_is_not_taken_for_a_crash(flaw):
    """Whoever plays it sees the traceback."""
    game, state = coin_game.register(f"flawed_coins{flaw}", 1.0, n=1)

    def broken(self, *args):
        raise AttributeError("no such attribute")

    setattr(game if hasattr(game, flaw) and flaw in vars(game) else state, flaw, broken)
    loaded = games.load(f"flawed_coins{flaw}(n=5)")
    with pytest.raises(AttributeError, match="no such attribute"):
        loaded.sequence_form()


def test_a_flaw_in_the_constructor_of_a_users_game():
    game, _ = coin_game.register("unmade_coins", 1.0, n=1)

    def broken(self, params=None):
        raise AttributeError("no such attribute")

    game.__init__ = broken
    with pytest.raises(AttributeError, match="no such attribute"):
        games.load("unmade_coins(n=5)")


def forever() -> str:
    while True:
        pass


# ---- the walk's budget ----


@dataclass(frozen=True)
class Chain:
    """`length` moves by turns; each may end the game or go on. A `games.finite.game.State`."""

    length: int
    at: int = 0
    over: bool = False
    slow: float = 0.0  # seconds of computing a move

    def current_player(self) -> int:
        return TERMINAL if self.over or self.at == self.length else self.at % 2

    def chance_outcomes(self):
        return []

    def legal_actions(self):
        until = time.thread_time() + self.slow
        while time.thread_time() < until:
            pass
        return [0, 1]

    def child(self, action):
        return Chain(self.length, self.at + 1, action == 0, self.slow)

    def information_state_string(self, player):
        return str(self.at)

    def action_to_string(self, player, action):
        return str(action)

    def returns(self):
        return [float(self.at), -float(self.at)]


def test_a_play_may_be_so_long():
    assert enumerate_game(Chain(5_000), "chain", 2, 10**6).num_terminals == 5_001
    with pytest.raises(games.UnenumerableGameError, match="a play of more than 5,000 moves") as e:
        enumerate_game(Chain(6_000), "chain", 2, 10**6)
    assert "raise node_budget" in str(e.value)
    assert enumerate_game(Chain(6_000), "chain", 2, 24_000_000).num_terminals == 6_001


def test_a_random_play_has_to_end(monkeypatch):
    monkeypatch.setattr(walk, "LONGEST_PLAY", 50)
    for action in (0, 1):  # a play along which there is no choice to count
        monkeypatch.setattr(Chain, "legal_actions", lambda self, a=action: [a])
        if action:
            with pytest.raises(games.UnenumerableGameError, match="did not end within 50 moves"):
                refuse_hopeless(Chain(60), "chain", 10**6)
        else:
            refuse_hopeless(Chain(60), "chain", 10**6)


def test_a_walk_ends_in_time(monkeypatch):
    monkeypatch.setattr(walk, "SECONDS", 0.05)
    with pytest.raises(games.UnenumerableGameError, match="not walked within 0 s of computing"):
        enumerate_game(Chain(1_000, slow=0.001), "chain", 2, 10**6)
    monkeypatch.setattr(walk, "SECONDS", 1e-6)
    with pytest.raises(games.UnenumerableGameError, match="far longer"):
        refuse_hopeless(Chain(1_000, slow=0.01), "chain", 10**6)
    monkeypatch.setattr(walk, "PROBE_SECONDS", 1e-6)
    with pytest.raises(games.UnenumerableGameError, match="did not end"):
        refuse_hopeless(Chain(1_000, slow=0.01), "chain", 10**6)


def test_the_node_budget_decides_and_not_the_machines_speed(monkeypatch):
    """At 12,000 histories a second, as a game in Python is walked."""
    seconds = itertools.count(0.0, walk.LOOK / 12_000)  # the clock, at every look at it
    monkeypatch.setattr(walk, "time", SimpleNamespace(thread_time=lambda: next(seconds)))
    monkeypatch.setattr(walk, "NODE_BUDGET", 20_000)
    monkeypatch.setattr(walk, "SECONDS", walk.SECONDS / 1_000)
    for scale in (1, 3):
        monkeypatch.setattr(walk, "LONGEST_PLAY", 10**6)
        with pytest.raises(games.UnenumerableGameError, match=f"more than {scale * 20},000 hist"):
            enumerate_game(Chain(10**6), "chain", 2, scale * 20_000)


def test_mccfr_is_recommended_where_it_works(tmp_path, monkeypatch):
    def said(name):
        with pytest.raises(games.UnenumerableGameError) as error:
            games.load(str(name)).sequence_form(node_budget=100, cached=False)
        return str(error.value)

    (tmp_path / "tree.efg").write_text(efg(200, first=True))
    assert "method mccfr" in said("leduc_poker")
    assert "method mccfr" in said("phantom_ttt")
    for name in ("oware", "pig(winscore=3,diceoutcomes=2,horizon=8)", tmp_path / "tree.efg"):
        assert "method mccfr" not in said(name)
    monkeypatch.setattr(walk, "LONGEST_PLAY", 3)
    assert "a random play did not end within 3 moves; choose" in said("leduc_poker")
    assert "method mccfr" not in said("leduc_poker")


def test_names_may_take_so_much_memory(monkeypatch):
    monkeypatch.setattr(walk, "CHARACTERS", 20)
    with pytest.raises(games.UnenumerableGameError, match="more than 20 characters"):
        enumerate_game(Chain(100), "chain", 2, 10**6)


def test_endless_games_of_openspiels(capfd):
    """Minutes and 8 GB without a word, once; and none from mccfr, which follows such plays too."""
    began = time.thread_time()
    assert_refused(["solve", "cursor_go(board_size=2,max_cursor_moves=1)"], "5,000 moves", capfd)
    method = ["--method", "mccfr", "--iterations", "10"]
    assert_refused(["solve", "cursor_go", *method], "a play of more than 5,000 moves", capfd)
    assert time.thread_time() - began < 60


def test_a_wide_node_does_not_fill_the_memory():
    """A walk holds one state a level: of a hundred thousand children it makes one at a time."""
    made = 0

    class Wide(Chain):
        def legal_actions(self):
            return list(range(100_000))

        def child(self, action):
            nonlocal made
            made += 1
            return Wide(self.length, self.at + 1, True)

    with pytest.raises(games.UnenumerableGameError):
        enumerate_game(Wide(1), "wide", 2, 1_000)
    assert made == 1_000


def test_memory_where_a_process_has_no_limits(monkeypatch):
    """As on Windows, which has no module `resource`."""
    monkeypatch.setitem(sys.modules, "resource", None)
    reloaded = importlib.reload(memory)
    assert reloaded.available() > 0


# ---- imperfect recall: of what ----


def test_what_is_forgotten_is_said():
    name = "dark_hex(num_rows=2,num_cols=3)"
    with pytest.raises(games.GameError, match="by the same own moves") as error:
        games.load(name).sequence_form()
    said = re.search(
        r"player (\d) reaches information set ('.*') by .* move (\d+) was at ('.*') or ('.*');",
        str(error.value),
    )
    player, at = int(said[1]), eval(said[2])
    # OpenSpiel's own walk: same own actions, and another information set before that move.
    found = set()
    stack = [(games.load(name).openspiel.new_initial_state(), ())]
    while stack:
        state, own = stack.pop()
        if state.is_terminal() or len(own) > 5:
            continue
        mine = state.current_player() == player
        string = state.information_state_string(player)
        if mine and string == at:
            found.add(own)
        for action in state.legal_actions():
            stack.append((state.child(action), (*own, (string, action)) if mine else own))
    k = int(said[3]) - 1
    same = [(a, b) for a, b in itertools.permutations(found, 2)
            if [x for _, x in a] == [x for _, x in b]]  # fmt: skip
    assert (eval(said[4]), eval(said[5])) in {(a[k][0], b[k][0]) for a, b in same}


# ---- Gambit's files ----


def efg(moves: int, *, first: bool) -> str:
    """A centipede whose long branch is every node's first child, or its last."""
    nodes = [f'p "" {1 + i % 2} {i // 2 + 1} "" {{ "l" "r" }} 0\n' for i in range(moves)]
    ends = [f't "" {i + 1} "" {{ {i}, 1 }}\n' for i in range(moves + 1)]
    turns = [row for pair in zip(nodes, ends[:-1], strict=True) for row in pair]
    rows = nodes + ends if first else [*turns, ends[-1]]
    return 'EFG 2 R "{ p \\" t }" { "a" "b" }\n"p"\n' + "".join(rows)


@pytest.mark.parametrize("first", [True, False])
def test_trees_too_deep_for_gambits_reader(first, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "deep.efg").write_text(efg(20_000, first=first))
    says = "a tree 20,000 moves deep; its reader takes up to"
    assert_refused(["solve", "deep.efg"], says, capfd)
    (tmp_path / "well.efg").write_text(efg(2_000, first=first))
    assert games.load("well.efg").sequence_form().num_histories == 4_001


def test_a_small_stack_takes_less(tmp_path):
    path, said = tmp_path / "deep.efg", []
    path.write_text(efg(2_000, first=True))

    def read() -> None:
        try:
            games.load(str(path))
        except games.InputError as error:
            said.append(str(error))

    before = threading.stack_size(512 << 10)
    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
    assert threading.stack_size(before) == 512 << 10  # as it was found
    assert "2,000 moves deep; its reader takes up to 327" in said[0]


def test_deep_games_are_not_handed_to_gambit():
    class Deep:
        name, num_players = "deep", 2

        def root(self):
            return Chain(6_000)

    with pytest.raises(games.GameError, match=r"deep: Gambit cannot take it .a tree 6,000 moves"):
        to_gambit(Deep())


@pytest.mark.parametrize("path", [p for p in CATALOGUE_FILES if p.suffix == ".efg"], ids=short)
def test_depth_is_that_of_gambits_tree(path):
    tree = pygambit.read_efg(path)
    deepest, stack = 0, [(tree.root, 0)]
    while stack:
        node, moves = stack.pop()
        deepest = max(deepest, moves)
        stack += [(child, moves + 1) for child in node.children]
    assert depth(path.read_text()) == deepest
    assert depth(tree.to_efg()) == deepest


OUTCOMES = """NFG 1 R "holes" { "a" "b" } { { "u" "d" } { "l" "r" } }
""
{ { "first" 1, 2 } { "second" 3, 4 } }
1 2 0 1
"""


def test_a_profile_without_an_outcome_pays_nothing(tmp_path, capfd):
    (tmp_path / "holes.nfg").write_text(OUTCOMES)
    game = games.load(str(tmp_path / "holes.nfg"))
    source = pygambit.read_nfg(io.BytesIO(OUTCOMES.encode()))
    rng = np.random.default_rng(0)
    for _ in range(5):
        profile, mixed = source.mixed_strategy_profile(), []
        for player in source.players:
            mixed.append(rng.dirichlet(np.ones(2)))
            for strategy, p in zip(player.strategies, mixed[-1], strict=True):
                profile[strategy] = float(p)
        theirs = [profile.payoff(player) for player in source.players]
        np.testing.assert_allclose(game.values(mixed), theirs, atol=1e-12)
    for concept in ("nash", "cce"):
        assert analysis.solve(game, concept).regret <= 1e-7


def test_a_small_file_of_a_huge_table(tmp_path, monkeypatch, capfd):
    """24 players by name: Gambit's reader makes room for all profiles, and crashes."""
    monkeypatch.chdir(tmp_path)
    players = " ".join(f'"p{i}"' for i in range(24))
    strategies = '{ "a" "b" } ' * 24
    (tmp_path / "many.nfg").write_text(f'NFG 1 R "g" {{ {players} }} {{ {strategies}}}\n""\n1 2 3')
    assert_refused(["solve", "many.nfg"], "16,777,216 profiles", capfd)


TOKENS = ["0", "-1", "9999999999", "{", "}", '"', '""', "1/0", "p", "t", "c", "1e400", "nan", ""]


@pytest.mark.parametrize("seed", range(2))
def test_mutated_files(seed, tmp_path):
    """Bytes changed, cut, repeated, and tokens replaced: a game or one line, and never a crash."""
    rng = random.Random(seed)
    files = [p for p in CATALOGUE_FILES if p.stat().st_size < 5_000]
    for _ in range(60):
        path = rng.choice(files)
        text = bytearray(path.read_bytes())
        for _ in range(rng.choice([1, 1, 2, 5])):
            at, kind = rng.randrange(len(text)), rng.randrange(5)
            if kind == 0:
                text[at] = rng.randrange(256)
            elif kind == 1:
                del text[at : at + rng.choice([1, 10, 100])]
            elif kind == 2:
                text[at:at] = text[at : at + 20]
            else:
                token = rng.choice(list(re.finditer(rb"\S+", bytes(text))) or [None])
                if token:
                    text[token.start() : token.end()] = rng.choice(TOKENS).encode()
            text = text or bytearray(b" ")
        broken = tmp_path / f"broken{path.suffix}"
        broken.write_bytes(text)
        said = refusal(str(broken), node_budget=100_000)
        assert "\n" not in said
        assert said == "" or said.count(str(broken)) == 1
