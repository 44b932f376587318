"""Games written for PettingZoo, Parallel or AEC, as a `Vector`: B copies played in turn.

PettingZoo's rules in short. Agents have names; `env.agents` are those in play. A Parallel
environment is given the actions of all of them at once; an AEC environment that of
`agent_selection` alone, and `None` to bury an agent that is done. An agent that is done leaves
and never comes back; others may join later; the game is over when nobody is left.
(Terry et al. 2021, "PettingZoo: Gym for multi-agent reinforcement learning".)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from games.adapters.pettingzoo.copies import Copy
from games.adapters.pettingzoo.drivers import Broken, driver, said
from games.adapters.pettingzoo.spaces import Legal, Misfit, agent_of, roles_of
from games.adapters.pettingzoo.values import agents, choices, flag, info_mask, number, table
from games.common.errors import InputError, one_line
from games.common.seeds import seeds
from games.simulators.simulator import Observation, Spec, Step, no_edges


class PettingZooVector:
    """B copies of a PettingZoo environment; see `games.simulators.vector.Vector`.

    Agents are numbered as in `possible_agents`. Those whose names differ by their number only, and
    that see and do things of the same shape, share a role: adversary_0 and adversary_1 are both
    "adversary". Observations are flattened, with one-hot numbers for what is discrete; actions
    count from 0. `nodes` hold what every agent in play sees, whether it acts or not, and 0 for
    agents that are not; agents without a mask, or that do not act, may do all.
    An agent that has left stays terminated or truncated until its game is over, when agents that
    never joined count as terminated. The third thing that `step` returns is there whenever an agent
    is cut off just now; in it the agents that are `acting` are those whose game was cut off.

    Args:
        make: gives a new ParallelEnv or AECEnv, wrapped or not, whenever it is called.
        num_envs: B.
        name: what error messages call it.

    Raises:
        InputError: `make` fails or gives something else; spaces that cannot be flattened.
    """

    def __init__(self, make: Callable[[], Any], num_envs: int, name: str = "environment") -> None:
        self.num_envs = num_envs
        if num_envs < 1:
            raise InputError(f"{name}: {num_envs} games cannot be played; take at least 1")
        try:
            self._games = [Copy(driver(make(), name), name) for _ in range(num_envs)]
            env = self._games[0].env
            names = list(env.possible_agents)
            seen = [env.observation_space(agent) for agent in names]
            done = [env.action_space(agent) for agent in names]
        except InputError:
            raise
        except Exception as error:  # whatever others' code may raise
            raise InputError(f"{name}: the environment cannot be made: {said(error)}") from error
        if not names:
            raise InputError(f"{name}: possible_agents is empty; list all that may ever play")
        self.resumable = True  # whether the games can be pickled, or could be; see `restore`
        self._names = names
        self._index = {agent: i for i, agent in enumerate(names)}
        self._agents = [agent_of(*row, name) for row in zip(names, seen, done, strict=True)]
        roles, role_of = roles_of(self._agents)
        self.spec = spec = Spec(name, roles, role_of, num_nodes=len(names))

        shape = num_envs, spec.num_agents
        self._nodes = np.zeros((*shape, spec.features), np.float32)  # [B, N, F]
        self._acting = np.zeros(shape, bool)  # [B, N]
        self._reward = np.zeros(shape, np.float32)  # [B, N]
        self._terminated = np.zeros(shape, bool)  # [B, N] since the game began
        self._truncated = np.zeros(shape, bool)  # [B, N] since the game began
        self._legal = Legal(spec)
        self._mask = np.repeat(self._legal.free[None], num_envs, axis=0)  # [B, N, A]

    @property
    def game_seeds(self) -> list[int]:
        """[B] What each game now in play was reset with."""
        return [game.seed for game in self._games]

    def reset(self, seed: int) -> Observation:
        with np.errstate(over="ignore"):
            for b, game in enumerate(self._games):
                game.generator = np.random.default_rng(seeds(seed, b)[0])
                self._start(b)
        self._require_finite(self._nodes, "observation")
        self.resumable = self._dumped(self._games[:1]) is not None
        return self._observation()

    def step(self, actions: Tensor) -> tuple[Step, Observation, Observation | None]:
        chosen = actions.detach().cpu().numpy()  # [B, N, D]
        wrong = self._legal.wrong(chosen, self._acting, self._mask)
        if wrong is not None:
            b, i, reason = wrong
            raise InputError(
                f"{self.spec.name}: {self._names[i]}: the action at step "
                f"{self._games[b].steps + 1} {reason}; fix the policy"
            )
        self._reward[:] = 0
        before = self._truncated & ~self._terminated
        with np.errstate(over="ignore"):  # too large for float32 is found to be infinite
            for b in range(self.num_envs):
                self._play(b, chosen[b])
        self._require_finite(self._reward, "reward")
        self._require_finite(self._nodes, "observation")
        step = Step(
            torch.from_numpy(self._reward.copy()),
            torch.from_numpy(self._terminated.copy()),
            torch.from_numpy(self._truncated.copy()),
        )
        cut = self._truncated & ~self._terminated & ~before
        final = self._observation(cut) if cut.any() else None
        over = [b for b, game in enumerate(self._games) if not game.live]
        for b in over:
            self._start(b)
        if over:
            self._require_finite(self._nodes, "observation")
        return step, self._observation(), final

    def state(self) -> Any:
        """The games, pickled; where they cannot be, `restore` starts them anew (`resumable`)."""
        arrays = (self._nodes, self._mask, self._acting, self._terminated, self._truncated)
        envs = self._dumped(self._games)
        self.resumable = envs is not None
        return {
            "name": self.spec.name,
            "arrays": [array.copy() for array in arrays],
            "games": [
                {
                    "env": envs[b] if envs else None,
                    "generator": game.generator.bit_generator.state,
                    "seed": game.seed,
                    "steps": game.steps,
                    "live": [self._index[agent] for agent in game.live],
                    "joined": [self._index[agent] for agent in game.joined],
                }
                for b, game in enumerate(self._games)
            ],
        }

    def restore(self, state: Any) -> Observation:
        """Go back to where `state` was taken; see `Vector`.

        Raises:
            InputError: it is of another game.
        """
        if state["name"] != self.spec.name or len(state["games"]) != self.num_envs:
            raise InputError(
                f"{self.spec.name}: the saved state is of {len(state['games'])} games of "
                f"{state['name']}, not of {self.num_envs} of this one"
            )
        self.resumable = all(saved["env"] is not None for saved in state["games"])
        arrays = (self._nodes, self._mask, self._acting, self._terminated, self._truncated)
        for array, saved in zip(arrays, state["arrays"], strict=True):
            array[:] = saved
        for b, (game, saved) in enumerate(zip(self._games, state["games"], strict=True)):
            game.generator = np.random.default_rng()
            game.generator.bit_generator.state = saved["generator"]
            if saved["env"] is None:
                self._start(b)
                continue
            game.env.load(saved["env"])
            game.seed, game.steps = saved["seed"], saved["steps"]
            game.live = {self._names[i] for i in saved["live"]}
            game.joined = {self._names[i] for i in saved["joined"]}
        return self._observation()

    def picture(self, game: int = 0) -> np.ndarray:
        """What the environment's own renderer shows, uint8 [H, W, 3].

        Raises:
            InputError: it cannot be drawn, or was not made with `render_mode=rgb_array`.
        """
        try:
            shown = self._games[game].env.env.render()
        except Exception as error:  # others' code
            raise InputError(f"{self.spec.name} cannot be drawn: {one_line(error)}") from None
        if not isinstance(shown, np.ndarray):
            raise InputError(f"{self.spec.name} gives no picture with render_mode=rgb_array")
        return np.asarray(shown[..., :3], np.uint8).copy()

    def _dumped(self, played: Sequence[Copy]) -> list[bytes] | None:
        try:
            return [game.env.dump() for game in played]
        except Exception:  # whatever cannot be pickled says so in its own way
            return None

    def _start(self, b: int) -> None:
        game = self._games[b]
        game.seed = int(game.generator.integers(2**31))
        game.steps = 0
        try:
            seen, infos = game.env.reset(game.seed)
        except Exception as error:
            raise game.raised(error) from error
        with self._reading(game):
            game.live = agents(game.env.in_play())
            game.joined = set(game.live)
            game.require_known("agents", game.live, self._index)
            if not game.live:
                raise InputError(f"{self.spec.name}: nobody plays after reset(seed={game.seed})")
            self._terminated[b] = self._truncated[b] = False
            self._see(b, table(seen, "observations"), table(infos, "infos"))

    def _play(self, b: int, actions: np.ndarray) -> None:
        """One step of game b: [N, D] actions; fills row b of all buffers."""
        game, index = self._games[b], self._index
        chosen = {}
        for agent in game.env.acting():
            i = index[agent]
            chosen[agent] = self._agents[i].decode(actions[i])
        game.steps += 1
        try:
            seen, rewards, terminated, truncated, infos = game.env.step(chosen)
        except Broken as error:
            raise game.broken(*error.args) from None
        except Exception as error:
            raise game.raised(error) from error
        with self._reading(game):
            self._settle(b, rewards, terminated, truncated)
            self._see(b, table(seen, "observations"), table(infos, "infos"))

    def _settle(self, b: int, rewards: Any, terminated: Any, truncated: Any) -> None:
        """Who was paid what, who left and who joined in a step of game b."""
        game, index = self._games[b], self._index
        now = agents(game.env.in_play())
        given = {"reward": rewards, "termination": terminated, "truncation": truncated}
        for what, by_agent in given.items():
            if missing := game.live - table(by_agent, f"{what}s").keys():
                raise game.broken(min(missing, key=str), f"its {what} is missing")
        game.require_known("agents", now, self._index)
        for what, by_agent in given.items():
            game.require_known(f"{what}s", by_agent.keys(), self._index)

        joined = now - game.live
        if back := joined & game.joined:
            raise game.broken(min(back, key=str), "it is back though it had left")
        game.joined |= joined
        done = set()
        for agent in game.live | joined:
            i = index[agent]
            for what, said_so, ended in (
                ("termination", terminated, self._terminated),
                ("truncation", truncated, self._truncated),
            ):
                try:
                    if flag(said_so.get(agent, False)):
                        ended[b, i] = True
                except Misfit as error:
                    raise game.broken(agent, f"its {what} {error}") from None
            if self._terminated[b, i] or self._truncated[b, i]:
                done.add(agent)
        if vanished := game.live - now - done:
            text = "it left neither terminated nor truncated"
            raise game.broken(min(vanished, key=str), text)
        if (lingering := now & done) and lingering != now:  # if all are done it is over anyway
            text = "it is done but still among env.agents"
            raise game.broken(min(lingering, key=str), text)
        self._credit(b, rewards, game.live | joined)
        game.live = now - done
        if not game.live:  # over
            for agent, i in index.items():
                self._terminated[b, i] |= agent not in game.joined

    def _credit(self, b: int, rewards: Mapping[Any, Any], playing: set[Any]) -> None:
        game = self._games[b]
        for agent, given in rewards.items():
            try:
                reward = number(given)
            except Misfit as error:
                raise game.broken(agent, f"its reward {error}") from None
            self._reward[b, self._index[agent]] = reward
            if reward and agent not in playing and agent not in game.env.unburied:
                raise game.broken(agent, f"it is paid {reward} though it is not in play")

    def _see(self, b: int, seen: Mapping[Any, Any], infos: Mapping[Any, Any]) -> None:
        """Fill row b of nodes, acting and mask; agents cut off just now still see."""
        game = self._games[b]
        nodes, mask = self._nodes[b], self._mask[b]
        nodes[:] = 0
        self._acting[b] = False
        mask[:] = self._legal.free
        acting = game.env.acting() if game.live else ()
        for agent, i in self._index.items():
            if agent not in game.live and not (
                agent in seen and self._truncated[b, i] and not self._terminated[b, i]
            ):
                continue
            how = self._agents[i]
            try:
                what = seen[agent]
                how.write(what, nodes[i, : how.features])
            except LookupError:
                raise game.broken(agent, "its observation is missing or lacks a key") from None
            except (Misfit, TypeError, ValueError, AttributeError) as error:
                raise game.broken(agent, f"its observation {one_line(error)}") from None
            if agent not in acting or agent not in game.live:
                continue
            self._acting[b, i] = True
            try:
                legal = choices(what["action_mask"]) if how.masked else info_mask(infos.get(agent))
            except KeyError:
                raise game.broken(agent, "its observation lacks its action_mask") from None
            except Misfit as error:
                raise game.broken(agent, f"its {error}") from None
            if legal is None:
                continue
            width = self._legal.widths[i]
            if legal.size != width:
                text = f"its action mask has {legal.size} entries for {width} choices"
                raise game.broken(agent, text)
            mask[i, :width] = legal
            if not self._legal.choice_left(i, mask[i]):
                raise game.broken(agent, "its action mask leaves it nothing to do")

    def _observation(self, acting: np.ndarray | None = None) -> Observation:
        nodes = torch.from_numpy(self._nodes.copy())
        return Observation(
            nodes,
            *no_edges(nodes),
            torch.from_numpy((self._acting if acting is None else acting).copy()),
            torch.from_numpy(self._mask.copy()),
        )

    def _require_finite(self, array: np.ndarray, what: str) -> None:
        if np.isfinite(array).all():
            return
        place = tuple(np.argwhere(~np.isfinite(array))[0])
        game = self._games[place[0]]
        raise game.broken(self._names[place[1]], f"its {what} is {array[place]}")

    @contextmanager
    def _reading(self, game: Copy) -> Iterator[None]:
        """Whatever cannot be read of what an environment gave is said to be its fault."""
        try:
            yield
        except InputError:
            raise
        except Misfit as error:
            raise game.broken(None, str(error)) from None
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            raise game.broken(None, f"what it gave cannot be read: {said(error)}") from error
