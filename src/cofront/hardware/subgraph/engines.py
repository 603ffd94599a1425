"""Engine kinds: which precisions the multipliers serve, and what storing and multiplying operands costs."""

from __future__ import annotations

from dataclasses import dataclass

from cofront.errors import unknown_name


@dataclass(frozen=True)
class EngineKind:
    """`weight_bits` x `act_bits` multipliers; buffers hold operands of these widths.

    `product` names the DSP packing and `lut_product` the LUT multiplier in coefficients.toml. `w4a4_factor` is how
    many times as many outputs a call of at most 4 x 4 bits computes at once.
    """

    name: str
    weight_bits: int
    act_bits: int
    product: str
    lut_product: str
    w4a4_factor: int = 1

    def supports(self, weight_bits: int, act_bits: int) -> bool:
        return weight_bits <= self.weight_bits and act_bits <= self.act_bits

    def factor(self, weight_bits: int, act_bits: int) -> int:
        return self.w4a4_factor if weight_bits <= 4 and act_bits <= 4 else 1


ENGINES: dict[str, EngineKind] = {
    "E88": EngineKind("E88", 8, 8, "88", "88"),
    "E48": EngineKind("E48", 4, 8, "48", "48"),
    "E44": EngineKind("E44", 4, 4, "44", "44"),
    "DUAL": EngineKind("DUAL", 8, 8, "88", "dual", w4a4_factor=2),
}


def engine(name: str) -> EngineKind:
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    return ENGINES[name]


def operand_key(weight_bits: int, act_bits: int) -> str:
    """The multiplier class of a precision: "88", "48" (narrow weights) or "44"."""
    if weight_bits <= 4:
        return "44" if act_bits <= 4 else "48"
    return "88"
