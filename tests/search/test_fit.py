"""`fit`: three engines and brute force agree, monotone in the budget, exact explanations of what does not fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cofront.errors import UsageError
from cofront.front import Design, Front
from cofront.problem import INFEASIBLE, CodesignProblem, Engine, KernelTable
from cofront.search.exact.enumerate import solve as enumerate_
from cofront.search.exact.facade import BACKENDS, Backend, Model, Solution
from cofront.search.exact.fit import fit
from cofront.search.exact.infeasible import explain_request
from cofront.search.exact.program import solver
from cofront.search.exact.rows import UNLIMITED, FitTask, Outcome, fit_task, path_counts
from cofront.search.exact.views import undominated
from cofront.testing.fits import brute_force, path_rows, path_trellis, single_path

ANY = INFEASIBLE - 1


def _task(problem: CodesignProblem) -> FitTask:
    return fit_task(problem.engines, *path_counts(problem), problem.budget)


def _known(task: FitTask, outcome: Outcome) -> tuple[object, ...]:
    """What must agree between methods: which of several optima is chosen need not."""
    if outcome.engine < 0:
        return (outcome.proven, None)
    return (outcome.proven, outcome.value, outcome.bound, task.cycles(outcome.engine, outcome.chosen))


@pytest.mark.parametrize("seeds", [range(0, 60), range(60, 120)])
def test_enumeration_equals_brute_force(seeds: range) -> None:
    feasible = 0
    for seed in seeds:
        problem = single_path(seed, "small" if seed % 2 else "tiny")
        expected = brute_force(problem, ANY)
        found = fit(problem)
        if expected is None:
            assert found.status == "infeasible"
            assert found.infeasible
            continue
        feasible += 1
        assert (found.status, found.cycles) == ("optimal", expected[0])
        assert found.value == found.bound == found.bound_s == found.cycles / problem.clock_hz
        limit = int(expected[0] * 1.3)
        for i, name in enumerate(problem.resource_names):
            amount, cycles = brute_force(problem, limit, i) or (-1, -1)
            least = fit(problem, objective=f"resource:{name}", max_latency_cycles=limit)
            assert (least.value, least.bound, least.resources[name]) == (amount, amount, amount)
            assert least.cycles == cycles
    assert feasible >= 25


def test_all_methods_agree_without_pruning() -> None:
    for seed in range(50):
        problem = single_path(seed, "tiny" if seed % 4 else "small")
        task = _task(problem)
        best = enumerate_(task)
        tasks = [task]
        if best.engine >= 0 and seed % 2:
            tasks.append(task.with_(minimise=seed % 4, limit=int(best.value * 1.2)))
        for t in tasks:
            expected = _known(t, enumerate_(t))
            for backend in BACKENDS if seed % 5 == 0 else BACKENDS[:2]:
                assert _known(t, solver(backend, prune=False)(t)) == expected, (seed, backend, t.minimise)


def _slow(problem: CodesignProblem, factor: int) -> CodesignProblem:
    """The same with `factor` times the cycles, and a few more."""
    rng = np.random.default_rng(0)

    def longer(a: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(a >= INFEASIBLE, INFEASIBLE, a * factor + (a > 0) * rng.integers(0, factor, a.shape))

    def kernel(k: KernelTable) -> KernelTable:
        return replace(k, **{n: longer(getattr(k, n)) for n in ("cycles", "head", "tail", "solo")})

    engines = tuple(
        replace(e, memory=longer(e.memory), kernels=tuple(kernel(k) for k in e.kernels)) for e in problem.engines
    )
    return replace(problem, engines=engines)


@pytest.mark.parametrize("factor", [10**4, 10**6])
def test_methods_agree_on_large_cycle_counts(factor: int) -> None:
    exchanged = kept = 0
    for seed in range(40, 75):
        problem = _slow(single_path(seed), factor)
        task = _task(problem)
        best = enumerate_(task)
        tasks = [task]
        if best.engine >= 0:
            tasks.append(task.with_(minimise=seed % 4, limit=int(best.value * 1.2)))
        for t in tasks:
            found = solver("milp")(t)
            assert _known(t, found) == _known(t, enumerate_(t)), seed
            exchanged += "solved_by_cpsat" in found.stats
            kept += bool(found.stats.get("variables")) and "solved_by_cpsat" not in found.stats
    assert exchanged > 5 if factor == 10**6 else kept > 5


def test_an_answer_that_is_not_what_the_solver_says_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration that does not fit, or is worth something else, is solved anew; unless that is refused too."""
    from cofront.search.exact import program

    problem = next(p for p in map(single_path, range(100)) if fit(p).status == "optimal" and fit(p).cycles > 0)
    real = program.solve

    def wrong(model: Model, backend: Backend, **kw: float) -> Solution:
        found = real(model, backend, **kw)
        if backend not in lying or found.values is None:
            return found
        return replace(found, objective=found.objective - 1, bound=found.bound - 1)

    monkeypatch.setattr(program, "solve", wrong)
    lying = ["milp"]
    found = fit(problem, method="milp")
    assert (found.status, found.cycles, found.stats["solved_by_cpsat"] > 0) == ("optimal", fit(problem).cycles, True)
    lying = ["milp", "cpsat"]
    found = fit(problem, method="milp")
    assert (found.status, found.bound) == ("feasible", 0.0)


