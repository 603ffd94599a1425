"""The multipliers of a kernel and the trees that sum their products, a sum per output lane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cofront.hardware.subgraph.packing import PAIRS, SHARED
from cofront.rtl.config import KernelDesign
from cofront.rtl.dsp48 import LATENCY
from cofront.rtl.dual import DualLut, DualOwn, DualShared
from cofront.rtl.multipliers import LUT_LATENCY, LutProduct, Operands, OwnDsp, SharedDsp

#: Terms that are added between two registers of a tree.
FAN_IN = 4


def tree_stages(terms: int) -> int:
    """Registers of the tree over `terms` products."""
    stages = 0
    while terms > 1:
        terms, stages = -(-terms // FAN_IN), stages + 1
    return stages


def tree_bits(bits: int, terms: int) -> int:
    """Width of the sum of signed terms."""
    return bits + (terms - 1).bit_length()


def tree(m: Module, terms: Sequence[Any], bits: int, name: str) -> Any:
    """The sum of signed terms, `tree_stages` cycles later; its width grows from `bits` to `tree_bits`."""
    stage, count = list(terms), 1
    level = 0
    while len(stage) > 1:
        count *= FAN_IN
        level += 1
        sums = []
        for i in range(0, len(stage), FAN_IN):
            group = stage[i : i + FAN_IN]
            total = Signal(signed(tree_bits(bits, min(count, len(terms)))), name=f"{name}_{level}_{i // FAN_IN}")
            pairs = [group[j] + group[j + 1] if j + 1 < len(group) else group[j] for j in range(0, len(group), 2)]
            m.d.sync += total.eq(pairs[0] + pairs[1] if len(pairs) > 1 else pairs[0])
            sums.append(total)
        stage = sums
    return stage[0]


def array_latency(design: KernelDesign) -> int:
    """Cycles from operands to sums."""
    k = design.kernel
    stages = tree_stages(k.taps * (1 if design.depthwise else k.pi))
    return (LATENCY if k.dsp else LUT_LATENCY) + stages + (1 if design.dual else 0)


class MultiplyArray(wiring.Component):
    """sums[o] = sum over t, i of weights[t, i, o] * acts[t, i]; depthwise: sum over t of weights[t, o] * acts[t, o].

    Taps t, inputs i, outputs o. Lanes of `weights` are in the order t, i, o, in offset binary; `latency` cycles from
    operands to sums.

    DUAL: in a `double` run every byte is two operands and every tree carries two sums side by side, of bytes made
    unsigned by adding 128; the sums' total offset is taken off behind the tree. sums[2 o] and sums[2 o + 1] are those
    of byte o; in a single run both sums[o] and sums[po + o] are the sum of byte o.
    """

    def __init__(self, design: KernelDesign) -> None:
        self.design = design
        k, kind = design.kernel, design.kind
        self.kind = Operands(kind.weight_bits, kind.act_bits)
        self.inputs = k.po if design.depthwise else k.pi
        self.terms = k.taps * (1 if design.depthwise else k.pi)
        self.latency = array_latency(design)
        self.sum_bits = tree_bits(self.kind.product_bits, self.terms)
        super().__init__(
            {
                "double": In(1),
                "weights": In(data.ArrayLayout(unsigned(kind.weight_bits), k.pi * k.po * k.taps)),
                "acts": In(data.ArrayLayout(unsigned(kind.act_bits), k.taps * self.inputs)),
                "sums": Out(data.ArrayLayout(signed(self.sum_bits), design.out_lanes)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        po = self.design.kernel.po
        products: dict[tuple[int, int], Any] = {}  # (term, output lane)
        for unit, places in self._units():
            m.submodules += unit
            m.d.comb += [
                unit.weights.eq(Cat(self.weights[term * po + o] for term, o in places)),
                unit.acts.eq(Cat(self.acts[a] for a in self._acts(places))),
            ]
            if self.design.dual:
                m.d.comb += unit.double.eq(self.double)
            products |= {place: unit.products[i] for i, place in enumerate(places)}
        for o in range(po):
            terms = [products[t, o] for t in range(self.terms)]
            if self.design.dual:
                self._two_sums(m, o, terms)
            else:
                m.d.comb += self.sums[o].eq(tree(m, terms, self.kind.product_bits, f"sum_{o}"))
        return m

    def _two_sums(self, m: Module, o: int, words: Sequence[Any]) -> None:
        po, one = self.design.kernel.po, tree_bits(8, self.terms)
        terms = []
        for i, word in enumerate(words):
            term = Signal(signed(2 * one), name=f"term_{o}_{i}")
            low, high = word[:8] ^ 0x80, word[8:] ^ 0x80
            pair = Cat(low, C(0, one - 8), high, C(0, one - 8)).as_signed()
            m.d.comb += term.eq(Mux(self.double, pair, word.as_signed()))
            terms.append(term)
        total = tree(m, terms, 2 * one, f"sum_{o}")
        low, high = (total[i * one : (i + 1) * one] - 128 * self.terms for i in range(2))
        for lane, value in ((2 * o, low), (2 * o + 1, high)):
            with m.If(self.double):
                m.d.sync += self.sums[lane].eq(value)
        for lane in (o, po + o):
            with m.If(~self.double):
                m.d.sync += self.sums[lane].eq(total)

    def _acts(self, places: Sequence[tuple[int, int]]) -> list[int]:
        if self.design.depthwise:
            return [term * self.inputs + o for term, o in places]
        return [places[0][0]]

    def _units(self) -> list[tuple[Any, list[tuple[int, int]]]]:
        """Multipliers, each with the (term, output lane) of its products."""
        k, dual, depthwise = self.design.kernel, self.design.dual, self.design.depthwise
        every = [(t, o) for t in range(self.terms) for o in range(k.po)]
        if not k.dsp:
            return [(DualLut(depthwise) if dual else LutProduct(self.kind), [place]) for place in every]
        dsp = self.design.dsp
        if depthwise:
            per = 2 if (dsp, self.kind.key) in PAIRS else 1
            groups = [every[i : i + per] for i in range(0, len(every), per)]
            return [(DualOwn(dsp) if dual else OwnDsp(self.kind, len(g), dsp), g) for g in groups]
        per = SHARED[dsp, self.kind.key].count
        groups = [
            [(t, o) for o in range(i, min(i + per, k.po))] for t in range(self.terms) for i in range(0, k.po, per)
        ]
        return [(DualShared(len(g), dsp) if dual else SharedDsp(self.kind, len(g), dsp), g) for g in groups]
