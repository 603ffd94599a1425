"""The end-to-end models: the conformance suite of the generic one, and both against counting by hand."""

import numpy as np
import pytest

from cofront import registry
from cofront.device import load as load_device
from cofront.errors import InputError, UnsupportedError, UsageError
from cofront.hardware.e2e import (
    GENERIC,
    PIPELINE,
    Config,
    Work,
    best_shapes,
    calls_of,
    distinct,
    interval_cycles,
    pipeline,
)
from cofront.hardware.e2e.generic import call_cycles, shapes
from cofront.hardware.e2e.pipeline import share, stage_cycles
from cofront.network import Builder, Network, ShiftConv2d
from cofront.problem import INFEASIBLE
from cofront.search.exact.fit import fit
from cofront.space.nasbench_macro import NasBenchMacro
from cofront.testing.accelerators import AcceleratorConformance, example_networks


class TestGeneric(AcceleratorConformance):
    accelerator = registry.load("accelerator", "e2e_generic")
    space = NasBenchMacro
    grid = "small"


class TestPipeline(AcceleratorConformance):
    accelerator = registry.load("accelerator", "e2e_pipeline")
    grid = "small"


def mixed() -> Network:
    """One of each: full, depthwise, pointwise, pools, a sum, a classifier; 8 x 8 pixels, W8A8."""
    b = Builder("mixed", (3, 8, 8))
    b.conv(6, 3, act="relu", name="full")
    x = b.last
    b.depthwise(5, 2, name="dw")
    y = b.conv(10, 1, name="pw")
    z = b.conv(10, 1, 2, src=b.pool("max", 3, 1, 1, src=x, name="max"), name="side")
    b.sum(y, z, name="add")
    b.classifier(7, name="fc")
    return b.build().uniform_bits(8, 8)


def test_works_are_counted_by_hand() -> None:
    found = {c.name: c.work for c in calls_of(mixed())}
    assert found == {
        "full": Work(1, 9 * 64, 3, 6, True, 27 * 6, 3 * 64 + 6 * 64),
        "dw": Work(1, 16, 25, 6, True, 25 * 6, 6 * 64 + 6 * 16),
        "pw": Work(1, 16, 6, 10, True, 60, 6 * 16 + 10 * 16),
        "max": Work(1, 64, 9, 6, False, 0, 2 * 6 * 64),
        "side": Work(1, 16, 6, 10, True, 60, 6 * 64 + 10 * 16),
        "add": Work(0, 0, 0, 0, False, 0, 10 * 16),
        "fc.pool": Work(1, 1, 16, 10, False, 0, 10 * 16 + 10),
        "fc": Work(1, 1, 10, 7, True, 70, 10 + 7),
    }
    assert sum(w.macs for w in found.values()) == mixed().macs


def test_generic_cycles_are_counted_by_hand() -> None:
    part = load_device("zu3eg").with_budget(bandwidth_bytes_per_s=250e6 * 8)  # 8 bytes a cycle
    config = Config(4, 4, 250e6)
    cost = GENERIC.estimate(mixed(), part, config)
    computing = {
        "full": 576 * 1 * 2, "dw": 16 * 7 * 2, "pw": 16 * 2 * 3, "max": 64 * 3 * 2, "side": 16 * 2 * 3,
        "add": 0, "fc.pool": 4 * 3, "fc": 3 * 2,
    }  # fmt: skip
    memory = {"full": 93, "dw": 79, "pw": 40, "max": 96, "side": 76, "add": 20, "fc.pool": 22, "fc": 11}
    found = {c.name: c for c in cost.calls}
    assert {n: c.kernels.get("array", 0) for n, c in found.items()} == computing
    assert {n: c.memory_cycles for n, c in found.items()} == memory
    assert {n: c.cycles for n, c in found.items()} == {n: max(computing[n], memory[n]) for n in memory}
    assert cost.cycles == 1152 + 224 + 96 + 384 + 96 + 20 + 22 + 11
    assert found["fc"].bound == "memory" and found["dw"].bound == "array"
    assert cost.resources["dsp"] == 16 and cost.fps == pytest.approx(250e6 / cost.cycles)


def test_many_networks_at_once_are_each_by_itself() -> None:
    nets, part = [*example_networks(), mixed()], load_device("xc7z020")
    works, rows = distinct(calls_of(n) for n in nets)
    counts = np.array([np.bincount(r, minlength=len(works)) for r in rows])
    total, at = best_shapes(works, counts, part)
    for network, cycles, shape in zip(nets, total, at, strict=True):
        cost = GENERIC.estimate(network, part)
        assert (cost.cycles, cost.config["t_in"] * cost.config["t_out"]) == (cycles, shape.prod())
    every = counts @ call_cycles(works, shapes(), part, part.clock_hz).T
    fits = shapes().prod(axis=1) <= part.dsp
    assert np.array_equal(total, every[:, fits].min(axis=1))
    intervals = interval_cycles(works, counts, 60)
    assert intervals.tolist() == [pipeline(n, 60).slowest.cycles for n in nets]


