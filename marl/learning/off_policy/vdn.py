"""Value decomposition: a team's value is the sum of its members' values.

Sunehag et al. (2018), "Value-decomposition networks for cooperative multi-agent learning",
arXiv 1706.05296. With agents i that see o_i and choose a_i, and the team's reward r:

    Q_tot(s, a) = sum_i Q_i(o_i, a_i)                                                 section 3
    loss = mean (y - Q_tot(s, a))^2,   y = r + g sum_i max_a' Q_i-(o_i', a')

Each agent's best choice is then the team's, so that agents can play on their own what they learned
together. A sum cannot say that the worth of one agent's choice depends on another's; see
`marl.learning.off_policy.qmix` for a richer mixer. Loss and targets are those of
`marl.learning.off_policy.dqn`, applied to mixed values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from marl.learning.off_policy.dqn import ValueMethod

if TYPE_CHECKING:
    from games.simulators.simulator import Observation, Spec
    from marl.networks.network import Network


class VDN(ValueMethod):
    """Value decomposition networks: a team's value is the sum of its agents' values."""

    joint: ClassVar[bool] = True

    name: Literal["vdn"] = "vdn"

    def mixer(self, spec: Spec, network: Network) -> nn.Module:
        return Sum()


class Sum(nn.Module):
    """The mixer of VDN: the sum over agents. It has no weights and ignores the state."""

    def state(self, seen: Observation, present: Tensor) -> None:
        """What `forward` takes as the state."""

    def forward(
        self, values: Tensor, state: object = None, present: Tensor | None = None
    ) -> Tensor:
        """Values [M] float32 of M teams.

        Args:
            values: [M, N] float32 of the agents' choices.
            present: [M, N] bool, the agents that act; others contribute nothing. None: all.
        """
        return (values if present is None else values.masked_fill(~present, 0.0)).sum(1)
