"""One DSP48E2 slice, with all its registers: P = (A + D) * B + addend, four cycles from A and B to P.

    cycle     0      1      2       3      4
    A         a      A2     AD=A+D  M      P      pre-adder on A, or (pre-add "B") on B
    B         b      B1     B2      M      P
    D         d      D                            here always a constant of the run
    C                       c       C      P      the addend comes two cycles after a

As a "sum" it adds two products in two cycles, D * B' + C and then A * B + P, so that a second slice is saved:

    cycle    -1      0      1       2       3      4
    B         b'     b
    A                a
    use_d            x                            AD takes D in the place of A
    give                            x       x     P takes a value
    again                                   x     P + ... in the place of C + ...

For synthesis it is an explicit instance: open tools do not absorb registers into the slice, nor infer the packing. For
simulation it is the model below, written from the documented behaviour [UG579]; `testbench/dsp48e2.v` is the same in
Verilog under the vendor's port names, so that netlists with instances can be simulated, too.

DSP48E1 [UG479] is the same with A and D of 25 bits to the multiplier and the pre-adder on A only. On parts of other
makes there are no instances: `Plain`, an 18 x 19 multiplier between registers, is for their tools to infer.
"""

from __future__ import annotations

from typing import Any, Literal

from amaranth.hdl import C, Cat, ClockSignal, Instance, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

#: Cycles from A and B to P, and from C to P.
LATENCY, LATENCY_C = 4, 2

PreAdd = Literal["A", "B"]
Addend = Literal["none", "c", "sum"]


class Primitives:
    """Given as `platform` to Amaranth's writers: instances of the slices in the place of their models."""

    dsp48 = True


