"""OpenSpiel's games, played by sampling, as a `Vector`: B states stepped in turn."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pyspiel
import torch
from torch import Tensor

from games.common.errors import GameError, InputError, one_line
from games.common.seeds import seeds
from games.finite.game import CHANCE
from games.finite.openspiel import OpenSpielGame, load_openspiel
from games.finite.openspiel.states import HistoryState
from games.finite.sampling import draw
from games.simulators.simulator import Observation, Role, Spec, Step, no_edges


class OpenSpielVector:
    """B copies of an OpenSpiel game; see `games.simulators.vector.Vector`.

    Simultaneous moves become turns with hidden actions, as `games.load` makes them. Agent i is
    player i; all have the role "player", and only the player to move acts. The others may do all
    as far as the mask says. A step's reward is what was added to `state.returns()` since the step
    before, chance moves included. Nothing is cut off: OpenSpiel's games end by themselves.

    Args:
        game: an OpenSpiel game or its string, such as ``"leduc_poker(players=3)"``.
        num_envs: B.

    Raises:
        GameError: an unknown game or parameter; a game without tensors, or one that draws its
            chance events itself, where no seed reaches them.
    """

    resumable = True
    with_text = False
    """Whether observations hold the information-state string of the player to move."""

    def __init__(self, game: str | OpenSpielGame, num_envs: int) -> None:
        found = load_openspiel(game) if isinstance(game, str) else game
        self.num_envs, name = num_envs, found.name
        if num_envs < 1:
            raise InputError(f"{name}: {num_envs} games cannot be played; take at least 1")
        self.game = source = found.openspiel
        self._by_history = found.is_named_by_history  # what information sets are called
        kind = source.get_type()
        if kind.chance_mode == pyspiel.GameType.ChanceMode.SAMPLED_STOCHASTIC:
            raise GameError(
                f"{name}: draws its chance events itself, so that a seed cannot repeat them; "
                "choose another game"
            )
        players, choices = source.num_players(), source.num_distinct_actions()
        if choices < 1:
            raise GameError(f"{name}: has no actions; give it the parameters that it needs")
        role = Role("player", gymnasium.spaces.Discrete(choices), observation_size(source, name))
        self.spec = Spec(name, (role,), (0,) * players, num_nodes=players)
        self._others = True  # whether players who do not move can be asked what they see
        self._steps = [0] * num_envs
        self._states: list[Any] = []
        self._generators: list[np.random.Generator] = []  # of chance, one a game
        self._returns = np.zeros((num_envs, players))  # [B, N] up to now
        self._nodes = np.zeros((num_envs, players, role.features), np.float32)
        self._acting = np.zeros((num_envs, players), bool)
        self._mask = np.ones((num_envs, players, choices), bool)

    def reset(self, seed: int) -> Observation:
        self._generators = [np.random.default_rng(seeds(seed, b)[0]) for b in range(self.num_envs)]
        self._states = [None] * self.num_envs
        for b in range(self.num_envs):
            self._start(b)
        return self._observation()

    def step(self, actions: Tensor) -> tuple[Step, Observation, None]:
        games, players = self._acting.shape
        if actions.shape != (games, players, 1):
            raise InputError(
                f"{self.spec.name}: actions have shape {tuple(actions.shape)}, these games need "
                f"({games}, {players}, 1)"
            )
        mover = self._acting.argmax(axis=1)  # [B]
        chosen = actions.detach().cpu().numpy()[np.arange(games), mover, 0].tolist()
        for b, action in enumerate(chosen):
            if action not in (legal := self._states[b].legal_actions()):
                raise InputError(
                    f"{self.spec.name}: player {mover[b]}: action {action} is not legal at step "
                    f"{self._steps[b] + 1} of game {b}, {legal} are; fix the policy"
                )
        reward = np.empty((games, players), np.float32)
        over = np.zeros(games, bool)
        for b, action in enumerate(chosen):
            state, self._steps[b] = self._states[b], self._steps[b] + 1
            try:
                state.apply_action(action)
                self._play_chance(b)
                now = np.array(state.returns())
            except Exception as error:  # a Python game may raise anything
                raise self._raised(b, error) from error
            reward[b] = now - self._returns[b]
            self._returns[b] = now
            if not np.isfinite(reward[b]).all():
                player = np.argmin(np.isfinite(reward[b]))
                raise InputError(
                    f"{self.spec.name}: player {player}: the reward at step {self._steps[b]} of "
                    f"game {b} is {reward[b, player]}; fix the game"
                )
            over[b] = state.is_terminal()
            if over[b]:
                self._start(b)
            else:
                self._see(b)
        ended = torch.from_numpy(over)[:, None].repeat(1, players)
        step = Step(torch.from_numpy(reward), ended, torch.zeros_like(ended))
        return step, self._observation(), None

    def state(self) -> Any:
        """Moves so far, chance's included, and generators; what was seen is played anew."""
        return {
            "name": self.spec.name,
            "histories": [state.history() for state in self._states],
            "steps": list(self._steps),
            "generators": [generator.bit_generator.state for generator in self._generators],
            "nodes": self._nodes.copy(),  # a player who cannot be asked now was seen before
            "others": self._others,
        }

    def restore(self, state: Any) -> Observation:
        """Go back to where `state` was taken; InputError if it is of another game."""
        if state["name"] != self.spec.name or len(state["histories"]) != self.num_envs:
            raise InputError(
                f"{self.spec.name}: the saved state is of {len(state['histories'])} games of "
                f"{state['name']}, not of {self.num_envs} of this one"
            )
        self._nodes[:], self._others = state["nodes"], state["others"]
        self._steps = list(state["steps"])
        self._states, self._generators = [], []
        for b, history in enumerate(state["histories"]):
            self._generators.append(np.random.default_rng())
            self._generators[b].bit_generator.state = state["generators"][b]
            self._states.append(self.game.new_initial_state())
            for action in history:
                self._states[b].apply_action(action)
            self._returns[b] = self._states[b].returns()
            self._see(b)
        return self._observation()

    def told(self, actions: Tensor, game: int = 0) -> list[str]:
        """OpenSpiel's words for where a game is and what is played now; at its end also who got
        what."""
        state = self._states[game]
        player = state.current_player()
        action = int(actions[game, player, 0])
        lines = [str(state), f"player {player}: {state.action_to_string(player, action)}", ""]
        after = state.clone()
        after.apply_action(action)
        if after.is_terminal():
            lines += [str(after), f"returns: {', '.join(f'{r:g}' for r in after.returns())}"]
        return lines

    def _start(self, b: int) -> None:
        self._steps[b] = 0
        self._nodes[b] = 0  # who cannot be asked off turn has seen nothing yet
        self._returns[b] = 0
        try:
            self._states[b] = self.game.new_initial_state()
            self._play_chance(b)
        except Exception as error:
            raise self._raised(b, error) from error
        self._see(b)

    def _play_chance(self, b: int) -> None:
        state = self._states[b]
        while state.current_player() == CHANCE:
            state.apply_action(draw(state.chance_outcomes(), self._generators[b]))

    def _see(self, b: int) -> None:
        """Fill row b of nodes, acting and mask."""
        state = self._states[b]
        mover = state.current_player()
        if mover < 0:
            raise InputError(f"{self.spec.name}: nobody is to move at step {self._steps[b]}")
        self._acting[b] = False
        self._acting[b, mover] = True
        self._mask[b] = True
        self._mask[b, mover] = False
        legal = state.legal_actions()
        if not legal or max(legal) >= self._mask.shape[2]:
            raise InputError(
                f"{self.spec.name}: player {mover}: legal actions at step {self._steps[b]} of game "
                f"{b} are {legal}, but there are {self._mask.shape[2]} in all; fix the game"
            )
        self._mask[b, mover, legal] = True
        for player in range(self.spec.num_agents):
            if player != mover and not self._others:
                continue
            try:
                self._nodes[b, player] = features(state, player)
            except (pyspiel.SpielError, RuntimeError, ValueError, TypeError) as error:
                if player == mover:
                    raise InputError(
                        f"{self.spec.name}: player {player}: no observation at step "
                        f"{self._steps[b]} of game {b}: {one_line(error)}"
                    ) from error
                self._others = False
        if not np.isfinite(self._nodes[b]).all():
            player = np.argwhere(~np.isfinite(self._nodes[b]))[0, 0]
            raise InputError(
                f"{self.spec.name}: player {player}: the observation at step {self._steps[b]} of "
                f"game {b} is not finite; fix the game"
            )

    def _raised(self, b: int, error: Exception) -> InputError:
        played = f" after the moves {state.history()}" if (state := self._states[b]) else ""
        return InputError(
            f"{self.spec.name}: at step {self._steps[b]} of game {b} the game raised "
            f"{type(error).__name__}: {one_line(error)}{played}"
        )

    def _observation(self) -> Observation:
        nodes = torch.from_numpy(self._nodes.copy())
        return Observation(
            nodes,
            *no_edges(nodes),
            torch.from_numpy(self._acting.copy()),
            torch.from_numpy(self._mask.copy()),
            self._text() if self.with_text else None,
        )

    def _text(self) -> list[list[str]]:
        """[B][N] information-state strings; "" of those who do not move."""
        if not (self._by_history or self.game.get_type().provides_information_state_string):
            raise GameError(f"{self.spec.name}: OpenSpiel has no names for its information sets")
        rows = [[""] * self.spec.num_agents for _ in self._states]
        for row, state in zip(rows, self._states, strict=True):
            mover = state.current_player()
            named = HistoryState(state) if self._by_history else state
            row[mover] = named.information_state_string(mover)
        return rows


def observation_size(game: Any, name: str = "the game") -> int:
    """How many numbers `features` gives at states of a `pyspiel.Game`.

    Raises:
        GameError: the game describes its states by no tensors.
    """
    kind = game.get_type()
    if kind.provides_information_state_tensor:
        return int(np.prod(game.information_state_tensor_shape()))
    if kind.provides_observation_tensor:
        return int(np.prod(game.observation_tensor_shape()))
    raise GameError(
        f"{name}: has neither information-state nor observation tensors, so no network "
        "can see it; choose a game that has them"
    )


def features(state: Any, player: int) -> np.ndarray:
    """[features] float32: what a player sees at a state where somebody is to move.

    The information-state tensor, which is all that the player has ever seen; where a game has none,
    the observation tensor, which is what it sees now.
    """
    if state.get_game().get_type().provides_information_state_tensor:
        return np.array(state.information_state_tensor(player), np.float32)
    return np.array(state.observation_tensor(player), np.float32)
