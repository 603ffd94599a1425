"""One DSP48E2 slice, with all its registers: P = (A + D) * B + addend, four cycles from A and B to P.

    cycle     0      1      2       3      4
    A         a      A2     AD=A+D  M      P      pre-adder on A, or (pre-add "B") on B
    B         b      B1     B2      M      P
    D         d      D                            here always a constant of the run
    C                       c       C      P      the addend comes two cycles after a
    PCIN                            pcin   P      another slice's P, three cycles after a

For synthesis it is an explicit instance: open tools do not absorb registers into the slice, nor infer the packing. For
simulation it is the model below, written from the documented behaviour [UG579]; `testbench/dsp48e2.v` is the same in
Verilog under the vendor's port names, so that netlists with instances can be simulated, too.
"""

from __future__ import annotations

from typing import Any, Literal

from amaranth.hdl import C, ClockSignal, Instance, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Cycles from A and B to P, from C to P, and from PCIN to P.
LATENCY, LATENCY_C, LATENCY_PCIN = 4, 2, 1

PreAdd = Literal["A", "B"]
Addend = Literal["none", "c", "pcin"]


class Primitives:
    """Given as `platform` to Amaranth's writers: DSP48E2 instances in the place of their models."""

    dsp48e2 = True


class Dsp48e2(wiring.Component):
    """P = (A + D) * B + addend (pre-add "A", sum of 27 bits), or A * (B + D) + addend (pre-add "B", sum of 18 bits).

    `take` enables the first registers of A and B.
    """

    def __init__(self, preadd: PreAdd = "A", addend: Addend = "none") -> None:
        self.preadd, self.addend = preadd, addend
        super().__init__(
            {
                "a": In(signed(27)),
                "b": In(signed(18)),
                "d": In(signed(27)),
                "c": In(signed(48)),
                "pcin": In(signed(48)),
                "take": In(1),
                "p": Out(signed(48)),
                "pcout": Out(signed(48)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if getattr(platform, "dsp48e2", False):
            self._instance(m)
        else:
            self._model(m)
        return m

    def _model(self, m: Module) -> None:
        a1, b1 = Signal(signed(27)), Signal(signed(18))
        a2, b2 = Signal(signed(27)), Signal(signed(18))
        product = Signal(signed(45))
        with m.If(self.take):
            m.d.sync += [a1.eq(self.a), b1.eq(self.b)]
        d1 = Signal(signed(27))
        on_a, on_b = (d1, 0) if self.preadd == "A" else (0, d1)
        m.d.sync += [d1.eq(self.d), a2.eq(a1 + on_a), b2.eq(b1 + on_b), product.eq(a2 * b2)]
        if self.addend == "c":
            c1 = Signal(signed(48))
            m.d.sync += [c1.eq(self.c), self.p.eq(product + c1)]
        elif self.addend == "pcin":
            m.d.sync += self.p.eq(product + self.pcin)
        else:
            m.d.sync += self.p.eq(product)
        m.d.comb += self.pcout.eq(self.p)

    def _instance(self, m: Module) -> None:
        on_a = self.preadd == "A"
        mode = {"none": 0b00_000_01_01, "pcin": 0b00_001_01_01, "c": 0b00_011_01_01}[self.addend]
        one, zero = C(1, 1), C(0, 1)
        wide = Signal(signed(30))
        m.d.comb += wide.eq(self.a)
        enables = ("CEA2", "CEB2", "CED", "CEAD", "CEM", "CEP", "CEC", "CECTRL", "CEINMODE", "CEALUMODE", "CECARRYIN")
        resets = ("A", "B", "C", "D", "M", "P", "CTRL", "INMODE", "ALUMODE", "ALLCARRYIN")
        first = {"CEA2" if on_a else "CEA1", "CEB1" if on_a else "CEB2"}
        ports: dict[str, Any] = {f"i_{n}": one for n in enables} | {f"i_RST{n}": zero for n in resets}
        ports |= {"i_CEA1": one, "i_CEB1": one} | {f"i_{n}": self.take for n in first}
        m.submodules.slice = Instance(
            "DSP48E2",
            p_USE_MULT="MULTIPLY",
            p_USE_SIMD="ONE48",
            p_A_INPUT="DIRECT",
            p_B_INPUT="DIRECT",
            p_AMULTSEL="AD" if on_a else "A",
            p_BMULTSEL="B" if on_a else "AD",
            p_PREADDINSEL=self.preadd,
            p_AREG=1 if on_a else 2,
            p_ACASCREG=1 if on_a else 2,
            p_BREG=2 if on_a else 1,
            p_BCASCREG=2 if on_a else 1,
            p_ADREG=1,
            p_DREG=1,
            p_CREG=1,
            p_MREG=1,
            p_PREG=1,
            p_OPMODEREG=0,
            p_ALUMODEREG=0,
            p_INMODEREG=0,
            p_CARRYINREG=0,
            p_CARRYINSELREG=0,
            i_CLK=ClockSignal(),
            i_A=wide,
            i_B=self.b,
            i_C=self.c if self.addend == "c" else C(0, 48),
            i_D=self.d,
            i_PCIN=self.pcin if self.addend == "pcin" else C(0, 48),
            i_ACIN=C(0, 30),
            i_BCIN=C(0, 18),
            i_CARRYIN=zero,
            i_CARRYCASCIN=zero,
            i_MULTSIGNIN=zero,
            i_CARRYINSEL=C(0, 3),
            i_ALUMODE=C(0, 4),
            i_INMODE=C(0b00100, 5),
            i_OPMODE=C(mode, 9),
            o_P=self.p,
            o_PCOUT=self.pcout,
            **ports,
        )
