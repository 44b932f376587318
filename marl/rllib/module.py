"""A policy network as an RLModule, for RLlib's learners and checkpoints."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.multi_rl_module import MultiRLModuleSpec
from ray.rllib.core.rl_module.rl_module import RLModuleSpec
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from games.common.seeds import seeds
from games.simulators.simulator import Spec
from marl.networks.network import Network, PolicyNetwork
from marl.networks.packing import Input
from marl.networks.policy import names


class PolicyModule(TorchRLModule):
    """A policy network wrapped as an RLModule.

    Its input is not a dictionary of arrays but `marl.networks.network.Input`, under the key `obs`:
    graphs of any size fit no gymnasium space. So RLlib's own runners and connectors cannot feed it;
    the batched env runner and learner here do.
    """

    network: PolicyNetwork

    def setup(self) -> None:
        options = self.model_config
        self.network = options["network"].build(options["role"], options["spec"], options["seed"])

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, Any]:
        given: Input = batch[Columns.OBS]
        found = self.network(given)
        return {
            Columns.ACTION_DIST_INPUTS: found.parameters,
            Columns.VF_PREDS: found.value,
            Columns.STATE_OUT: found.memory,
        }

    @classmethod
    def get_initial_state(cls) -> dict[str, Any]:
        return {}


def modules(spec: Spec, network: Network, share: str, seed: int) -> MultiRLModuleSpec:
    """RLlib's specification of a policy's networks: its weights equal those of `Policy.new`."""
    of_agent = names(spec, share)
    found = {}
    for k, name in enumerate(dict.fromkeys(of_agent)):
        role = spec.roles[spec.role_of[of_agent.index(name)]]
        found[name] = RLModuleSpec(
            module_class=PolicyModule,
            observation_space=gymnasium.spaces.Box(-np.inf, np.inf, (spec.features,), np.float32),
            action_space=role.space,
            model_config={
                "network": network, "role": role, "spec": spec, "seed": seeds(seed, 0, k)[0]
            },
        )  # fmt: skip
    return MultiRLModuleSpec(rl_module_specs=found)
