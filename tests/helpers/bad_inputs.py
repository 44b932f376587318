"""Bad inputs of every kind, drawn at random from a seed, and what must become of them.

A case is a command with the files that it meets. It is run in a process of its own, forked from one
that has loaded everything, in an empty folder, with little memory beyond what is loaded and for a
minute at the most. It has to end with status 2 and one line on stderr, and leave the folder as it
was. A change that happens to leave an input as good as it was is recognised by an oracle of the
case, which reads the input itself; only then may the command go on.

Training ends where it would begin: whoever gets there has been let through the door.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

LONGEST = 60.0  # seconds that a command may take
ROOM = 4 * 2**30  # bytes that it may take beyond what is loaded
LET_IN = 77  # the status of a command that would have begun to train
MANY = 10**12  # of anything that is counted

TRAINING = """
game = "navigation(agents=2,max_steps=20)"
seed = 5
[method]
name = "ppo"
num_envs = 4
rollout_length = 10
epochs = 1
discount = 0.9
[network]
hidden = [8, 8]
shared_encoder = false
[stop]
steps = 160
[checkpoint]
seconds = 1e-6
[evaluation]
every = 1
episodes = 4
"""
SOLVING = """
game = "kuhn_poker"
seed = 5
node_budget = 1000
[method]
name = "dcfr"
alpha = 1.5
[stop]
iterations = 20
target = 0.1
"""
NETWORK = """
[locations.shop]
holding = 1.0
penalty = 9.0
unmet = "lost"
[[links]]
source = "supplier"
target = "shop"
lead_time = 2
[demand]
kind = "poisson"
mean = 5.0
"""
EFG = """EFG 2 R "a game" { "Ann" "Bob" }
""
p "" 1 1 "" { "l" "r" } 0
p "" 2 1 "" { "u" "d" } 0
t "" 1 "" { 3, 1 }
t "" 2 "" { 0, 2 }
c "" 1 "" { "x" 1/2 "y" 1/2 } 0
t "" 3 "" { 1, 1 }
t "" 4 "" { 2, 0 }
"""
NFG = 'NFG 1 R "a table" { "Ann" "Bob" }\n{ 2 2 }\n\n3 3 0 5 5 0 1 1\n'
CSV = ",left,right\nup,3 3,0 5\ndown,5 0,1 1\n"
DEMAND = "week,north,south\n" + "".join(f"{k},{k % 7},{k % 5}\n" for k in range(90))


@dataclass(frozen=True)
class Case:
    """A command, the files that it meets, and what else than a refusal would be right."""

    kind: str
    arguments: tuple[str, ...]
    files: dict[str, bytes | None] = field(default_factory=dict)  # by path; None: a folder
    run: str | None = None  # a folder that is copied to `run` first
    valid: Callable[[], bool] | None = None
    """In the folder: whether the input is a good one after all."""

    def __str__(self) -> str:
        files = {
            name: content if content is None or len(content) < 2000 else content[:2000] + b"..."
            for name, content in self.files.items()
        }
        return f"{self.kind}: schelling {' '.join(map(repr, self.arguments))}\n  files: {files}"


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    case: Case
    status: int | None  # None: it had to be ended
    seconds: float
    error: str
    left: tuple[str, ...]  # files that came, went or changed
    valid: bool

    @property
    def wrong(self) -> str:
        """What it did that it must not; "" if nothing."""
        if self.status is None:
            return f"no end within {LONGEST:.0f} s"
        if self.status in (0, LET_IN) and self.valid:
            return ""
        if "Traceback" in self.error:
            return "a traceback"
        if self.status != 2:
            return f"status {self.status}"
        if self.error.count("\n") != 1 or not self.error.startswith("error: "):
            return "not one line on stderr"
        if self.left:
            return f"left behind: {', '.join(self.left)}"
        return ""


# -- what is drawn --------------------------------------------------------------------------------


def draw(seed: int, count: int, runs: dict[str, Path]) -> list[Case]:
    """So many cases, as many of each kind as far as it goes; the same for the same seed.

    Args:
        runs: folders of a run that solved and one that trained; without them none is damaged.
    """
    rng = random.Random(seed)
    kinds: list[Any] = [
        set_keys, set_large, game_strings, openspiel_strings, callables, options, files
    ]  # fmt: skip
    if runs:
        kinds.append(functools.partial(run_folders, runs))
    sources = [kind(random.Random(rng.random())) for kind in kinds]
    return [next(sources[k % len(sources)]) for k in range(count)]


NUMBERS = (
    "true", "false", '"word"', "word", "[]", "{a=1}", "nan", "inf", "-inf", "1" + "0" * 40,
    "1" + "0" * 5000, "1979-05-27", "[[]]", "''",
)  # fmt: skip
WRONG: dict[type, tuple[str, ...]] = {
    bool: ("7", "0", "1.5", "maybe", "[]", "{}", "nan"),
    int: (*NUMBERS, "1.5", "1e40"),
    float: NUMBERS,
    str: ("7", "true", "[]", "{}", "1.5", "1979-05-27"),
    tuple: ("7", "word", "{a=1}", "[true]", "[-1]", "[[]]", "[nan]", "['a']", "true"),
    dict: ("7", "word", "[1]", "true", "{a='word'}", "{a=true}", "[]"),
}
# Numbers of which there can be as many as anybody likes; all others have a bound.
FREE = {
    "seed", "node_budget", "stop.steps", "stop.seconds", "stop.iterations", "stop.target",
    "checkpoint.seconds", "checkpoint.keep", "evaluation.every", "exact.every",
    "exact.node_budget", "self_play.pool", "self_play.every", "resources.restarts",
    "network.heads", "method.learning_rate", "method.gradient_clip", "method.value_clip",
    "method.value_coefficient", "method.entropy", "method.kl_coefficient", "method.kl_target",
    "method.alpha", "method.beta", "method.gamma", "method.temperature", "method.stepsize",
    "method.decline", "method.clip", "method.exact_up_to",
}  # fmt: skip
LEARNERS = {
    "ppo": [], "mappo": [], "ippo": [], "reinforce": [],
    "pdppo": ["game=lot_sizing(items=2,machines=2)"],
    "hdpo": ["game=inventory.lost_sales(periods=5)"],
}  # fmt: skip


@functools.cache
def known_keys() -> tuple[tuple[str, type, tuple[str, ...]], ...]:
    """Dotted keys of scenarios, the kind of value, and the settings that it needs beside it."""
    from marl.learning.method import METHODS
    from marl.tabular.method import REGISTRY
    from marl.tabular.method import find as find_method
    from scenarios.solving.scenario import Scenario
    from scenarios.training.scenario import TrainingScenario

    rows = [("solve", *row) for row in _keys(Scenario, "", ("method", "compare"))]
    for name in REGISTRY:
        rows += [("solve", *row, f"method={name}") for row in _keys(type(find_method(name)))]
    rows += [("train", *row) for row in _keys(TrainingScenario, "", ("method", "sweep"))]
    for name, beside in LEARNERS.items():
        more = (f"method={{name='{name}'}}", *beside)
        rows += [("train", *row, *more) for row in _keys(METHODS.load(name), "method.", ("name",))]
    return tuple((f"{row[0]} {row[1]}", row[2], row[3:]) for row in rows)  # type: ignore


def _keys(
    model: type[BaseModel], before: str = "method.", without: tuple[str, ...] = ()
) -> Iterator[tuple[str, type]]:
    for name, info in model.model_fields.items():
        if name in without or name == "description":
            continue
        parts = [info.annotation, *typing.get_args(info.annotation)]
        tables = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)]
        if tables:
            yield from _keys(tables[0], f"{before}{name}.")
            continue
        text = str(info.annotation)
        if "dict" in text and "Any" in text:
            continue
        kinds = (("tuple[int", tuple), ("tuple[typing", tuple), ("dict", dict), ("Literal", str),
                 ("bool", bool), ("float", float), ("int", int), ("str", str))  # fmt: skip
        if name in ("learning_rate", "entropy"):
            yield f"{before}{name}", float
            continue
        kind = next((kind for sign, kind in kinds if sign in text), None)
        if kind is not None:
            yield f"{before}{name}", kind


def _run_with(kind: str, command: str, settings: list[str]) -> Case:
    text = SOLVING if kind == "solve" else TRAINING
    given = [part for setting in settings for part in ("--set", setting)]
    return Case(command, ("run", "x.toml", *given), {"x.toml": text.encode()})


def set_keys(rng: random.Random) -> Iterator[Case]:
    """Values of another type, keys that there are not, tables that are values."""
    while True:
        where, kind, beside = rng.choice(known_keys())
        which, key = where.split()
        how = rng.random()
        if how < 0.7:
            setting = f"{key}={rng.choice(WRONG[kind])}"
        elif how < 0.85:
            letters = list(key)
            letters.insert(rng.randrange(len(letters) + 1), rng.choice("qzx"))
            setting = f"{''.join(letters)}=1"
        else:
            table = key.partition(".")[0]
            setting = f"{table}.{key.rpartition('.')[2]}.deeper=1" if "." in key else f"{key}.a=1"
        yield _run_with(which, "--set", [*beside, setting])


def set_large(rng: random.Random) -> Iterator[Case]:
    """More of something than there can be."""
    sized = [
        row for row in known_keys()
        if row[1] in (int, float, tuple) and row[0].split()[1] not in FREE
    ]  # fmt: skip
    while True:
        where, kind, beside = rng.choice(sized)
        which, key = where.split()
        number = rng.choice([MANY, 10**15, 2**62, 2**63, 10**30])
        value = f"[{number}]" if kind is tuple else f"{number}"
        yield _run_with(which, "--set, large", [*beside, f"{key}={value}"])


SIZES = (
    "navigation(agents={})", "navigation(agents={},area=1e6)", "navigation(obstacles={})",
    "safe_navigation(agents={})", "inventory.one_warehouse(stores={})",
    "inventory.transshipment(stores={})", "inventory.lost_sales(lead_time={})",
    "inventory.lost_sales(look_back={})", "inventory.serial(traces={})",
    "inventory.lost_sales(traces=2,periods={})", "lot_sizing(items={})", "lot_sizing(machines={})",
    "inventory.or_gym(version={})", "inventory.one_warehouse(stores=-{})", "navigation(agents=-{})",
    "navigation(dt=-{})", "inventory.lost_sales(penalty=-{})", "inventory.backlogged(sd=-{})",
    "lot_sizing(periods=-{})", "safe_navigation(zeta_least=-{})",
)  # fmt: skip
TORN = (
    "navigation(", "navigation)", "navigation(agents=)", "navigation(=3)", "navigation(agents=3,,)",
    "navigation(agents=3;dt=1)", "navigation(3)", "navigation(**x)", "navigation(agents=1+1)",
    "navigation(agents=__import__('os'))", "", " ", "()", "a b", "navigation:", ":x", "x:", "a::b",
    "pettingzoo:", "pettingzoo:.", "inventory.", "inventory.lost_sale()", "../x", "x.efg",
    "navigation(agents={})", "\u0000", "navigation(agents=3)x", "pettingzoo:json",
)  # fmt: skip


def game_strings(rng: random.Random) -> Iterator[Case]:
    """Games of ours with what cannot be, and what is no name of a game."""
    from games.making import types_of
    from games.names import SIMULATORS

    while True:
        how = rng.random()
        if how < 0.4:
            game = rng.choice(SIZES).format(rng.choice([10**9, MANY, 10**22, 10**40]))
        elif how < 0.55:
            game = rng.choice(TORN)
        elif how < 0.7:
            name = rng.choice([*SIMULATORS])
            at = rng.randrange(len(name))
            game = name[:at] + rng.choice("qzx") + name[at:]
        else:
            name = rng.choice([*SIMULATORS])
            types = types_of(SIMULATORS.load(name)) or {}
            numbers = [key for key, hint in types.items() if hint in (int, float)]
            truths = [key for key, hint in types.items() if hint is bool]
            if not numbers + truths:
                continue
            key = rng.choice(numbers + truths)
            wrong = ("word", "'3 4'", "[1]", "nan", "{}", "None")
            value = rng.choice((*wrong, "True") if key in numbers else (*wrong, "1", "0.0"))
            file = "file=x.npy," if name in ("inventory.series", "inventory.network") else ""
            game = f"{name}({file}{key}={value})"
        text = TRAINING.replace('game = "navigation(agents=2,max_steps=20)"', "")
        toml = f"game = {json.dumps(game)}\n{text}".encode()
        if rng.random() < 0.5:
            yield Case("games", ("run", "x.toml"), {"x.toml": toml})
        else:
            yield Case("games", ("play", "p.pt", "--game", game), {"p.pt": _policy()})


OPENSPIEL = {
    "kuhn_poker": ["players"], "leduc_poker": ["players"], "goofspiel": ["players", "num_cards"],
    "liars_dice": ["numdice", "dice_sides", "players"], "hex": ["board_size"],
    "first_sealed_auction": ["max_value", "players"], "sheriff": ["max_items", "max_bribe"],
    "blotto": ["coins", "fields", "players"], "go_fish": ["ranks"], "nim": ["max_num_turns"],
    "dark_hex": ["num_rows", "board_size"], "trade_comm": ["num_items"],
    "oshi_zumo": ["coins", "size"],
    "phantom_ttt": ["nothing"], "tiny_hanabi": ["nothing"], "matching_pennies_3p": ["nothing"],
    "bargaining": ["max_turns"], "battleship": ["board_width", "num_shots"],
}  # fmt: skip


def openspiel_strings(rng: random.Random) -> Iterator[Case]:
    """OpenSpiel's games by names that there are not, or with parameters that cannot be."""
    wrong = ["-1", "-1000", "word", "1.5", "", "[1]", "999999999999999999999999", "True", "nan"]
    while True:
        game = rng.choice([*OPENSPIEL])
        how = rng.random()
        if how < 0.25:
            at = rng.randrange(1, len(game))
            name = game[:at] + rng.choice("qzx") + game[at:]
        elif how < 0.75:
            value = rng.choice(wrong)
            name = f"{game}({rng.choice(OPENSPIEL[game])}={value})"
        else:
            value = rng.choice(["1000000000", "2147483647", "100000000"])
            name = f"{game}({rng.choice(OPENSPIEL[game])}={value})"
        more = rng.choice([[], ["--equilibrium", "nash"], ["--method", "cfr+"], ["--iterations=3"]])
        yield Case("OpenSpiel", ("solve", name, *more))