def test_the_chosen_configuration_is_what_it_says() -> None:
    problem = next(p for p in map(single_path, range(100)) if brute_force(p, ANY))
    result = fit(problem)
    engine = next(e for e in problem.engines if e.name == result.engine)
    rows = engine.row_latency(result.chosen)
    assert result.cycles == sum(int(rows[r]) for r in path_rows(problem))
    assert list(result.resources.values()) == list(engine.resources(result.chosen))
    assert all(result.resources[n] <= b for n, b in zip(problem.resource_names, problem.budget, strict=True))
    assert result.config == engine.config(result.chosen)
    assert result.n_configs == sum(e.n_configs for e in problem.engines)


@given(st.integers(0, 10_000), st.lists(st.integers(0, 30), min_size=4, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_larger_budget_never_hurts(seed: int, more: list[int]) -> None:
    problem = single_path(seed)
    larger = replace(problem, budget=problem.budget + np.array(more))
    before, after = fit(problem), fit(larger)
    assert after.cycles <= before.cycles
    if before.status == "optimal":
        assert after.status == "optimal"


def test_dominance_keeps_one_of_equals_and_every_trade_off() -> None:
    a = np.zeros((4, 1, 4), dtype=np.int64)
    a[:, 0, 0] = [10, 10, 5, 10]
    resources = np.array([[1, 1], [1, 1], [2, 1], [1, 2]])
    assert undominated(a, resources).tolist() == [0, 2]


def test_energy_weighs_engines_by_dynamic_and_static_energy() -> None:
    tried = 0
    for seed in range(40):
        problem = single_path(seed)
        rows = path_rows(problem)
        best = []
        for engine in problem.engines:
            one = brute_force(replace(problem, engines=(engine,)), ANY)
            if one is not None:
                dynamic = sum(int(engine.energy[r]) for r in rows) * 1e-12  # type: ignore[index]
                best.append(dynamic + problem.static_power_w * one[0] / problem.clock_hz)
        found = fit(problem, objective="energy")
        if best:
            tried += len(best) > 1
            assert found.status == "optimal"
            assert found.value == pytest.approx(min(best), rel=1e-12)
            assert found.energy_j == pytest.approx(found.value, rel=1e-12)
            assert found.bound == pytest.approx(found.value, rel=1e-12)
        else:
            assert found.status == "infeasible"
    assert tried >= 5


def test_infeasible_figures_are_tight() -> None:
    """What each entry says is enough is enough, and one unit less is not."""
    seen = {"latency": 0, "enough": 0, "whatever": 0}
    for seed in range(80):
        problem = single_path(seed)
        best = brute_force(problem, ANY)
        limit = ANY if best is None else best[0] - 1
        if limit < 0:
            continue
        result = fit(problem, max_latency_cycles=limit)
        assert result.status == "infeasible"
        assert result.infeasible
        for entry in result.infeasible:
            assert entry.needed > entry.available
            if entry.limit == "latency":
                seen["latency"] += 1
                cycles = round(entry.needed * problem.clock_hz)
                within = "the most within the budget" in entry.remedy
                assert within == (best is not None)  # else whatever the resources
                reachable = problem if within else replace(problem, budget=np.full(4, UNLIMITED))
                assert (brute_force(reachable, ANY) or (-1,))[0] == cycles
            elif entry.limit in problem.resource_names:
                i = problem.resource_names.index(entry.limit)
                alone = "every configuration" in entry.remedy
                seen["whatever" if alone else "enough"] += 1
                budget = np.full(4, UNLIMITED) if alone else problem.budget.copy()
                budget[i] = int(entry.needed)
                assert brute_force(replace(problem, budget=budget), limit) is not None
                budget[i] -= 1
                assert brute_force(replace(problem, budget=budget), limit) is None
    assert min(seen.values()) >= 3, seen


def test_a_budget_is_not_called_enough_for_a_rate_that_nothing_reaches() -> None:
    told = 0
    for seed in range(80):
        problem = single_path(seed)
        free = brute_force(replace(problem, budget=np.full(4, UNLIMITED)), ANY)
        if free is None or free[0] == 0 or brute_force(problem, ANY) is not None:
            continue
        result = fit(problem, max_latency_cycles=free[0] - 1)
        assert result.infeasible[-1].remedy.startswith("no configuration is faster, whatever its resources")
        for entry in result.infeasible[:-1]:
            if "is enough" in entry.remedy:
                told += 1
                assert entry.remedy.endswith("with the other budgets as they are, at a lower frame rate")
                budget = problem.budget.copy()
                budget[problem.resource_names.index(entry.limit)] = int(entry.needed)
                assert brute_force(replace(problem, budget=budget), ANY) is not None
    assert told >= 3


def test_explanations_are_exact_although_tables_are_cut_to_the_budget() -> None:
    """A table without the configurations that exceed the budget by themselves cannot say what a larger one gives."""
    told = 0
    for seed in range(60):
        whole = replace(single_path(seed), budget=np.full(4, 14))
        engines = []
        for e in whole.engines:
            kernels = []
            for k in e.kernels:
                fits = np.flatnonzero((k.resources + e.base <= 14).all(axis=1))
                part = {f: getattr(k, f)[fits] for f in ("params", "resources", "cycles", "head", "tail", "solo")}
                kernels.append(replace(k, **part))
            if all(len(k.params) for k in kernels):
                engines.append(replace(e, kernels=tuple(kernels)))
        cut = replace(whole, engines=tuple(engines))
        if fit(whole).status != "infeasible":
            continue
        expected = fit(whole).infeasible
        assert fit(cut, wider=lambda whole=whole: whole).infeasible == expected
        told += fit(cut).infeasible != expected
    assert told >= 3


def test_a_frame_rate_out_of_reach_names_the_one_within_reach() -> None:
    problem = next(p for p in map(single_path, range(100)) if (brute_force(p, ANY) or (0, 0))[0] > 100)
    result = fit(problem, min_fps=problem.clock_hz)
    text = str(result.infeasible[0])
    assert text.startswith("latency: at best ")
    fps = float(text.split("at most ")[1].split(" fps")[0].replace(",", ""))
    assert fit(problem, min_fps=fps).status == "optimal"  # within the budget, not with any resources
    assert len(result.infeasible) == 1 and "with any resources: " in text


def test_amounts_that_no_budget_can_give_have_other_words() -> None:
    def beyond(name: str, amount: int) -> str | None:
        return f"no part has {amount} {name}" if amount % 2 else None

    seen = set()
    for seed in range(60):
        problem = replace(single_path(seed), budget=np.full(4, 14))
        result = fit(problem, beyond=beyond)
        for entry in result.infeasible:
            if entry.limit in problem.resource_names:
                words = f"no part has {int(entry.needed)} {entry.limit}"
                assert (words in entry.remedy) == (entry.needed % 2 == 1)
                seen.add(words in entry.remedy)
    assert seen == {True, False}


def test_budgets_of_zero_are_a_result() -> None:
    problem = single_path(3)
    result = fit(problem, max_resource={n: 0 for n in problem.resource_names})
    assert result.status == "infeasible"
    assert {e.limit for e in result.infeasible} <= {"latency", "support", "budget", *problem.resource_names}


def test_unsupported_rows_are_named() -> None:
    problem = next(p for p in map(single_path, range(100)) if path_rows(p) and brute_force(p, ANY))
    row = path_rows(problem)[0]
    engines = []
    for e in problem.engines:
        kernels = []
        for k in e.kernels:
            cycles, solo = k.cycles.copy(), k.solo.copy()
            cycles[:, row] = solo[:, row] = INFEASIBLE
            kernels.append(replace(k, cycles=cycles, solo=solo))
        engines.append(replace(e, kernels=tuple(kernels)))
    result = fit(replace(problem, engines=tuple(engines)))
    assert [e.limit for e in result.infeasible] == ["support"]
    assert "another precision" in result.infeasible[0].remedy
    (none,) = fit(replace(problem, engines=())).infeasible
    assert (none.limit, none.unit) == ("support", "engines with a configuration of every kernel")


def test_progress_reports_a_bound_that_never_exceeds_the_best() -> None:
    seen: list[tuple[float, float]] = []
    problem = next(p for p in (single_path(s, "medium") for s in range(100)) if fit(p).status == "optimal")
    result = fit(problem, on_progress=lambda best, bound: seen.append((best, bound)))
    assert all(bound <= best for best, bound in seen)
    assert all(bound <= result.cycles for _, bound in seen)


def test_a_deadline_leaves_a_valid_bound() -> None:
    problem = next(p for p in (single_path(s, "medium") for s in range(100)) if fit(p).stats["boxes"] > 100)
    task = _task(problem)
    exact = enumerate_(task)
    cut = enumerate_(task, deadline=0.0)
    assert not cut.proven
    assert cut.bound <= exact.value
    assert cut.engine < 0 or cut.value >= exact.value


@pytest.mark.parametrize(
    ("kw", "message"),
    [
        ({"objective": "resource:dps"}, "no resource named 'dps'; did you mean dsp?"),
        ({"objective": "speed"}, "no objective named 'speed'"),
        ({"method": "gurobi"}, "no fit method named 'gurobi'"),
        ({"min_fps": 0.0}, "frame rate: expected a positive number, got 0.0"),
        ({"min_fps": float("nan")}, "frame rate: expected a positive number, got nan"),
        ({"max_latency_cycles": -1}, "expected a number of cycles from 0, got -1"),
        ({"max_resource": {"lutt": 3}}, "no resource named 'lutt'; did you mean lut?"),
        ({"max_resource": {"lut": -3}}, "budget of lut: expected a number from 0, got -3"),
    ],
)
def test_bad_requests(kw: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as error:
        fit(single_path(0), **kw)  # type: ignore[arg-type]
    assert message in str(error.value)


def test_many_networks_are_refused() -> None:
    from cofront.testing.problems import random_problem

    problem = next(p for s in range(50) if (p := random_problem(np.random.default_rng(s))).trellis.n_paths() > 1)
    with pytest.raises(UsageError, match=r"fit takes one network at one precision, the trellis has [0-9]+ paths"):
        fit(problem)


def test_no_energy_figures() -> None:
    problem = single_path(0)
    bare = replace(problem, engines=tuple(replace(e, energy=None) for e in problem.engines))
    with pytest.raises(UsageError, match="has no energy figures; choose another objective"):
        fit(bare, objective="energy")


def test_solvers_leave_standard_output_alone(capfd: pytest.CaptureFixture[str]) -> None:
    for seed in range(12):
        for method in ("cpsat", "milp", "scipy"):
            fit(single_path(seed), method=method)  # type: ignore[arg-type]
    assert capfd.readouterr().out == ""


def test_silence_ends_with_the_solver(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    from cofront.search.exact.milp import _silent

    with _silent():
        os.write(1, b"a note past every switch\n")
    os.write(1, b"after\n")
    assert capfd.readouterr().out == "after\n"


def _golden_toy(per_dsp: int) -> CodesignProblem:
    """One 56 x 56 subgraph, 1x1 32 -> 192, depthwise 3x3, 1x1 192 -> 32: any integer unroll, DSPs and compute only."""

    def table(name: str, ins: int, outs: int, taps: int) -> KernelTable:
        pi, po = (a.ravel() for a in np.meshgrid(np.arange(1, ins + 1), np.arange(1, outs + 1), indexing="ij"))
        dsp = -(-pi * po * taps // per_dsp)
        keep = dsp <= 360
        cycles = (56 * 56 * -(-ins // pi) * -(-outs // po))[keep, None]
        none = np.zeros_like(cycles)
        resources = np.stack([dsp, 0 * dsp, 0 * dsp, 0 * dsp], axis=1)[keep]
        never = np.full_like(cycles, INFEASIBLE)
        return KernelTable(name, ("pi", "po"), np.stack([pi, po], axis=1)[keep], resources, cycles, none, none, never)

    kernels = (table("expand", 32, 192, 1), table("dw", 1, 192, 9), table("project", 192, 32, 1))
    zero = np.zeros(1, dtype=np.int64)
    trellis = path_trellis([[0]], 1)
    engine = Engine("toy", kernels, zero, zero, np.zeros(4, dtype=np.int64))
    return CodesignProblem(
        trellis, np.zeros(trellis.n_edges, dtype=np.int64), (engine,), np.array([360, 0, 0, 0]), clock_hz=2.5e8
    )


@pytest.mark.parametrize(("per_dsp", "cycles"), [(1, 125_440), (2, 62_720), (4, 31_360)])
def test_golden_toy(per_dsp: int, cycles: int) -> None:
    """The optimum of hand analysis: twice the products per DSP halve the cycles, 357 DSPs do."""
    problem = _golden_toy(per_dsp)
    assert fit(problem).cycles == cycles
    least = fit(problem, objective="resource:dsp", max_latency_cycles=cycles)
    assert (least.status, least.value, least.cycles) == ("optimal", 357, cycles)


def _front(*points: tuple[float, float]) -> Front:
    return Front(tuple(Design(a, x, int(x * 1e6), {}, {}) for x, a in points), 0.0, 1, 0.0)


def test_requests_that_no_design_meets_are_explained() -> None:
    front = _front((0.001, 0.70), (0.002, 0.75), (0.004, 0.80))
    assert explain_request(front, min_accuracy=0.75, max_latency_s=0.002) == ()
    (late,) = explain_request(front, max_latency_s=0.0005)
    assert (late.limit, late.needed, late.available) == ("latency", 0.001, 0.0005)
    assert "the fastest design reaches 1,000 fps" in late.remedy
    (weak,) = explain_request(front, min_accuracy=0.9)
    assert (weak.limit, weak.needed, weak.available) == ("accuracy", 0.9, 0.8)
    assert "the most accurate design reaches 80.00 %" in weak.remedy
    (both,) = explain_request(front, min_accuracy=0.78, max_latency_s=0.002)
    assert both.needed == 0.004
    expected = "78 % is reached at 250 fps; the most accurate design that is fast enough reaches 75.00 %"
    assert both.remedy == expected
    assert len(explain_request(front, min_accuracy=0.9, max_latency_s=0.0005)) == 2
