"""The planar QP of docs/reports/benchmarks.md, against OSQP and Clarabel called one by one.

    python -m benchmarks.navigation.planar_qp

prints it alone; see benchmarks.bench for the whole page.
"""

from __future__ import annotations

import os
import time
from functools import partial
from importlib.metadata import version

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"

import clarabel  # noqa: E402
import numpy as np  # noqa: E402
import osqp  # noqa: E402
import torch  # noqa: E402
from scipy import sparse  # noqa: E402

from benchmarks.page import processor, table  # noqa: E402
from games.navigation.planar_qp import Allowed, kkt_residual, nearest  # noqa: E402

HALF_PLANES = (3, 8)
BATCHES = (256, 1_000, 10_000)
CHECKED = 10_000  # problems whose KKT residual is looked at
ONE_BY_ONE = 100  # problems given to a peer in a round
ROUNDS = 7
TOLERANCE = 1e-6  # of OSQP, absolute and relative; its own are 1e-3
Problems = tuple[np.ndarray, np.ndarray, np.ndarray]  # [Q, 2], [Q, M, 2], [Q, M]
LOW, HIGH, CENTRE, RADIUS = np.array([-1.0, -1.0]), np.array([1.0, 1.0]), np.zeros(2), 1.0
SETS = {
    "box": Allowed(low=torch.tensor(LOW), high=torch.tensor(HIGH)),
    "disc": Allowed(centre=torch.tensor(CENTRE), radius=RADIUS),
    "box and disc": Allowed(
        low=torch.tensor(0.8 * LOW), high=torch.tensor(0.8 * HIGH), centre=torch.tensor(CENTRE),
        radius=RADIUS,
    ),
}  # fmt: skip


def problems(count: int, m: int, seed: int) -> Problems:
    """Feasible ones: half-planes at random angles around a random point, with some slack.

    References are far out, since where nothing is active there is little to compute: of these
    problems 93% or more have an active constraint, half or more two of them.
    """
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, (count, m))
    normals = np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    inside = rng.uniform(-0.5, 0.5, (count, 2))
    offsets = (normals @ inside[..., None])[..., 0] - 0.5 * rng.uniform(size=(count, m))
    return 1.5 * rng.normal(size=(count, 2)), normals, offsets


class Osqp:
    """A problem in a box, by OSQP: minimise |u|^2 / 2 - reference u."""

    def __init__(self, reference: np.ndarray, normals: np.ndarray, offsets: np.ndarray) -> None:
        self.solver = osqp.OSQP()
        self.high = np.concatenate((np.full(len(offsets), np.inf), HIGH))
        self.solver.setup(
            sparse.eye(2, format="csc"), -reference,
            sparse.csc_matrix(np.concatenate((normals, np.eye(2)))),
            np.concatenate((offsets, LOW)), self.high,
            verbose=False, eps_abs=TOLERANCE, eps_rel=TOLERANCE,
        )  # fmt: skip

    def solve(self) -> np.ndarray:
        return self.solver.solve().x

    def update(self, reference: np.ndarray, normals: np.ndarray, offsets: np.ndarray) -> Osqp:
        """Of the same shape, and with none of its numbers 0."""
        m = len(offsets)
        entries = np.empty((2, m + 1))  # column by column, the box's 1 last
        entries[:, :m], entries[:, m] = normals.T, 1.0
        low = np.concatenate((offsets, LOW))
        self.solver.update(q=-reference, Ax=entries.ravel(), l=low, u=self.high)
        return self


def by_clarabel(kind: str, problem: tuple[np.ndarray, ...]) -> np.ndarray:
    reference, normals, offsets = problem
    allowed, settings = SETS[kind], clarabel.DefaultSettings()
    settings.verbose = False
    a, b = [-normals], [-offsets]
    if allowed.low is not None and allowed.high is not None:
        a += [np.eye(2), -np.eye(2)]
        b += [allowed.high.numpy(), -allowed.low.numpy()]
    cones = [clarabel.NonnegativeConeT(sum(map(len, b)))]
    if allowed.centre is not None:
        a += [np.zeros((1, 2)), -np.eye(2)]
        b += [np.array([RADIUS]), -CENTRE]
        cones.append(clarabel.SecondOrderConeT(3))
    return np.array(
        clarabel.DefaultSolver(
            sparse.eye(2, format="csc"), -reference, sparse.csc_matrix(np.concatenate(a)),
            np.concatenate(b), cones, settings,
        ).solve().x
    )  # fmt: skip


