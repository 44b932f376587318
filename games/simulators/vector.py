"""B games at work, each started anew once it is over: what a runner plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor

from games.common.errors import InputError
from games.simulators.conformance import BrokenPromise, check_observation, check_step
from games.simulators.legal_actions import check_actions
from games.simulators.simulator import Decided, Observation, Simulator, Spec, State, Step, put


class Vector(Protocol):
    """B running games, each restarted when it ends.

    `SimulatorVector` makes one of a simulator; `games.adapters` of games that others wrote, and of
    trees and tables. Unlike a simulator it has a state of its own. It may have
    `picture(game=0) -> uint8 [H, W, 3]`, what a game looks like now, and
    `told(actions, game=0) -> list[str]`, the state and the next moves of a game as text.
    """

    @property
    def spec(self) -> Spec: ...

    @property
    def num_envs(self) -> int: ...

    @property
    def resumable(self) -> bool: ...  # whether `state` and `restore` keep the games themselves

    def reset(self, seed: int) -> Observation:
        """Restart all games; all later randomness follows from the seed."""

    def step(self, actions: Tensor) -> tuple[Step, Observation, Observation | None]:
        """Play [B, N, D] actions; those of agents that do not act are ignored.

        Returns:
            the step; the next observation, where games that are over have restarted; and, if an
            agent was cut off just now, the observation before the restart, for its value (else
            None).

        Raises:
            InputError: an action that is not legal, or a game that breaks its own rules: numbers
                that are not finite, agents that it does not know. Says which agent and which step.
        """

    def state(self) -> Any:
        """All that `restore` needs, to be pickled; what follows it is the same to the last bit."""

    def restore(self, state: Any) -> Observation:
        """Return to a state that `state` gave; returns its observation.

        Some external games cannot be saved. They are restarted then, and `resumable` is False: the
        caller must drop its memory of the games.
        """


class SimulatorVector:
    """A simulator's games, each restarted when it ends; see `Vector`.

    The first observation and the first step are held to the shapes and dtypes that the spec says.
    """

    resumable = True
    halves = False
    """Whether steps include post-decision states; only for a `PostDecision` simulator."""

    def __init__(
        self, simulator: Simulator, num_envs: int, device: torch.device | str = "cpu"
    ) -> None:
        self.simulator, self.num_envs, self.device = simulator, num_envs, torch.device(device)
        self.spec = simulator.spec
        self._checks_itself = getattr(simulator, "checks_actions", False)
        self._state: State = None
        self._generator = torch.Generator(self.device)
        self._steps = 0
        self._sound = False  # whether a first step showed the shapes that it should
        shape = num_envs, self.spec.num_agents
        self._nobody = torch.zeros(shape, dtype=torch.bool, device=self.device)  # [B, N]
        self._cut = self._nobody  # [B, N] bool  truncated before, in games that go on

    def reset(self, seed: int) -> Observation:
        self._generator.manual_seed(seed)
        self._steps, self._cut = 0, self._nobody
        self._state = self.simulator.reset(self.num_envs, self._generator)
        return self._checked(self.simulator.observe(self._state))

    @torch.no_grad()
    def step(self, actions: Tensor) -> tuple[Step, Observation, Observation | None]:

        self._steps += 1
        if not self._checks_itself:
            check_actions(self.spec, self._seen, actions, f"{self.spec.name}: step {self._steps}")
        state, step = self._played(actions)
        if not self._sound:
            self._keep(check_step, self.spec, step, self.num_envs)
        if not torch.isfinite(step.reward).all():
            self._complain("reward", step.reward)
        over = step.over
        cut = step.truncated & ~step.terminated & ~self._cut
        final = self.simulator.observe(state) if cut.any() else None
        self._cut = step.truncated & ~over[:, None]
        if over.any():
            index = over.nonzero()[:, 0]
            state = put(state, index, self.simulator.reset(len(index), self._generator))
        self._state = state
        seen = self._checked(self.simulator.observe(state))
        self._sound = True
        return step, seen, final

    def _played(self, actions: Tensor) -> tuple[State, Step]:
        if not self.halves:
            return self.simulator.step(self._state, actions, self._generator)
        game: Any = self.simulator
        after, reward = game.decide(self._state, actions)
        state, step = game.realise(after, self._generator)
        decided = Decided(self.simulator.observe(after), reward)
        return state, replace(step, reward=reward + step.reward, decided=decided)

    def state(self) -> Any:
        return self._state, self._generator.get_state(), self._steps, self._cut

    def restore(self, state: Any) -> Observation:
        self._state, generator, self._steps, self._cut = state
        self._generator.set_state(generator)
        return self._checked(self.simulator.observe(self._state))

    def _checked(self, seen: Observation) -> Observation:
        if not self._sound:
            self._keep(check_observation, self.spec, seen, self.num_envs, self._nobody)
        if not torch.isfinite(seen.nodes).all():
            self._complain("observation", seen.nodes)
        self._seen = seen
        return seen

    def _keep(self, check: Callable[..., None], *what: Any) -> None:
        try:
            check(*what, f"step {self._steps}")
        except BrokenPromise as broken:
            raise InputError(
                f"{self.spec.name}: {broken}; fix the simulator (games.check_simulator tests it)"
            ) from None

    def _complain(self, what: str, values: Tensor) -> None:
        game, agent = (~torch.isfinite(values)).nonzero()[0][:2].tolist()
        raise InputError(
            f"{self.spec.name}: the {what} of agent {agent} is not finite at step {self._steps} "
            f"(game {game} of {self.num_envs}): fix the simulator, or keep actions small"
        )
