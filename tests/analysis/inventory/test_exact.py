"""Inventory problems against published values, linear programs, closed forms and simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.optimize import linprog
from scipy.sparse import csr_array

import analysis
from analysis.inventory.demand import normal_below
from analysis.inventory.optima import (
    Demand,
    backlogged,
    base_stock_cost,
    best_base_stock,
    best_capped_base_stock,
    clipped_normal,
    lost_sales,
    poisson,
    policy_cost,
    serial,
    transshipment_bound,
    warehouse_bound,
)
from games import InputError
from games.simulators.references import Reference, gap

# Long-run average costs, Poisson(5), h = 1: the test bed of Zipkin (2008).
OPTIMA = {
    1: {4: 4.041, 9: 5.438, 19: 6.676, 39: 7.836},
    2: {4: 4.395, 9: 6.094, 19: 7.664, 39: 9.106},
    3: {4: 4.599, 9: 6.531, 19: 8.363, 39: 10.038},
    4: {4: 4.729, 9: 6.836, 19: 8.887, 39: 10.794},
}
# Small demands: probabilities, lead time, penalty.
SMALL = [
    ([0.2, 0.5, 0.3], 1, 4.0),
    ([0.6, 0.0, 0.0, 0.4], 1, 0.5),
    ([0.2, 0.5, 0.3], 2, 9.0),
    ([0.5, 0.3, 0.0, 0.2], 2, 2.0),
    ([0.0, 0.7, 0.3], 2, 9.0),  # no period without demand
    ([0.6, 0.4], 3, 3.0),
    ([0.3, 0.4, 0.3], 3, 5.0),
]


def transitions(pmf, lead_time, holding, penalty, most_on_hand, most_ordered):
    """State, order, cost, and next states with probabilities, of all states in a box."""
    pipelines = list(itertools.product(range(most_ordered + 1), repeat=lead_time - 1))
    states = [(x, *q) for x in range(most_on_hand + 1) for q in pipelines]
    for state in states:
        x, q = state[0], state[1:]
        cost = sum(
            w * (holding * max(x - d, 0) + penalty * max(d - x, 0)) for d, w in enumerate(pmf)
        )
        for order in range(most_ordered + 1):
            after = (*q, order)
            following = {}
            for d, w in enumerate(pmf):
                to = (min(max(x - d, 0) + after[0], most_on_hand), *after[1:])
                following[to] = following.get(to, 0.0) + w
            yield state, order, cost, following


def by_linear_program(pmf, lead_time, holding, penalty, policy=None):
    """The least average cost over frequencies of states and orders (Manne 1960)."""
    most = 2 * len(pmf) - 1
    box = transitions(pmf, lead_time, holding, penalty, (lead_time + 1) * len(pmf), most)
    place, rows, columns, entries, costs = {}, [], [], [], []
    for state, order, cost, following in box:
        if policy is not None and order != policy(state[0], state[1:]):
            continue
        column = len(costs)
        costs.append(cost)
        for to, weight in [(state, 1.0), *((s, -w) for s, w in following.items())]:
            rows.append(place.setdefault(to, len(place)))
            columns.append(column)
            entries.append(weight)
    rows += [len(place)] * len(costs)
    columns += range(len(costs))
    entries += [1.0] * len(costs)
    balance = csr_array((entries, (rows, columns)), shape=(len(place) + 1, len(costs)))
    found = linprog(costs, A_eq=balance, b_eq=[0.0] * len(place) + [1.0])
    assert found.status == 0
    return found.fun


def simulate_store(order, draw, lead_time, holding, penalty, periods, traces, lost=True):
    """[traces] mean cost a period of one store, the first fifth of the periods left out."""
    x = np.full(traces, 5.0)
    q = np.full((traces, lead_time - 1), 5.0)
    total = np.zeros(traces)
    for t in range(periods):
        q = np.column_stack([q, order(x, q)])
        demand = draw(traces)
        if t >= periods // 5:
            total += holding * np.maximum(x - demand, 0) + penalty * np.maximum(demand - x, 0)
        x = np.maximum(x - demand, 0) if lost else x - demand
        x, q = x + q[:, 0], q[:, 1:]
    return total / (periods - periods // 5)


def simulate_series(draw, lead_times, holding, penalty, levels, periods, traces, charge=False):
    """[traces] mean cost a period of echelon base-stock levels, from the top down."""
    stages = len(lead_times)
    on_hand = [np.full(traces, a - b) for a, b in itertools.pairwise([*levels, 0.0])]
    under_way = [[np.zeros(traces) for _ in range(lead - 1)] for lead in lead_times]
    total = np.zeros(traces)
    for t in range(periods):
        position = np.zeros(traces)
        ships = [None] * stages
        for n in reversed(range(stages)):
            position = position + on_hand[n] + sum(under_way[n])
            ships[n] = np.maximum(levels[n] - position, 0)
        for n in range(1, stages):
            ships[n] = np.minimum(ships[n], on_hand[n - 1])
        for n in range(stages):
            under_way[n].append(ships[n])
            if n:
                on_hand[n - 1] = on_hand[n - 1] - ships[n]
        on_hand[-1] = on_hand[-1] - draw(traces)
        cost = sum(h * x for h, x in zip(holding[:-1], on_hand[:-1], strict=True))
        cost = cost + holding[-1] * np.maximum(on_hand[-1], 0)
        cost = cost + penalty * np.maximum(-on_hand[-1], 0)
        if charge:
            cost = cost + sum(holding[n - 1] * sum(under_way[n]) for n in range(1, stages))
        if t >= periods // 5:
            total += cost
        for n in range(stages):
            on_hand[n] = on_hand[n] + under_way[n].pop(0)
    return total / (periods - periods // 5)


def error(cost):
    """Standard error of a mean."""
    return cost.std(ddof=1) / math.sqrt(len(cost))


# --- one store, lost sales ---


@pytest.mark.parametrize(
    ("lead_time", "penalty", "expected"),
    [(lead, p, cost) for lead, row in OPTIMA.items() for p, cost in row.items()],
)
def test_lost_sales_optima_as_published(lead_time, penalty, expected):
    found = lost_sales(5.0, lead_time, penalty=penalty)
    assert found.cost == pytest.approx(expected, abs=1e-3)
    assert found.lower <= found.cost <= found.upper <= found.lower + 1e-6


@pytest.mark.parametrize(("pmf", "lead_time", "penalty"), SMALL)
def test_lost_sales_equals_a_linear_program_without_our_bounds_on_orders(pmf, lead_time, penalty):
    expected = by_linear_program(pmf, lead_time, 1.0, penalty)
    found = lost_sales(pmf, lead_time, penalty=penalty, tolerance=1e-8)
    assert found.cost == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("lead_time", "penalty"), [(1, 4), (2, 39), (3, 9), (4, 4)])
def test_walking_along_the_orders_finds_what_trying_all_does(lead_time, penalty):
    walked = lost_sales(5.0, lead_time, penalty=penalty)
    full = lost_sales(5.0, lead_time, penalty=penalty, full_search=True)
    assert walked.cost == pytest.approx(full.cost, abs=1e-9)
    assert walked.iterations == full.iterations


@pytest.mark.parametrize(("lead_time", "penalty"), [(1, 4), (3, 19)])
def test_optimal_policy_costs_the_optimum_when_simulated(lead_time, penalty):
    found = lost_sales(5.0, lead_time, penalty=penalty)
    generator = np.random.default_rng(lead_time)
    cost = simulate_store(
        found.order, lambda n: generator.poisson(5.0, n), lead_time, 1.0, penalty, 1500, 1000
    )
    assert abs(cost.mean() - found.cost) < 4 * error(cost)
    assert error(cost) < 0.003 * found.cost


def test_optimal_orders_fall_with_stock_by_one_at_most():
    """L-natural-convexity (Zipkin 2008): a unit more lowers the order, the later it is the more."""
    found = lost_sales(5.0, 3, penalty=9)
    x, first, last = np.meshgrid(np.arange(13), np.arange(7), np.arange(7), indexing="ij")
    order = found.order(x, np.stack([first, last], -1))
    more = [found.order(x + 1, np.stack([first, last], -1))]
    more += [found.order(x, np.stack([first + a, last + b], -1)) for a, b in [(1, 0), (0, 1)]]
    assert (order >= more[0]).all()
    assert (more[0] >= more[1]).all()
    assert (more[1] >= more[2]).all()
    assert (more[2] >= order - 1).all()
    assert len({int(change.sum()) for change in more}) == 3  # they do differ


def test_orders_in_states_that_no_optimal_play_leads_to():
    found = lost_sales(5.0, 2, penalty=9)
    bound = stats.poisson(15).ppf(0.9)
    assert found.order(int(bound) + 1, [0]) == 0
    assert found.order([0, 0], [[0], [1000]]).tolist() == [found.order(0, [0]), 0]
    assert found.order(np.zeros((2, 3)), np.zeros((2, 3, 1))).shape == (2, 3)
    assert found.order(2.4, [3.1]) == found.order(2, [3])


def test_given_policies_cost_what_their_frequencies_say():
    pmf, penalty = [0.3, 0.4, 0.3], 5.0
    for lead_time, level, cap in [(1, 3, None), (2, 4, None), (2, 5, 1), (3, 5, 2)]:
        limit = level if cap is None else cap

        def policy(x, q, level=level, limit=limit):
            return min(max(level - x - sum(q), 0), limit)

        expected = by_linear_program(pmf, lead_time, 1.0, penalty, policy)
        found = base_stock_cost(pmf, lead_time, level, penalty=penalty, cap=cap, tolerance=1e-8)
        assert found.cost == pytest.approx(expected, abs=1e-6)


def test_any_policy_can_be_evaluated():
    """Two a period whatever there is, demand 0 or 4: a random walk that is cut off at 0."""
    found = policy_cost(
        [0.4, 0, 0, 0, 0.6], 1, lambda x, q: np.minimum(2, 30 - x), penalty=3.0, position=30
    )
    states = np.arange(31)
    moves = np.zeros((31, 31))
    for x in states:
        for d, w in [(0, 0.4), (4, 0.6)]:
            moves[x, max(x - d, 0) + min(2, 30 - x)] += w
    values, vectors = np.linalg.eig(moves.T)
    stationary = vectors[:, np.argmax(values.real)].real
    stationary /= stationary.sum()
    cost = 0.4 * states + 0.6 * (np.maximum(states - 4, 0) + 3 * np.maximum(4 - states, 0))
    assert found.cost == pytest.approx(stationary @ cost, abs=1e-5)
    optimum = lost_sales(2.0, 2, penalty=4.0)
    again = policy_cost(2.0, 2, optimum.order, penalty=4.0, position=optimum.region.position)
    assert again.cost == pytest.approx(optimum.cost, abs=2e-6)


@pytest.mark.parametrize(("mean", "lead_time", "penalty"), [(2.0, 1, 4), (1.0, 2, 9), (1.5, 3, 2)])
def test_best_base_stock_levels_are_the_best_of_a_wider_search(mean, lead_time, penalty):
    costs = {
        (level, cap): base_stock_cost(mean, lead_time, level, penalty=penalty, cap=cap).cost
        for level in range(14)
        for cap in [None, *range(1, 8)]
    }
    plain = best_base_stock(mean, lead_time, penalty=penalty)
    capped = best_capped_base_stock(mean, lead_time, penalty=penalty)
    assert plain.cost == pytest.approx(min(costs[s, None] for s in range(14)), abs=2e-6)
    assert capped.cost == pytest.approx(min(costs.values()), abs=2e-6)
    assert costs[plain.level, None] == pytest.approx(plain.cost, abs=2e-6)
    assert costs[capped.level, capped.cap] == pytest.approx(capped.cost, abs=2e-6)


def test_policies_in_the_order_of_their_costs():
    optimum = lost_sales(5.0, 3, penalty=9)
    capped = best_capped_base_stock(5.0, 3, penalty=9)
    plain = best_base_stock(5.0, 3, penalty=9)
    waits = backlogged(5.0, 3, penalty=9)
    # Where demand waits at the same penalty a period, more is paid (Janakiraman et al. 2007).
    assert optimum.upper < capped.lower < plain.lower < waits.cost


def test_demand_that_is_always_the_same_costs_nothing():
    assert lost_sales([0, 0, 0, 1.0], 3, penalty=9).cost == pytest.approx(0, abs=1e-6)
    assert lost_sales(0.0, 2, penalty=9).cost == 0
    assert backlogged([0, 0, 0, 1.0], 3, penalty=9).cost == 0


# --- demand that waits ---


@pytest.mark.parametrize("lead_time", [0, 1, 4, 10])
@pytest.mark.parametrize("penalty", [4, 39])
def test_backlogged_poisson_is_a_newsvendor(lead_time, penalty):
    total = stats.poisson(5.0 * (lead_time + 1))
    level = total.ppf(penalty / (penalty + 1))
    k = np.arange(300)
    expected = total.pmf(k) @ (np.maximum(level - k, 0) + penalty * np.maximum(k - level, 0))
    found = backlogged(5.0, lead_time, penalty=penalty)
    assert found.level == level
    assert found.cost == pytest.approx(expected, abs=1e-9)


def clipped_cost(level, mean, sd, periods, penalty):
    """The newsvendor's cost by quadrature: E (S - D)^+ is the integral of P(D <= y) to S."""
    normal = stats.norm(mean, sd)
    atom = normal.cdf(0)
    average = mean * normal.sf(0) + sd**2 * normal.pdf(0)

    def below(y):
        if periods == 1:
            return normal.cdf(y)
        inner = quad(lambda d: normal.pdf(d) * normal.cdf(y - d), 0, y, epsabs=1e-11)[0]
        return inner + atom * normal.cdf(y)

    left = quad(below, 0, level, epsabs=1e-9)[0]
    return left + penalty * (periods * average - level + left)