def test_a_pipeline_is_counted_by_hand() -> None:
    """Five layers of 10368, 2400, 960, 960 and 70 multiply-accumulates; 35 multipliers beyond one each."""
    found = pipeline(mixed(), 40)
    assert [(s.name, s.multipliers) for s in found.stages] == [
        ("full", 1 + 35 * 10368 // 14758), ("dw", 1 + 35 * 2400 // 14758), ("pw", 3), ("side", 3), ("fc", 1),
    ]  # fmt: skip
    assert found.multipliers == 25 + 6 + 3 + 3 + 1 <= 40
    # 25: all 3 inputs x 6 outputs, 576 steps; 6: all 6 channels, a tap at a time; 3: 3 outputs or inputs at a time
    assert [s.cycles for s in found.stages] == [576, 16 * 25, 16 * 2 * 10, 16 * 2 * 10, 70]
    assert found.slowest.name == "full" and found.images_per_s(576e3) == 1000


def test_a_stage_never_gets_slower_with_more_and_is_the_best_there_is() -> None:
    works = [c.work for c in calls_of(mixed()) if c.work.multiplies]
    table = stage_cycles(works, 50)
    assert (table[:, 0] == INFEASIBLE).all() and (np.diff(table, axis=1) <= 0).all()
    for work, row in zip(works, table, strict=True):
        for have in (1, 7, 30, 50):
            best = min(
                work.repeats * work.steps * -(-work.lanes_in // i) * -(-work.lanes_out // (have // i))
                for i in range(1, have + 1)
            )
            assert row[have] == best
        assert row[1] == work.macs


def test_shares_fit_and_too_few_are_said() -> None:
    rng = np.random.default_rng(0)
    macs, counts = rng.integers(1, 10**8, 9), rng.integers(0, 30, (200, 9))
    given = share(macs, counts, 150)
    enough = counts.sum(axis=1) <= 150
    assert 0 < enough.sum() < 200
    assert ((given * counts).sum(axis=1) <= 150).all() and (given[enough] >= 1).all() and (given[~enough] == 0).all()
    with pytest.raises(UsageError, match="network 'mixed': a pipeline of 5 layers on 4 multipliers"):
        pipeline(mixed(), 4)
    works, (rows,) = distinct([calls_of(mixed())])
    assert interval_cycles(works, np.bincount(rows)[None], 4)[0] == INFEASIBLE


def test_a_pipelines_cost_is_that_of_its_slowest_stage() -> None:
    """The stages counted by hand above, on 40 multipliers."""
    cost = PIPELINE.estimate(mixed(), load_device("zu3eg").with_budget(dsp=40))
    (call,) = cost.calls
    assert (cost.cycles, call.bound, call.kernels) == (
        576, "full", {"full": 576, "dw": 400, "pw": 320, "side": 320, "fc": 70}
    )  # fmt: skip
    assert cost.fps == pytest.approx(cost.clock_hz / 576) and cost.resources["dsp"] == 38
    assert call.bytes_moved == 3 * 64 + 7
    assert any("one image alone takes 1,686 cycles" in n for n in cost.notes)
    rows = {r.kernel: r for r in PIPELINE.breakdown(cost)}
    assert rows["dw"].peak_macs == 6 * 576 and rows["dw"].utilisation == 2400 / (6 * 576)
    (point,) = PIPELINE.roofline(cost, load_device("zu3eg"))
    assert point.peak_macs_per_s == 38 * cost.clock_hz


def test_the_fewest_multipliers_that_reach_a_rate_are_found() -> None:
    part, network = load_device("zu3eg"), mixed()
    every = range(5, 101)
    problem = PIPELINE.network_problem(network, part.with_budget(dsp=100), every)
    rate = part.clock_hz / 700
    best = fit(problem, objective="resource:dsp", min_fps=rate)
    enough = [pipeline(network, m) for m in every if pipeline(network, m).slowest.cycles <= 700]
    assert best.value == min(p.multipliers for p in enough) < 38
    assert fit(problem).cycles == min(pipeline(network, m).slowest.cycles for m in every)


def test_a_pipeline_has_too_few_multipliers_or_a_space_to_search() -> None:
    part = load_device("zu3eg").with_budget(dsp=3)
    cost = PIPELINE.estimate(mixed(), part)
    (few,) = cost.infeasible
    assert (few.limit, few.needed, few.available) == ("stages", 5, 3)
    found = fit(PIPELINE.network_problem(mixed(), part))
    assert found.status == "infeasible"
    assert [(e.limit, e.needed, e.available) for e in found.infeasible] == [("dsp", 5, 3)]
    layered = NasBenchMacro().layered()
    score = np.zeros(layered.trellis.n_edges, np.int64)
    with pytest.raises(UnsupportedError, match="accelerator 'e2e_pipeline' costs one network at a time"):
        PIPELINE.codesign_problem(layered, part, score)
    with pytest.raises(InputError, match=r"multipliers must be a whole number of 1 to 65536, got 0"):
        PIPELINE.config({"multipliers": 0, "clock_hz": 1e8})
    with pytest.raises(UsageError, match="no grid of accelerator 'e2e_pipeline' named 'huge'"):
        PIPELINE.network_problem(mixed(), part, "huge")


def test_what_is_wrong_is_named() -> None:
    b = Builder("shifts", (3, 8, 8))
    b.conv(4, 3, name="s", op=ShiftConv2d)
    with pytest.raises(UnsupportedError, match="node 's': accelerator 'e2e_generic' does not run ShiftConv2d"):
        calls_of(b.build())
    with pytest.raises(UnsupportedError, match="node 's': accelerator 'e2e_pipeline' does not run ShiftConv2d"):
        PIPELINE.estimate(b.build(), load_device("zu3eg"))
    with pytest.raises(InputError, match=r"t_in must be a whole number of 1 to 65536, got 0"):
        Config(0, 1, 1e8)
    with pytest.raises(UsageError, match="no grid of accelerator 'e2e_generic' named 'huge'"):
        GENERIC.network_problem(mixed(), load_device("zu3eg"), "huge")
    with pytest.raises(UsageError, match="has 0 DSPs, no array of the grid fits"):
        GENERIC.estimate(mixed(), load_device("zu3eg").with_budget(dsp=0))
