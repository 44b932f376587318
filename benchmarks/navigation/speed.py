"""The safe navigation of docs/reports/benchmarks.md, against a loop that calls OSQP an agent.

    python -m benchmarks.navigation.speed

prints it alone; see benchmarks.bench for the whole page.
"""

from __future__ import annotations

import os
import time
from importlib.metadata import version

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
import osqp  # noqa: E402
import torch  # noqa: E402
from scipy import sparse  # noqa: E402

from benchmarks.page import processor, table  # noqa: E402
from games.navigation.safe_navigation import SafeNavigation, State  # noqa: E402
from games.simulators.simulator import take  # noqa: E402

AGENTS = (4, 16, 64)
GAMES = (64, 1)
ACTIONS = 8  # of each game, drawn at random, between the states that are looked at
ROUNDS = 7  # states, in each of which the peers take turns
SECONDS = 0.05  # of ours in a round
ONE_BY_ONE = 64  # agents whose turn the loop plays in a round
TOLERANCE = 1e-6  # of OSQP, absolute and relative; its own are 1e-3


def game_of(agents: int) -> SafeNavigation:
    """As many discs a square metre, whatever their number."""
    return SafeNavigation(agents=agents, obstacles=6, area=agents**0.5)


class Loop:
    """A game as one would write it down first: Python's numbers, agent by agent.

    OSQP knows no disc; the controls are in the box around it.
    """

    def __init__(self, game: SafeNavigation, state: State, b: int) -> None:
        self.game = game
        self.position = state.position[b].tolist()
        self.goal = state.goal[b].tolist()
        self.parameters = state.parameters[b].tolist()
        radius = game.radius
        self.obstacles = [(x, y, game.obstacle_radius, 1.0) for x, y in state.obstacle[b].tolist()]
        self.discs = [(x, y, radius, 0.5) for x, y in self.position]
        self.inside = np.full(2, game.max_speed)

    def control(self, i: int) -> np.ndarray:
        """The velocity of agent i; nan where OSQP gives up."""
        game, (x, y), (zeta, eta) = self.game, self.position[i], self.parameters[i]
        rows, least = [], []
        others = self.discs[:i] + self.discs[i + 1 :] + self.obstacles
        for node_x, node_y, radius, share in others:
            across, along = x - node_x, y - node_y
            square, touch = across * across + along * along, game.radius + radius
            if square**0.5 - touch >= game.communication - 2 * game.radius:
                continue
            contact = (touch + game.buffer) ** 2
            h = square / contact - 1
            alpha = min(zeta * h**eta, h / game.dt) if h > 0 else 0.0
            rows.append((2 * across / contact, 2 * along / contact))
            least.append(-share * alpha)
        way = np.subtract(self.goal[i], self.position[i])
        wish = game.gain * way
        wish *= min(1.0, game.max_speed / max(np.hypot(*wish), 1e-12))
        solver = osqp.OSQP()
        solver.setup(
            sparse.eye(2, format="csc"), -wish,
            sparse.csc_matrix(np.concatenate((np.reshape(rows, (-1, 2)), np.eye(2)))),
            np.concatenate((least, -self.inside)),
            np.concatenate((np.full(len(rows), np.inf), self.inside)),
            verbose=False, eps_abs=TOLERANCE, eps_rel=TOLERANCE,
        )  # fmt: skip
        found = solver.solve()
        return found.x if found.info.status == "solved" else np.full(2, np.nan)

    def step(self, i: int) -> np.ndarray:
        """Agent i's control, its place afterwards, and its clearance from all others."""
        found = self.control(i)
        x, y = np.add(self.position[i], self.game.dt * found)
        for node_x, node_y, radius, _ in self.discs + self.obstacles:
            _free = ((x - node_x) ** 2 + (y - node_y) ** 2) ** 0.5 - radius - self.game.radius
        return found


def states(game: SafeNavigation) -> list[State]:
    """ROUNDS of them, on the way through games with random actions."""
    own, found = torch.Generator().manual_seed(0), []
    state = game.reset(max(GAMES), own)
    for _ in range(ROUNDS):
        for _ in range(ACTIONS):
            actions = 2 * torch.rand(state.position.shape, generator=own) - 1
            state, _ = game.step(state, actions, own)
        found.append(state)
    return found


def rate(game: SafeNavigation, state: State) -> float:
    """Our control steps of games a CPU second."""
    own, games, repeats = torch.Generator(), len(state.steps), 0
    game.advance(state, own)  # what others left in the caches is not its fault
    began = time.process_time()
    while (spent := time.process_time() - began) < SECONDS:
        game.advance(state, own)
        repeats += 1
    return repeats * games / spent


def compared(agents: int) -> tuple[list[list[str]], float]:
    """Rows of the table, and the largest distance between the peers' controls, in m/s."""
    game, apart = game_of(agents), 0.0
    ours: dict[int, list[float]] = {games: [] for games in GAMES}
    theirs = []
    for state in states(game):
        for games, rates in ours.items():
            rates.append(rate(game, take(state, torch.arange(games))))
        played = ONE_BY_ONE // agents
        loops = [Loop(game, state, b) for b in range(played)]
        began = time.process_time()
        found = np.array([[loop.step(i) for i in range(agents)] for loop in loops])
        theirs.append(played / (time.process_time() - began))
        # What is best in the box is best in the disc, if it is there.
        control = game.max_speed * game.control(state)[0][:played].numpy()
        inside = np.linalg.norm(found, axis=-1) <= game.max_speed
        apart = max(apart, np.linalg.norm(found - control, axis=-1)[inside].max(initial=0.0))
    rows = []
    for games, rates in ours.items():
        mine, other = float(np.median(rates)), float(np.median(theirs))
        ratio = float(np.median(np.divide(rates, theirs)))
        cells = (mine, mine * agents, other, other * agents)
        rows.append(
            [f"{agents}, {games} at once", *(f"{x:,.0f}" for x in cells), f"**{ratio:,.2g}**"]
        )
    return rows, apart


def lines() -> list[str]:
    """Lines of Markdown."""
    torch.set_num_threads(1)
    rows, apart = [], 0.0
    with torch.no_grad():
        for agents in AGENTS:
            found, distance = compared(agents)
            rows += found
            apart = max(apart, distance)
    return [
        "## Safe navigation: against a loop that calls OSQP",
        "",
        "Control steps a CPU second of `safe_navigation(layout=swap,obstacles=6)`, single",
        "integrators, as many discs a square metre whatever their number, one thread: barriers,",
        "QP, motion, contacts, rewards. A step of a game moves all its agents. The loop is plain",
        f"Python, sets up OSQP {version('osqp')} for each agent, with tolerances of "
        f"{TOLERANCE:g}, and leaves",
        f"out the rewards. Medians of {ROUNDS} states on the way through games with random",
        "parameters, in each of which the peers take turns; ratios are medians, too. (`python -m",
        f"benchmarks.navigation.speed` measures this section alone. {processor()}.)",
        "",
        *table(
            ["agents, games", "game steps/s", "agent steps/s", "loop: game steps/s",
             "loop: agent steps/s", "ratio"],
            rows,
        ),
        "Where OSQP, which knows boxes only, comes to an end, and to a speed that is allowed, its",
        f"velocity differs from ours by at most {apart:.0e} m/s.",
        "",
    ]  # fmt: skip


if __name__ == "__main__":
    print("\n".join(lines()))
