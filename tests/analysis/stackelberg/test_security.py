"""Security games against the matrix game of all allocations, solved by multiple LPs."""

import itertools

import numpy as np
import pytest

import analysis
from analysis.stackelberg.lotteries import decompose
from analysis.stackelberg.security import eraser, origami
from analysis.stackelberg.tables import multiple_lps
from games import GameError, InputError, NormalForm
from games.finite.security import SecurityGame


def security_game(seed, *, integers, targets=None, resources=None):
    """Random payoffs; the integers are few and small, so that nearly everything is tied."""
    generator = np.random.default_rng(seed)
    count = targets or int(generator.integers(2, 9))
    guards = resources or int(generator.integers(1, count))
    draw = generator.integers(-2, 3, (4, count)) if integers else generator.normal(size=(4, count))
    defender, attacker = np.sort(draw[:2], axis=0), np.sort(draw[2:], axis=0)
    names = [f"target {t}" for t in range(count)]
    return SecurityGame(names, defender[1], defender[0], attacker[0], attacker[1], guards)


def total(lottery, count):
    """The coverage [T] of a lottery over allocations."""
    coverage = np.zeros(count)
    for probability, covered in lottery:
        coverage[list(covered)] += probability
    return coverage


def check(answer):
    """The parts of a Coverage say the same thing."""
    game, coverage = answer.game, answer.coverage
    assert coverage.min() >= 0
    assert coverage.max() <= 1
    attacker = game.attacker_values(coverage)
    assert attacker[answer.attacked] >= attacker.max() - 1e-8
    assert answer.values[1] == attacker[answer.attacked]
    assert answer.values[0] == game.defender_values(coverage)[answer.attacked]
    assert answer.gap <= 1e-8


@pytest.mark.parametrize("integers", [False, True])
@pytest.mark.parametrize("seed", range(60))
def test_value_against_the_normal_form(seed, integers):
    game = security_game(seed, integers=integers)
    expected = multiple_lps(game.normal_form).value
    for answer in (origami(game), eraser(game)):
        check(answer)
        assert answer.values[0] == pytest.approx(expected, abs=1e-7)
        found = total(answer.allocations, len(game.targets))
        np.testing.assert_allclose(found, answer.coverage, atol=1e-12)
        assert all(len(covered) <= game.resources for _, covered in answer.allocations)


@pytest.mark.parametrize("method", ["auto", "origami", "eraser"])
@pytest.mark.parametrize("seed", range(6))
def test_one_call_for_security_games_too(seed, method):
    """`analysis.stackelberg` on it is worth what it is worth as a matrix game."""
    game = security_game(seed, integers=False)
    found = analysis.stackelberg(game, method=method)
    again = analysis.solve(game, "stackelberg", method=method)
    assert found.value == again.value
    assert found.value == pytest.approx(multiple_lps(game.normal_form).value, abs=1e-7)
    assert found.regret <= 1e-7
    assert np.isnan(found.gains[0])
    coverage = np.array([found.facts[f"coverage of {target}"] for target in game.targets])
    assert coverage.sum() <= game.resources + 1e-9
    attacked = game.targets.index(found.facts["attacked"])
    assert found.values.tolist() == [
        game.defender_values(coverage)[attacked], game.attacker_values(coverage)[attacked]
    ]  # fmt: skip


def test_two_hundred_targets_need_no_table():
    """Of 20 guards there are more than 10^27 allocations."""
    game = security_game(0, integers=False, targets=200, resources=20)
    assert analysis.stackelberg(game).value == origami(game).values[0]


@pytest.mark.parametrize("options", [dict(leader=1), dict(ties="weak"), dict(pure=True)])
def test_the_defender_leads(options):
    with pytest.raises(InputError, match="the defender, player 0, commits"):
        analysis.stackelberg(security_game(0, integers=False), **options)


