"""Exact allocation against brute force, its bounds, what it says when nothing fits, and the baselines below it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.errors import InputError, UsageError
from cofront.search.allocation import (
    Cut,
    Problem,
    allocate,
    diverse,
    evolutionary,
    front,
    greedy,
    random_search,
    sweep,
)


def everything(problem: Problem) -> np.ndarray:
    return np.array(list(itertools.product(*[np.flatnonzero(m) for m in problem.allowed])))


def brute(problem: Problem, limits: dict[str, float], cuts: tuple[Cut, ...] = ()) -> float:
    choices = everything(problem)
    ok = problem.within(choices, limits)
    for cut in cuts:
        ok &= (choices == cut.choice).sum(axis=1) <= cut.most
    return float(problem.losses(choices)[ok].min()) if ok.any() else np.inf


def drawn(seed: int, *, pairs: str = "none", whole: bool = False, costs: int = 1) -> tuple[Problem, dict[str, float]]:
    """A small random problem, with options masked, and limits that may or may not be met."""
    rng = np.random.default_rng(seed)
    l, o = int(rng.integers(1, 5)), int(rng.integers(1, 6))

    def numbers(shape: tuple[int, ...]) -> np.ndarray:
        return rng.integers(-4, 9, shape).astype(float) if whole else rng.normal(size=shape)

    mask = rng.random((l, o)) < 0.8
    mask[:, 0] |= ~mask.any(axis=1)
    found = {}
    for i, j in itertools.combinations(range(l), 2):
        if (pairs == "chain" and j == i + 1) or (pairs == "any" and rng.random() < 0.5):
            found[i, j] = numbers((o, o))
    tables = {f"c{k}": numbers((l, o)) for k in range(costs)}
    limits = {
        k: float(rng.uniform(np.where(mask, c, 99).min(axis=1).sum() - 0.5, np.where(mask, c, -99).max(axis=1).sum()))
        for k, c in tables.items()
    }
    return Problem(numbers((l, o)), tables, mask, found), limits


def check(problem: Problem, limits: dict[str, float], cuts: tuple[Cut, ...] = (), method: str = "auto") -> None:
    got, best = allocate(problem, limits, cuts=cuts, method=method), brute(problem, limits, cuts)
    if best == np.inf:
        assert (got.status, got.choice) == ("infeasible", ())
        assert got.infeasible
        return
    assert got.status == "optimal"
    assert got.loss == pytest.approx(best, abs=1e-9)
    assert got.bound <= got.loss <= got.bound + 1e-9
    assert problem.within(got.array, limits)[0]
    assert problem.allowed[np.arange(len(got.array)), got.array].all()
    assert all((got.array == c.choice).sum() <= c.most for c in cuts)
    assert got.loss == problem.losses(got.array)[0]


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(["none", "chain"]), st.booleans(), st.sampled_from(["auto", "labels"]))
def test_one_limit_equals_brute_force(seed, pairs, whole, method):
    check(*drawn(seed, pairs=pairs, whole=whole), method=method)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from(["none", "any"]), st.booleans(), st.integers(0, 3), st.integers(0, 3))
def test_limits_pairs_and_cuts_equal_brute_force(seed, pairs, whole, costs, most):
    problem, limits = drawn(seed, pairs=pairs, whole=whole, costs=costs)
    check(problem, limits, (Cut(problem.allowed.argmax(axis=1), most),))


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from(["none", "chain"]), st.booleans())
def test_the_front_is_every_pair_that_nothing_beats(seed, pairs, whole):
    problem, _ = drawn(seed, pairs=pairs, whole=whole)
    choices = everything(problem)
    cost, loss = problem.total("c0", choices), problem.losses(choices)
    got = front(problem, "c0")
    ends = np.array([got.choice(i) for i in range(len(got))])
    assert problem.losses(ends) == pytest.approx(got.loss)
    assert problem.total("c0", ends) == pytest.approx(got.cost)
    for c, z in zip(cost, loss, strict=True):
        assert got.loss[got.within(c)] <= z + 1e-9
    mine = np.lexsort((got.loss, got.cost))
    if pairs == "none":
        assert np.all(np.diff(got.cost[mine]) > 0) and np.all(np.diff(got.loss[mine]) < 0)


def test_a_front_with_a_tolerance_is_that_near():
    rng = np.random.default_rng(3)
    problem = Problem(rng.random((6, 5)), {"c": rng.random((6, 5))})
    exact, rough = front(problem, "c"), front(problem, "c", tolerance=0.3)
    assert len(rough) < len(exact)
    worse = [rough.loss[rough.within(c)] - z for c, z in zip(exact.cost, exact.loss, strict=True) if c >= rough.cost[0]]
    assert 0 < max(worse) < 0.3
    assert [a.loss for a in sweep(problem, "c", exact.cost[::7])] == pytest.approx(exact.loss[::7].tolist())
    with pytest.raises(UsageError, match="more than 10; give a limit or a tolerance above 0"):
        front(problem, "c", max_states=10)
    with pytest.raises(UsageError, match=r"no allocation costs at most -1: the cheapest costs"):
        exact.within(-1.0)


def test_a_limit_met_exactly_counts_and_one_missed_does_not():
    problem = Problem(np.array([[3.0, 0.0]] * 3), {"bits": np.array([[1.0, 2.0]] * 3)})
    assert allocate(problem, {"bits": 5}).loss == 3.0
    assert allocate(problem, {"bits": 4.999}).loss == 6.0
    tenth = Problem(problem.loss, {"s": problem.costs["bits"] / 10})
    assert allocate(tenth, {"s": 0.2 + 0.2 + 0.1}).loss == 3.0
    assert allocate(tenth, {"s": None}).loss == 0.0


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from(["none", "chain"]), st.booleans())
def test_a_limit_that_some_allocation_costs_exactly_is_met_by_it(seed, pairs, cheapest):
    problem, _ = drawn(seed, pairs=pairs)
    choices = everything(problem)
    cost = problem.total("c0", choices)
    limit = float(cost.min() if cheapest else cost[seed % len(cost)])
    check(problem, {"c0": limit})
    check(problem, {"c0": limit}, method="labels")


def test_what_is_infeasible_says_by_how_much():
    problem = Problem(
        np.zeros((2, 2)), {"latency_s": np.array([[1e-3, 2e-3]] * 2), "bytes": np.array([[9.0, 1.0]] * 2)}
    )
    got = allocate(problem, {"latency_s": 1.5e-3, "bytes": None})
    (why,) = got.infeasible
    assert (got.status, why.limit, why.needed, why.excess) == ("infeasible", "latency_s", 2e-3, pytest.approx(5e-4))
    assert str(why) == (
        "latency_s: at best 2 ms, asked for 1.5 ms; the least latency_s of any allocation misses the limit by 0.0005: "
        "allow at least that"
    )
    both = allocate(problem, {"latency_s": 2e-3, "bytes": 2.0})
    assert both.status == "infeasible"
    assert str(both.infeasible[0]) == "limits: each can be met alone; raise one of latency_s, bytes"
    one = Problem(np.zeros((2, 1)))
    assert "2 units have no other option" in str(allocate(one, {}, cuts=[Cut(np.zeros(2, int), 1)]).infeasible[0])


def test_without_room_for_the_proof_there_is_a_gap():
    rng = np.random.default_rng(1)
    loss, cost = rng.random((20, 12)), rng.random((20, 12))
    problem = Problem(loss, {"a": cost, "b": rng.random((20, 12))})
    limits = {"a": 0.35 * 20, "b": 0.35 * 20}
    exact = allocate(problem, limits)
    rough = allocate(problem, limits, max_states=50)
    assert exact.status == "optimal"
    assert rough.bound <= exact.loss <= rough.loss
    subset = Problem(-np.rint(1e6 * cost), {"a": np.rint(1e6 * cost)})
    few = allocate(subset, {"a": 5e6}, max_states=100)
    assert few.bound <= few.loss and few.costs["a"] <= 5e6


def test_the_sweep_keeps_what_nothing_beats():
    from cofront.search.allocation.dominance import undominated_in_three

    rng = np.random.default_rng(4)
    for scale in (3, 1000):
        loss, cost = rng.integers(scale, size=300).astype(float), rng.integers(scale, size=(300, 2)).astype(float)
        rows = np.column_stack([loss, cost])
        kept = rows[undominated_in_three(loss, cost)]
        wanted = {tuple(r) for r in rows if not ((rows <= r).all(axis=1) & (rows < r).any(axis=1)).any()}
        assert {tuple(r) for r in kept} == wanted
        assert len(kept) == len(wanted)


def test_diverse_allocations_differ_and_get_no_better():
    rng = np.random.default_rng(5)
    problem = Problem(rng.random((10, 6)), {"c": rng.random((10, 6))})
    found = diverse(problem, {"c": 3.0}, 4, overlap=0.5)
    assert len(found) == 4
    assert [a.loss for a in found] == sorted(a.loss for a in found)
    for a, b in itertools.combinations(found, 2):
        assert (a.array == b.array).sum() <= 5
    assert len(diverse(Problem(np.zeros((2, 2))), {}, 5, overlap=0.0)) == 2


def test_baselines_keep_the_limits_and_never_beat_the_bound():
    rng = np.random.default_rng(7)
    problem = Problem(rng.random((12, 8)) ** 3, {"a": rng.random((12, 8)), "b": rng.random((12, 8))})
    for limits in ({"a": 3.0}, {"a": 4.0, "b": 6.0}):
        exact = allocate(problem, limits)
        quick = greedy(problem, limits)
        drawn_ = random_search(problem, limits, evaluations=400, seed=1)
        evolved = evolutionary(problem, limits, evaluations=2000, seed=1)
        for got in (quick, drawn_, evolved):
            assert (got.status, got.gap) == ("heuristic", np.inf)
            assert got.loss >= exact.bound - 1e-12
            assert problem.within(got.array, limits)[0]
        assert evolved.loss <= drawn_.loss
        assert evolved.choice == evolutionary(problem, limits, evaluations=2000, seed=1).choice
    assert greedy(problem, {"a": -1.0}).status == "infeasible"
    assert random_search(problem, {"a": -1.0}, evaluations=5).infeasible[0].limit == "a"


def test_cp_sat_agrees():
    rng = np.random.default_rng(11)
    problem = Problem(rng.random((8, 6)), {"a": rng.random((8, 6)), "b": rng.random((8, 6))})
    limits = {"a": 3.0, "b": 3.0}
    second = allocate(problem, limits, method="integer")
    assert second.loss == pytest.approx(allocate(problem, limits).loss, abs=1e-5)
    assert (second.status, second.bound) == ("heuristic", -np.inf)


def test_many_options_are_proven():
    """The sizes of LANA and of MobileNetV2; how long they take is a benchmark."""
    rng = np.random.default_rng(2)
    problem = Problem(rng.random((30, 197)), {"c": rng.random((30, 197))})
    got = allocate(problem, {"c": 4.0})
    assert got.status == "optimal"
    assert got.loss <= greedy(problem, {"c": 4.0}).loss


def test_what_is_no_problem_is_refused():
    ok = np.zeros((2, 3))
    with pytest.raises(InputError, match=r"expected losses of shape \(units, options\), got \(3,\)"):
        Problem(np.zeros(3))
    with pytest.raises(InputError, match=r"c is \(2, 2\), losses are \(2, 3\)"):
        Problem(ok, {"c": np.zeros((2, 2))})
    with pytest.raises(InputError, match="loss of unit 0, option 1 is nan; mask what cannot be taken"):
        Problem(np.array([[0.0, np.nan]]))
    with pytest.raises(InputError, match="no option is left of unit 1"):
        Problem(ok, mask=np.array([[True] * 3, [False] * 3]))
    with pytest.raises(InputError, match=r"pair \(1, 0\) is no pair of 2 units"):
        Problem(ok, pairs={(1, 0): np.zeros((3, 3))})
    with pytest.raises(InputError, match=r"pair \(0, 1\) needs finite numbers of shape \(3, 3\), got \(2, 2\)"):
        Problem(ok, pairs={(0, 1): np.zeros((2, 2))})
    problem = Problem(ok, {"bytes": ok})
    with pytest.raises(UsageError, match="no cost of the allocation named 'byte'; did you mean bytes"):
        allocate(problem, {"byte": 1.0})
    with pytest.raises(UsageError, match="the limit of bytes is not a number"):
        allocate(problem, {"bytes": float("nan")})
    with pytest.raises(UsageError, match="cut 0 needs one option of each of 2 units"):
        allocate(problem, {}, cuts=[Cut(np.array([5, 5]), 1)])
    with pytest.raises(UsageError, match="'states' takes one limit"):
        allocate(problem, {}, cuts=[Cut(np.array([0, 0]), 1)], method="states")
    with pytest.raises(UsageError, match="method is auto, states, labels or integer, got 'best'"):
        allocate(problem, {}, method="best")
    assert Problem(np.array([[0.0, np.nan]]), mask=np.array([[True, False]])).n_allocations == 1
