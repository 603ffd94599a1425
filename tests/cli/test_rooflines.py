"""Rooflines before and after: their times are those of the networks, and no point lies above its roof."""

from types import SimpleNamespace

import numpy as np
import pytest

from cofront.api.accelerate.pricing import priced_operators
from cofront.api.accelerate.roofline import roofline_of as of_operators
from cofront.api.budgets import parse_budgets
from cofront.api.costing import family
from cofront.api.parts import load_device
from cofront.api.quantise.choosing import on_layers
from cofront.api.quantise.costs import bit_costs, engine_of
from cofront.api.quantise.parts import on_part
from cofront.api.quantise.roofline import at_bits, roofline_of
from cofront.api.quantise.scene import QuantizeRequest
from cofront.api.rooflines import by_call, by_group
from cofront.network import Builder
from cofront.network.blocks import label_blocks
from cofront.network.split import split
from cofront.network.zoo import load as load_network
from cofront.space.operators_of import OperatorsOf, units_of
from cofront.study.documents import AcceleratedNetwork, AccelerateDocument

pytest.importorskip("torch")

from cofront.task.quantise.curvature import LossTables

WIDTHS = (2, 3, 4, 5, 6, 7, 8)


def network():
    b = Builder("net", (3, 16, 16))
    b.conv(16, 3, 2, act="relu", bias=True, norm=False, name="a")
    for name, width in (("b", 32), ("c", 32), ("d", 48)):
        b.block = name
        b.conv(width, 3, act="relu", bias=True, norm=False, name=name)
    b.block = "head"
    b.classifier(4)
    return label_blocks(b.build())


def tables(net, weight_bits=WIDTHS, act_bits=WIDTHS):
    """Invented: rises fall fourfold with every bit."""
    rng = np.random.default_rng(0)
    names = tuple(n.name for n in net.layers)
    rise = [np.exp(rng.normal(0, 1, (len(names), 1))) * 4.0 ** -np.array(bits) for bits in (weight_bits, act_bits)]
    return LossTables("divergence", names, weight_bits, act_bits, *rise)


def scene_of(net, device, budget="0.4x latency"):
    return SimpleNamespace(request=QuantizeRequest("net.onnx", budget, device=device), network=net)


def check(side):
    """Points lie below their roofs, and take no longer than the network."""
    assert side.points and side.bandwidth_bytes_per_s > 0
    for p in side.points:
        roof = min(p.peak_macs_per_s, p.macs / p.bytes * side.bandwidth_bytes_per_s)
        assert 0 < p.macs / p.seconds <= roof * (1 + 1e-9), p
    assert side.bytes >= sum(p.bytes for p in side.points)
    assert sum(p.seconds for p in side.points) <= side.latency_s * (1 + 1e-9)


@pytest.mark.parametrize("device", ["bismo-edge", "bitfusion"])
def test_of_a_bit_serial_accelerator(device):
    net = network()
    held = {net.layers[0].name: (8, 8), net.layers[-1].name: (8, 8)}
    costs = bit_costs(net, device, WIDTHS, WIDTHS, held)
    chosen = on_layers(costs, tables(net), parse_budgets("0.4x latency"), "exact", 0)
    pair, note = roofline_of(scene_of(net, device), chosen)
    assert note == "" and pair.before.label == "8 bits throughout"
    for side in (pair.before, pair.after):
        check(side)
        assert [p.name for p in side.points] == [n.name for n in net.layers]
    assert pair.before.latency_s == pytest.approx(costs.now["latency"])
    assert pair.after.latency_s == pytest.approx(chosen.point.costs["latency"])
    for before, after in zip(pair.before.points, pair.after.points, strict=True):
        w, a = chosen.point.bits[after.name]
        assert before.macs == after.macs and (before.precision, after.precision) == ("W8A8", f"W{w}A{a}")
        assert after.bytes <= before.bytes
        if device == "bismo-edge":  # as many cycles as weight bits times input bits
            assert after.peak_macs_per_s / before.peak_macs_per_s == pytest.approx(64 / (w * a))
        for b in (before, after):
            assert b.macs == net.node_macs(net.by_name[b.name])


def test_bytes_of_what_multiplies_nothing_count_for_the_whole_network():
    """The sums of a residual network move bytes, too."""
    net = at_bits(load_network("resnet18"), {})
    kind, part, config = engine_of("bismo-edge")
    side, cost = by_call("all", net, kind, part, config), kind.estimate(net, part, config)
    assert side.bytes == sum(c.bytes_moved for c in cost.calls)
    beside = sum(c.bytes_moved for c in cost.calls if not c.macs)
    assert beside > 0 and side.bytes == beside + sum(p.bytes for p in side.points)
    groups = [(p.name, p) for p in split(net)]
    assert by_group("all", groups, cost.latency_s, kind, part, config).bytes == sum(
        c.bytes_moved for _, p in groups for c in kind.estimate(p, part, config).calls
    )


