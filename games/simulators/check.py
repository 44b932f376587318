"""`check_simulator`: tests the contract of simulators by random play."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from games.common.errors import InputError, one_line
from games.simulators.conformance import (
    BrokenPromise,
    check_observation,
    check_step,
    check_tensor,
    require,
)
from games.simulators.legal_actions import random_actions
from games.simulators.post_decision import PostDecision
from games.simulators.simulator import Observation, Simulator, Spec, State, Step, put, take

TOLERANCE = 1e-5  # absolute and relative, between a game in a batch and the same game alone


def check_simulator(
    simulator: Simulator, *, batch: int = 3, steps: int = 20, seed: int = 0
) -> None:
    """Test a simulator's contract in `batch` games of `steps` steps with random legal actions.

    Shapes and dtypes; states that never change; the same generator, the same game; actions of
    those who do not act ignored; a game alone as in a batch; edges within a game, sorted by game;
    masks that leave a choice; finite numbers; agents that left or were cut off staying away;
    states that `take` divides and `put` joins; gradients where they are declared; a step that is
    its two halves, where it has them (`games.simulators.post_decision`). A step that draws
    from the generator draws differently for a batch and for one game, so there a game alone is
    compared in what is observed only.

    Raises:
        InputError: a violation of the contract, with the step at which it showed.
    """
    spec, name = simulator.spec, type(simulator).__name__
    try:
        require(isinstance(spec, Spec), "spec is no games.simulators.simulator.Spec")
        name = spec.name
        _check_spec(simulator, spec)
        _check_play(simulator, spec, batch, steps, seed)
        if isinstance(simulator, PostDecision):
            _check_halves(simulator, spec, batch, steps, seed)
        if simulator.differentiable:
            _check_gradients(simulator, spec, batch, steps, seed)
    except BrokenPromise as broken:
        raise InputError(f"{name}: {broken}") from None
    except InputError as error:
        raise InputError(
            f"{name}: it refused a legal action, or its own spec: {one_line(error)}"
        ) from error


def _check_spec(simulator: Simulator, spec: Spec) -> None:
    n, roles = spec.num_agents, spec.roles
    require(n > 0, "spec.role_of is empty; a game has at least one agent")
    require(
        all(0 <= k < len(roles) for k in spec.role_of),
        f"spec.role_of is {spec.role_of}, with a role that is not among the {len(roles)} roles",
    )
    require(spec.num_nodes >= n, f"spec.num_nodes is {spec.num_nodes}, fewer than the {n} agents")
    names = [role.name for role in roles]
    require(len(set(names)) == len(names), f"spec.roles have names that are not unique: {names}")
    for role in roles:
        require(role.features > 0, f"role {role.name}: features is {role.features}; give 1 or more")
        require(role.action_width > 0, f"role {role.name}: an action of no components")
    if simulator.differentiable:
        require(
            any(not role.sizes for role in roles),
            "differentiable is declared, but no action is continuous",
        )


def _check_play(simulator: Simulator, spec: Spec, batch: int, steps: int, seed: int) -> None:
    own, choices = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    state = simulator.reset(batch, own)
    _check_state(state, batch, "reset")
    again = simulator.reset(batch, torch.Generator().manual_seed(seed))
    _require_same(state, again, "reset: the same generator gives another game", exact=True)
    terminated = truncated = torch.zeros((batch, spec.num_agents), dtype=torch.bool)
    for number in range(1, steps + 1):
        where = f"step {number}"
        seen = simulator.observe(state)
        check_observation(spec, seen, batch, terminated | truncated, where)
        _require_finite(seen.nodes, f"{where}: observe: nodes")
        _require_finite(seen.edge_features, f"{where}: observe: edge_features")
        _check_games_alone(simulator, spec, state, seen, where)
        actions = random_actions(spec, seen, choices)
        before = (_copy(state), _copy(seen), actions.clone(), own.get_state())
        new, step = simulator.step(state, actions, own)
        _check_state(new, batch, where)
        _check_alike(state, new, where)
        check_step(spec, step, batch, where)
        _require_finite(step.reward, f"{where}: reward")
        _require_kept(terminated, step.terminated, f"{where}: terminated")
        _require_kept(truncated, step.truncated, f"{where}: truncated")
        drawn = not torch.equal(own.get_state(), before[3])
        _require_same(before[0], state, f"{where}: step changed the old state", exact=True)
        _require_same(before[1], seen, f"{where}: step changed an old observation", exact=True)
        _require_same(before[2], actions, f"{where}: step changed the actions given", exact=True)
        copy = torch.Generator()
        copy.set_state(before[3])
        twice = simulator.step(state, actions, copy)
        message = f"{where}: the same generator, state and actions give something else"
        _require_same((new, step), twice, message, exact=True)
        if not seen.acting.all():
            other = torch.where(seen.acting[..., None], actions, actions + 1)
            copy.set_state(before[3])
            twice = simulator.step(state, other, copy)
            message = f"{where}: the action of an agent that does not act makes a difference"
            _require_same((new, step), twice, message, exact=True)
        if not drawn:
            for game in range(batch):
                one = torch.tensor([game])
                alone = simulator.step(take(state, one), actions[one], torch.Generator())
                expected = (take(new, one), _take_step(step, one))
                message = f"{where}: game {game} alone goes on otherwise than in the batch"
                _require_same(expected, alone, message, exact=False)
        over = step.over[:, None]
        terminated, truncated = step.terminated & ~over, step.truncated & ~over
        state = new
        if step.over.any():
            index = step.over.nonzero()[:, 0]
            fresh = simulator.reset(len(index), own)
            _check_state(fresh, len(index), f"{where}, reset of {len(index)}")
            state = put(state, index, fresh)


def _check_alike(old: State, new: State, where: str) -> None:
    """`put` can join a state after a step with one after a reset."""
    kind = type(old).__name__
    require(type(old) is type(new), f"{where}: from {kind} to {type(new).__name__}; keep the type")
    for f in fields(old):
        before, after = getattr(old, f.name), getattr(new, f.name)
        if isinstance(before, Tensor) and isinstance(after, Tensor):
            check_tensor(after, tuple(before.shape), before.dtype, f"{where}: {kind}.{f.name}")
            continue
        try:
            same = before is after or bool(before == after)
        except (RuntimeError, TypeError, ValueError):  # tensors inside, of which there is no ==
            same = False
        require(same, f"{where}: {kind}.{f.name} changed and is no tensor [B, ...]; make it one")


def _check_state(state: State, batch: int, where: str) -> None:
    if not is_dataclass(state) or isinstance(state, type):
        raise BrokenPromise(f"{where}: the state is a {type(state).__name__}; make it a dataclass")
    frozen = type(state).__dataclass_params__.frozen  # type: ignore[attr-defined]
    require(frozen, f"{where}: {type(state).__name__} can be changed; give it frozen=True")
    tensors = [f for f in fields(state) if isinstance(getattr(state, f.name), Tensor)]
    require(bool(tensors), f"{where}: {type(state).__name__} has no tensors, so no games")
    for f in tensors:
        shape = tuple(getattr(state, f.name).shape)
        if not shape or shape[0] != batch:
            raise BrokenPromise(
                f"{where}: {type(state).__name__}.{f.name} has the shape {shape}; its first "
                f"dimension must be the batch of {batch}"
            )


def _check_games_alone(
    simulator: Simulator, spec: Spec, state: State, seen: Observation, where: str
) -> None:
    """What is observed of one game alone is what is observed of it among the others."""
    v = spec.num_nodes
    for game in range(seen.acting.shape[0]):
        one = torch.tensor([game])
        here = seen.edges[0] // v == game
        expected = Observation(
            nodes=seen.nodes[one],
            edges=seen.edges[:, here] - game * v,
            edge_features=seen.edge_features[here],
            acting=seen.acting[one],
            action_mask=seen.action_mask[one],
            text=None if seen.text is None else [seen.text[game]],
        )
        message = f"{where}: game {game} alone is observed otherwise than in the batch"
        alone = simulator.observe(take(state, one))
        _require_same(expected, alone, message, exact=False)
        same = list(map(list, expected.text or ())) == list(map(list, alone.text or ()))
        require(same, f"{message} (text)")


def _check_halves(simulator: PostDecision, spec: Spec, batch: int, steps: int, seed: int) -> None:
    """`decide` is certain, and with `realise` it is what `step` is; both states are observed."""
    own, choices = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    state, copy = simulator.reset(batch, own), torch.Generator()
    nobody = torch.zeros((batch, spec.num_agents), dtype=torch.bool)
    for number in range(1, steps + 1):
        where = f"step {number}"
        actions = random_actions(spec, simulator.observe(state), choices)
        after, sure = simulator.decide(state, actions)
        _check_state(after, batch, f"{where}: decide")
        _check_alike(state, after, f"{where}: decide")
        check_tensor(sure, (batch, spec.num_agents), torch.float32, f"{where}: decide: the reward")
        message = f"{where}: decide gives something else the second time"
        _require_same((after, sure), simulator.decide(state, actions), message, exact=True)
        shown = simulator.observe(after)
        check_observation(spec, shown, batch, nobody, f"{where}: after decide")
        _require_finite(shown.nodes, f"{where}: after decide: observe: nodes")
        copy.set_state(own.get_state())
        new, rest = simulator.realise(after, copy)
        state, whole = simulator.step(state, actions, own)
        halves = replace(rest, reward=sure + rest.reward)
        message = f"{where}: step is not decide and then realise"
        _require_same((state, whole), (new, halves), message, exact=True)
        if whole.over.any():
            index = whole.over.nonzero()[:, 0]
            state = put(state, index, simulator.reset(len(index), own))


def _check_gradients(simulator: Simulator, spec: Spec, batch: int, steps: int, seed: int) -> None:
    """The gradient of the sum of rewards to all actions is there, finite, and not 0 throughout."""
    own, choices = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1)
    state, taken, total = simulator.reset(batch, own), [], torch.zeros(())
    for _ in range(steps):
        actions = random_actions(spec, simulator.observe(state), choices).requires_grad_()
        taken.append(actions)
        state, step = simulator.step(state, actions, own)
        total = total + step.reward.sum()
        if step.over.any():
            break
    require(total.requires_grad, "differentiable is declared, but rewards do not hang on actions")
    found = torch.autograd.grad(total, taken, allow_unused=True)
    slopes = [gradient for gradient in found if gradient is not None]
    for number, gradient in enumerate(slopes, start=1):
        _require_finite(gradient, f"step {number}: the gradient of the rewards to the action")
    require(
        any(gradient.any() for gradient in slopes),
        "differentiable is declared, but the gradient of rewards to actions is 0 everywhere",
    )


def _require_finite(values: Tensor, what: str) -> None:
    wrong = (~torch.isfinite(values)).nonzero()
    if len(wrong):
        raise BrokenPromise(f"{what} is not finite at {wrong[0].tolist()}")


def _require_kept(before: Tensor, now: Tensor, what: str) -> None:
    """Raises if an agent was, and is no more, in a game that is not over."""
    back = (before & ~now).nonzero()
    if len(back):
        game, agent = back[0].tolist()
        raise BrokenPromise(
            f"{what} was true of agent {agent} (game {game}) and is no more; keep it until the "
            "game is over"
        )


def _require_same(expected: Any, found: Any, message: str, *, exact: bool) -> None:
    where = _difference(expected, found, exact)
    if where is not None:
        raise BrokenPromise(f"{message} ({where})" if where else message)


def _difference(expected: Any, found: Any, exact: bool) -> str | None:
    """The name of the first field in which the two differ, None if they are the same."""
    if isinstance(expected, Tensor):
        if not isinstance(found, Tensor) or expected.shape != found.shape:
            return ""
        if exact or not expected.is_floating_point():
            # NaN in a state is left to its author: it is equal to itself.
            same = (expected == found) | ((expected != expected) & (found != found))
            return None if same.all() else ""
        near = torch.isclose(expected, found, TOLERANCE, TOLERANCE, equal_nan=True)
        return None if near.all() else ""
    if is_dataclass(expected):
        named = [
            (f.name, getattr(expected, f.name), getattr(found, f.name)) for f in fields(expected)
        ]
    elif isinstance(expected, Mapping):
        if expected.keys() != found.keys():
            return "its keys"
        named = [(str(key), expected[key], found[key]) for key in expected]
    elif isinstance(expected, tuple | list):
        named = [("", a, b) for a, b in zip(expected, found, strict=True)]
    else:
        return None  # not a game's own: see games.simulators.simulator.State
    for name, a, b in named:
        inner = _difference(a, b, exact)
        if inner is not None:
            return f"{name}.{inner}".strip(".")
    return None


def _copy(value: Any) -> Any:
    found = {f.name: getattr(value, f.name) for f in fields(value)}
    return replace(value, **{k: v.clone() for k, v in found.items() if isinstance(v, Tensor)})


def _take_step(step: Step, index: Tensor) -> Step:
    info = {name: value[index] for name, value in step.info.items()}
    return Step(step.reward[index], step.terminated[index], step.truncated[index], info)
