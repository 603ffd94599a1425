"""Products of weights and activations: packed into DSP slices, or of shifted sums in LUTs.

Weights arrive in *offset binary* (w + 2^(bits - 1): the sign bit inverted), which the loaders store. Packed weights are
then plain concatenation, and the pre-adder takes all offsets off at once:

    (u1 2^18 + u0) + D = w1 2^18 + w0,   D = -(2^7 2^18 + 2^7)

Activations are unsigned. `packing.py` of the cost model has the arithmetic for integers; here it is as wires. Where an
operand meets no pre-adder, the packed weights are brought to two's complement in LUTs (`packed`). A multiplier's
products come `latency` cycles after its operands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import C, Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from cofront.hardware.subgraph.packing import PAIRS, SHARED, Pair, Shared
from cofront.rtl.dsp48 import LATENCY, Dsp48e1, Dsp48e2, Plain, slice_of
from cofront.rtl.streams import delayed

LUT_LATENCY = 1


@dataclass(frozen=True)
class Operands:
    """Widths of one product: a signed weight times an unsigned activation."""

    weight_bits: int
    act_bits: int

    @property
    def key(self) -> str:
        return f"{self.weight_bits}{self.act_bits}"

    @property
    def product_bits(self) -> int:
        return self.weight_bits + self.act_bits


def _ports(kind: Operands, weights: int, acts: int, products: int) -> dict[str, Any]:
    return {
        "weights": In(data.ArrayLayout(unsigned(kind.weight_bits), weights)),
        "acts": In(data.ArrayLayout(unsigned(kind.act_bits), acts)),
        "products": Out(data.ArrayLayout(signed(kind.product_bits), products)),
    }


class SharedDsp(wiring.Component):
    """One slice: `count` weights times one activation, exact over all operands."""

    latency = LATENCY

    def __init__(self, kind: Operands, count: int | None = None, dsp: str = "DSP48E2") -> None:
        self.kind, self.dsp, full = kind, dsp, SHARED[dsp, kind.key]
        self.packing = Shared(full.weight_bits, full.act_bits, count or full.count, full.distance, full.narrow)
        super().__init__(_ports(kind, self.packing.count, 1, self.packing.count))

    def elaborate(self, platform: Any) -> Module:
        m, pack = Module(), self.packing
        p = multiply(m, self.dsp, self.weights, pack.distance, self.acts[0])
        products = separate(m, p, self.weights, self.acts[0], pack)
        m.d.comb += [p.eq(q) for p, q in zip(self.products, products, strict=True)]
        return m


def multiply(m: Module, dsp: str, weights: Any, distance: int, act: Any) -> Any:
    """P of a slice: the weights, `distance` bits apart, times an operand of at most 18 bits."""
    if dsp == "INTEL18X19":
        m.submodules.dsp = plain = Plain()
        m.d.comb += [plain.a.eq(packed(weights, distance)), plain.b.eq(act)]
        return plain.p
    m.submodules.dsp = wide = slice_of(dsp)
    a, offset = joined(weights, distance)
    m.d.comb += [wide.a.eq(a), wide.d.eq(offset), wide.b.eq(act)]
    return wide.p


def joined(weights: Any, distance: int) -> tuple[Any, int]:
    """Weights in offset binary in their places, and what takes all offsets off."""
    fields, bits = [], len(weights[0])
    for i, weight in enumerate(weights):
        fields += [C(0, distance - bits), weight] if i else [weight]
    return Cat(fields), -sum((1 << (bits - 1)) << (i * distance) for i in range(len(weights)))


def packed(weights: Any, distance: int) -> Any:
    """The same in two's complement: a field is one less where all below it is negative together."""
    out: Any = None
    for i, weight in enumerate(weights):
        signed_ = Cat(weight[:-1], ~weight[-1]).as_signed()
        if out is None:
            out = signed_
        else:
            below = Cat(out, out[-1].replicate(i * distance - len(out)))
            out = Cat(below, (signed_ - out[-1])[: len(weight) + 1]).as_signed()
    return out