@pytest.mark.parametrize(
    ("payoffs", "resources", "coverage", "value"),
    [
        # Two equal targets share the guard.
        ([[0, 0], [-1, -1], [0, 0], [1, 1]], 1, [0.5, 0.5], -0.5),
        # Not even full coverage deters from the first; a guard is left over.
        ([[5, 0, 0], [-5, -9, -9], [4, 0, 0], [6, 1, 1]], 2, [1.0, 0.0, 0.0], 5.0),
        # The attacker does not mind coverage at the first target, the defender does.
        ([[3, 0], [-3, 0], [2, 0], [2, 1]], 1, [1.0, 0.0], 3.0),
        # Nor here, but half of the guard is needed to bring the second one down to it.
        ([[3, 0], [-3, -9], [2, 1], [2, 3]], 1, [0.5, 0.5], 0.0),
    ],
)
def test_small_games_by_hand(payoffs, resources, coverage, value):
    names = [str(t) for t in range(len(coverage))]
    game = SecurityGame(names, *map(np.array, payoffs), resources)
    answer = origami(game)
    np.testing.assert_allclose(answer.coverage, coverage, atol=1e-12)
    assert answer.values[0] == pytest.approx(value, abs=1e-12)
    assert eraser(game).values[0] == pytest.approx(value, abs=1e-8)
    assert multiple_lps(game.normal_form).value == pytest.approx(value, abs=1e-8)


def test_two_hundred_targets():
    game = security_game(0, integers=False, targets=200, resources=20)
    fast, program = origami(game), eraser(game)
    check(fast)
    check(program)
    assert fast.values[0] == pytest.approx(program.values[0], abs=1e-7)


@pytest.mark.parametrize("seed", range(20))
def test_decompose(seed):
    generator = np.random.default_rng(seed)
    count = int(generator.integers(1, 40))
    coverage = generator.random(count) * (generator.random(count) < 0.8)
    coverage[generator.random(count) < 0.2] = 1.0
    if seed % 2:
        coverage = np.round(coverage, 1)  # cuts that fall together
    resources = max(int(np.ceil(coverage.sum() - 1e-12)), 1)
    lottery = decompose(coverage, resources)
    np.testing.assert_allclose(total(lottery, count), coverage, atol=1e-12)
    assert sum(p for p, _ in lottery) == pytest.approx(1.0, abs=1e-12)
    assert min(p for p, _ in lottery) > 0
    assert max(len(covered) for _, covered in lottery) <= resources
    assert len(lottery) <= count + 1


@pytest.mark.parametrize(
    ("coverage", "message"),
    [([0.5, 1.2], "from 0 to 1"), ([0.5, np.nan], "from 0 to 1"), ([0.9, 0.9], "more resources")],
)
def test_decompose_refuses(coverage, message):
    with pytest.raises(InputError, match=message):
        decompose(np.array(coverage), 1)


def scheduled(game, schedules):
    """The matrix game in which the defender covers any part of what its schedules cover."""
    most = min(game.resources, len(schedules))
    allocations = set()
    for taken in itertools.combinations(schedules, most):
        union = sorted(set().union(*taken))
        for size in range(len(union) + 1):
            allocations |= set(itertools.combinations(union, size))
    covered = np.array([[t in own for t in range(len(game.targets))] for own in allocations], float)
    table = NormalForm.from_payoffs(game.defender_values(covered), game.attacker_values(covered))
    return table, allocations


@pytest.mark.parametrize("seed", range(40))
def test_schedules(seed):
    generator = np.random.default_rng(seed)
    count = int(generator.integers(3, 7))
    guards = int(generator.integers(1, min(count, 3)))
    game = security_game(seed, integers=seed % 2 == 0, targets=count, resources=guards)
    schedules = [
        generator.choice(count, size=generator.integers(1, 4), replace=False).tolist()
        for _ in range(generator.integers(2, 6))
    ]
    answer = eraser(game, schedules)
    check(answer)
    table, allocations = scheduled(game, schedules)
    assert answer.facts["implementable"] == "yes"
    assert answer.values[0] == pytest.approx(multiple_lps(table).value, abs=1e-7)
    np.testing.assert_allclose(total(answer.allocations, count), answer.coverage, atol=1e-8)
    assert {covered for _, covered in answer.allocations} <= allocations


