"""The planar QP against Clarabel, HiGHS, NNLS, enumeration in fractions and finite differences."""

from fractions import Fraction
from itertools import combinations

import clarabel
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.optimize import linprog, nnls

from games import InputError
from games.navigation.planar_qp import FREE, Allowed, kkt_residual, nearest

KINDS = ["plane", "box", "disc", "both"]


def allowed(kind, dtype=torch.float64):
    """A box and a disc of which neither contains the other."""
    low, high, centre = torch.tensor([[-1.0, -0.7], [0.9, 1.0], [0.1, 0.2]], dtype=dtype)
    box, disc = dict(low=low, high=high), dict(centre=centre, radius=1.0)
    return Allowed(**{"plane": {}, "box": box, "disc": disc, "both": box | disc}[kind])


def random(count, m, seed, slack=0.5):
    """References, normals, offsets, and points that keep all rows with up to `slack` to spare."""
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(count, m, 2)) * np.exp(rng.normal(size=(count, m, 1)))
    inside = rng.uniform(-0.45, 0.45, (count, 2))
    length = np.linalg.norm(normals, axis=-1)
    offsets = np.einsum("qmd,qd->qm", normals, inside)
    offsets -= slack * rng.uniform(size=(count, m)) * length
    problem = 1.5 * rng.normal(size=(count, 2)), normals, offsets
    return *map(torch.as_tensor, problem), torch.as_tensor(inside)


def contradicting(count, m, seed):
    """Half of these are infeasible, or more."""
    reference, normals, offsets, _ = random(count, m, seed)
    return reference, normals, offsets + normals.norm(dim=-1) * (0.2 + 1.0 / m)


def cones(normals, offsets, where, ease):
    """Clarabel's A, b and cones; the last column of A eases the rows, which are scaled."""
    length = np.linalg.norm(normals, axis=-1)
    a = [np.column_stack((-normals / length[:, None], -np.ones(len(length))))]
    b = [-offsets / length]
    if where.low is not None:
        eye = np.column_stack((np.eye(2), np.zeros(2)))
        a, b = [*a, eye, -eye], [*b, where.high.numpy(), -where.low.numpy()]
    kinds = [clarabel.NonnegativeConeT(sum(map(len, b)))]
    if where.centre is not None:
        a.append(np.array([[0, 0, 0], [-1, 0, 0], [0, -1, 0]]))
        b.append(np.array([where.radius, *-where.centre.numpy()]))
        kinds.append(clarabel.SecondOrderConeT(3))
    a = np.concatenate(a).astype(float)
    return sparse.csc_matrix(a if ease else a[:, :2]), np.concatenate(b), kinds


def solve(squares, linear, a, b, kinds):
    options = clarabel.DefaultSettings()
    options.verbose = False
    options.tol_gap_abs = options.tol_gap_rel = options.tol_feas = 1e-11
    squares = sparse.csc_matrix(np.diag(squares))
    found = clarabel.DefaultSolver(squares, np.array(linear), a, b, kinds, options).solve()
    return np.array(found.x), str(found.status)


def clarabel_nearest(reference, normals, offsets, where):
    a, b, kinds = cones(normals, offsets, where, ease=False)
    return solve([1.0, 1.0], -reference, a, b, kinds)


def clarabel_least(normals, offsets, where):
    """The least largest distance to a half-plane; less than 0 if there is room."""
    found, _ = solve([0.0] * 3, [0.0, 0.0, 1.0], *cones(normals, offsets, where, ease=True))
    return found[2]


def missed(control, normals, offsets, where):
    """[Q] by how much a control misses the constraint that it misses most, row by row in numpy."""
    length = normals.norm(dim=-1)
    over = [((offsets - (normals @ control[..., None])[..., 0]) / length).numpy()]
    if where.low is not None:
        over += [(where.low - control).numpy(), (control - where.high).numpy()]
    if where.centre is not None:
        out = (control - where.centre).norm(dim=-1) - where.radius
        over.append(out[:, None].numpy())
    return np.concatenate(over, axis=1).max(axis=1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [1, 3, 8])
