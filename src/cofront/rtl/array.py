"""The multipliers of a kernel and the trees that sum their products, a sum per output lane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth.hdl import Cat, Module, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cofront.hardware.subgraph.packing import PAIRS, SHARED
from cofront.rtl.config import KernelDesign
from cofront.rtl.dsp48 import LATENCY
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
    """The sum of signed terms of `bits`, `tree_stages` cycles later."""
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
    return (LATENCY if k.dsp else LUT_LATENCY) + tree_stages(k.taps * (1 if design.depthwise else k.pi))


class MultiplyArray(wiring.Component):
    """sums[o] = sum over t, i of weights[t, i, o] * acts[t, i]; depthwise: sum over t of weights[t, o] * acts[t, o].

    Taps t, inputs i, outputs o. Lanes of `weights` are in the order t, i, o, in offset binary; `latency` cycles from
    operands to sums.
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
                "weights": In(data.ArrayLayout(unsigned(kind.weight_bits), k.pi * k.po * k.taps)),
                "acts": In(data.ArrayLayout(unsigned(kind.act_bits), k.taps * self.inputs)),
                "sums": Out(data.ArrayLayout(signed(self.sum_bits), k.po)),
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
            products |= {place: unit.products[i] for i, place in enumerate(places)}
        for o in range(po):
            terms = [products[t, o] for t in range(self.terms)]
            m.d.comb += self.sums[o].eq(tree(m, terms, self.kind.product_bits, f"sum_{o}"))
        return m

    def _acts(self, places: Sequence[tuple[int, int]]) -> list[int]:
        if self.design.depthwise:
            return [term * self.inputs + o for term, o in places]
        return [places[0][0]]

    def _units(self) -> list[tuple[Any, list[tuple[int, int]]]]:
        """Multipliers, each with the (term, output lane) of its products."""
        k = self.design.kernel
        every = [(t, o) for t in range(self.terms) for o in range(k.po)]
        if not k.dsp:
            return [(LutProduct(self.kind), [place]) for place in every]
        if self.design.depthwise:
            per = 2 if ("DSP48E2", self.kind.key) in PAIRS else 1
            groups = [every[i : i + per] for i in range(0, len(every), per)]
            return [(OwnDsp(self.kind, len(g)), g) for g in groups]
        per = SHARED["DSP48E2", self.kind.key].count
        groups = [
            [(t, o) for o in range(i, min(i + per, k.po))] for t in range(self.terms) for i in range(0, k.po, per)
        ]
        return [(SharedDsp(self.kind, len(g)), g) for g in groups]
