"""Policies: networks for a game's agents, which can be played, saved and moved to other games."""

from __future__ import annotations

import hashlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from games.common.errors import InputError, one_line
from games.common.seeds import seeds
from games.common.storage import write_atomically
from games.names import called
from games.simulators.simulator import Observation, Spec
from games.simulators.spec_json import spec_from_json, spec_to_json
from marl.networks.network import Network, PolicyNetwork
from marl.networks.packing import pack

FORMAT = "schelling policy 3"


@dataclass(frozen=True)
class Policy:
    """The networks that play a game, by name, and which of them plays which agent."""

    game: str
    spec: Spec
    config: Network
    networks: dict[str, PolicyNetwork]
    of_agent: tuple[str, ...]  # [N] the name of each agent's network

    @classmethod
    def new(
        cls, game: Any, spec: Spec, config: Network, parameter_sharing: str = "role", seed: int = 0
    ) -> Policy:
        """Untrained networks: one per role, or (`parameter_sharing="none"`) one per agent."""
        of_agent = names(spec, parameter_sharing)
        networks = {}
        for k, name in enumerate(dict.fromkeys(of_agent)):
            role = spec.roles[spec.role_of[of_agent.index(name)]]
            networks[name] = config.build(role, spec, seeds(seed, 0, k)[0])
        return cls(called(game), spec, config, networks, of_agent)

    @property
    def memory_width(self) -> int:
        """M of the widest network; 0 if none has a memory."""
        return max(network.memory_width for network in self.networks.values())

    def for_game(self, game: Any, spec: Spec) -> PolicyActor:
        """The policy as a player of a game, an `Actor` of `marl.evaluation.actors`.

        Raises:
            InputError: as `fitted`.
        """
        return PolicyActor(self.fitted(game, spec))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the policy to one file, atomically: weights, and the rest as JSON."""
        about = {
            "format": FORMAT,
            "game": self.game,
            "spec": spec_to_json(self.spec),
            "config": self.config.model_dump(mode="json"),
            "of_agent": list(self.of_agent),
        }
        content: dict[str, Any] = {
            "about": json.dumps(about),
            "weights": {name: dict(net.state_dict()) for name, net in self.networks.items()},
        }
        buffer = io.BytesIO()
        torch.save(content | {"digest": _digest(content)}, buffer)
        write_atomically(Path(path), buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Policy:
        """Read a policy written by `save`; it acts exactly as the saved one did.

        Nothing in the file is executed, wherever it comes from: it holds only tensors and text.

        Raises:
            InputError: the file is missing, damaged, no policy, or a pickle of an earlier version.
        """
        try:
            if not zipfile.is_zipfile(path):
                Path(path).stat()  # raises OSError if there is none
                raise InputError(f"{path} is not a saved policy")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about foreign pickles, refused below
                content: Any = torch.load(Path(path), map_location="cpu", weights_only=True)
            if not isinstance(content, dict) or "digest" not in content:
                raise InputError(f"{path} is not a saved policy")
            if content.pop("digest") != _digest(content):
                raise InputError(f"{path} is damaged: put it back from a copy")
            about = json.loads(content["about"])
            if about["format"] != FORMAT:
                raise InputError(f"{path} is {about['format']!r}; this version reads {FORMAT!r}")
            spec, config = spec_from_json(about["spec"]), Network(**about["config"])
            policy = cls(about["game"], spec, config, {}, tuple(about["of_agent"]))
            if set(content["weights"]) != set(policy.of_agent):
                raise InputError(f"{path} is not a saved policy: it has weights of other agents")
            for name, weights in content["weights"].items():
                role = spec.roles[spec.role_of[policy.of_agent.index(name)]]
                with torch.device("meta"):  # a small file may declare a huge network
                    told = PolicyNetwork(config, role, spec).state_dict()
                if _shapes(told) != _shapes(weights):
                    raise InputError(f"{path} is not a saved policy: weights of another network")
                policy.networks[name] = config.build(role, spec, 0)
                policy.networks[name].load_state_dict(weights)
        except InputError:
            raise
        except OSError as error:
            raise InputError(
                f"cannot read policy {path}: {(error.strerror or '').lower()}"
            ) from None
        except UnpicklingError:
            raise InputError(
                f"{path} is not a saved policy: it holds more than weights and text, and loading "
                "it would run code (as would files of earlier versions: train those again)"
            ) from None
        except Exception as error:  # a damaged file can fail in any way
            raise InputError(f"{path} is not a saved policy ({one_line(error)[:120]})") from None
        return policy

    def fitted(self, game: Any, spec: Spec) -> Policy:
        """The same networks for another game with the same roles and any number of agents.

        Raises:
            InputError: the game has a role that the policy lacks, or other observations or actions.
        """
        if spec == self.spec:
            return self
        by_role: dict[str, str] = {}
        for agent, name in enumerate(self.of_agent):
            by_role.setdefault(self.spec.roles[self.spec.role_of[agent]].name, name)
        if len(set(self.of_agent)) > len(by_role):
            raise InputError(
                f"this policy has a network for each agent of {self.game}: it plays only that game"
            )
        networks = dict(self.networks)
        for role in spec.roles:
            mine = by_role.get(role.name)
            found = None if mine is None else self.networks[mine].for_role(role, spec)
            if mine is None or found is None:
                raise InputError(
                    f"{called(game)} has other observations or actions for {role.name!r} than "
                    f"{self.game}, "
                    "which this policy was trained on"
                )
            networks[mine] = found
        of_agent = tuple(by_role[spec.roles[k].name] for k in spec.role_of)
        return Policy(called(game), spec, self.config, networks, of_agent)


class PolicyActor:
    """A policy playing B games, with its networks' memories."""

    can_be_greedy = True

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.memory = torch.zeros(0)  # [B, N, M] float32

    def start(self, num_envs: int) -> None:
        policy = self.policy
        self.memory = torch.zeros(num_envs, policy.spec.num_agents, policy.memory_width)

    def forget(self, over: Tensor) -> None:
        self.memory[over] = 0.0

    @torch.no_grad()
    def act(self, seen: Observation, generator: torch.Generator | None) -> Tensor:
        """Choose the actions of the agents of B games.

        Args:
            seen: the observation.
            generator: to sample actions with; None for the likeliest ones.

        Returns:
            actions [B, N, D] as the game takes them.
        """
        policy, acting = self.policy, seen.acting
        shape = *acting.shape, policy.spec.action_width
        actions = torch.zeros(shape, dtype=policy.spec.action_dtype)
        memory = self.memory.clone()
        for name, network in policy.networks.items():
            own = torch.tensor([mine == name for mine in policy.of_agent])
            deciding = acting & own
            if not deciding.any():
                continue
            width = network.memory_width
            packed = pack(seen, deciding, network, memory[deciding][:, :width] if width else None)
            parameters, after = network.policy(packed)
            rule = network.rule
            drawn = (
                rule.mode(parameters) if generator is None else rule.sample(parameters, generator)
            )
            put_rows(actions, deciding, rule.to_game(drawn))
            if after is not None:
                put_rows(memory, deciding, after)
        self.memory = memory
        return actions


def names(spec: Spec, parameter_sharing: str) -> tuple[str, ...]:
    """[N] the name of each agent's network: its role's, or ROLE_NUMBER if it has its own."""
    roles = [spec.roles[k].name for k in spec.role_of]
    if parameter_sharing == "role":
        return tuple(roles)
    return tuple(f"{role}_{roles[:k].count(role)}" for k, role in enumerate(roles))


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}


def put_rows(into: Tensor, where: Tensor, rows: Tensor) -> None:
    """Write rows [D, w] to the first w columns of `into` [B, N, W] where `where` [B, N] is true."""
    if rows.shape[1] == into.shape[2] and bool(where.all()):
        into.copy_(rows.view_as(into))
    else:
        into[..., : rows.shape[1]][where] = rows.to(into.dtype)


def _digest(content: dict[str, Any]) -> str:
    """A hash of a policy's text and weights, by name, type, shape and bytes."""
    total = hashlib.sha256(content["about"].encode())
    for policy, weights in sorted(content["weights"].items()):
        for name, tensor in sorted(weights.items()):
            array = tensor.detach().contiguous().cpu().numpy()
            total.update(f"{policy} {name} {array.dtype.str} {array.shape}".encode())
            total.update(array.tobytes())
    return total.hexdigest()