MODULES = ("os", "subprocess", "shutil", "pathlib", "builtins", "json", "tempfile", "pickle",
           "runpy", "importlib", "io", "socket", "games", "games.common.storage", "scenarios.cli",
           "scenarios.store", "numpy", "torch")  # fmt: skip


def callables(rng: random.Random) -> Iterator[Case]:
    """Functions and classes of others, with which a scenario would run what it likes."""
    from importlib import import_module

    words = ("'touch harm'", "'harm'", "3", "['touch','harm']", "True")
    while True:
        module = rng.choice(MODULES)
        found = import_module(module)
        names = [n for n in dir(found) if n[0].isalpha() and callable(getattr(found, n, None))]
        keys = rng.sample(["cmd", "args", "path", "command", "file", "name", "src", "dst"], 2)
        given = ",".join(f"{key}={rng.choice(words)}" for key in keys[: rng.randrange(3)])
        game = f"{module}:{rng.choice(names)}({given})"
        toml = f"game = {json.dumps(game)}\nmethod = 'ppo'\n"
        yield Case("code", ("run", "x.toml"), {"x.toml": toml.encode()})


OPTIONS = {
    "solve": {
        "--iterations": ("word", "-5", "1.5", ""), "--target": ("word", "nan", "-1"),
        "--seconds": ("word", "nan", "-1"), "--equilibrium": ("best", "3", ""),
        "--method": ("best", "3", "ppo"), "--objective": ("greed",), "--precision": ("word",),
        "--leader": ("x", "-1", "9"), "--set": ("x", "=", "a.b", "alpha=word", "colour=3"),
        "--seed": ("word", "1.5"), "--export": ("x.txt", "no/x.npz", "x"),
        "--plot": ("x.gif", "no/x.png"),
    },
    "run": {"--seed": ("word", "-1", "1.5"), "--out": (".", "x.toml", "/proc/x", "x.toml/y"),
            "--set": ("x", "=1", "stop", "stop.=3", ".a=3", "stop.iterations"),
            "--address": ("nowhere", "ray://x:1", "x:y")},
    "play": {"--episodes": ("0", "-1", "word", "10000000000"), "--game": ("kuhn_pokr", "", "x:y"),
             "--against": ("me", "3"), "--render": ("x.txt", "no/x.gif"), "--seed": ("word",)},
    "show": {"--seed": ("3",)},
    "resume": {"--set": ("x", "seed=3"), "--out": ("x",)},
    "sweep": {"--seeds": ("0", "word", "-3", "1000000000"), "--parallel": ("0", "x"),
              "--set-grid": ("x", "a=", "=1", "method.clip=", "method.clipp=1,2", "seed=word")},
    "list": {"--kind": ("x",)},
}  # fmt: skip