def test_agrees_with_clarabel(kind, m):
    where = allowed(kind)
    reference, normals, offsets, _ = random(60, m, seed=m)
    answer = nearest(reference, normals, offsets, where)
    assert answer.feasible.all()
    for q in range(len(reference)):
        theirs, status = clarabel_nearest(
            *(x[q].numpy() for x in (reference, normals, offsets)), where
        )
        assert "Solved" in status
        # Its error is about the root of its gap.
        np.testing.assert_allclose(answer.control[q].numpy(), theirs, atol=3e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_kkt_residual_of_10000(kind):
    """By our own residual, and by NNLS on the gradients of the constraints that are tight."""
    where = allowed(kind)
    generator, worst, theirs = np.random.default_rng(0), 0.0, 0.0
    for m in range(1, 9):
        reference, normals, offsets, _ = random(1250, m, seed=generator.integers(1 << 30))
        answer = nearest(reference, normals, offsets, where)
        control = answer.control
        assert answer.feasible.all()
        assert (answer.violation == 0).all()
        if where.low is not None:
            assert ((where.low <= control) & (control <= where.high)).all()
        worst = max(worst, kkt_residual(control, reference, normals, offsets, where).max().item())
        worst = max(worst, missed(control, normals, offsets, where).max())
        for q in range(0, len(reference), 4):
            theirs = max(theirs, unexplained(q, control, reference, normals, offsets, where))
    assert worst < 1e-10
    assert theirs < 1e-6


def unexplained(q, control, reference, normals, offsets, where):
    u, n, b = control[q].numpy(), normals[q].numpy(), offsets[q].numpy()
    n, b = n / np.linalg.norm(n, axis=-1, keepdims=True), b / np.linalg.norm(n, axis=-1)
    tight = [*n[n @ u - b < 1e-9]]
    if where.low is not None:
        edges = np.concatenate((np.eye(2), -np.eye(2)))
        room = np.concatenate((u - where.low.numpy(), where.high.numpy() - u))
        tight += [*edges[room < 1e-9]]
    if where.centre is not None:
        out = u - where.centre.numpy()
        if np.linalg.norm(out) > where.radius - 1e-9:
            tight.append(-out / np.linalg.norm(out))
    moved = u - reference[q].numpy()
    return nnls(np.array(tight).T, moved)[1] if tight else np.linalg.norm(moved)


@pytest.mark.parametrize("kind", KINDS)
def test_a_point_that_is_not_optimal_has_a_residual(kind):
    where = allowed(kind)
    reference, normals, offsets, inside = random(500, 4, seed=1)
    best = nearest(reference, normals, offsets, where).control
    other = best + 0.01 * (inside - best)  # feasible, a hundredth of the way to a point inside
    residual = kkt_residual(other, reference, normals, offsets, where)
    moved = (other - best).norm(dim=-1)
    far = (best - inside).norm(dim=-1) > 0.1
    assert (residual[far] > 0.03 * moved[far]).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m", [2, 3, 5, 8])
def test_least_violation_is_clarabels(kind, m):
    where = allowed(kind)
    reference, normals, offsets = contradicting(60, m, seed=m)
    answer = nearest(reference, normals, offsets, where)
    assert kind == "plane" or not answer.feasible.all()
    assert missed(answer.control, *no_rows(normals, offsets), where).max() < 1e-12
    for q in range(len(reference)):
        r, n, b = (x[q].numpy() for x in (reference, normals, offsets))
        least = max(0.0, clarabel_least(n, b, where))
        assert answer.violation[q].item() == pytest.approx(least, abs=1e-7)
        if not answer.feasible[q]:
            u = answer.control[q].numpy()
            length = np.linalg.norm(n, axis=-1)
            assert ((b - n @ u) / length).max() == pytest.approx(least, abs=1e-7)
            # Of all who miss no more than this, the nearest.
            ties, _ = clarabel_nearest(r, n, b - (least + 1e-7) * length, where)
            assert np.linalg.norm(u - r) == pytest.approx(np.linalg.norm(ties - r), abs=1e-3)
            assert np.linalg.norm(u - r) >= np.linalg.norm(ties - r) - 1e-6


def no_rows(normals, offsets):
    """One row that says nothing, instead of these."""
    return torch.ones_like(normals[:, :1]), torch.full_like(offsets[:, :1], -1e9)


@pytest.mark.parametrize("m", [2, 4, 8])
def test_flag_is_that_of_the_largest_margin_by_highs(m):
    where = allowed("box")
    reference, normals, offsets = contradicting(120, m, seed=10 + m)
    offsets -= 0.7 / m * normals.norm(dim=-1)
    answer = nearest(reference, normals, offsets, where)
    flags = []
    for q in range(len(reference)):
        n, b = normals[q].numpy(), offsets[q].numpy()
        rows = np.column_stack((-n, np.linalg.norm(n, axis=-1)))
        bounds = [*zip(where.low.tolist(), where.high.tolist(), strict=True), (None, 10)]
        margin = -linprog([0, 0, -1], A_ub=rows, b_ub=-b, bounds=bounds, method="highs").fun
        assert abs(margin) > 1e-7  # nothing here is too close to call
        assert bool(answer.feasible[q]) == (margin > 0)
        assert answer.violation[q].item() == pytest.approx(max(0.0, -margin), abs=1e-8)
        flags.append(margin > 0)
    assert 0.02 < np.mean(flags) < 0.98


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slack", [0.0, 1e-14, 1e-10, 1e-6])
def test_tiny_sets_are_feasible(kind, slack):
    """All rows pass within `slack` of a point; it is most of what they leave, often all of it."""
    where = allowed(kind)
    for m in range(1, 9):
        reference, normals, offsets, inside = random(2000, m, seed=m, slack=slack)
        answer = nearest(reference, normals, offsets, where)
        assert answer.feasible.all()
        assert missed(answer.control, normals, offsets, where).max() < 1e-9
        nearer = (answer.control - reference).norm(dim=-1) - (inside - reference).norm(dim=-1)
        assert nearer.max() < 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_sets_that_are_one_point(kind):
    """Three rows around a point that leave nothing else, or miss it by 1e-3."""
    turn = 2 * torch.pi * torch.arange(3, dtype=torch.float64) / 3
    reference, _, _, inside = random(300, 3, seed=3)
    angle = turn + 6 * torch.rand(300, 1, generator=torch.Generator().manual_seed(0)).double()
    normals = torch.stack((angle.cos(), angle.sin()), dim=-1)
    offsets = (normals @ inside[..., None])[..., 0]
    answer = nearest(reference, normals, offsets, allowed(kind))
    assert answer.feasible.all()
    torch.testing.assert_close(answer.control, inside, atol=1e-9, rtol=0)
    answer = nearest(reference, normals, offsets + 1e-3, allowed(kind))
    assert not answer.feasible.any()
    torch.testing.assert_close(answer.control, inside, atol=1e-9, rtol=0)
    torch.testing.assert_close(answer.violation, torch.full((300,), 1e-3).double())


X, Y = (1.0, 0.0), (0.0, 1.0)
THIN = 1e-9  # an angle
DEGENERATE = [
    # kind, reference, normals, offsets, control, feasible, violation
    ("plane", (3, 4), [], [], (3, 4), True, 0),
    ("disc", (4.1, 0.2), [], [], (1.1, 0.2), True, 0),
    ("both", (4.1, 0.2), [], [], (0.9, 0.2), True, 0),
    ("disc", (0.1, 0.2), [], [], (0.1, 0.2), True, 0),
    ("plane", (1, 0), [X], [1], (1, 0), True, 0),  # on the line
    ("plane", (0, 7), [X, X, X], [1, 1, 1], (1, 7), True, 0),
    ("plane", (0, 7), [X, (3, 0), (1e-200, 0)], [1, 3, 1e-200], (1, 7), True, 0),
    ("plane", (0, 7), [X, (1e150, 0)], [1, 2e150], (2, 7), True, 0),
    ("plane", (0, 7), [X, (-1, 0)], [1, -1], (1, 7), True, 0),  # a line
    ("plane", (0, 7), [X, (-7, 0)], [1, -7], (1, 7), True, 0),
    ("plane", (0, 7), [X, (-1, 0)], [1, 1], (0, 7), False, 1),  # opposite, everywhere alike
    ("plane", (5, 7), [X, (-1, 0)], [1, 1], (0, 7), False, 1),
    ("plane", (5, 7), [X, (-2, 0)], [3, -2], (2, 7), False, 1),
    ("plane", (0, 7), [X, X], [1, 2], (2, 7), True, 0),  # parallel
    ("plane", (0, 0), [X, Y, (-1, 0), (0, -1)], [1, 1, -1, -1], (1, 1), True, 0),  # a point
    ("plane", (0, 9), [X, Y, (-1, 0), (0, -1)], [1, 1, -1, -2], (1, 2), True, 0),  # a segment
    ("plane", (0, 0), [X, (1, THIN)], [1, 1], (1, 0), True, 0),
    ("plane", (0, 5), [X, (1, THIN)], [1, 1], (1, 5), True, 0),
    ("plane", (0, 0), [X, (-1, THIN)], [1, 0], (1, 1 / THIN), True, 0),  # a wedge far away
    ("plane", (0, 0), [(0, 0), X], [-1, 1], (1, 0), True, 0),
    ("plane", (0, 0), [(0, 0), X], [0, 1], (1, 0), True, 0),
    ("plane", (0, 0), [(0, 0), X], [1e-3, 1], (1, 0), False, 0),
    ("plane", (0, 0), [(0, 0), (0, 0)], [-1, -1], (0, 0), True, 0),
    ("box", (0, 0), [X], [0.9], (0.9, 0), True, 0),  # touches the box
    ("box", (0, 0), [X], [1.4], (0.9, 0), False, 0.5),  # an edge is as good as its ends
    ("box", (0, 3), [X], [1.4], (0.9, 1), False, 0.5),
    ("box", (9, 9), [X, (-1, 0)], [0.9, -0.9], (0.9, 1), True, 0),
    ("box", (1e8, 1e8), [X], [-5], (0.9, 1), True, 0),
    ("box", (0, 0), [X], [1e150], (0.9, 0), False, 1e100),
    ("disc", (0, 0), [X], [1.1], (1.1, 0.2), True, 0),  # touches the circle
    ("disc", (0, 0), [X], [2.1], (1.1, 0.2), False, 1),
    ("disc", (9, 0), [X, (-1, 0)], [2.1, 2.1], (0, 0), False, 2.1),
    ("disc", (1e8, 0.2), [X], [-1e9], (1.1, 0.2), True, 0),
    ("disc", (0, 0), [X, X, (2, 0)], [1.1, 1.1, 2.2], (1.1, 0.2), True, 0),
    ("both", (0, 0), [X], [1.4], (0.9, 0), False, 0.5),
    ("both", (0, 0), [(0, -1)], [1.5], (0, -0.7), False, 0.8),
]


@pytest.mark.parametrize(
    ("kind", "reference", "normals", "offsets", "u", "feasible", "least"), DEGENERATE
)
@pytest.mark.parametrize("copies", [1, 5])
def test_degenerate(kind, reference, normals, offsets, u, feasible, least, copies):
    m = len(offsets)
    given = [
        torch.tensor(part, dtype=torch.float64).reshape(1, *shape).expand(copies, *shape)
        for part, shape in ((reference, (2,)), (normals, (m, 2)), (offsets, (m,)))
    ]
    answer = nearest(*given, allowed(kind))
    want = torch.tensor(u, dtype=torch.float64).expand(copies, 2)
    # Where a line touches the circle, an error shows as its root.
    torch.testing.assert_close(answer.control, want, atol=1e-6, rtol=1e-9)
    assert (answer.feasible == feasible).all()
    torch.testing.assert_close(
        answer.violation, torch.full((copies,), least, dtype=torch.float64), atol=1e-9, rtol=1e-9
    )


def test_wedges_far_away():
    """Of two rows that are all but opposite; their crossing by LAPACK."""
    rng = np.random.default_rng(0)
    turn, thin = rng.uniform(0, 6, 2000), 10.0 ** -rng.uniform(2, 9, 2000)
    angle = np.stack((turn, turn + np.pi + thin), axis=-1)
    normals, offsets = np.stack((np.cos(angle), np.sin(angle)), axis=-1), np.ones((2000, 2))
    answer = nearest(*map(torch.as_tensor, (np.zeros((2000, 2)), normals, offsets)))
    assert answer.feasible.all()
    crossing = np.linalg.solve(normals, offsets[..., None])[..., 0]
    apart = np.linalg.norm(answer.control.numpy() - crossing, axis=-1)
    assert (apart <= 1e-13 / thin**2).all()


def enumerated(reference, rows):
    """The nearest point in fractions, or None: feet and crossings of all lines, one by one."""
    points = [reference]
    for x, y, b in rows:
        if x or y:
            share = (b - x * reference[0] - y * reference[1]) / Fraction(x * x + y * y)
            points.append((reference[0] + share * x, reference[1] + share * y))
    for (x, y, b), (s, t, c) in combinations(rows, 2):
        if area := x * t - y * s:
            points.append((Fraction(b * t - c * y, area), Fraction(c * x - b * s, area)))
    kept = [p for p in points if all(x * p[0] + y * p[1] >= b for x, y, b in rows)]
    return min(
        kept,
        key=lambda p: sum((a - b) ** 2 for a, b in zip(p, reference, strict=True)),
        default=None,
    )


WHOLE = st.integers(-4, 4)


@settings(max_examples=400, deadline=None)
@given(
    reference=st.tuples(WHOLE, WHOLE),
    rows=st.lists(st.tuples(WHOLE, WHOLE, WHOLE), max_size=6),
    box=st.booleans(),
    scale=st.sampled_from([1.0, 1 / 3, 1e-7, 1e9]),
)
def test_whole_numbers_against_fractions(reference, rows, box, scale):
    """Parallel, equal, opposite and concurrent rows in plenty, each scaled differently."""
    edges = [(1, 0, -2), (0, 1, -1), (-1, 0, -1), (0, -1, -2)] if box else []
    exact = enumerated(tuple(map(Fraction, reference)), rows + edges)
    factors = torch.tensor([scale**i for i in range(len(rows))], dtype=torch.float64)[None]
    table = torch.tensor(rows, dtype=torch.float64).reshape(1, -1, 3) * factors[..., None]
    corners = torch.tensor([[-2, -1], [1, 2]], dtype=torch.float64)
    where = Allowed(*corners) if box else Allowed()
    r = torch.tensor([reference], dtype=torch.float64)
    answer = nearest(r, table[..., :2], table[..., 2], where)
    assert bool(answer.feasible) == (exact is not None)
    if exact is not None:
        want = torch.tensor([[float(x) for x in exact]], dtype=torch.float64)
        torch.testing.assert_close(answer.control, want, atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("seed", range(3))
def test_nearly_parallel_rows_against_fractions(seed):
    """Angles of 1e-3 to 1e-17 between the same and opposite rows, as near to one point."""
    rng, count, m = np.random.default_rng(seed), 200, 5
    side = rng.integers(0, 2, (count, m)) * rng.integers(0, 2, (count, 1))
    lean = rng.choice([0, 1, -1, 0.5], (count, m)) * 10.0 ** -rng.integers(3, 18, (count, m))
    angle = rng.choice(rng.uniform(0, 6, 2), (count, m)) + np.pi * side + lean
    normals = np.stack((np.cos(angle), np.sin(angle)), axis=-1)
    normals *= np.exp(rng.normal(size=(count, m, 1)) * rng.choice([0, 1, 5], (count, 1, 1)))
    gap = rng.choice([0, 1, -1, 0.3], (count, m)) * 10.0 ** -rng.integers(0, 18, (count, m))
    offsets = (normals @ rng.uniform(-0.7, 0.7, (count, 2, 1)))[..., 0]
    offsets += gap * np.linalg.norm(normals, axis=-1)
    reference = rng.normal(size=(count, 2)) * rng.choice([1, 1000], (count, 1))
    given, where = [*map(torch.as_tensor, (reference, normals, offsets))], allowed("box")
    answer = nearest(*given, where)
    over = missed(answer.control, *given[1:], where)
    seen = 0
    for q in range(count):
        table = np.column_stack((normals[q], offsets[q])).tolist()
        edges = [[1, 0, where.low[0]], [0, 1, where.low[1]]]
        edges += [[-1, 0, -where.high[0]], [0, -1, -where.high[1]]]
        rows = [tuple(Fraction(float(x)) for x in row) for row in (*table, *edges)]
        exact = enumerated(tuple(map(Fraction, reference[q].tolist())), rows)
        if exact is None:
            assert not answer.feasible[q] or over[q] < 1e-9
        else:
            seen += 1
            assert answer.feasible[q]
            assert over[q] < 1e-9
            r = reference[q]
            theirs = np.linalg.norm(np.array([float(x) for x in exact]) - r)
            assert np.linalg.norm(answer.control[q].numpy() - r) <= theirs * (1 + 1e-9) + 1e-9
    assert seen > count / 4


def test_float32_misses_little():
    for kind in KINDS:
        for m in (1, 3, 8):
            reference, normals, offsets, _ = random(2000, m, seed=m)
            where = allowed(kind)
            exact = nearest(reference, normals, offsets, where)
            short = [x.float() for x in (reference, normals, offsets)]
            answer = nearest(*short, allowed(kind, torch.float32))
            assert answer.control.dtype == torch.float32
            assert answer.feasible.all()
            control = answer.control.double()
            assert missed(control, normals, offsets, where).max() < 5e-5
            longer = (control - reference).norm(dim=-1) - (exact.control - reference).norm(dim=-1)
            # Rows that are nearly parallel cross elsewhere once they are rounded.
            assert longer.abs().quantile(0.99) < 1e-4
            assert longer.abs().max() < 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_neither_padding_nor_company_changes_an_answer(kind):
    where = allowed(kind)
    reference, normals, offsets = contradicting(64, 3, seed=4)
    together = nearest(reference, normals, offsets, where)
    padded = nearest(
        reference,
        torch.cat((normals.new_zeros(64, 2, 2), normals), dim=1),
        torch.cat((offsets.new_full((64, 2), -1), offsets), dim=1),
        where,
    )
    alone = [
        nearest(reference[q : q + 1], normals[q : q + 1], offsets[q : q + 1], where)
        for q in range(64)
    ]
    for name in ("control", "violation"):
        mine = getattr(together, name)
        torch.testing.assert_close(getattr(padded, name), mine, atol=1e-13, rtol=0)
        others = torch.cat([getattr(one, name) for one in alone])
        torch.testing.assert_close(others, mine, atol=1e-13, rtol=0)
    assert torch.equal(together.feasible, padded.feasible)
    assert torch.equal(together.feasible, torch.cat([one.feasible for one in alone]))
    shifted = torch.where(together.active == FREE, FREE, together.active + 2)
    assert torch.equal(padded.active, shifted)


def test_no_problems_have_no_answers():
    empty = torch.zeros(0, 2), torch.zeros(0, 3, 2), torch.zeros(0, 3)
    for kind in KINDS:
        answer = nearest(*empty, allowed(kind, torch.float32))
        assert answer.control.shape == (0, 2)
        assert answer.active.shape == (0, 2)
        assert answer.feasible.shape == answer.violation.shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_active_constraints_hold_with_equality(kind):
    where = allowed(kind)
    reference, normals, offsets, _ = random(2000, 4, seed=5)
    answer = nearest(reference, normals, offsets, where)
    u, active = answer.control, answer.active
    length = normals.norm(dim=-1)
    slack = ((normals @ u[..., None])[..., 0] - offsets) / length
    if where.low is not None:
        slack = torch.cat((slack, u - where.low, where.high - u), dim=1)
    if where.centre is not None:
        slack = torch.cat(
            (slack, where.radius - (u - where.centre).norm(dim=-1, keepdim=True)), dim=1
        )
    tight = slack.gather(1, active.clamp_min(0)).abs()
    assert tight[active != FREE].max() < 1e-12
    moved = (u - reference).norm(dim=-1) > 0
    assert torch.equal(moved, active[:, 0] != FREE)
    assert (active[active[:, 0] == FREE] == FREE).all()


GRADIENTS = {
    # kind, reference, normals, offsets, active
    "nothing": ("both", (0.2, 0.1), [X], [-3], {FREE}),
    "a row": ("both", (-0.5, 0.1), [(2, 0.5)], [-0.2], {0, FREE}),
    "two rows": ("both", (-0.5, -0.4), [(2, 0.5), (-0.3, 1)], [0.2, 0.1], {0, 1}),
    "an edge": ("box", (2, 0.1), [(2, 0.5)], [-0.2], {3, FREE}),
    "a corner": ("box", (2, 3), [(2, 0.5)], [-0.2], {3, 4}),
    "a row and an edge": ("both", (2, 0.1), [(0.1, 1)], [0.4], {0, 3}),
    "the circle": ("disc", (0.3, 2), [(2, 0.5)], [-0.2], {1, FREE}),
    "a row and the circle": ("disc", (0.3, 2), [(-2, 0.5)], [0.5], {0, 1}),
    "an edge and the circle": ("both", (2, 1), [(2, 0.5)], [-0.2], {3, 5}),
    "the circle, no row": ("disc", (0.3, 2), [], [], {0, FREE}),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_are_finite_differences(name):
    kind, reference, normals, offsets, active = GRADIENTS[name]
    low, high, centre, radius = allowed(kind)
    given = [
        torch.tensor([reference]),
        torch.tensor(normals).reshape(1, -1, 2),
        torch.tensor([offsets]),
    ]
    sets = [x for x in (low, high, centre) if x is not None]
    sets += [] if radius is None else [torch.tensor([radius])]
    given = [x.double().clone().requires_grad_(x.numel() > 0) for x in (*given, *sets)]

    def control(reference, normals, offsets, *sets):
        where = {"box": sets, "both": sets, "disc": (None, None, *sets)}[kind]
        answer = nearest(reference, normals, offsets, Allowed(*where))
        assert set(answer.active[0].tolist()) == active
        return answer.control

    with torch.no_grad():
        plain = control(*given)
    assert torch.equal(plain, control(*given))
    for mine, theirs in zip(derivatives(control, given), differences(control, given), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-8)


def derivatives(function, given):
    some = [part for part in given if part.numel()]
    rows = [torch.autograd.grad(function(*given)[0, i], some, allow_unused=True) for i in range(2)]
    for part, *pair in zip(some, *rows, strict=True):
        yield torch.stack([torch.zeros_like(part) if d is None else d for d in pair])


def differences(function, given, step=1e-5):
    """Central, of fourth order."""
    for k, part in enumerate(given):
        if not part.numel():
            continue
        columns = []
        for i in range(part.numel()):
            total = 0
            for times, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
                moved = [x.detach().clone() for x in given]
                moved[k].view(-1)[i] += times * step
                total = total + weight * function(*moved)[0]
            columns.append(total / (12 * step))
        yield torch.stack(columns, dim=-1).reshape(2, *part.shape)


def test_gradients_stay_finite_where_rows_contradict_or_coincide():
    reference, normals, offsets = contradicting(200, 4, seed=8)
    normals[:100, 1] = 2 * normals[:100, 0]
    offsets[:100, 1] = 2 * offsets[:100, 0]
    normals[50:60, 2] = 0
    for kind in KINDS:
        given = [x.clone().requires_grad_() for x in (reference, normals, offsets)]
        answer = nearest(*given, allowed(kind))
        for slope in torch.autograd.grad(answer.control.sum(), given):
            assert slope.isfinite().all()
            assert (slope[~answer.feasible] == 0).all()


def test_bad_input_is_told_in_a_line():
    reference, normals, offsets, _ = random(3, 2, seed=0)
    one, two = torch.ones(2).double(), 2 * torch.ones(2).double()
    nan = torch.full_like(reference, torch.nan)
    bad = [
        ((reference[:2], normals, offsets), Allowed(), "do not fit"),
        ((reference, normals[:, :1], offsets), Allowed(), "do not fit"),
        ((nan, normals, offsets), Allowed(), "not finite"),
        ((reference, normals, offsets * torch.inf), Allowed(), "not finite"),
        ((reference, normals, offsets), Allowed(low=one), "both or none"),
        ((reference, normals, offsets), Allowed(centre=one), "both or none"),
        ((reference, normals, offsets), Allowed(two, one), "box is empty"),
        ((reference, normals, offsets), Allowed(centre=one, radius=-1.0), "disc is empty"),
        ((reference, normals, offsets), Allowed(one, two, 0 * one, 1.0), "nothing in common"),
        ((reference, normals, offsets), Allowed(torch.ones(4), torch.ones(4)), "does not fit"),
        ((reference.long(), normals, offsets), Allowed(), "float32 or float64"),
    ]
    for problem, where, message in bad:
        with pytest.raises(InputError, match=message) as caught:
            nearest(*problem, where)
        assert "\n" not in str(caught.value)


def test_box_and_disc_that_touch_in_a_point():
    reference, normals, offsets, _ = random(100, 3, seed=6)
    low, high = torch.tensor([[0.6, 0.8], [3.0, 3.0]], dtype=torch.float64)
    where = Allowed(low, high, torch.zeros(2).double(), 1.0)
    answer = nearest(reference, normals, offsets, where)
    torch.testing.assert_close(answer.control, low.expand(100, 2), atol=1e-7, rtol=0)
    over = (offsets - (normals @ low)) / normals.norm(dim=-1)
    torch.testing.assert_close(answer.violation, over.amax(1).clamp_min(0), atol=1e-7, rtol=0)