def lines() -> list[str]:
    """Lines of Markdown."""
    torch.set_num_threads(1)
    rows, residual, apart = [], 0.0, dict.fromkeys(("OSQP", "Clarabel"), 0.0)
    for kind in SETS:
        for m in HALF_PLANES:
            row, found, distances = compared(kind, m)
            rows.append([f"{kind}, {m}", *row])
            residual = max(residual, found)
            for name, distance in distances.items():
                peer = name.split(",")[0]
                apart[peer] = max(apart[peer], distance)
    return [
        "## The planar QP: against OSQP and Clarabel",
        "",
        "The control nearest to a reference under 3 and 8 half-planes and in a box, a disc or",
        "both, float64, one thread. Figures are CPU microseconds a problem, medians of",
        f"{ROUNDS} rounds in which the peers take turns: ours by the size of the batch, theirs",
        f"called one by one. OSQP {version('osqp')}, to {TOLERANCE:g}, is set up at each call, or",
        "keeps its workspace and is updated; it knows no disc. Clarabel",
        f"{version('clarabel')} is set up at each call. Ratios, medians over the rounds, are to",
        "our batch of 1,000. (`python -m benchmarks.navigation.planar_qp` measures this "
        f"section alone. {processor()}.)",
        "",
        *table(
            ["set, half-planes", *(f"{count:,}" for count in BATCHES), "OSQP", "ratio",
             "OSQP, updated", "ratio", "Clarabel", "ratio"],
            rows,
        ),
        f"The largest KKT residual of {CHECKED:,} problems of each kind is {residual:.0e}. Answers",
        f"differ from OSQP's by at most {apart['OSQP']:.0e}, from Clarabel's by "
        f"{apart['Clarabel']:.0e}.",
        "",
    ]  # fmt: skip


def compared(kind: str, m: int) -> tuple[list[str], float, dict[str, float]]:
    """A row of the table, our KKT residual, and the distances from peers' answers."""
    allowed, calls = SETS[kind], {}  # each by name
    for count in BATCHES:
        batch = [torch.as_tensor(part) for part in problems(count, m, seed=count)]
        calls[f"{count:,}"] = partial(nearest, *batch, allowed)
    few = problems(ONE_BY_ONE, m, seed=m)
    each = list(zip(*few, strict=True))
    calls["Clarabel"] = lambda: [by_clarabel(kind, one) for one in each]
    if kind == "box":
        kept = Osqp(*each[0])
        calls["OSQP"] = lambda: [Osqp(*one).solve() for one in each]
        calls["OSQP, updated"] = lambda: [kept.update(*one).solve() for one in each]
    sizes = dict.fromkeys(calls, ONE_BY_ONE) | {f"{count:,}": count for count in BATCHES}
    spent: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            call()  # what others left in the caches is not its fault
            began = time.process_time()
            call()
            spent[name].append(1e6 * (time.process_time() - began) / sizes[name])
    row = [f"{np.median(spent[f'{count:,}']):.2f}" for count in BATCHES]
    for name in ("OSQP", "OSQP, updated", "Clarabel"):
        if name in spent:
            ratio = np.median(np.array(spent[name]) / np.array(spent["1,000"]))
            row += [f"{np.median(spent[name]):,.0f}", f"**{ratio:,.0f}**"]
        else:
            row += ["-", "-"]
    ours = nearest(*map(torch.as_tensor, few), allowed).control.numpy()
    distances = {
        name: np.linalg.norm(np.array(calls[name]()) - ours, axis=1).max()
        for name in calls.keys() - {f"{count:,}" for count in BATCHES}
    }
    many = [torch.as_tensor(part) for part in problems(CHECKED, m, seed=1)]
    residual = kkt_residual(nearest(*many, allowed).control, *many, allowed)
    return row, residual.max().item(), distances


if __name__ == "__main__":
    print("\n".join(lines()))
