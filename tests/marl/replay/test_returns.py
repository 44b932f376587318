"""What a replay gives to learn from, against notes of what happened, followed one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from games import InputError
from marl.replay.replay import Draws, Replay
from marl.rollouts.trajectory import Trajectory
from tests.helpers.replayed import Accidents, Note, Story

DISCOUNT = 0.9
CHANCE = st.sampled_from([0.0, 0.1, 0.3])
STORIES = st.fixed_dictionaries(
    {
        "n": st.integers(1, 4),
        "joint": st.booleans(),
        "agents": st.integers(1, 3),
        "acts": st.sampled_from([1.0, 0.5]),
        "leaves": CHANCE,
        "drops": CHANCE,
        "ends": CHANCE,
        "stops": CHANCE,
        "steps": st.integers(1, 6),
        "cut_alone": st.booleans(),
        "updates": st.lists(st.sampled_from(["all", "lost", "all", "replaced"]), max_size=9),
        "seed": st.integers(0, 1000),
        "capacity": st.integers(0, 150),
    }
)


def followed(line: list[Note], at: int, agent: int, n: int, joint: bool):
    """Reward, discount, where to bootstrap (place, whether in its final observation); or None."""
    total, factor, count, found = 0.0, 1.0, 0, None
    for place in range(at, len(line)):
        one = line[place]
        paid = one.reward
        if place > at and (joint or one.acting[agent]):
            factor, count = factor * DISCOUNT, count + 1
            found = total, factor, (place, False)
            if count == n:
                return found
        total += factor * (sum(paid) / len(paid) if joint else paid[agent])
        if joint and one.over:
            cut = one.final is not None and not all(one.terminated)
            return (total, factor * DISCOUNT, (place, True)) if cut else (total, 0.0, None)
        if not joint and one.terminated[agent]:
            return total, 0.0, None
        if not joint and one.truncated[agent]:
            acts = one.final is not None and one.final.acting[agent]
            return (total, factor * DISCOUNT, (place, True)) if acts else found
    return found


def told(story: dict) -> tuple[Replay, list, Story]:
    """A replay of a story; for each row what it should hold: line, place, whether final."""
    chances = {name: story[name] for name in ("acts", "leaves", "drops", "ends", "stops")}
    told = Story(
        Accidents(story["agents"], **chances), story["seed"], story["steps"],
        cut_alone=story["cut_alone"], **story.get("options", {}),
    )  # fmt: skip
    least = 2 * 5 * story["steps"] * 2  # twice an update, if every step were cut off
    draws = Draws(story["n"], DISCOUNT, story["joint"], **story.get("draws", {}))
    replay = Replay(told.simulator.spec, least + story["capacity"], draws)
    for k, what in enumerate(["all", *story["updates"]]):
        absent = () if what == "all" else (k % 2,)
        replay.add(told.go_on(absent, what == "replaced"))
    rows = [None] * replay.ring.capacity
    for k, row in enumerate(told.rows):
        rows[k % len(rows)] = row
    return replay, rows, told


@settings(max_examples=30, deadline=None, derandomize=True)
@given(story=STORIES)
def test_targets_are_those_of_what_happened(story):
    replay, rows, whole = told(story)
    n, joint = story["n"], story["joint"]
    expected = []
    for row, entry in enumerate(rows):
        if entry is None or entry[2]:
            continue
        line, place, _ = entry
        one = line[place]
        known = place + 1 < len(line) or one.over or one.final is not None
        if known and bool((one.policy >= 0).any()):
            expected.append(row)
    assert replay.units.tolist() == expected
    assert len(replay) == min(len(whole.rows), len(rows))
    if not expected:
        return
    batch = replay.draw(60, torch.Generator().manual_seed(story["seed"]))
    assert set(batch.index.tolist()) <= set(expected)
    for m, row in enumerate(batch.index.tolist()):
        line, place, _ = rows[row]
        one = line[place]
        assert torch.equal(batch.now.seen.nodes[m], one.nodes)
        assert torch.equal(batch.now.seen.action_mask[m], one.mask)
        assert torch.equal(batch.actions[m], one.actions)
        assert torch.equal(batch.policy[m], one.policy)
        require_edges(batch.now.seen, m, one)
        for agent in range(story["agents"]):
            known = bool(batch.known[m, agent])
            decided = joint or one.acting[agent]
            found = followed(line, place, agent, n, joint) if decided else None
            assert known == (found is not None)
            reward, discount, where = found or (0.0, 0.0, None)
            assert batch.reward[m, agent].item() == pytest.approx(reward, abs=1e-5)
            assert batch.discount[m, agent].item() == pytest.approx(discount, abs=1e-6)
            if where is None:
                continue
            at = int(batch.where[m, agent])
            there = line[where[0]].final if where[1] else line[where[0]]
            assert torch.equal(batch.later.seen.nodes[at], there.nodes)
            assert torch.equal(batch.later.seen.action_mask[at], there.mask)
            assert bool(batch.later.seen.acting[at, agent]) == there.acting[agent]
            require_edges(batch.later.seen, at, there)


def require_edges(seen, game: int, expected: Note) -> None:
    num_nodes = seen.nodes.shape[1]
    mine = seen.edges[0] // num_nodes == game
    edges = (seen.edges[:, mine] - game * num_nodes).T.tolist()
    assert [tuple(edge) for edge in edges] == expected.edges
    assert torch.equal(seen.edge_features[mine], expected.features)


def test_the_ring_of_edges_grows_and_forgets():
    """Far more edges than there is room for at first, and wrapped around several times."""
    story = dict(
        n=2, joint=False, agents=6, acts=1.0, leaves=0.0, drops=0.0, ends=0.1, stops=0.1, steps=6,
        cut_alone=False, updates=["all"] * 14, seed=3, capacity=0,
    )  # fmt: skip
    replay, rows, _ = told(story)
    edges = replay.ring.edges
    assert replay.ring.written > 3 * replay.ring.capacity
    assert len(edges.ends) > 1024
    assert edges.used == int(edges.count.sum()) <= len(edges.ends)
    every = torch.arange(len(rows))
    seen = replay.ring.observation(every)
    for row, (line, place, final) in enumerate(rows):
        require_edges(seen, row, line[place].final if final else line[place])


def test_what_does_not_fit_is_refused():
    story = Story(Accidents(), seed=0, steps=4)
    replay = Replay(story.simulator.spec, 30)
    with pytest.raises(InputError, match=r"of 30 steps is too small .* set method.replay to twice"):
        replay.add(story.go_on())


def test_joined_trajectories_of_another_number_of_finals():
    """Of one env runner's games more are cut off than of the other's."""
    found = [
        Story(Accidents(stops=stops), seed=1, steps=6).players[0].sample(6)[0]
        for stops in (0.0, 0.7)
    ]
    counts = [len(one.extras["final_step"]) for one in found]
    assert counts[0] < counts[1]
    joined = Trajectory.join(found)
    replay = Replay(Accidents().spec, 200)
    replay.add(joined)
    finals = replay.ring["cut"].any(dim=1).nonzero()[:, 0]
    assert len(finals) == int((found[1].truncated & ~found[1].terminated).any(2).sum())