def options(rng: random.Random) -> Iterator[Case]:
    """Commands that there are not, options that there are not, values that they do not take."""
    stuff = {"x.toml": SOLVING.encode(), "t.toml": TRAINING.encode(), "p.pt": _policy()}
    of = {"solve": "kuhn_poker", "run": "x.toml", "play": "p.pt", "show": "nowhere",
          "resume": "nowhere", "sweep": "t.toml", "list": "games"}  # fmt: skip
    while True:
        command = rng.choice([*OPTIONS])
        how = rng.random()
        if how < 0.1:
            yield Case("commands", (command + rng.choice("qzx"),), stuff)
        elif how < 0.2:
            what = "".join(rng.choice("abcdefgh") for _ in range(6))
            yield Case("commands", (command, of[command], f"--{what}", "3"), stuff)
        elif how < 0.35 and command != "list":
            what = rng.choice(
                ["", "nowhere", ".", "x.toml/y", "/dev/null", "\n", "ü" * 300, "a\tb"]
            )
            yield Case("commands", (command, what), stuff)
        else:
            option = rng.choice([*OPTIONS[command]])
            value = rng.choice(OPTIONS[command][option])
            yield Case("commands", (command, of[command], option, value), stuff)


# -- files ----------------------------------------------------------------------------------------


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut, flipped, overwritten, or of another kind."""
    how = rng.randrange(6)
    at = rng.randrange(max(len(content), 1))
    if how == 0:
        return content[:at]
    if how == 1:
        flipped = bytearray(content)
        for _ in range(rng.randrange(1, 4)):
            flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    if how == 2:
        return content[:at] + rng.randbytes(rng.randrange(1, 20)) + content[at:]
    if how == 3:
        words = content.split(b" ")
        words[rng.randrange(len(words))] = rng.choice(
            [b"", b"nan", b"{", b"-1", b"99999999999", b'"']
        )
        return b" ".join(words)
    if how == 4:
        lines = content.split(b"\n")
        del lines[rng.randrange(len(lines))]
        return b"\n".join(lines)
    return rng.choice(
        [b"", rng.randbytes(300), b"PK\x03\x04", b"\x89PNG\r\n", b"[[[[", b"\x00" * 99]
    )


@functools.cache
def _policy() -> bytes:
    from games.load import vector
    from marl.networks.network import Network
    from marl.networks.policy import Policy

    game = "navigation(agents=2,max_steps=3)"
    with tempfile.TemporaryDirectory() as folder:
        policy = Policy.new(game, vector(game, 1).spec, Network(hidden=(4,)))
        policy.save(Path(folder) / "p.pt")
        return (Path(folder) / "p.pt").read_bytes()


@functools.cache
def _numbers(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, payoffs=np.array([[3.0, 0.0], [5.0, 1.0]]))
    return buffer.getvalue()


@functools.cache
def _series() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(180.0).reshape(2, 90) % 7)
    return buffer.getvalue()


def _as_gambit_reads_it(name: str) -> bool:
    import pygambit

    try:
        read = pygambit.read_efg if name.endswith(".efg") else pygambit.read_nfg
        return bool(len(read(name).players))
    except Exception:
        return False


def _as_csv(name: str) -> bool:
    """A table of pairs or single numbers, as Python's own csv module reads it."""
    import csv

    try:
        rows = list(csv.reader(io.StringIO(Path(name).read_text(encoding="utf-8-sig"))))
        cells = [cell for row in rows[1:] for cell in row[1:] if row]
        numbers = [float(word) for cell in cells for word in cell.split()]
        return bool(numbers) and bool(np.isfinite(numbers).all())
    except (ValueError, csv.Error, IndexError):
        return False