@pytest.mark.parametrize(
    ("mean", "sd", "lead_time", "penalty"), [(5, 1.6, 0, 9), (5, 1.6, 1, 9), (2, 2, 1, 4)]
)
def test_backlogged_clipped_normal_by_quadrature(mean, sd, lead_time, penalty):
    found = backlogged(clipped_normal(mean, sd), lead_time, penalty=penalty)
    expected = clipped_cost(found.level, mean, sd, lead_time + 1, penalty)
    assert found.cost == pytest.approx(expected, abs=1e-6)
    for other in (found.level - 0.05, found.level + 0.05):
        assert clipped_cost(other, mean, sd, lead_time + 1, penalty) > found.cost


@pytest.mark.parametrize("lead_time", [1, 10, 20])
def test_backlogged_far_from_zero_is_the_normal_newsvendor(lead_time):
    z, spread = stats.norm.ppf(0.9), 2 * math.sqrt(lead_time + 1)
    found = backlogged(clipped_normal(40, 2), lead_time, penalty=9)
    assert found.level == pytest.approx(40 * (lead_time + 1) + z * spread, abs=2e-3)
    assert found.cost == pytest.approx(10 * stats.norm.pdf(z) * spread, rel=1e-6)


@pytest.mark.parametrize("lead_time", [1, 4])
def test_one_stage_in_series_is_the_store_alone(lead_time):
    for demand in (5.0, clipped_normal(5, 1.6), [0.5, 0, 0.5]):
        alone = backlogged(demand, lead_time, penalty=9)
        series = serial(demand, [lead_time], holding=[1.0], penalty=9)
        assert series.cost == pytest.approx(alone.cost, abs=1e-9)
        assert series.levels[0] == pytest.approx(alone.level, abs=1e-9)


