"""Every packing, over all operands in a vectorised model of the wires, and in the RTL's own simulation on samples."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Module, Signal, signed
from amaranth.sim import Simulator

from cofront.hardware.subgraph.packing import PAIRS, SHARED
from cofront.rtl.dual import DualLut, DualOwn, DualShared
from cofront.rtl.multipliers import LutProduct, Operands, OwnDsp, SharedDsp, packed

KINDS = [Operands(8, 8), Operands(4, 8), Operands(4, 4)]
DSPS = ("DSP48E2", "DSP48E1", "INTEL18X19")


def products(dut, weights, acts, **held):
    """Products (n, count) of weights (n, k) and activations (n, a) as they are wired, one row a cycle."""
    top, out = Module(), []
    top.submodules.dut = dut
    sim = Simulator(top)
    sim.add_clock(1e-6)

    async def drive(ctx):
        for name, value in held.items():
            ctx.set(getattr(dut, name), value)
        for w, x in zip(weights, acts, strict=True):
            ctx.set(dut.weights, [int(v) for v in w])
            ctx.set(dut.acts, [int(v) for v in x])
            await ctx.tick()

    async def watch(ctx):
        for _ in range(dut.latency):
            await ctx.tick()
        for _ in range(len(weights)):
            out.append(list(ctx.get(dut.products)))
            await ctx.tick()

    sim.add_testbench(drive)
    sim.add_testbench(watch)
    sim.run()
    return np.array(out)


def run(dut, weights, acts):
    """Products of signed weights, which are wired with an offset."""
    return products(dut, weights + (1 << (dut.kind.weight_bits - 1)), acts)


def operands(kind, weights, acts, count=400, seed=0):
    """Random operands, all combinations of the extremes first."""
    rng = np.random.default_rng(seed)
    low, high = -(1 << (kind.weight_bits - 1)), (1 << (kind.weight_bits - 1)) - 1
    top = (1 << kind.act_bits) - 1
    edges = np.array(np.meshgrid(*[[low, -1, 0, high]] * weights, *[[0, 1, top]] * acts)).reshape(weights + acts, -1).T
    edges = edges[rng.permutation(len(edges))[:300]]
    w = np.concatenate([edges[:, :weights], rng.integers(low, high + 1, (count, weights))])
    x = np.concatenate([edges[:, weights:], rng.integers(0, top + 1, (count, acts))])
    return w, x


@pytest.mark.parametrize("dsp", DSPS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.key)
def test_shared_products(kind, dsp):
    for count in range(1, SHARED[dsp, kind.key].count + 1):
        w, x = operands(kind, count, 1, 200)
        w = np.maximum(w, SHARED[dsp, kind.key].least_weight)
        assert np.array_equal(run(SharedDsp(kind, count, dsp), w, x), w * x)


@pytest.mark.parametrize("dsp", DSPS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.key)
def test_own_products(kind, dsp):
    for count in (1, 2) if (dsp, kind.key) in PAIRS else (1,):
        w, x = operands(kind, count, count, 200)
        assert np.array_equal(run(OwnDsp(kind, count, dsp), w, x), w * x)


@pytest.mark.parametrize(("bits", "distance"), [(4, 8), (4, 12), (4, 13), (8, 16)])
def test_packed_weights_over_all_of_them(bits, distance):
    """Both weights in two's complement, in the places that the borrow left them."""
    n = 1 << bits
    top, w0, w1, out = Module(), Signal(bits), Signal(bits), Signal(signed(40))
    top.d.comb += out.eq(packed([w0, w1], distance))
    sim = Simulator(top)
    step = 1 if bits == 4 else 17

    async def bench(ctx):
        for a in range(0, n, step):
            for b in range(0, n, step):
                ctx.set(w0, a)
                ctx.set(w1, b)
                assert ctx.get(out) == (a - n // 2) + ((b - n // 2) << distance)

    sim.add_testbench(bench)
    sim.run()


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.key)
def test_lut_products(kind):
    w, x = operands(kind, 1, 1, 300)
    assert np.array_equal(run(LutProduct(kind), w, x), w * x)


def field(p, at, bits):
    """Bits of an integer array as a signed number."""
    raw = (p >> at) & ((1 << bits) - 1)
    return raw - ((raw >> (bits - 1)) << bits)