def _as_numpy(name: str) -> bool:
    try:
        found = np.load(name, allow_pickle=False)
        arrays = list(found.values()) if hasattr(found, "values") else [found]
        return bool(arrays) and all(np.isfinite(a).all() and a.size for a in arrays)
    except Exception:
        return False


def _same_policy(name: str) -> bool:
    """Weights and text to the bit, as torch reads them."""
    whole = torch.load(io.BytesIO(_policy()), weights_only=True)
    try:
        found: Any = torch.load(name, weights_only=True)
        return found["about"] == whole["about"] and all(
            torch.equal(found["weights"][k][n], w)
            for k, net in whole["weights"].items()
            for n, w in net.items()
        )
    except Exception:
        return False


def _known(name: str, which: str) -> bool:
    """TOML whose keys a scenario has, with values of their types; a network, if that is asked."""
    try:
        found = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except ValueError:
        return False
    if which == "network":
        return _fits(found, tomllib.loads(NETWORK))
    known = {where.split()[1]: kind for where, kind, _ in known_keys() if which in where}
    known |= {"description": str, "method.name": str, "method": str}
    return all(key in known and _is_a(value, known[key]) for key, value in _flat(found))


def _flat(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and f"{before}{key}" != "stop.target":
            yield from _flat(value, f"{before}{key}.")
        elif f"{before}{key}".split(".")[0] != "sweep":
            yield f"{before}{key}", value


def _is_a(value: Any, kind: type) -> bool:
    if kind in (int, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number or (kind is float and isinstance(value, list))  # a schedule
    return isinstance(value, list if kind is tuple else kind)


def _fits(found: Any, like: Any) -> bool:
    """Tables, keys and types of another table; some may lack."""
    if isinstance(like, dict) and isinstance(found, dict):
        return all(key in like and _fits(value, like[key]) for key, value in found.items())
    if isinstance(like, list) and isinstance(found, list):
        return all(_fits(value, like[0]) for value in found)
    if isinstance(like, float):
        return isinstance(found, int | float) and not isinstance(found, bool)
    return type(found) is type(like)


FILES: tuple[tuple[str, Callable[[], bytes], tuple[str, ...], Callable[[str], bool]], ...] = (
    ("g.efg", EFG.encode, ("solve", "g.efg"), _as_gambit_reads_it),
    ("g.nfg", NFG.encode, ("solve", "g.nfg"), _as_gambit_reads_it),
    ("g.nfg", NFG.encode, ("solve", "g.nfg", "--equilibrium", "ce"), _as_gambit_reads_it),
    ("g.csv", CSV.encode, ("solve", "g.csv"), _as_csv),
    ("g.npz", _numbers, ("solve", "g.npz"), _as_numpy),
    ("p.pt", _policy, ("play", "p.pt", "--episodes", "2"), _same_policy),
    ("s.toml", SOLVING.encode, ("run", "s.toml"), lambda name: _known(name, "solve")),
    ("t.toml", TRAINING.encode, ("run", "t.toml"), lambda name: _known(name, "train")),
    ("n.toml", NETWORK.encode, ("run", "x.toml"), lambda name: _known(name, "network")),
    ("d.npy", _series, ("run", "x.toml"), _as_numpy),
    ("d.csv", DEMAND.encode, ("run", "x.toml"), _as_csv),
)  # fmt: skip
GAMES = {
    "n.toml": "inventory.network(file='n.toml')",
    "d.npy": "inventory.series(file='d.npy')",
    "d.csv": "inventory.series(file='d.csv')",
}


def files(rng: random.Random) -> Iterator[Case]:
    """Files that are cut, flipped, of another kind, missing, or folders."""
    while True:
        name, make, arguments, valid = rng.choice(FILES)
        content: bytes | None = damaged(make(), rng)
        if rng.random() < 0.05:
            content = None
        stuff: dict[str, bytes | None] = {name: content}
        if name in GAMES:
            game = f'game = "{GAMES[name]}"'
            text = TRAINING.replace('game = "navigation(agents=2,max_steps=20)"', game)
            stuff["x.toml"] = text.encode()
        good = functools.partial(valid, name) if content is not None else None
        yield Case(f"files: {name}", arguments, stuff, valid=good)


# -- runs -----------------------------------------------------------------------------------------


def run_folders(runs: dict[str, Path], rng: random.Random) -> Iterator[Case]:
    """Runs of which a file is damaged, lacks, or is something else."""
    commands = {
        "solved": [("show", "run", "--json"), ("resume", "run", "--json"),
                   ("resume", "run", "--set", "stop.iterations=30")],
        "trained": [("show", "run", "--json"), ("play", "run", "--episodes=2", "--json"),
                    ("resume", "run", "--set", "stop.steps=4000"), ("resume", "run", "--json"),
                    ("play", "run", "--best", "--episodes=2", "--json")],
    }  # fmt: skip
    while True:
        kind = rng.choice([*runs])
        arguments = rng.choice(commands[kind])
        inside = sorted(
            p for p in runs[kind].rglob("*") if p.is_file() and "tensorboard" not in str(p)
        )
        file = rng.choice(inside)
        content = damaged(file.read_bytes(), rng)
        name = f"run/{file.relative_to(runs[kind])}"
        valid = functools.partial(_as_before, name, content, str(runs[kind]), arguments)
        yield Case(f"runs: {kind}", arguments, {name: content}, kind, valid=valid)


# What a run writes anew when it goes on, or never reads again.
REBUILT = ("result.json", "metrics.csv", "versions.json", ".png", "run/policy.pt",
           "run/strategy.npz", "best.pt")  # fmt: skip


def _as_before(name: str, content: bytes, run: str, arguments: tuple[str, ...]) -> bool:
    """Whether a command may go on: its answer is what it was, or the file is not needed for it."""
    original = Path(run, name.removeprefix("run/")).read_bytes()
    if content == original or name.endswith(REBUILT):
        return True
    if name.endswith("scenario.toml"):
        return _known(name, "solve" if "solved" in run else "train")
    if arguments[0] in ("show", "play"):  # they read no checkpoints
        return "checkpoint/" in name
    # Going on from the checkpoint before, where there is one, or doing nothing as all is done.
    return "checkpoint/" in name and (
        "--json" in arguments or "update-" in name or "digest-" in name
    )


# -- how it is run --------------------------------------------------------------------------------


class _LetIn(BaseException):
    """Training would begin now."""


def load_everything() -> None:
    """What every command needs, so that a forked process has it."""
    import pygambit  # noqa: F401
    import pyspiel  # noqa: F401
    import ray  # noqa: F401

    import analysis.solve  # noqa: F401
    import scenarios.cli
    import scenarios.playing.one
    import scenarios.training.kind
    import scenarios.training.sweep

    with contextlib.redirect_stdout(io.StringIO()):
        scenarios.cli._main(["solve", "kuhn_poker", "--iterations", "3"])
    known_keys()
    _policy()


def play_out(case: Case, folder: Path, runs: dict[str, Path], real: bool = False) -> Outcome:
    """Run a case in a new folder, in a process of its own."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    if case.run is not None:
        shutil.copytree(runs[case.run], folder / "run")
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
    before = _held(folder)
    out, error = folder.with_suffix(".out"), folder.with_suffix(".err")
    began = time.monotonic()
    with out.open("wb") as stdout, error.open("wb") as stderr:
        start = _start_command if real else _fork
        status = _wait(start(case, folder, stdout.fileno(), stderr.fileno()), began + LONGEST)
    seconds = time.monotonic() - began
    after = _held(folder)
    left = tuple(
        sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    )
    valid = False
    if status in (0, LET_IN) and case.valid is not None:
        for name, content in case.files.items():  # as the command met it
            if content is not None:
                (folder / name).write_bytes(content)
        with contextlib.chdir(folder):
            valid = case.valid()
    said = error.read_text(encoding="utf-8", errors="replace")
    return Outcome(case, status, seconds, said, left, valid)


def _held(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"/"
        for p in folder.rglob("*")
    }


def _start_command(case: Case, folder: Path, out: int, error: int) -> int:
    environment = os.environ | {"TMPDIR": str(folder / "tmp")}
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "scenarios.cli", *case.arguments],
        cwd=folder, stdout=out, stderr=error, stdin=subprocess.DEVNULL, env=environment,
        start_new_session=True,
    )  # fmt: skip
    _STARTED.append(process)  # else it would be waited for when it is forgotten
    return process.pid


_STARTED: list[subprocess.Popen[bytes]] = []


def _fork(case: Case, folder: Path, out: int, error: int) -> int:
    child = os.fork()
    if child:
        return child
    status = 99
    try:
        os.setsid()
        os.chdir(folder)
        os.environ["TMPDIR"] = tempfile.tempdir = str(folder / "tmp")
        for descriptor, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (error, 2)):
            os.dup2(descriptor, target)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115
        sys.stdout = open(1, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + ROOM
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        status = _command(list(case.arguments))
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _command(arguments: list[str]) -> int:
    """As `scenarios.cli.main`, but that nothing is trained."""
    import traceback

    import scenarios.training.scenario
    import scenarios.training.sweep
    from scenarios.cli import _main

    def begin(*_: Any, **__: Any) -> Any:
        raise _LetIn

    scenarios.training.scenario.train = begin  # type: ignore[misc, assignment]
    scenarios.training.sweep._train = begin
    sys.path.append(os.getcwd())
    try:
        return _main(arguments)
    except _LetIn:
        return LET_IN
    except BaseException:
        traceback.print_exc()
        return 98


def _wait(child: int, deadline: float) -> int | None:
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)  # its own session: whatever it started goes with it
    os.waitpid(child, 0)
    return None