def separate(m: Module, p: Any, weights: Any, act: Any, pack: Shared) -> list[Any]:
    """The products that stand `distance` bits apart in P, lowest first; `weights` and `act` as they entered the slice.

    Where all below a field is negative together, it borrows one from the field. Fields as wide as the products show
    that in the bit below the next field. Narrower fields (4 x 4 bits at 7 bits' distance) do not even show a product's
    own sign; there both are worked out from the operands and wait for P: a product is negative if its weight is and
    the activation is not zero, and a zero product passes the borrow on.
    """
    bits, step, last = pack.weight_bits + pack.act_bits, pack.distance, pack.count - 1
    if pack.count == 1:
        return [p[:bits].as_signed()]
    out: list[Any] = []
    if step >= bits:
        for i in range(pack.count):
            field = p[i * step : i * step + bits].as_signed()
            out.append(field + p[i * step - 1] if i else field)
        return out
    half = 1 << (pack.weight_bits - 1)
    signs = [~w[-1] & act.any() for w in list(weights)[:last]]  # offset binary: top bit 0 is negative
    borrows: list[Any] = []
    for w, sign in zip(weights, signs, strict=False):
        borrows.append(sign | ((w == half) & borrows[-1]) if borrows else sign)
    sign, borrow = (delayed(m, Cat(bits_), LATENCY, name) for bits_, name in ((signs, "sign"), (borrows, "borrow")))
    for i in range(last):
        low = Signal(unsigned(step), name=f"low_{i}")
        m.d.comb += low.eq(p[i * step : (i + 1) * step] + (borrow[i - 1] if i else 0))
        out.append(Cat(low, sign[i].replicate(bits - step)).as_signed())
    out.append(p[last * step : last * step + bits].as_signed() + borrow[last - 1])
    return out


class OwnDsp(wiring.Component):
    """One slice: products that share nothing; two where the operands are narrow enough, else one."""

    latency = LATENCY

    def __init__(self, kind: Operands, count: int | None = None, dsp: str = "DSP48E2") -> None:
        self.kind, self.dsp, self.pair = kind, dsp, PAIRS.get((dsp, kind.key))
        self.count = count or (2 if self.pair else 1)
        super().__init__(_ports(kind, self.count, self.count, self.count))

    def elaborate(self, platform: Any) -> Module:
        m, bits = Module(), self.kind.product_bits
        if self.count == 1:
            m.d.comb += self.products[0].eq(multiply(m, self.dsp, self.weights, 0, self.acts[0])[:bits])
            return m
        assert self.pair is not None
        p = pair_slice(m, self.dsp, self.pair, self.weights, self.acts)
        m.d.comb += [q.eq(v) for q, v in zip(self.products, separate_pair(p, self.pair), strict=True)]
        return m


def pair_slice(m: Module, dsp: str, pair: Pair, weights: Any, acts: Any) -> Any:
    """P of (w0 + w1 2^a)(x0 + x1 2^b): activations on the wide operand, weights with the pre-adder on the other.

    DSP48E1 has its pre-adder on the wide one only: there weights of 4 x 4 bits change places with the activations.
    """
    if dsp != "DSP48E2":
        both = Cat(acts[0], C(0, pair.act_distance - pair.act_bits), acts[1])
        if len(both) < 18:
            return multiply(m, dsp, weights, pair.weight_distance, both)
        m.submodules.dsp = swapped = Dsp48e1()
        m.d.comb += [swapped.a.eq(both), swapped.b.eq(packed(weights, pair.weight_distance))]
        return swapped.p
    half = 1 << (pair.weight_bits - 1)
    m.submodules.dsp = dsp = Dsp48e2(preadd="B")
    m.d.comb += [dsp.d.eq(-(half + (half << pair.weight_distance)))]
    for i, (weight, act) in enumerate(zip(weights, acts, strict=True)):
        w, x = i * pair.weight_distance, i * pair.act_distance
        m.d.comb += [dsp.b[w : w + pair.weight_bits].eq(weight), dsp.a[x : x + pair.act_bits].eq(act)]
    return dsp.p


def separate_pair(p: Any, pair: Pair) -> list[Any]:
    """Lowest and highest product; the mixed ones between them are less than half a unit of the highest."""
    bits, high = pair.weight_bits + pair.act_bits, pair.weight_distance + pair.act_distance
    low = min(pair.weight_distance, pair.act_distance)
    return [p[: min(low, bits)].as_signed(), p[high : high + bits].as_signed() + p[high - 1]]


class LutProduct(wiring.Component):
    """One product of shifted sums and a register: no slice, and nothing that a synthesiser would put into one."""

    latency = LUT_LATENCY

    def __init__(self, kind: Operands) -> None:
        self.kind = kind
        super().__init__(_ports(kind, 1, 1, 1))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.products[0].eq(shift_add(self.weights[0], self.acts[0], self.kind))
        return m


def shift_add(weight: Any, act: Any, kind: Operands) -> Any:
    """Offset-binary weight times activation: the rows of the set weight bits, the sign's subtracted."""
    top = kind.weight_bits - 1
    rows = [Mux(weight[i], act, C(0, kind.act_bits)) << i for i in range(top)]
    total = _sum(rows)
    return total - (Mux(weight[top], C(0, kind.act_bits), act) << top)


def _sum(terms: list[Any]) -> Any:
    """Balanced sum."""
    while len(terms) > 1:
        terms = [terms[i] + terms[i + 1] if i + 1 < len(terms) else terms[i] for i in range(0, len(terms), 2)]
    return terms[0]
