"""Scenarios, methods, and the parameters that both sides are given.

The names of the parameters are ours; `peer` says which of BenchMARL's each one is. What only one
side has keeps its default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Side = Literal["ours", "benchmarl"]
SIDES: tuple[Side, Side] = ("ours", "benchmarl")
EVALUATIONS = 10  # of a run
EPISODES = 32  # of an evaluation


@dataclass(frozen=True)
class Method:
    """A method of ours, and the one of BenchMARL that it is compared with."""

    name: str
    peer: str
    on_policy: bool = False
    discrete: bool = False
    beside: Mapping[str, Any] = field(default_factory=dict)  # parameters, beside its family's
    without: tuple[str, ...] = ()  # parameters of its family that it does not have
    own: Mapping[str, Any] = field(default_factory=dict)  # of ours alone, to do as BenchMARL's does


NO_CAP = {"value_clip": 1e9}  # BenchMARL's PPO does not cap the error of a value
METHODS = {
    method.name: method
    for method in (
        Method("ippo", "ippo", on_policy=True, own=NO_CAP),
        Method("mappo", "mappo", on_policy=True, own=NO_CAP),
        Method("vdn", "vdn", discrete=True),
        Method("qmix", "qmix", discrete=True),
        Method("maddpg", "maddpg"),
        Method("matd3", "maddpg"),  # BenchMARL has no MATD3
        Method(
            "masac",
            "masac",
            beside={"temperature": 0.2},
            without=("exploration", "exploration_share"),
        ),
    )
}
NETWORK = {"hidden": [64, 64]}
"""Two hidden layers, tanh, of policies and of critics."""
BOTH = {"learning_rate": 5e-4, "gradient_clip": 5.0}
ON_POLICY = {
    "epochs": 10,
    "gae_lambda": 0.95,
    "clip": 0.2,
    "entropy": 0.0,
    "value_coefficient": 1.0,
}
OFF_POLICY = {
    "n_step": 1,
    "target_rate": 0.01,
    "replay": 100_000,
    # From, to: the standard deviation of noise on actions scaled to [-1, 1]; of discrete actions
    # the share of random ones.
    "exploration": [0.8, 0.1],
    "exploration_share": 0.4,  # of the run, after which it stays as it is
}


@dataclass(frozen=True)
class Task:
    """A scenario, by its names in both libraries."""

    title: str
    game: str  # ours; {continuous} is replaced
    library: Literal["pettingzoo", "vmas"]
    peer: str  # BenchMARL's name
    steps: int  # of all games together, of a whole run
    on_policy: Mapping[str, Any]
    off_policy: Mapping[str, Any]
    discount: float
    config: Mapping[str, Any] = field(default_factory=dict)  # what replaces BenchMARL's parameters
    half_range: float = 1.0  # half the range of BenchMARL's actions; ours are scaled to [-1, 1]
    sampled: bool = False  # PPO's actions are drawn in evaluations, too
    remarks: tuple[str, ...] = ()

    def discrete(self, method: Method) -> bool:
        """Whether a method plays it with discrete actions."""
        return method.discrete or (method.on_policy and self.library == "pettingzoo")

    def spelled(self, value: bool) -> str:
        """A switch as this library's games spell it."""
        return str(value) if self.library == "pettingzoo" else str(value).lower()

    def shared(self, method: Method) -> dict[str, Any]:
        """The parameters of both sides, network included."""
        if method.on_policy:
            family = ON_POLICY | self.on_policy
        else:
            family = OFF_POLICY | self.off_policy | method.beside
        known = {**NETWORK, **BOTH, "discount": self.discount, **family}
        return {key: value for key, value in known.items() if key not in method.without}


MPE_ON = {"num_envs": 10, "rollout_length": 50, "minibatches": 4, "learning_rate": 7e-4}
MPE_OFF = {
    "num_envs": 10,
    "rollout_length": 25,
    "gradient_steps": 25,
    "batch_size": 128,
    "learning_rate": 1e-3,  # with 5e-4 MADDPG's actors are still lost after 20,000 steps
}
VMAS_ON = {"num_envs": 32, "rollout_length": 100, "minibatches": 8}
VMAS_OFF = {"num_envs": 32, "rollout_length": 10, "gradient_steps": 20, "batch_size": 256}
MPE_REMARKS = (
    "MADDPG, MATD3 and MASAC play it with continuous actions, the others with discrete ones, PPO "
    "as in Yu et al. (2022). PPO's actions are drawn in evaluations, too: after so few steps its "
    "likeliest action is hardly likelier than the others.",
)
TASKS = {
    "simple_spread": Task(
        title="simple_spread: three agents are to cover three landmarks (`mpe2`)",
        game="pettingzoo:mpe2.simple_spread_v3(N=3,max_cycles=25,continuous_actions={continuous})",
        library="pettingzoo",
        peer="simple_spread",
        steps=40_000,
        on_policy=MPE_ON,
        off_policy=MPE_OFF,
        discount=0.95,
        config={"max_cycles": 25},
        half_range=0.5,
        sampled=True,
        remarks=MPE_REMARKS,
    ),
    "simple_speaker_listener": Task(
        title="simple_speaker_listener: one sees the goal and speaks, one listens (`mpe2`)",
        game="pettingzoo:mpe2.simple_speaker_listener_v4"
        "(max_cycles=25,continuous_actions={continuous})",
        library="pettingzoo",
        peer="simple_speaker_listener",
        steps=30_000,
        on_policy=MPE_ON,
        off_policy=MPE_OFF,
        discount=0.95,
        config={"max_cycles": 25},
        half_range=0.5,
        sampled=True,
        remarks=(
            *MPE_REMARKS,
            "The two agents differ in what they see and do, so both sides give each networks of "
            "its own. BenchMARL makes two groups of them: its VDN and QMIX mix within a group, "
            "here the value of one agent; ours mix both values.",
        ),
    ),
    "balance": Task(
        title="balance: four agents carry a package on a line (`vmas`)",
        game="vmas:balance(agents=4,max_steps=100,continuous={continuous})",
        library="vmas",
        peer="balance",
        steps=64_000,
        on_policy=VMAS_ON,
        off_policy=VMAS_OFF,
        discount=0.99,
    ),
    "navigation": Task(
        title="navigation: three agents, each to its own goal (`vmas`)",
        game="vmas:navigation(agents=3,max_steps=100,shared_rew=false,continuous={continuous})",
        library="vmas",
        peer="navigation",
        steps=64_000,
        on_policy=VMAS_ON,
        off_policy=VMAS_OFF,
        discount=0.99,
    ),
}
