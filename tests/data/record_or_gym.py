"""Records what OR-Gym's supply chains do, for tests/games/inventory/test_settings.py.

Runs where or-gym 0.5.0, numpy, scipy, pandas and networkx are installed; it needs neither gym nor
matplotlib, of which or-gym uses nothing here: python record_or_gym.py FOLDER
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np

setattr(np, "Inf", np.inf)  # noqa: B010  which numpy 2 dropped
for name in ("", ".core", ".envs", ".envs.registration", ".spaces", ".utils"):
    sys.modules[f"gym{name}"] = MagicMock()
sys.modules["matplotlib"] = sys.modules["matplotlib.pyplot"] = MagicMock()
sys.modules["gym"].Env = object

from or_gym.envs.supply_chain import inventory_management as chain  # noqa: E402
from or_gym.envs.supply_chain import network_management as net  # noqa: E402

GAMES = {
    "or_gym_0": chain.InvManagementBacklogEnv,
    "or_gym_1": chain.InvManagementLostSalesEnv,
    "or_gym_network_0": net.NetInvMgmtBacklogEnv,
    "or_gym_network_1": net.NetInvMgmtLostSalesEnv,
}
PERIODS = 30


def played(make, seed):
    draw = np.random.default_rng(seed)
    demand = draw.poisson(20, PERIODS)
    network = make.__module__.endswith("network_management")
    options = {"user_D": {(1, 0): demand}} if network else {"user_D": demand, "dist": 5}
    env = make(**options)
    links = 11 if network else 3
    # Orders of about the mean, with none and with far too many among them, which are cut.
    actions = draw.gamma(1.0, 25.0, (PERIODS, links)).round(3)
    actions *= draw.random(actions.shape) < 0.8
    seen, rewards = [np.asarray(env.reset(), float).tolist()], []
    for action in actions:
        shown, reward, _, _ = env.step(action)
        seen.append(np.asarray(shown, float).tolist())
        rewards.append(float(reward))
    stock = np.asarray(env.X if network else env.I, float)
    return {
        "demand": demand.tolist(),
        "actions": actions.tolist(),
        "rewards": rewards,
        "stock": stock.tolist(),  # at the start of each period, and at the end
        "seen": seen,
    }


if __name__ == "__main__":
    for name, make in GAMES.items():
        games = [played(make, seed) for seed in range(2)]
        text = json.dumps({"or_gym": version("or-gym"), "games": games}, separators=(",", ":"))
        Path(sys.argv[1], f"{name}.json").write_text(text.replace(".0,", ",").replace(".0]", "]"))
