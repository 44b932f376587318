"""Any finite game, played by sampling, as a `Vector`: trees and tables that learners can play."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from games.adapters.openspiel import OpenSpielVector
from games.common.errors import InputError
from games.common.memory import require_memory
from games.common.seeds import seeds
from games.finite.game import CHANCE, NODE_BUDGET, TERMINAL, Game, State
from games.finite.openspiel import OpenSpielGame
from games.finite.playable import Playable
from games.finite.sampling import draw
from games.finite.sequence_form import SequenceForm
from games.simulators.simulator import Observation, Role, Spec, Step, no_edges


class TreeGame(Playable):
    """A user's finite game, with the common interface of loaded games."""

    def __init__(self, game: Game) -> None:
        self.game, self.name, self.num_players = game, game.name, game.num_players
        self.root = game.root

    def sequence_form(self, *, node_budget: int = NODE_BUDGET, cached: bool = True) -> SequenceForm:
        return self.game.sequence_form(node_budget=node_budget, cached=cached)


def vector_of(game: Game, num_envs: int) -> OpenSpielVector | TreeVector:
    """A vector of B games: OpenSpiel's show their tensors, others information-set numbers."""
    if isinstance(game, OpenSpielGame):
        return OpenSpielVector(game, num_envs)
    return TreeVector(game, num_envs)


