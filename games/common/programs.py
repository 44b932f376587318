"""Linear and mixed-integer programs on HiGHS, built block by block from arrays.

Huangfu & Hall, "Parallelizing the dual revised simplex method" (2018), https://highs.dev.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from numpy.typing import ArrayLike

from games.common.progress import Progress
from games.finite.sequence_form import Float64

INFINITY = highspy.kHighsInf
TOLERANCE = 1e-9  # of feasibility and optimality; HiGHS takes no less than 1e-10


class Infeasible(ArithmeticError):
    """The program has no solution."""


@dataclass(frozen=True, eq=False)
class Answer:
    """The solution of a program."""

    x: Float64  # [variables]
    duals: Float64  # [rows], of the minimised objective; zeros where there are integers
    objective: float
    bound: float  # no solution is better than this
    optimal: bool  # False where time or a wish to stop ended the search
    reason: str  # why it ended, in HiGHS's words


class Program:
    """Variables and rows, added in blocks; rows are COO triples of their own numbering."""

    def __init__(self) -> None:
        self._lower: list[Float64] = []
        self._upper: list[Float64] = []
        self._cost: list[Float64] = []
        self._make_integer: list[np.ndarray] = []
        self._add_cost: list[tuple[np.ndarray, Float64]] = []
        self._rows: list[np.ndarray] = []
        self._columns: list[np.ndarray] = []
        self._values: list[Float64] = []
        self._row_lower: list[Float64] = []
        self._row_upper: list[Float64] = []
        self.num_variables = 0
        self.num_rows = 0

    def variables(
        self,
        count: int,
        lower: ArrayLike = 0.0,
        upper: ArrayLike = INFINITY,
        cost: ArrayLike = 0.0,
    ) -> np.ndarray:
        """Add `count` variables; returns their numbers [count]."""
        for store, given in ((self._lower, lower), (self._upper, upper), (self._cost, cost)):
            store.append(np.broadcast_to(np.asarray(given, dtype=np.float64), (count,)))
        self.num_variables += count
        return np.arange(self.num_variables - count, self.num_variables)

    def rows(
        self,
        count: int,
        triples: Sequence[tuple[ArrayLike, ArrayLike, ArrayLike]],
        lower: ArrayLike = -INFINITY,
        upper: ArrayLike = INFINITY,
    ) -> np.ndarray:
        """Add `count` rows lower <= a x <= upper; returns their numbers [count].

        Args:
            count: how many.
            triples: (row, variable, coefficient) arrays, rows counted from 0 in this block;
                coefficients of the same place are added up.
            lower: [count] or one for all.
            upper: the same.
        """
        for row, column, value in triples:
            row, column = np.broadcast_arrays(np.asarray(row), np.asarray(column))
            self._rows.append(self.num_rows + row.ravel())
            self._columns.append(column.ravel())
            self._values.append(
                np.broadcast_to(np.asarray(value, dtype=np.float64), row.shape).ravel()
            )
        self._row_lower.append(np.broadcast_to(np.asarray(lower, dtype=np.float64), (count,)))
        self._row_upper.append(np.broadcast_to(np.asarray(upper, dtype=np.float64), (count,)))
        self.num_rows += count
        return np.arange(self.num_rows - count, self.num_rows)

    def make_integer(self, variables: np.ndarray) -> None:
        """Hold these variables to whole numbers."""
        self._make_integer.append(variables)

    def add_cost(self, variables: np.ndarray, cost: ArrayLike) -> None:
        """Add `cost` to these variables' part in the objective; a variable may come twice."""
        self._add_cost.append((variables, np.asarray(cost, dtype=np.float64)))

    def model(self, *, maximise: bool = False) -> highspy.Highs:
        """The program inside HiGHS, for those who change it between two solutions."""
        from scipy.sparse import csc_matrix

        def joined(parts: list[Any], dtype: Any = np.float64) -> np.ndarray:
            return np.concatenate(parts) if parts else np.zeros(0, dtype)

        shape = (self.num_rows, self.num_variables)
        places = (joined(self._rows, np.int64), joined(self._columns, np.int64))
        matrix = csc_matrix((joined(self._values), places), shape=shape)
        integer = np.zeros(self.num_variables, dtype=bool)
        for variables in self._make_integer:
            integer[variables] = True
        costs = joined(self._cost)
        for variables, cost in self._add_cost:
            np.add.at(costs, variables, cost)
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = self.num_variables, self.num_rows
        lp.col_cost_ = costs
        lp.col_lower_, lp.col_upper_ = joined(self._lower), joined(self._upper)
        lp.row_lower_, lp.row_upper_ = joined(self._row_lower), joined(self._row_upper)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.indptr, matrix.indices
        lp.a_matrix_.value_ = matrix.data
        lp.sense_ = highspy.ObjSense.kMaximize if maximise else highspy.ObjSense.kMinimize
        if integer.any():
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            lp.integrality_ = [kinds[int(i)] for i in integer]
        highs = highspy.Highs()
        options = {
            "output_flag": False, "threads": 1, "primal_feasibility_tolerance": TOLERANCE,
            "dual_feasibility_tolerance": TOLERANCE, "mip_rel_gap": 0.0, "mip_abs_gap": 1e-9,
            "mip_feasibility_tolerance": TOLERANCE,
        }  # fmt: skip
        for name, value in options.items():
            highs.setOptionValue(name, value)
        highs.passModel(lp)
        return highs

    def solve(
        self,
        *,
        maximise: bool = False,
        interior: bool = False,
        seconds: float | None = None,
        progress: Progress | None = None,
    ) -> Answer:
        """Solve the program, by the simplex or by an interior point and crossover; see `run`.

        Where coefficients differ by many orders of magnitude, rounding adds up while HiGHS pivots,
        unseen: the rows that it holds to the bounds are not those of its variables any more. Such
        an answer is taken back to its basis, which is computed anew, first with HiGHS's scaling of
        rows and then without.
        """
        model = self.model(maximise=maximise)
        if interior:
            model.setOptionValue("solver", "ipm")
        answer = run(model, seconds=seconds, progress=progress)
        if model.getLp().integrality_:
            return answer
        excess = _excess(model, answer.x)
        for scaling in (True, False):
            if excess <= TOLERANCE:
                break
            basis = model.getBasis()
            model.clearSolver()
            model.setOptionValue("solver", "simplex")
            model.setOptionValue("presolve", "off")
            if not scaling:
                model.setOptionValue("simplex_scale_strategy", 0)
            model.setBasis(basis)
            again = run(model, seconds=seconds, progress=progress)
            if _excess(model, again.x) < excess:
                answer, excess = again, _excess(model, again.x)
        return answer