def test_of_an_fpga_part_each_network_has_its_own_accelerator():
    net = network()
    wide = (net.layers[0].name, net.layers[-1].name)
    chosen = on_part(
        net, load_device("zu3eg"), tables(net, (4, 8), (4, 8)), parse_budgets("0.9x latency"), wide=wide, clock_hz=None
    )
    pair, note = roofline_of(scene_of(net, "zu3eg"), chosen)
    assert note == "" and chosen.uniform["W8A8"].design.config != chosen.point.design.config
    for side, point in ((pair.before, chosen.uniform["W8A8"]), (pair.after, chosen.point)):
        check(side)
        assert side.latency_s == pytest.approx(point.costs["latency"], rel=1e-12)
        assert sum(p.macs for p in side.points) == net.macs
    assert [p.name for p in pair.before.points] == [p.name for p in pair.after.points]
    assert {p.precision for p in pair.before.points} == {"W8A8"} != {p.precision for p in pair.after.points}


def test_a_size_and_a_table_have_none_and_say_why(tmp_path):
    net = network()
    chosen = on_layers(bit_costs(net, None, WIDTHS, (8,), {}), tables(net, act_bits=(8,)), parse_budgets("0.5x size"),
                       "exact", 0)  # fmt: skip
    pair, note = roofline_of(scene_of(net, None, "0.5x size"), chosen)
    assert pair is None and note.startswith("no roofline: where the size alone is limited")
    pair, note = roofline_of(scene_of(net, "table.npy"), chosen)
    assert pair is None and note.startswith("no roofline: a table of latencies")
    nothing = SimpleNamespace(point=None)
    assert roofline_of(scene_of(net, "bismo-edge"), nothing) == (None, "")


def test_groups_are_sums_of_their_calls():
    net = at_bits(network(), {"b": (4, 8)})
    kind, part = family("subgraph"), load_device("zu3eg")
    config = kind.config(kind.estimate(net, part).config)
    whole = by_call("all", net, kind, part, config)
    check(whole)
    one = by_group("one", [("net", net)], whole.latency_s, kind, part, config)
    (point,) = one.points
    assert point.name == "net" and point.precision == "W4A8+W8A8" and point.seconds == pytest.approx(whole.latency_s)
    assert point.macs == sum(p.macs for p in whole.points) and point.bytes >= sum(p.bytes for p in whole.points)
    assert point.peak_macs_per_s == max(p.peak_macs_per_s for p in whole.points)
    parts = [(p.name, at_bits(p, {"b": (4, 8)})) for p in split(network())]
    apart = by_group("apart", parts, whole.latency_s, kind, part, config)
    assert sum(p.macs for p in apart.points) == point.macs


def test_of_operators_by_unit():
    offered = ("teacher", "skip", "conv1", "narrow0.5")
    space = OperatorsOf(units_of(network()), offered)
    lana = SimpleNamespace(space=space, recipe=SimpleNamespace(offered=offered))
    prices, engine = priced_operators(lana, "zu3eg", None, None)
    choice = np.array([len(o) - 1 for o in space.operators])
    i = next(i for i, o in enumerate(space.operators) if o.get("skip", 0) is None)
    choice[i] = list(space.operators[i]).index("skip")
    names = [list(o)[k] for o, k in zip(space.operators, choice, strict=True)]
    taken = AcceleratedNetwork(operators=names, predicted=0.0, latency_s=float(prices.of(choice)[0]), loss=0.0,
                               accuracy=0.0)  # fmt: skip
    document = AccelerateDocument(
        model="net", device="zu3eg", task="", budget="", limit_s=0.0, before_s=prices.teacher_s, least_s=0.0,
        latency_note="", teacher_loss=0.0, teacher_validation=0.0, solutions=[taken], chosen=0,
    )  # fmt: skip
    pair, note = of_operators(engine, document, "zu3eg")
    assert note == "" and len(pair.after.points) < len(pair.before.points)  # an identity multiplies nothing
    for side, expected in ((pair.before, prices.teacher_s), (pair.after, taken.latency_s)):
        check(side)
        assert side.latency_s == expected
    # every unit that multiplies takes what it was priced at; the rest is in what all networks have
    by_name = {p.name: p.seconds for p in pair.before.points}
    fixed = 0.0
    for unit, operators, own in zip(space.parts, space.operators, prices.seconds[:, 0], strict=True):
        if len(operators) > 1:
            assert by_name[unit.name] == pytest.approx(own, rel=1e-9)
        else:
            fixed += by_name.get(unit.name, 0.0)
    assert fixed == pytest.approx(prices.base_s, rel=1e-9)
    assert of_operators(None, document, "host") == (
        None, "no roofline: a measurement says nothing of multipliers and memory"
    )  # fmt: skip
    assert "a table of latencies" in of_operators(None, document, "table.csv")[1]
