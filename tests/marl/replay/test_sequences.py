"""Sequences for networks with a memory: what they compute there is what they computed in play."""

import pytest
import torch
from hypothesis import given, settings

from marl.replay.replay import Draws, Replay
from tests.helpers.replayed import Accidents, Story
from tests.marl.replay.test_returns import STORIES, followed, told

MEMORY = 4  # of the actor, and as much of the critic


def remembered(story: dict, **draws: float) -> dict:
    draws = {"sequence_length": story["steps"], "memory_width": 2 * MEMORY, **draws}
    return story | {"options": {"memory": MEMORY}, "draws": draws}


@settings(max_examples=20, deadline=None, derandomize=True)
@given(story=STORIES)
def test_networks_compute_what_they_did_in_play(story):
    replay, rows, whole = told(remembered(story))
    updates, steps = ["all", *story["updates"]], story["steps"]
    starts = {
        row for row, entry in enumerate(rows)
        if entry and not entry[2] and entry[1] % steps == 0 and not is_of_last(entry, whole)
    }  # fmt: skip
    assert {rows[row][1] % steps for row in replay.units.tolist()} <= {0}
    assert set(replay.units.tolist()) == starts
    if not starts:
        assert len(updates) == 1 or replay.ring.capacity < len(whole.rows)
        return
    batch, drawn = draw(replay, 6 * steps, story["seed"])
    network, view = whole.players[0].network, batch.now
    acting = view.seen.acting
    with torch.no_grad():
        output = network(view.input(acting, network, 2 * MEMORY))
    decision = torch.full(acting.shape, -1)
    decision[acting] = torch.arange(int(acting.sum()))
    for k in range(len(view.time)):
        line, place, final = rows[drawn[k]]
        one = line[place]
        start = rows[int(batch.index[k])]
        assert start[0] is line
        learns = not final and place < start[1] + steps
        assert bool((batch.policy[k] >= 0).any()) == (learns and bool((one.policy >= 0).any()))
        for agent in range(story["agents"]):
            d = int(decision[k, agent])
            if not final and one.acting[agent]:
                torch.testing.assert_close(output.parameters[d], one.parameters[agent])
            newly = one.truncated[agent] and not (place and line[place - 1].truncated[agent]
                                                  and not line[place - 1].over)  # fmt: skip
            if final and d >= 0 and newly:
                torch.testing.assert_close(output.value[d], one.final_value[agent])
            require_target(batch, k, agent, one, line, place, learns and not final, story)


def require_target(batch, k, agent, one, line, place, learns, story) -> None:
    """A target is that of single steps, or unknown where it bootstraps beyond the sequence."""
    decided = bool((one.policy >= 0).any()) if story["joint"] else one.acting[agent]
    found = followed(line, place, agent, story["n"], story["joint"]) if decided else None
    if not learns:
        assert not batch.known[k, agent]
    elif story["joint"] or story["acts"] == 1.0:  # the n-th next decision is n steps later
        gone = found is None
        assert bool(batch.known[k, agent]) == (not gone)
    if batch.known[k, agent]:
        reward, discount, where = found
        assert batch.reward[k, agent].item() == pytest.approx(reward, abs=1e-5)
        assert batch.discount[k, agent].item() == pytest.approx(discount, abs=1e-6)
        if where is not None:
            there = line[where[0]].final if where[1] else line[where[0]]
            assert torch.equal(batch.later.seen.nodes[int(batch.where[k, agent])], there.nodes)
            at = int(batch.where[k, agent])
            assert int(batch.now.sequence[at]) == int(batch.now.sequence[k])


def is_of_last(entry, whole: Story) -> bool:
    """Whether a start was played in the last update, so that what follows it is not there yet."""
    return any(entry is row for row in whole.rows[whole.newest :])


def draw(replay: Replay, size: int, seed: int):
    """A batch, and the rows of the ring that it is made of."""
    drawn, observation = [], replay.ring.observation

    def seen(rows):
        drawn.extend(rows.tolist())
        return observation(rows)

    replay.ring.observation = seen
    return replay.draw(size, torch.Generator().manual_seed(seed)), drawn


def test_memory_starts_anew_with_a_game_inside_a_sequence():
    """Games of about three steps in sequences of six, beside the plain case without restarts."""
    story = Story(Accidents(ends=0.3, stops=0.0), seed=5, steps=6, memory=MEMORY)
    draws = Draws(sequence_length=6, memory_width=2 * MEMORY)
    replay = Replay(story.simulator.spec, 400, draws)
    for _ in range(3):
        replay.add(story.go_on())
    batch = replay.draw(60, torch.Generator().manual_seed(0))
    inside = batch.now.fresh & (batch.now.time > 0)[:, None]
    assert inside.sum() > 10
    network = story.players[0].network
    given = batch.now.input(batch.now.seen.acting, network, 2 * MEMORY)
    assert given.slot.max() < len(given.memory)
    continued = network(given).parameters
    forgotten = network(given.__class__(**{**vars(given), "fresh": None})).parameters
    assert not torch.allclose(continued, forgotten, atol=1e-3)