def _excess(highs: highspy.Highs, x: Float64) -> float:
    """How far the rows at x [variables] are out of their bounds at most."""
    from scipy.sparse import csc_matrix

    lp = highs.getLp()
    matrix = lp.a_matrix_
    shape = (lp.num_row_, lp.num_col_)
    rows = csc_matrix((matrix.value_, matrix.index_, matrix.start_), shape=shape) @ x
    out = np.maximum(np.array(lp.row_lower_) - rows, rows - np.array(lp.row_upper_))
    return float(out.max(initial=0.0))


def run(
    highs: highspy.Highs, *, seconds: float | None = None, progress: Progress | None = None
) -> Answer:
    """Let HiGHS solve what it holds.

    Raises:
        Infeasible: there is no solution.
        RuntimeError: HiGHS gave up, or was stopped before it had any solution.
    """
    if seconds is not None:
        highs.setOptionValue("time_limit", highs.getRunTime() + seconds)
    raised: list[BaseException] = []

    def look(event: Any) -> None:
        try:
            out = event.data_out
            found = f", best {out.mip_primal_bound:.6g}" if abs(out.mip_primal_bound) < 1e30 else ""
            if progress is not None and progress(
                f"HiGHS: {out.running_time:.0f} s, {out.mip_node_count:,} nodes{found}"
            ):
                event.interrupt()
        except BaseException as error:  # a notebook's Ctrl-C, say: not through C++
            raised.append(error)
            event.interrupt()

    events = (
        (highs.cbMipInterrupt, highs.cbSimplexInterrupt, highs.cbIpmInterrupt)
        if progress is not None
        else ()
    )
    for event in events:
        event.subscribe(look)
    highs.run()
    for event in events:
        event.unsubscribe(look)
    if raised:
        raise raised[0]
    status = highs.getModelStatus()
    reason = highs.modelStatusToString(status)
    if status in (
        highspy.HighsModelStatus.kInfeasible,
        highspy.HighsModelStatus.kUnboundedOrInfeasible,
    ):
        raise Infeasible(reason)
    info, solution = highs.getInfo(), highs.getSolution()
    optimal = status == highspy.HighsModelStatus.kOptimal
    has_integers = bool(highs.getLp().integrality_)
    if not optimal and not (has_integers and info.primal_solution_status == 2):
        raise RuntimeError(f"no solution found: {reason.lower()}")
    return Answer(
        x=np.array(solution.col_value),
        duals=np.array(solution.row_dual) if not has_integers else np.zeros(highs.getNumRow()),
        objective=float(info.objective_function_value),
        bound=float(info.mip_dual_bound) if has_integers else float(info.objective_function_value),
        optimal=optimal,
        reason=reason.lower(),
    )
