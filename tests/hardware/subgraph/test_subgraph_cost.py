"""Scalar path == tables, monotonicity, the golden toy, CoDeNet's loop formula, impossible values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from subgraph_nets import grids, networks, toy

from cofront import device
from cofront.errors import UsageError
from cofront.hardware.subgraph import Config, Grid, KernelConfig, coefficients, config_of, cost, network_problem
from cofront.hardware.subgraph.batch import feasible, network_latencies, row_latencies
from cofront.hardware.subgraph.calls import Call
from cofront.hardware.subgraph.engines import ENGINES
from cofront.hardware.subgraph.lowering import lower
from cofront.hardware.subgraph.roofline import breakdown, roofline
from cofront.hardware.subgraph.scalar import call_cost, cost_of_calls
from cofront.hardware.subgraph.tables import kernel_tables
from cofront.network import Builder, Flatten, Linear, Network
from cofront.problem import INFEASIBLE, CodesignProblem, Engine

SLOW = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
ZU3EG = device.load("zu3eg")


def pick(rng: np.random.Generator, engine: Engine) -> tuple[int, ...]:
    return tuple(int(rng.integers(len(k.params))) for k in engine.kernels)


def check_equal(problem: CodesignProblem, engine: Engine, chosen: tuple[int, ...], net: Network, part: object) -> None:
    assert isinstance(part, device.Device)
    latency = engine.row_latency(chosen)
    total = latency[problem.trellis.rows]
    answer = cost(net, config_of(problem, engine, chosen), part)
    assert list(answer.resources.values()) == list(engine.resources(chosen))
    assert [c.mode == "infeasible" for c in answer.calls] == list(total >= INFEASIBLE)
    cycles = [c.cycles for c in answer.calls if c.mode != "infeasible"]
    assert cycles == list(total[total < INFEASIBLE])
    for call in answer.calls:
        assert call.mode == "infeasible" or call.cycles > 0
        assert all(v >= 0 for v in (*call.kernels.values(), call.memory_cycles, call.bytes_moved, call.macs))
    if answer.feasible:
        assert answer.cycles == int(total.sum())
        assert sum(c.macs for c in answer.calls) == answer.macs
        for point in roofline(answer, part):
            assert 0 < point.attained_macs_per_s <= point.ceiling_macs_per_s * (1 + 1e-12)
        for row in breakdown(answer):
            assert 0 <= row.utilisation <= 1 + 1e-12
            assert row.share <= 1 + 1e-12


@settings(SLOW, max_examples=80)
@given(
    networks(), grids(), st.sampled_from(device.names()), st.sampled_from([1.0, 0.1, 0.01]), st.integers(0, 2**32 - 1)
)
def test_scalar_equals_tables(net: Network, grid: Grid, name: str, bandwidth: float, seed: int) -> None:
    """Hundreds of random (network, configuration) pairs: every call's cycles and all resources, exactly.

    With little bandwidth, memory cycles decide, and so the bytes of tiles, stripes and groups.
    """
    rng = np.random.default_rng(seed)
    part = device.load(name)
    part = part.with_budget(bandwidth_bytes_per_s=part.bandwidth_bytes_per_s * bandwidth)
    problem = network_problem(net, part, grid)
    for engine in problem.engines:
        for _ in range(3):
            check_equal(problem, engine, pick(rng, engine), net, part)


@SLOW
@given(networks(), grids(), st.integers(0, 2**32 - 1))
def test_batch_equals_engine(net: Network, grid: Grid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    problem = network_problem(net, ZU3EG, grid)
    for engine in problem.engines:
        chosen = np.array([pick(rng, engine) for _ in range(5)])
        want = np.array([engine.row_latency(tuple(c)) for c in chosen])
        assert np.array_equal(row_latencies(engine, chosen), want)
        counts = rng.integers(0, 4, size=(3, want.shape[1]))
        assert np.array_equal(network_latencies(engine, chosen, counts), np.minimum(counts @ want.T, INFEASIBLE))
        fits = [bool(np.all(engine.resources(tuple(c)) <= problem.budget)) for c in chosen]
        assert list(feasible(engine, chosen, problem.budget)) == fits


# Buffers that hold everything: then no tiling, whose rounding could turn more parallelism into more tiles.
BIG = 1 << 20


def _config(engine: str, conv: tuple[int, int, int], dw: tuple[int, int], pw: tuple[int, int]) -> Config:
    return Config(
        engine,
        KernelConfig(*conv, 1, BIG, 9, BIG, BIG, BIG),
        KernelConfig(1, *dw, 1, BIG, 9, BIG, 0, BIG),
        KernelConfig(*pw, 1, 1, BIG, 1, 0, BIG, BIG),
        250e6,
    )


PAR = st.integers(1, 40)


@SLOW
@given(networks(), st.tuples(PAR, PAR, PAR), st.tuples(PAR, PAR), st.tuples(PAR, PAR), st.data())
def test_larger_parallelism_never_takes_more_cycles(
    net: Network, conv: tuple[int, int, int], dw: tuple[int, int], pw: tuple[int, int], data: st.DataObject
) -> None:
    engine = data.draw(st.sampled_from(["E88", "DUAL"]))
    flat = [*conv, *dw, *pw]
    at = data.draw(st.integers(0, len(flat) - 1))
    more = list(flat)
    more[at] += data.draw(st.integers(1, 20))
    small, large = (
        cost(net, _config(engine, (f[0], f[1], f[2]), (f[3], f[4]), (f[5], f[6])), ZU3EG) for f in (flat, more)
    )
    for a, b in zip(small.calls, large.calls, strict=True):
        # A deeper adder tree, or another front, takes a few cycles more to pass.
        assert b.cycles <= a.cycles + 8 * len(a.kernels)
    # Not so of LUTs and flip-flops: a gearbox to one lane takes more than one to two.
    assert large.resources["dsp"] >= small.resources["dsp"]


@SLOW
@given(networks(), st.tuples(PAR, PAR, PAR), st.tuples(PAR, PAR), st.tuples(PAR, PAR), st.floats(1.0, 10.0))
def test_more_bandwidth_is_never_slower_and_dual_never_loses(
    net: Network, conv: tuple[int, int, int], dw: tuple[int, int], pw: tuple[int, int], factor: float
) -> None:
    one = cost(net, _config("E88", conv, dw, pw), ZU3EG)
    fast = ZU3EG.with_budget(bandwidth_bytes_per_s=ZU3EG.bandwidth_bytes_per_s * factor)
    if coefficients.load().bus_bits(fast) == coefficients.load().bus_bits(ZU3EG):
        assert cost(net, _config("E88", conv, dw, pw), fast).cycles <= one.cycles
    else:  # a wider port pads pixels to wider words: a word took a cycle at least, and takes two at most
        assert cost(net, _config("E88", conv, dw, pw), fast).cycles <= 2 * one.cycles
    # ... but for the cycle that its kernels take to part two sums.
    assert cost(net, _config("DUAL", conv, dw, pw), ZU3EG).cycles <= one.cycles + 3 * len(one.calls)


@SLOW
@given(networks(), grids(), st.integers(0, 2**32 - 1))
def test_ideal_multipliers_bound_every_feasible_cost(net: Network, grid: Grid, seed: int) -> None:
    """No call takes fewer cycles than its products over the multipliers, or than its bytes over the bandwidth."""
    rng = np.random.default_rng(seed)
    problem = network_problem(net, ZU3EG, grid)
    engine = problem.engines[-1]
    config = config_of(problem, engine, pick(rng, engine))
    factor = ENGINES[engine.name].w4a4_factor
    n = sum(k.pi * k.po * k.taps for k in (config.conv, config.dw, config.pw)) * factor
    speed = coefficients.load().bytes_per_kilocycle(ZU3EG, config.clock_hz)
    for call, row in zip(lower(net), cost(net, config, ZU3EG).calls, strict=True):
        if row.mode != "infeasible":
            assert row.cycles * n >= call.macs
            assert row.cycles * speed >= 1000 * call.bytes


def _cheapest(resource: np.ndarray, cycles: np.ndarray, target: int) -> int:
    ok = cycles <= target
    return int(resource[ok].min()) if ok.any() else 1 << 30


@pytest.mark.parametrize(("products", "optimum"), [(1, 125_440), (2, 62_720), (4, 31_360)])
def test_golden_toy(products: int, optimum: int) -> None:
    """The toy of the HAO reconstruction: compute only, DSP only, 360 DSP, any integer unroll; 357 DSP, 97.3 %."""
    part = ZU3EG.with_budget(lut=10**9, ff=10**9, bram36=10**9)
    co = coefficients.load().compute_only().with_products("DSP48E2", shared_88=products)
    every = Grid(
        "every",
        pi=tuple(range(1, 65)),
        po=tuple(range(1, 193)),
        conv_taps=(1,),
        channels=tuple(range(1, 193)),
        dw_taps=(9,),
        weight_depth=(1 << 14,),
        dw_weight_depth=(1 << 14,),
        line_shares=(1.0,),
        dsp=(1,),
    )
    problem = network_problem(toy(), part, every, engines=["E88"], co=co)
    (engine,) = problem.engines
    cycles = [k.cycles[:, 0] for k in engine.kernels]
    dsp = [k.resources[:, 0] for k in engine.kernels]
    targets = np.unique(np.concatenate([c[c < INFEASIBLE] for c in cycles]))
    best = next(t for t in targets if sum(_cheapest(d, c, t) for d, c in zip(dsp, cycles, strict=True)) <= part.dsp)
    assert best == optimum
    used = sum(_cheapest(d, c, best) for d, c in zip(dsp, cycles, strict=True))
    assert used == 357
    macs = toy().macs
    assert round(macs / (360 * products) / best, 3) == 0.973
    # and the whole call, with memory, takes exactly that
    chosen = tuple(
        int(np.flatnonzero((c <= best) & (d == d[c <= best].min()))[0]) for c, d in zip(cycles, dsp, strict=True)
    )
    assert int(engine.row_latency(chosen)[0]) == best


def test_codenet_loop_formula() -> None:
    """CoDeNet's 16 x 16 pointwise kernel fills its pixel buffer before computing each pixel; ours overlaps the two.

    H W (IC / PA) (1 + OC / PE) there; here the same work without the H W fills but the first.
    """
    h = w = 28
    b = Builder("codenet", (64, h, w))
    b.block = "x"
    b.conv(64, 1)
    b.depthwise(3)
    b.conv(128, 1)
    config = _config("E88", (16, 16, 1), (16, 9), (16, 16))
    config = replace(config, dw=replace(config.dw, rows=3))
    call = cost(b.build().uniform_bits(4, 8), config, ZU3EG).calls[0]
    loops = h * w * (64 // 16) * (1 + 128 // 16)
    fills = h * w * (64 // 16)
    pipeline = coefficients.load().pipeline_cycles + 1 + 2  # front, a tree of 16
    assert call.kernels["pw"] == loops - fills + 64 // 16 + pipeline
    # depthwise there reads and computes in turns: (D^2 + D^2) (C / PE) bounds ours from above, D^2 (C / PE) from below
    assert h * w * 4 <= call.kernels["dw"] <= 2 * h * w * 4


def test_unsupported_precision_is_infeasible_not_wrong() -> None:
    net = toy(8, 16, 8)
    answer = cost(net, replace(_config("E88", (4, 4, 1), (4, 9), (4, 4)), engine="E48"), ZU3EG)
    assert not answer.feasible
    assert "calls that can run: 0 of 1; cannot run conv2d_0" in str(answer.infeasible[-1])
    with pytest.raises(UsageError, match="none of the engines E44 serves the precisions"):
        network_problem(net, ZU3EG, engines=["E44"])


def test_a_network_that_multiplies_nothing_has_no_accelerator_to_choose() -> None:
    b = Builder("relu", (8, 4, 4))
    b.act("relu")
    with pytest.raises(UsageError, match="no layer multiplies"):
        network_problem(b.build().uniform_bits(8, 8), ZU3EG)


def test_a_budget_of_nothing_keeps_the_tables_so_that_a_search_can_say_what_is_missing() -> None:
    none = ZU3EG.with_budget(dsp=0, lut=0, ff=0, bram36=0)
    problem = network_problem(toy(8, 16, 8), none)
    assert problem.engines
    for engine in problem.engines:
        chosen = tuple(0 for _ in engine.kernels)
        assert not feasible(engine, np.array([chosen]), problem.budget)[0]


def test_exceeded_limits_are_named() -> None:
    net = toy(8, 16, 8)
    answer = cost(net, _config("E88", (64, 64, 1), (4, 9), (4, 4)), ZU3EG)
    limits = {i.limit: i.excess for i in answer.infeasible}
    assert limits["dsp"] == answer.resources["dsp"] - 360 > 0
    assert answer.energy_j is None


def test_weights_that_exceed_the_memory_are_taken_in_tiles() -> None:
    """Split, with the input read once per tile of output channels: counted by hand."""
    b = Builder("tiles", (64, 8, 8))
    b.conv(64, 1)
    call = lower(b.build().uniform_bits(8, 8))[0]
    co = coefficients.load()

    def on_pw(depth: int) -> tuple[str, int, int]:
        empty = KernelConfig(0, 0, 0, 0, 0, 0, 0, 0, 0)
        config = Config("E88", empty, empty, KernelConfig(8, 8, 1, 1, depth, 1, 0, 64, 64), 250e6)
        row = call_cost(call, config, ZU3EG, co)
        return row.mode, row.kernels.get("pw", 0), row.bytes_moved

    # 8 groups of 8 outputs, 8 steps each: 64 words; halves of 64, 24 and 8 words hold 8, 3 and 1 groups
    weights = 64 * 64 + 64 * 6
    through = co.pipeline_cycles + 1 + 2  # front, two levels of four
    assert on_pw(128) == ("fused", 8 + 64 * 64 + through, 64 * 64 * 2 + weights)
    assert on_pw(48) == ("fused", 64 * 64 + 3 * (8 + through), 64 * 64 * (3 + 1) + weights)
    assert on_pw(16) == ("fused", 64 * 64 + 8 * (8 + through), 64 * 64 * (8 + 1) + weights)
    assert on_pw(14)[0] == "infeasible"  # not even one group


@pytest.mark.parametrize(("depth", "tiles"), [(64, 1), (48, 2), (32, 2), (24, 0), (16, 0)])
def test_tiles_of_logits_are_whole_groups_on_dual_engines(depth: int, tiles: int) -> None:
    """Logits stand in groups of the lanes of W4A4: at W8A8 two units of 8 words each. Half a memory of `depth`."""
    b = Builder("classifier", (64, 1, 1))
    b.add(Linear(32), b.add(Flatten()))
    net = b.build().uniform_bits(8, 8)
    empty = KernelConfig(0, 0, 0, 0, 0, 0, 0, 0, 0)
    pw = KernelConfig(8, 8, 1, 1, depth, 1, 0, 64, 64)
    (row,) = cost(net, Config("DUAL", empty, empty, pw, 250e6), ZU3EG).calls
    assert (row.mode == "infeasible") == (tiles == 0)
    small = Grid("one", (8,), (8,), (1,), (8,), (9,), (depth,), (512,), (1.0,), (1,))
    table = network_problem(net, ZU3EG, small, engines=("DUAL",)).engines[0].kernels[2]
    if tiles:
        assert row.cycles == table.solo[-1, 0]
        # By hand: 8 beats of input for each tile, 8 cycles a unit, 4 units.
        co = coefficients.load()
        assert row.kernels["pw"] == 32 + tiles * (8 + co.pipeline_cycles + 1 + 2 + 1)
    else:
        assert table.solo[-1, 0] == INFEASIBLE
    assert cost(net, Config("E88", empty, empty, pw, 250e6), ZU3EG).calls[0].mode != "infeasible"


def _on_conv(net: Network, conv: KernelConfig) -> tuple[int, int]:
    """(busy cycles, bytes) of a network of one convolution."""
    empty = KernelConfig(0, 0, 0, 0, 0, 0, 0, 0, 0)
    (call,) = lower(net)
    row = call_cost(call, Config("E88", conv, empty, empty, 250e6), ZU3EG, coefficients.load())
    return row.kernels["conv"], row.bytes_moved


def test_tiles_of_groups_read_their_own_groups() -> None:
    """2 groups of 4 units of 2 outputs; tiles of 2 units: 4 tiles, 2 per group, so the input is read twice."""
    b = Builder("groups", (16, 4, 4))
    b.conv(16, 1, groups=2)
    net = b.build().uniform_bits(8, 8)
    busy, moved = _on_conv(net, KernelConfig(8, 2, 1, 1, 4, 1, 0, 16, 16))
    assert busy == 4 * (2 * 1 + 16 * 2 + 13 + 1 + 2)
    assert moved == 256 * 2 + 256 + (16 * 8 + 16 * 6)
    # the tables agree where memory decides
    slow = ZU3EG.with_budget(bandwidth_bytes_per_s=250e6 / 0.8)  # one byte per cycle
    one = Grid("one", (8,), (2,), (1,), (1,), (1,), (4,), (4,), (1.0,))
    latency = network_problem(net, slow, one, engines=["E88"]).engines[0].row_latency((0, 0, 0))
    assert list(latency) == [moved + 4 * coefficients.load().overhead_cycles]


def test_rows_that_exceed_the_line_buffer_are_taken_in_stripes() -> None:
    """10 columns of 8 channels in a buffer of 6: two stripes that share 2 columns, which are read twice."""
    b = Builder("stripes", (8, 10, 10))
    b.conv(8, 3)
    net = b.build().uniform_bits(8, 8)
    whole, once = _on_conv(net, KernelConfig(1, 8, 9, 1, 64, 3, 80, 8, 8))
    busy, moved = _on_conv(net, KernelConfig(1, 8, 9, 1, 64, 3, 48, 8, 8))
    assert once == 800 + 800 + 8 * 8 * 9 + 8 * 6
    assert moved == once + 160
    through = 13 + 4 + 2
    assert whole == (12 + 100) * 8 + through
    assert busy == (100 + 20) * 8 + 12 * 8 + through  # reading is now the slower side; 12 outputs remain after it


def test_memory_call_and_vector_call() -> None:
    b = Builder("se", (16, 6, 6))
    b.block = "b"
    b.depthwise(3)
    b.squeeze_excite(4)
    calls = lower(b.build().uniform_bits(8, 8))
    assert [tuple(s.kernel for s in c.stages) for c in calls] == [("dw",), ("pw",), ("pw",), ()]
    answer = cost_of_calls(calls, _config("E88", (4, 4, 1), (4, 9), (4, 4)), ZU3EG)
    assert answer.calls[-1].mode == "memory"
    assert answer.calls[-1].bytes_moved == 2 * 16 * 36 + 16
    assert answer.calls[1].bound == "overhead"


def test_energy_is_none_without_power_figures_and_counts_each_part_once() -> None:
    net = toy(8, 16, 8)
    config = replace(_config("E88", (4, 4, 1), (4, 9), (4, 4)))
    part = ZU3EG.with_budget(dsp=10**6, lut=10**9, ff=10**9, bram36=10**9)
    answer = cost(net, config, part)
    co = coefficients.load()
    call: Call = lower(net, co.word_bytes(co.bus_bits(part)))[0]
    dynamic = (call.macs * dict(co.mac_fj)["88"] + call.bytes * co.dram_fj_per_byte) * 1e-15
    assert answer.energy_j == pytest.approx(dynamic + 5.1 * answer.latency_s, rel=1e-6)
    bare = device.load("zu7ev").with_budget(dsp=10**6, lut=10**9, ff=10**9, bram36=10**9)
    assert cost(net, config, bare).energy_j is None
    assert network_problem(net, device.load("zu7ev")).engines[0].energy is None
    assert network_problem(net, ZU3EG).static_power_w == pytest.approx(5.1)


@SLOW
@given(networks(max_blocks=2), grids(), st.integers(0, 2**32 - 1))
def test_limit_drops_only_what_does_not_fit(net: Network, grid: Grid, seed: int) -> None:
    rng = np.random.default_rng(seed)
    calls = tuple(dict.fromkeys(lower(net)))
    co = coefficients.load()
    limit = np.array([int(rng.integers(1, 300)), int(rng.integers(1000, 30000)), 50_000, int(rng.integers(1, 100))])
    from cofront.hardware.subgraph.grid import configurations

    params = configurations("conv", calls, grid)
    kinds = list(ENGINES.values())
    full = kernel_tables("conv", params, calls, kinds, ZU3EG, 250e6, co)
    some = kernel_tables("conv", params, calls, kinds, ZU3EG, 250e6, co, limit)
    for name in full:
        fits = np.all(full[name].resources <= limit, axis=1)
        assume(fits.any())
        for field in ("params", "resources", "cycles", "head", "tail", "solo"):
            assert np.array_equal(getattr(some[name], field), getattr(full[name], field)[fits])
