"""A replay in files: equal once read again, only what is new is written, damage is noticed."""

import os

import pytest
import torch

from games import InputError
from marl.replay import ring
from marl.replay.files import restore, save
from marl.replay.replay import Draws, Replay
from marl.replay.size import replay_bytes
from tests.helpers.replayed import Accidents, Story

CHUNK = 32


@pytest.fixture(autouse=True)
def small_files(monkeypatch):
    monkeypatch.setattr(ring, "CHUNK", CHUNK)
    monkeypatch.setattr("marl.replay.files.CHUNK", CHUNK)


def played(updates: int, memory: int = 0, capacity: int = 300, **draws: float):
    story = Story(Accidents(acts=0.8, leaves=0.1), seed=4, steps=5, memory=memory)
    more = {"sequence_length": 5, "memory_width": memory} if memory else {}
    replay = Replay(story.simulator.spec, capacity, Draws(n_step=2, **draws, **more))
    for _ in range(updates):
        replay.add(story.go_on())
    return story, replay


def empty(replay: Replay) -> Replay:
    return Replay(replay.ring.spec, replay.ring.capacity, replay.draws)


def require_equal(one: Replay, other: Replay, seed: int) -> None:
    first, second = (r.draw(50, torch.Generator().manual_seed(seed), 0.5) for r in (one, other))
    for name, value in vars(first).items():
        theirs = getattr(second, name)
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, theirs), name
            continue
        for part, tensor in {**vars(value), **vars(value.seen)}.items():
            if isinstance(tensor, torch.Tensor):
                again = getattr(theirs, part, getattr(theirs.seen, part, None))
                assert torch.equal(tensor, again), f"{name}.{part}"


@pytest.mark.parametrize("updates", [3, 30], ids=["filling", "wrapped"])
@pytest.mark.parametrize("memory", [0, 3], ids=["steps", "sequences"])
@pytest.mark.parametrize("priority", [0.0, 0.6], ids=["uniform", "prioritised"])
def test_it_goes_on_as_if_it_had_never_stopped(updates, memory, priority, tmp_path):
    story, replay = played(updates, memory, priority=priority)
    replay.learned(replay.units[:20], torch.rand(len(replay.units[:20])))
    save(replay, tmp_path / "a")
    again = empty(replay)
    restore(again, tmp_path / "a")
    assert torch.equal(again.units, replay.units)
    for k in range(8):
        require_equal(replay, again, k)
        trajectory = story.go_on()
        replay.add(trajectory)
        again.add(trajectory)
        errors = torch.rand(len(replay.units[:9]))
        for one in (replay, again):
            one.learned(one.units[:9], errors)
    require_equal(replay, again, 9)


def test_only_what_is_new_is_written(tmp_path):
    story, replay = played(20)
    save(replay, tmp_path / "a")
    replay.add(story.go_on())
    save(replay, tmp_path / "b", tmp_path / "a")

    def linked(one: str, other: str) -> list[str]:
        files = sorted((tmp_path / one).glob("rows-*"))
        there = tmp_path / other
        return [f.name for f in files if os.path.samefile(f, there / f.name)]

    files = -(-replay.ring.size // CHUNK)
    assert files - 3 <= len(linked("b", "a")) < files  # of an update's 25 rows and those before
    again = empty(replay)
    restore(again, tmp_path / "b")
    require_equal(replay, again, 0)
    save(again, tmp_path / "c", tmp_path / "b")
    assert len(linked("c", "b")) == files  # links to what it was restored from
    save(replay, tmp_path / "d", tmp_path / "a")  # not what it saved last
    assert not linked("d", "a")
    other = played(20)[1]
    save(other, tmp_path / "e", tmp_path / "d")  # another's
    assert not linked("e", "d")


@pytest.mark.parametrize("name", ["rows-000001.npz", "rest.npz", "about.json"])
@pytest.mark.parametrize("how", ["cut", "changed", "missing"])
def test_damage_is_noticed(name, how, tmp_path):
    _, replay = played(20, priority=0.6)
    save(replay, tmp_path / "a")
    file = tmp_path / "a" / name
    content = bytearray(file.read_bytes())
    if how == "changed" and name == "about.json":
        content[:20] = b"x" * 20
    elif how == "changed":
        content[len(content) // 2] ^= 255
    file.unlink()
    if how != "missing":
        file.write_bytes(content[: len(content) // 2] if how == "cut" else content)
    with pytest.raises(Exception, match=r".+"):
        restore(empty(replay), tmp_path / "a")


def test_another_replay_is_refused(tmp_path):
    _, replay = played(4)
    save(replay, tmp_path / "a")
    for other, says in (
        (Replay(replay.ring.spec, 301, replay.draws), "with method.replay = 300, not 301: put"),
        (Replay(replay.ring.spec, 300, Draws(priority=0.5)), "with prioritised = False, not True"),
    ):
        with pytest.raises(InputError, match=says):
            restore(other, tmp_path / "a")


@pytest.mark.parametrize(("memory", "priority"), [(0, 0.0), (8, 0.0), (0, 0.6)])
def test_bytes_stated_are_bytes_taken(memory, priority):
    _, replay = played(1, memory, capacity=5000, priority=priority)
    made = replay.ring
    held = [*made.columns.values(), made.memory, made.starts, made.edges.start, made.edges.count]
    held += replay.tree.levels if replay.tree else []
    taken = sum(each.numel() * each.element_size() for each in held)
    assert replay_bytes(made.spec, 5000, replay.draws) == pytest.approx(taken, rel=0.001)