def test_stock_that_costs_the_same_everywhere_is_kept_at_the_store():
    """Then the series is one store with the sum of the lead times."""
    series = serial(5.0, [2, 1, 1], holding=[1.0, 1.0, 1.0], penalty=9)
    assert series.cost == pytest.approx(backlogged(5.0, 4, penalty=9).cost, abs=1e-9)


def test_series_of_a_textbook():
    """Snyder & Shen, "Fundamentals of supply chain theory", 2nd ed., example 6.1.

    There costs fall due before the demand of the period, so the store's lead time is one less, and
    what is at or on its way to the other stages costs a period of mean demand less. stockpyl, on a
    coarser lattice: 22.700, 12.012, 6.514 at 47.669.
    """
    found = serial(
        clipped_normal(5, 1), [2, 1, 0], holding=[2, 4, 7], penalty=37.12, charge_transit=True
    )
    assert found.levels == pytest.approx((22.700, 12.012, 6.514), abs=0.03)
    assert found.cost + 5 * (2 + 2) == pytest.approx(47.669, abs=0.02)


@pytest.mark.parametrize(("last", "penalty", "charge"), [(1, 4, False), (3, 19, True)])
def test_series_costs_what_its_levels_cost_when_simulated(last, penalty, charge):
    lead_times, holding = [2, 4, 3, last], [0.1, 0.2, 0.5, 1.0]
    found = serial(
        clipped_normal(5, 2), lead_times, holding=holding, penalty=penalty, charge_transit=charge
    )

    def cost(levels):
        generator = np.random.default_rng(3)
        draw = lambda n: np.maximum(generator.normal(5, 2, n), 0)  # noqa: E731
        return simulate_series(draw, lead_times, holding, penalty, levels, 1250, 500, charge)

    best = cost(found.levels)
    assert abs(best.mean() - found.cost) < 4 * error(best)
    assert error(best) < 0.005 * found.cost
    for n, change in [(0, 4.0), (1, -4.0), (2, 3.0), (3, -2.0), (3, 2.0)]:
        levels = list(found.levels)
        levels[n] += change
        dearer = cost(levels) - best  # the same demand
        assert dearer.mean() > 4 * error(dearer)