def test_wires_of_four_products_over_all_operands():
    """`separate` on all 2^20 operands of four 4 x 4 products, bit by bit as it is wired."""
    u = np.arange(16)
    us = np.stack(np.meshgrid(u, u, u, u, indexing="ij"), -1).reshape(-1, 4)
    weights = us - 8
    packed = (us << (7 * np.arange(4))).sum(1) - sum(8 << (7 * i) for i in range(4))
    for x in range(16):
        p = packed * x
        sign = (us < 8) & (x != 0)
        borrow = sign.copy()
        for i in range(1, 4):
            borrow[:, i] |= (us[:, i] == 8) & borrow[:, i - 1]
        for i in range(4):
            below = borrow[:, i - 1].astype(int) if i else 0
            if i < 3:
                low = (((p >> (7 * i)) & 127) + below) & 127
                got = low - (sign[:, i].astype(int) << 7)
            else:
                got = field(p, 21, 8) + below
            assert np.array_equal(got, weights[:, i] * x)


@pytest.mark.parametrize(
    ("key", "distance"), [("88", 18), ("48", 18), ("88", 16), ("48", 12)], ids=["88", "48", "88E1", "48plain"]
)
def test_wires_of_two_products_over_all_operands(key, distance):
    """`separate` on all operands of two products 18 (DSP48E2), 16 or 12 bits apart (2^24 and 2^16)."""
    bits = int(key[0])
    half, n = 1 << (bits - 1), 1 << bits
    us = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2)
    packed = us[:, 0] + (us[:, 1] << distance) - half - (half << distance)
    for x in range(256):
        p = packed * x
        assert np.array_equal(field(p, 0, bits + 8), (us[:, 0] - half) * x)
        assert np.array_equal(field(p, distance, bits + 8) + ((p >> (distance - 1)) & 1), (us[:, 1] - half) * x)


@pytest.mark.parametrize(("dsp", "key"), list(PAIRS))
def test_wires_of_a_pair_over_all_weights(dsp, key):
    """`separate_pair` on all weights and, for 4 x 4, all activations; for 4 x 8 all that touch an extreme."""
    pair = PAIRS[dsp, key]
    n = 1 << pair.act_bits
    x = np.stack(np.meshgrid(np.arange(n), np.arange(n), indexing="ij"), -1).reshape(-1, 2)
    if n > 16:
        x = x[np.isin(x, [0, 1, 127, 128, 254, 255]).any(1)]
    acts = x[:, 0] + (x[:, 1] << pair.act_distance)
    for w0 in range(-8, 8):
        for w1 in range(-8, 8):
            p = acts * (w0 + (w1 << pair.weight_distance))
            high = pair.weight_distance + pair.act_distance
            bits = 4 + pair.act_bits
            low = min(bits, pair.weight_distance, pair.act_distance)
            assert np.array_equal(field(p, 0, low), w0 * x[:, 0])
            assert np.array_equal(field(p, high, bits) + ((p >> (high - 1)) & 1), w1 * x[:, 1])


@pytest.mark.parametrize(
    ("make", "count", "own", "least"),
    [
        (lambda: DualShared(1), 1, False, -8),
        (lambda: DualShared(2), 2, False, -8),
        (lambda: DualShared(1, "DSP48E1"), 1, False, -8),
        (lambda: DualShared(2, "DSP48E1"), 2, False, -7),
        (lambda: DualShared(1, "INTEL18X19"), 1, False, -8),
        (DualOwn, 1, True, -8),
        (lambda: DualOwn("DSP48E1"), 1, True, -8),
        (lambda: DualOwn("INTEL18X19"), 1, True, -8),
        (lambda: DualLut(True), 1, True, -8),
        (lambda: DualLut(False), 1, False, -8),
    ],
)
def test_dual_products(make, count, own, least):
    w, x = operands(KINDS[0], count, 1, 150)
    assert np.array_equal(field(products(make(), w + 128, x, double=0), 0, 16), w * x)
    w, x = operands(KINDS[2], 2 * count, 2 if own else 1, 150)
    w = np.maximum(w, least)
    bytes_w = (w[:, ::2] + 8) + ((w[:, 1::2] + 8) << 4)
    words = products(make(), bytes_w, x[:, :1] + (x[:, 1:] << 4) if own else x, double=1)
    got = np.stack([field(words, 0, 8), field(words, 8, 8)], -1).reshape(len(w), -1)
    assert np.array_equal(got, w * x)
