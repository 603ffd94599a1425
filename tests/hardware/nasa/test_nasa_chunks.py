"""Sharing the area, networks as work, and what a network costs on three arrays."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.device import load
from cofront.errors import InputError, UnsupportedError, UsageError
from cofront.hardware.nasa import NASA, Config, Silicon, allocate, evaluate_network, layers_of, load_units, operations
from cofront.hardware.nasa.chunks import elements_um2
from cofront.hardware.nasa.units import KINDS
from cofront.network import AdderConv2d, Builder, Conv2d, Network, ShiftConv2d
from cofront.network.ops import Mul

OPS = {"conv": Conv2d, "shift": ShiftConv2d, "adder": AdderConv2d}


def hybrid(kinds: str = "shift adder conv") -> Network:
    b = Builder("hybrid", (3, 8, 8))
    b.block = "stem"
    b.conv(8, 3, act="relu", name="stem")
    for i, kind in enumerate(kinds.split()):
        b.block, x = f"b{i}", b.last
        b.conv(16, 1, act="relu", op=OPS[kind], name=f"b{i}.expand")
        b.depthwise(3, act="relu", op=OPS[kind], name=f"b{i}.dw")
        b.conv(8, 1, op=OPS[kind], name=f"b{i}.project")
        b.sum(x, b.last, name=f"b{i}.add")
    b.block = "head"
    b.classifier(5, name="head")
    return b.build().with_bits(lambda n: (8 if isinstance(n.op, Conv2d) or not hasattr(n.op, "kernel") else 6, 8))


counts = st.fixed_dictionaries({k: st.integers(0, 400) for k in KINDS})


@settings(max_examples=60)
@given(counts, st.integers(1500, 9000))
def test_the_share_is_the_best_of_all(ops: dict, area: int) -> None:
    """Every choice of elements that fits, one by one: none has a smaller greatest ops / elements."""
    units, silicon = load_units(), Silicon(elements_um2=area)
    if not any(ops.values()):
        with pytest.raises(UsageError, match="there is nothing to run"):
            allocate(ops, silicon, units)
        return
    present = [k for k in KINDS if ops[k]]
    if sum(elements_um2(1, k, units) for k in present) > area:
        with pytest.raises(UsageError, match="give the arrays more area"):
            allocate(ops, silicon, units)
        return
    config = allocate(ops, silicon, units)
    used = config.resources(units)
    assert used["elements_um2"] <= area and used["buffer_bytes"] <= silicon.buffer_bytes
    assert all((config.elements(k) > 0) == (ops[k] > 0) for k in KINDS)
    slowest = max(-(-ops[k] // config.elements(k)) for k in present)
    for n in product(*(range(1, int(area / units.element_um2(k)) + 1) for k in present)):
        if sum(elements_um2(x, k, units) for x, k in zip(n, present, strict=True)) <= area:
            assert max(-(-ops[k] // x) for x, k in zip(n, present, strict=True)) >= slowest


def test_tenths_to_and_fro_are_no_better() -> None:
    """10 % of an array's area given to another makes the slowest array slower, or leaves it as slow."""
    units, silicon = load_units(), Silicon()
    ops = operations(layers_of(hybrid()))
    best = allocate(ops, silicon, units)

    def slowest(c: Config) -> float:
        return max(-(-n // c.elements(k)) for k, n in ops.items())

    for giver, taker in product(KINDS, KINDS):
        if giver != taker:
            moved = max(1, best.elements(giver) // 10)
            more = int(moved * units.element_um2(giver) / units.element_um2(taker))
            counts = {k: best.elements(k) for k in KINDS}
            counts[giver] -= moved
            counts[taker] += more
            other = Config(*counts.values(), *(best.buffer(k) for k in KINDS))
            assert other.resources(units)["elements_um2"] <= best.resources(units)["elements_um2"]
            assert slowest(other) >= slowest(best)


def test_layers_are_all_work_of_the_network() -> None:
    network = hybrid()
    layers = layers_of(network)
    assert sum(x.work.operations for x in layers) == network.macs
    assert [x.name for x in layers] == [n.name for n in network.layers]
    assert sorted(n for x in layers for n in x.nodes) == sorted(n.name for n in network.nodes[1:])
    assert [x.kind for x in layers][:4] == ["conv", "shift", "shift", "shift"]
    assert {x.work.weight_bytes for x in layers if x.kind != "conv"} == {0.75}
    by_name = {x.name: x for x in layers}
    assert by_name["b0.project"].extra_bytes == 8 * 8 * 8 and by_name["b0.expand"].extra_bytes == 0
    assert by_name["b0.dw"].work.depthwise and by_name["b0.dw"].work.c == 1


def test_groups_are_run_one_by_one() -> None:
    b = Builder("grouped", (4, 6, 6))
    b.conv(8, 3, 2, groups=2, op=ShiftConv2d, name="g")
    (layer,) = layers_of(b.build().uniform_bits(6, 8))
    assert (layer.work.m, layer.work.c, layer.work.repeats, layer.work.p) == (4, 2, 2, 3)
    assert layer.work.operations == b.build().macs


def test_what_no_array_runs_is_named() -> None:
    b = Builder("other", (4, 6, 6))
    x = b.conv(4, 1, name="c")
    b.add(Mul(), x, x, name="gate")
    with pytest.raises(UnsupportedError, match="node 'gate': no array runs Mul"):
        layers_of(b.build())
    b = Builder("early", (4, 6, 6))
    b.act("relu", name="early")
    b.conv(4, 1)
    with pytest.raises(UnsupportedError, match="node 'early': nothing runs before the first layer"):
        layers_of(b.build())


def test_a_cost_is_the_sum_of_its_layers() -> None:
    found = evaluate_network(hybrid())
    cost = found.cost()
    assert cost.feasible and cost.macs == hybrid().macs
    assert cost.cycles == sum(c.cycles for c in cost.calls) == sum(found.busy.values())
    assert cost.latency_s == pytest.approx(cost.cycles / cost.clock_hz)
    assert sum(found.energy_parts_j.values()) == pytest.approx(cost.energy_j)
    assert max(found.busy.values()) <= found.interval_cycles <= found.cycles
    assert found.edp_pipelined <= found.edp_single
    assert cost.resources["elements_um2"] <= cost.budget["elements_um2"]
    for call in cost.calls:
        assert call.bytes_moved > 0 and all(0 < busy <= call.cycles for busy in call.kernels.values())
    assert "one image every" in cost.notes[0]


def test_the_mapper_is_no_worse_than_one_dataflow_on_every_layer() -> None:
    free = evaluate_network(hybrid())
    fixed = evaluate_network(hybrid(), free.config, dataflows=("RS",))
    for a, b in zip(free.runs, fixed.runs, strict=True):
        assert a.mapped.edp <= b.mapped.edp
        assert b.mapped.mapping.dataflow == "RS"


def test_what_cannot_run_says_why() -> None:
    network = hybrid()
    share = (40000, 40000, 40000)
    none = evaluate_network(network, Config(10, 10, 0, *share))
    assert not none.cost().feasible
    assert str(none.infeasible[0]).startswith("alp of 'b1.expand'")
    much = evaluate_network(network, Config(9999, 10, 10, *share))
    assert much.infeasible[0].limit == "elements_um2" and much.infeasible[0].excess > 0
    small = evaluate_network(network, Config(10, 10, 10, 40000, 60, 60))
    assert {e.limit for e in small.infeasible} >= {"buffer of 'b0.dw'"}
    with pytest.raises(InputError, match="clp must be a whole number of 0 to 1073741823, got -1"):
        Config(-1, 1, 1, *share)
    with pytest.raises(InputError, match="clock_hz must be above 0"):
        Silicon(clock_hz=0)
    with pytest.raises(UsageError, match="no resource of silicon '45nm' named 'lut'"):
        Silicon().with_budget(lut=3)


def test_configurations_survive_json() -> None:
    config = evaluate_network(hybrid()).config
    assert Config.from_dict(config.to_dict()) == config
    for bad in (None, [], {}, {**config.to_dict(), "more": 1}):
        with pytest.raises(InputError, match="expected an object with clp, slp, alp, clp_buffer"):
            Config.from_dict(bad)


def test_unit_costs_have_sources_and_order() -> None:
    units = load_units()
    wide, bare = replace(units, wide_shift=True), replace(units, registers=False)
    assert units.element_um2("conv") == pytest.approx(282 + 137 + 48 * 5.98)
    assert bare.element_um2("adder") == 36 + 137 and bare.element_um2("shift") == 34 + 137
    assert units.operation_pj("shift") < units.operation_pj("adder") < units.operation_pj("conv")
    assert wide.operation_pj("shift") - units.operation_pj("shift") == pytest.approx(0.13 - 0.024)
    assert units.buffer_pj_per_byte(32 * 1024) == pytest.approx(20 / 8)
    assert units.buffer_pj_per_byte(8) == pytest.approx(dict(units.energy_pj)["register_byte"], rel=0.05)
    assert Silicon().elements_um2 == elements_um2(256, "conv", units)


def test_an_fpga_is_no_chip() -> None:
    with pytest.raises(UsageError, match="accelerator 'nasa' is a chip, not a design for an FPGA such as 'zu3eg'"):
        NASA.estimate(hybrid(), load("zu3eg"))