def test_schedules_that_promise_too_much():
    """Half of each edge of two triangles covers all six corners; three edges cover five at most."""
    edges = [[0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5]]
    same = np.ones(6)
    game = SecurityGame(tuple("abcdef"), same, 0 * same, 0 * same, same, 3)
    answer = eraser(game, edges)
    assert answer.facts["implementable"] == "no"
    assert answer.allocations == ()
    assert answer.bound == pytest.approx(1.0, abs=1e-8)
    assert multiple_lps(scheduled(game, edges)[0]).value == pytest.approx(5 / 6, abs=1e-8)


def test_schedules_too_many_to_look_through():
    edges = [[3 * k + i, 3 * k + j] for k in range(8) for i, j in ((0, 1), (1, 2), (0, 2))]
    same = np.ones(24)
    game = SecurityGame(tuple(map(str, range(24))), same, 0 * same, 0 * same, same, 12)
    answer = eraser(game, edges)
    assert answer.bound == pytest.approx(1.0, abs=1e-8)
    assert answer.facts["implementable"] == "unknown"
    assert answer.allocations == ()


@pytest.mark.parametrize("schedules", [[], [[]], [[0, 7]], [[-1]], [["a"]], [3]])
def test_bad_schedules(schedules):
    with pytest.raises(InputError, match="schedule"):
        eraser(security_game(0, integers=True, targets=4), schedules)


def test_from_a_file(tmp_path):
    path = tmp_path / "ports.csv"
    path.write_text(
        "target,attacker_covered,attacker_uncovered,defender_covered,defender_uncovered\n"
        "north, -1, 3, 0, -5\n\nsouth, 0, 1.5, 2, -1\n"
    )
    game = SecurityGame.read(path, 1)
    assert game.targets == ("north", "south")
    assert game.name == str(path)
    np.testing.assert_array_equal(game.defender_uncovered, [-5.0, -1.0])
    np.testing.assert_array_equal(game.attacker_uncovered, [3.0, 1.5])


HEADER = "target,defender_covered,defender_uncovered,attacker_covered,attacker_uncovered\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks target"),
        ("target,defender_covered\na,1\n", "lacks defender_uncovered"),
        (HEADER + "a,1,0,0,1\nb,1,0,0\n", "row 3 has 4 cells"),
        (HEADER + "a,1,0,0,1\nb,1,0,0,one\n", "column attacker_uncovered"),
        (HEADER + "a,1,0,0,1\nb,1,0,0,inf\n", "'b' is not a finite number"),
        (HEADER + "a,1,0,0,1\n", "two targets or more"),
        (HEADER + "a,1,0,0,1\na,1,0,0,1\n", "different names"),
        (HEADER + "a,1,0,0,1\nb,0,1,0,1\n", "covering 'b' harms the defender"),
        (HEADER + "a,1,0,0,1\nb,1,0,1,0\n", "covering 'b' helps the attacker"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as raised:
        SecurityGame.read(path, 1)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("resources", [0, -1, 3, 1.5, True])
def test_bad_resources(resources):
    same = np.ones(3)
    with pytest.raises(InputError, match="from 1 to 2"):
        SecurityGame(("a", "b", "c"), same, same, same, same, resources)


def test_shapes_have_to_fit():
    with pytest.raises(InputError, match="one number for each of 2 targets"):
        SecurityGame(("a", "b"), np.ones(3), np.ones(2), np.ones(2), np.ones(2), 1)


def test_no_such_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        SecurityGame.read(tmp_path / "absent.csv", 1)


def test_too_many_allocations():
    with pytest.raises(GameError, match="use origami or eraser"):
        _ = security_game(0, integers=False, targets=40, resources=20).normal_form