class TreeVector:
    """B copies of a finite game; see `games.simulators.vector.Vector`.

    Agent i is player i; all have the role "player", and only the player to move acts. A player sees
    which of the game's information sets it was at last, as a one-hot row over those of all players
    in the order of `SequenceForm.information_sets`; nothing before its first move. Actions are
    those of the tree, by its own numbers. Players are paid at the end; nothing is cut off.

    Args:
        game: of which all information sets can be listed.
        num_envs: B.

    Raises:
        UnenumerableGameError: more histories than fit.
        GameError: imperfect recall.
        InputError: no games, or more information sets than fit into memory.
    """

    resumable = True
    with_text = False
    """Whether observations name the information set of the player to move."""

    def __init__(self, game: Game, num_envs: int) -> None:
        if num_envs < 1:
            raise InputError(f"{game.name}: {num_envs} games cannot be played; take at least 1")
        self.game, self.num_envs = game, num_envs
        form = game.sequence_form()
        players, sets = form.num_players, len(form.information_sets)
        choices = 1 + max(int(player.actions.max()) for player in form.players)
        if choices < 1:
            raise InputError(f"{game.name}: nobody has anything to decide")
        require_memory(
            4.0 * num_envs * players * sets,
            f"{game.name}: {num_envs:,} games of {sets:,} information sets",
            "play fewer at once",
        )
        self._row: list[dict[str, int]] = []  # of each player: the number of an information set
        for player in form.players:
            first = sum(map(len, self._row))
            self._row.append({name: first + j for name, j in player.index.items()})
        role = Role("player", gymnasium.spaces.Discrete(choices), sets)
        self.spec = Spec(game.name, (role,), (0,) * players, num_nodes=players)
        self._root: State = game.root()
        self._states: list[State] = [self._root] * num_envs
        self._moves: list[list[int]] = [[] for _ in range(num_envs)]  # chance's included
        self._generators: list[np.random.Generator] = []  # of chance, one a game
        self._seen = np.full((num_envs, players), -1)  # [B, N] the set it was at last; -1: none
        self._mover = np.zeros(num_envs, np.int64)  # [B]
        self._mask = np.ones((num_envs, players, choices), bool)

    def reset(self, seed: int) -> Observation:
        self._generators = [np.random.default_rng(seeds(seed, b)[0]) for b in range(self.num_envs)]
        for b in range(self.num_envs):
            self._start(b)
        return self._observation()

    def step(self, actions: Tensor) -> tuple[Step, Observation, None]:
        shape = self.num_envs, self.spec.num_agents
        if actions.shape != (*shape, 1):
            raise InputError(
                f"{self.spec.name}: actions have shape {tuple(actions.shape)}, these games need "
                f"({shape[0]}, {shape[1]}, 1)"
            )
        chosen = actions.detach().cpu().numpy()[np.arange(self.num_envs), self._mover, 0].tolist()
        for b, action in enumerate(chosen):
            if action not in (legal := self._states[b].legal_actions()):
                raise InputError(
                    f"{self.spec.name}: player {self._mover[b]}: action {action} is not legal at "
                    f"step {len(self._moves[b]) + 1} of game {b}, {legal} are; fix the policy"
                )
        reward, over = np.zeros(shape, np.float32), np.zeros(self.num_envs, bool)
        for b, action in enumerate(chosen):
            self._move(b, int(action))
            over[b] = self._states[b].current_player() == TERMINAL
            if over[b]:
                reward[b] = self._states[b].returns()
                self._start(b)
        ended = torch.from_numpy(over)[:, None].repeat(1, shape[1])
        step = Step(torch.from_numpy(reward), ended, torch.zeros_like(ended))
        return step, self._observation(), None

    def state(self) -> Any:
        """Moves so far, chance's included, and generators; the games are played anew from them."""
        return {
            "name": self.spec.name,
            "moves": [list(moves) for moves in self._moves],
            "generators": [generator.bit_generator.state for generator in self._generators],
            "seen": self._seen.copy(),
        }

    def restore(self, state: Any) -> Observation:
        """Go back to where `state` was taken; InputError if it is of another game."""
        if state["name"] != self.spec.name or len(state["moves"]) != self.num_envs:
            raise InputError(
                f"{self.spec.name}: the saved state is of {len(state['moves'])} games of "
                f"{state['name']}, not of {self.num_envs} of this one"
            )
        self._generators = []
        for b, moves in enumerate(state["moves"]):
            self._generators.append(np.random.default_rng())
            self._generators[b].bit_generator.state = state["generators"][b]
            self._moves[b], self._states[b] = list(moves), self._root
            for move in moves:
                self._states[b] = self._states[b].child(move)
            self._look(b)
        self._seen = state["seen"].copy()
        return self._observation()

    def told(self, actions: Tensor, game: int = 0) -> list[str]:
        """In words: who is where in a game, what it plays now, and at the end who got what."""
        state, player = self._states[game], int(self._mover[game])
        action = int(actions[game, player, 0])
        words = state.action_to_string(player, action)
        lines = [state.information_state_string(player), f"player {player}: {words}", ""]
        after = state.child(action)
        if after.current_player() == TERMINAL:
            lines.append(f"returns: {', '.join(f'{r:g}' for r in after.returns())}")
        return lines

    def _start(self, b: int) -> None:
        self._states[b], self._moves[b] = self._root, []
        self._seen[b] = -1
        self._play_chance(b)
        if self._states[b].current_player() == TERMINAL:
            raise InputError(f"{self.spec.name}: a game may end before anybody has moved")

    def _move(self, b: int, action: int) -> None:
        self._states[b] = self._states[b].child(action)
        self._moves[b].append(action)
        self._play_chance(b)

    def _play_chance(self, b: int) -> None:
        """Draw chance's moves, and look where that leads."""
        while (state := self._states[b]).current_player() == CHANCE:
            move = draw(state.chance_outcomes(), self._generators[b])
            self._states[b] = state.child(move)
            self._moves[b].append(move)
        self._look(b)

    def _look(self, b: int) -> None:
        """Who is to move in game b, what it sees, and what it may do."""
        state = self._states[b]
        player = state.current_player()
        if player < 0:
            return
        self._mover[b] = player
        self._seen[b, player] = self._row[player][state.information_state_string(player)]
        self._mask[b] = True
        self._mask[b, player] = False
        self._mask[b, player, state.legal_actions()] = True

    def _observation(self) -> Observation:
        seen = torch.from_numpy(self._seen)
        nodes = torch.zeros((*seen.shape, self.spec.features))
        nodes.scatter_(2, seen.clamp_min(0)[..., None], (seen >= 0).float()[..., None])
        acting = torch.arange(self.spec.num_agents) == torch.from_numpy(self._mover)[:, None]
        mask = torch.from_numpy(self._mask.copy())
        text = self._text() if self.with_text else None
        return Observation(nodes, *no_edges(nodes), acting, mask, text)

    def _text(self) -> list[list[str]]:
        """[B][N] the name of the information set of the player to move; "" of the others."""
        return [
            [state.information_state_string(i) if i == m else "" for i in range(len(self._row))]
            for state, m in zip(self._states, self._mover, strict=True)
        ]