def test_series_of_poisson_demand_when_simulated():
    found = serial(3.0, [1, 2], holding=[0.4, 1.0], penalty=9)
    generator = np.random.default_rng(5)
    cost = simulate_series(
        lambda n: generator.poisson(3.0, n), [1, 2], [0.4, 1.0], 9, found.levels, 1250, 800
    )
    assert abs(cost.mean() - found.cost) < 4 * error(cost)


# --- lower bounds ---


def test_transshipment_to_one_store_is_a_longer_lead_time():
    """At one store nothing needs to be brought level, and the bound is the optimum."""
    bound = transshipment_bound([2.0], warehouse_lead_time=3, store_lead_time=2, penalty=9)
    alone = backlogged(clipped_normal(40, 2), 5, penalty=9)
    assert bound == pytest.approx(alone.cost, rel=1e-6)


@pytest.mark.parametrize(
    ("store_lead_time", "correlation", "penalty"), [(2, 0.0, 9), (6, 0.5, 4), (2, 0.5, 4)]
)
def test_transshipment_bound_is_just_below_a_good_policy(store_lead_time, correlation, penalty):
    """A system base-stock level; each arrival brings positions level as far as it can."""
    mean, sd = np.array([3.0, 5.0, 7.0]), np.array([1.0, 1.5, 2.0])
    upper, lower, traces, periods = 3, store_lead_time, 400, 800
    bound = transshipment_bound(
        sd, correlation=correlation, warehouse_lead_time=upper, store_lead_time=lower,
        penalty=penalty,
    )  # fmt: skip
    covariance = np.outer(sd, sd) * (correlation + (1 - correlation) * np.eye(3))
    pooled = math.sqrt(upper * covariance.sum() + (lower + 1) * sd.sum() ** 2)
    z = stats.norm.ppf(penalty / (penalty + 1))
    level = (upper + lower + 1) * mean.sum() + z * pooled
    generator = np.random.default_rng(7)
    root = np.linalg.cholesky(covariance)
    # On hand, on its way to the stores, on its way to the centre.
    x = np.tile(mean, (traces, 1)) * (lower + 1)
    to_stores = [np.zeros((traces, 3)) for _ in range(lower - 1)]
    to_centre = [np.full(traces, mean.sum()) for _ in range(upper)]
    total = np.zeros(traces)
    for t in range(periods):
        arrived = to_centre.pop(0)
        position = x + sum(to_stores)
        to_centre.append(np.maximum(level - position.sum(1) - arrived - sum(to_centre), 0))
        # Store j wants mean_j (L + 1) + w sd_j of the sum; those above it get nothing.
        ship, sharing = np.zeros((traces, 3)), np.ones((traces, 3), bool)
        for _ in range(3):
            spare = arrived + ((position - mean * (lower + 1)) * sharing).sum(1)
            w = spare / np.maximum((sd * sharing).sum(1), 1e-9)
            ship = np.where(sharing, mean * (lower + 1) + w[:, None] * sd - position, 0)
            sharing &= ship >= 0
        ship = np.maximum(ship, 1e-9)
        ship *= (arrived / ship.sum(1))[:, None]
        to_stores.append(ship)
        x = x - mean - generator.normal(size=(traces, 3)) @ root.T
        if t >= periods // 5:
            total += (np.maximum(x, 0) + penalty * np.maximum(-x, 0)).sum(1)
        x = x + to_stores.pop(0)
    cost = total / (periods - periods // 5)
    assert cost.mean() > bound - 3 * error(cost)
    assert cost.mean() < 1.03 * bound


@pytest.mark.parametrize(("mean", "sd"), [(5.0, 1.6), (2.5, 1.25), (7.5, 2.0), (1.0, 2.0)])
@pytest.mark.parametrize("steps", [2, 5, 10])
def test_averaged_demand_is_smaller_in_convex_order(mean, sd, steps):
    found = normal_below(mean, sd, mean / steps)
    points = np.arange(len(found.pmf)) * found.step
    z = mean / sd
    assert found.mean == pytest.approx(mean * stats.norm.cdf(z) + sd * stats.norm.pdf(z), abs=1e-7)
    at = np.linspace(0, mean + 8 * sd, 3001)
    z = (at - mean) / sd
    true = sd * stats.norm.pdf(z) - (at - mean) * stats.norm.sf(z)
    ours = np.maximum(points - at[:, None], 0) @ found.pmf
    assert (ours <= true + 1e-7).all()


@pytest.mark.parametrize("lead_time", [1, 2])
def test_warehouse_bound_is_just_below_a_store_of_its_own(lead_time):
    bound = warehouse_bound([5.0], [1.9], lead_time=lead_time, holding=1.0, penalty=9.0)
    finer = warehouse_bound([5.0], [1.9], lead_time=lead_time, holding=1.0, penalty=9.0, steps=20)
    law = clipped_normal(5.0, 1.9, 0.25)
    optimum = lost_sales(law, lead_time, penalty=9.0)
    # Rounding to the nearest of 0.25 units moves the optimum by less than the bound is below it.
    assert bound < finer < optimum.cost
    assert bound > 0.985 * optimum.cost
    level = backlogged(law, lead_time, penalty=9.0).level - 0.5
    generator = np.random.default_rng(1)
    cost = simulate_store(
        lambda x, q: np.clip(level - x - q.sum(1), 0, 7.0),
        lambda n: np.maximum(generator.normal(5.0, 1.9, n), 0),
        lead_time, 1.0, 9.0, 1000, 400,
    )  # fmt: skip
    assert bound < cost.mean() - 4 * error(cost)
    assert cost.mean() < 1.06 * bound


def test_warehouse_bound_adds_up_stores():
    one = [
        warehouse_bound([m], [s], lead_time=lead, holding=h, penalty=p)
        for m, s, lead, h, p in [(3.0, 1.0, 2, 0.7, 8.0), (6.0, 2.0, 1, 1.2, 11.0)]
    ]
    both = warehouse_bound([3, 6], [1, 2], lead_time=[2, 1], holding=[0.7, 1.2], penalty=[8, 11])
    assert both == pytest.approx(sum(one), abs=1e-9)


def test_warehouse_bound_is_below_a_network():
    """Base-stock levels at a warehouse and at three stores whose demand is correlated."""
    mean, sd, lead_time, penalty = np.array([3.0, 5.0, 7.0]), np.array([1.0, 2.0, 2.0]), 2, 9.0
    bound = warehouse_bound(mean, sd, lead_time=lead_time, holding=1.0, penalty=penalty)
    generator = np.random.default_rng(2)
    root = np.linalg.cholesky(np.outer(sd, sd) * (0.5 + 0.5 * np.eye(3)))
    level = 3 * mean + 1.1 * sd * math.sqrt(3)
    top = level.sum() + 4 * mean.sum()
    traces, periods = 300, 600
    stock, coming = np.full(traces, mean.sum()), [np.full(traces, mean.sum()) for _ in range(2)]
    x, under_way = np.tile(2 * mean, (traces, 1)), [np.tile(mean, (traces, 1))]
    total = np.zeros(traces)
    for t in range(periods):
        want = np.clip(level - x - sum(under_way), 0, None)
        coming.append(np.maximum(top - stock - sum(coming) - (x + sum(under_way)).sum(1), 0))
        ship = want * np.minimum(1, stock / np.maximum(want.sum(1), 1e-9))[:, None]
        stock = stock - ship.sum(1)
        under_way.append(ship)
        demand = np.maximum(mean + generator.normal(size=(traces, 3)) @ root.T, 0)
        if t >= periods // 5:
            total += (np.maximum(x - demand, 0) + penalty * np.maximum(demand - x, 0)).sum(1)
            total += 0.3 * stock
        x, stock = np.maximum(x - demand, 0) + under_way.pop(0), stock + coming.pop(0)
    cost = total / (periods - periods // 5)
    assert bound < cost.mean() < 1.6 * bound


# --- gaps ---


def test_gap_is_students_interval():
    cost = np.random.default_rng(0).normal(7.0, 1.0, 50)
    reference = Reference(6.836, "optimum", "relative value iteration")
    found = gap(cost, reference)
    interval = stats.ttest_1samp(cost, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(100 * (cost.mean() / 6.836 - 1), abs=1e-9)
    assert found.low == pytest.approx(100 * (interval.low / 6.836 - 1), abs=1e-9)
    assert found.high == pytest.approx(100 * (interval.high / 6.836 - 1), abs=1e-9)
    assert str(found).startswith(f"{found.mean:.2f}% (")
    assert gap(cost, 6.836) == found


def test_the_package_hands_out_what_is_here():
    assert analysis.lost_sales is lost_sales
    assert all(hasattr(analysis, name) for name in analysis.__all__)


# --- what cannot be ---


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: lost_sales(5.0, 0, penalty=4), "lead_time=0"),
        (lambda: lost_sales(5.0, -2, penalty=4), "lead_time=-2"),
        (lambda: lost_sales(5.0, 1.5, penalty=4), "lead_time=1.5"),
        (lambda: lost_sales(5.0, math.nan, penalty=4), "lead_time=nan"),
        (lambda: lost_sales(5.0, 2, penalty=0), "penalty=0"),
        (lambda: lost_sales(5.0, 2, penalty=4, holding=-1), "holding=-1"),
        (lambda: lost_sales(5.0, 2, penalty=4, tolerance=0), "tolerance=0"),
        (lambda: lost_sales(-5.0, 2, penalty=4), "mean of -5"),
        (lambda: lost_sales("five", 2, penalty=4), "demand='five'"),
        (lambda: lost_sales([0.5, 0.4], 2, penalty=4), "sum to 0.9"),
        (lambda: lost_sales([1.5, -0.5], 2, penalty=4), "none negative"),
        (lambda: lost_sales(5.0, 12, penalty=4), r"lead_time=12: .* states or more"),
        (lambda: lost_sales(5000.0, 2, penalty=4), r"[0-9,]{10,} states"),
        (lambda: lost_sales(5.0, 2, penalty=4).order(1, [2, 3]), "lead time of 2"),
        (lambda: lost_sales(5.0, 2, penalty=4).order(-1, [2]), "negative stock"),
        (lambda: base_stock_cost(5.0, 2, -3, penalty=4), "position=-3"),
        (
            lambda: policy_cost(5.0, 2, lambda x, q: x + 30, penalty=4, position=30),
            "lift the position above 30",
        ),
        (
            lambda: policy_cost(5.0, 2, lambda x, q: 0.5 * x, penalty=4, position=30),
            "whole orders",
        ),
        (lambda: backlogged(5.0, -1, penalty=4), "lead_time=-1"),
        (lambda: backlogged(clipped_normal(5, -1), 1, penalty=4), "standard deviation"),
        (lambda: serial(5.0, [1, 2], holding=[1.0], penalty=4), "one a stage"),
        (lambda: serial(5.0, [], holding=[], penalty=4), "one a stage"),
        (lambda: serial(5.0, [1, -2], holding=[0.5, 1], penalty=4), "lead_times=-2"),
        (lambda: serial(5.0, [1, 2], holding=[1, 0.5], penalty=4), "must not fall"),
        (lambda: serial(5.0, [1, 2], holding=[0, 0.5], penalty=4), "holding=0"),
        (lambda: Demand([1.0], step=0), "step=0"),
        (lambda: poisson(math.inf), "mean of inf"),
        (
            lambda: transshipment_bound(
                [1, 1, 1], correlation=-0.7, warehouse_lead_time=1, store_lead_time=1, penalty=4
            ),
            "from -0.5 to 1",
        ),
        (lambda: warehouse_bound([5, 5], [1, 1, 1], lead_time=1, holding=1, penalty=4), "a store"),
        (lambda: warehouse_bound([5, 5], [1, 1], lead_time=0, holding=1, penalty=4), "lead_time=0"),
        (lambda: warehouse_bound([-5], [1], lead_time=1, holding=1, penalty=4), "mean=-5"),
        (lambda: gap([1.0], 2.0), "two traces"),
        (lambda: gap([1.0, math.nan], 2.0), "finite"),
        (lambda: gap([1.0, 2.0], 0.0), "positive cost"),
    ],
)
def test_bad_input_is_one_clear_line(call, words):
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