class Dsp48e2(wiring.Component):
    """P = (A + D) * B + addend (pre-add "A", sum of 27 bits), or A * (B + D) + addend (pre-add "B", sum of 18 bits).

    `take_a`, `take_b` enable the first registers of A and B. Addend "sum": P = D * B + C or A * B + P or C, as said
    above, by `use_d`, `give`, `again`.
    """

    cell = "DSP48E2"
    #: Bits of A and D that the multiplier takes, and of the operating mode.
    wide, mode_bits = 27, 9

    def __init__(self, preadd: PreAdd = "A", addend: Addend = "none") -> None:
        self.preadd, self.addend = preadd, addend
        super().__init__(
            {
                "a": In(signed(self.wide)),
                "b": In(signed(18)),
                "d": In(signed(self.wide)),
                "c": In(signed(48)),
                "take_a": In(1, init=1),
                "take_b": In(1, init=1),
                "use_d": In(1),
                "give": In(1),
                "again": In(1),
                "p": Out(signed(48)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        if getattr(platform, "dsp48", False):
            self._instance(m)
        else:
            self._model(m)
        return m

    def _model(self, m: Module) -> None:
        a1, b1 = Signal(signed(self.wide)), Signal(signed(18))
        a2, b2 = Signal(signed(self.wide)), Signal(signed(18))
        product = Signal(signed(self.wide + 18))
        with m.If(self.take_a):
            m.d.sync += a1.eq(self.a)
        with m.If(self.take_b):
            m.d.sync += b1.eq(self.b)
        d1 = Signal(signed(self.wide))
        m.d.sync += [d1.eq(self.d), product.eq(a2 * b2)]
        if self.addend == "sum":
            m.d.sync += [a2.eq(Mux(self.use_d, d1, a1)), b2.eq(b1)]
        else:
            on_a, on_b = (d1, 0) if self.preadd == "A" else (0, d1)
            m.d.sync += [a2.eq(a1 + on_a), b2.eq(b1 + on_b)]
        c1 = Signal(signed(48))
        m.d.sync += c1.eq(self.c)
        if self.addend == "sum":
            with m.If(self.give):
                m.d.sync += self.p.eq(product + Mux(self.again, self.p, c1))
        else:
            m.d.sync += self.p.eq(product + c1 if self.addend == "c" else product)

    def _instance(self, m: Module) -> None:
        on_a = self.preadd == "A"
        summing = self.addend == "sum"
        mode: Any = C(0b000_01_01 if self.addend == "none" else 0b011_01_01, self.mode_bits)  # M, or M + C
        inside: Any = C(0b00100, 5)  # pre-adder: A (or B) + D
        if summing:
            mode = Mux(self.again, C(0b010_01_01, self.mode_bits), mode)  # M + P
            inside = Cat(C(0, 1), self.use_d, self.use_d, C(0, 2))  # without A; with D
        one, zero = C(1, 1), C(0, 1)
        wide = Signal(signed(30))
        m.d.comb += wide.eq(self.a)
        enables = ("CEA2", "CEB2", "CED", "CEAD", "CEM", "CEP", "CEC", "CECTRL", "CEINMODE", "CEALUMODE", "CECARRYIN")
        resets = ("A", "B", "C", "D", "M", "P", "CTRL", "INMODE", "ALUMODE", "ALLCARRYIN")
        first = {"CEA2" if on_a else "CEA1": self.take_a, "CEB1" if on_a else "CEB2": self.take_b}
        ports: dict[str, Any] = {f"i_{n}": one for n in enables} | {f"i_RST{n}": zero for n in resets}
        ports |= {"i_CEA1": one, "i_CEB1": one} | {f"i_{n}": enable for n, enable in first.items()}
        if summing:
            ports["i_CEP"] = self.give
        m.submodules.slice = Instance(
            self.cell,
            p_USE_MULT="MULTIPLY",
            p_USE_SIMD="ONE48",
            p_A_INPUT="DIRECT",
            p_B_INPUT="DIRECT",
            **self._operands(),
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
            i_C=C(0, 48) if self.addend == "none" else self.c,
            i_D=self.d,
            i_PCIN=C(0, 48),
            i_ACIN=C(0, 30),
            i_BCIN=C(0, 18),
            i_CARRYIN=zero,
            i_CARRYCASCIN=zero,
            i_MULTSIGNIN=zero,
            i_CARRYINSEL=C(0, 3),
            i_ALUMODE=C(0, 4),
            i_INMODE=inside,
            i_OPMODE=mode,
            o_P=self.p,
            **ports,
        )

    def _operands(self) -> dict[str, Any]:
        """Where the pre-adder is."""
        on_a = self.preadd == "A"
        a, b = ("AD", "B") if on_a else ("A", "AD")
        return {"p_AMULTSEL": a, "p_BMULTSEL": b, "p_PREADDINSEL": self.preadd}


class Dsp48e1(Dsp48e2):
    """The slice of 7-series parts: P = (A + D) * B + addend, A and D of 25 bits."""

    cell = "DSP48E1"
    wide, mode_bits = 25, 7

    def __init__(self, addend: Addend = "none") -> None:
        super().__init__("A", addend)

    def _operands(self) -> dict[str, Any]:
        return {"p_USE_DPORT": "TRUE"}


class Plain(wiring.Component):
    """P = A * B of 18 and 19 bits, four cycles from A and B to P, for a synthesiser to infer."""

    def __init__(self) -> None:
        super().__init__({"a": In(signed(18)), "b": In(signed(19)), "p": Out(signed(37))})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        a, b, product = [Signal(signed(18)) for _ in "12"], [Signal(signed(19)) for _ in "12"], Signal(signed(37))
        m.d.sync += [a[0].eq(self.a), a[1].eq(a[0]), b[0].eq(self.b), b[1].eq(b[0])]
        m.d.sync += [product.eq(a[1] * b[1]), self.p.eq(product)]
        return m


def slice_of(dsp: str, addend: Addend = "none") -> Any:
    """A slice of that kind with its pre-adder on A. Other makes' tools infer what they need from the model of the
    largest."""
    return Dsp48e1(addend) if dsp == "DSP48E1" else Dsp48e2("A", addend)
