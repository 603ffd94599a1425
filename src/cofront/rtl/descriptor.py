"""Descriptor: one run of the engine, as 32-bit little-endian words in memory.

A run reads a part of one tensor, streams it through a chain of kernels (any of conv, dw, pw; none for pooling alone)
and writes a part of another. Field names here are the names in the RTL: both sides use `FIELDS`.

Streams between memory and kernels are counted in *bus words*. A tensor is NHWC, one byte per element (logits: see
`layout`), every pixel starting on a bus word; of each pixel, `channels` bytes are used after `skip` that are not.

What the kernels' memories are filled with stands together in memory, `load_words` bus words from `load_base`: for each
kernel in order its `weight_words` words of weights, then its `param_words` of requantisation constants (counted in
words of those memories). A kernel that loads nothing goes on with what it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cofront.errors import InputError
from cofront.hardware.subgraph.calls import KERNELS

#: Bits in which the engine counts the words of a run.
RUN_BITS: Final = 24

#: (name, bits) of each field, word by word; fields of a word start at its lowest bit. `s` marks a signed field.
Word = tuple[tuple[str, int], ...]

SIGNED: Final = frozenset({"residual_multiplier", "table_start", "pool_offset"})


def _pattern(name: str) -> tuple[Word, ...]:
    """Addresses of a stream: `rows` times `columns` times `run` contiguous bus words. Pitches in bytes."""
    return (
        ((f"{name}_base", 32),),
        ((f"{name}_run", RUN_BITS),),
        ((f"{name}_columns", 16), (f"{name}_rows", 16)),
        ((f"{name}_column_pitch", 32),),
        ((f"{name}_row_pitch", 32),),
    )


def _kernel(name: str) -> tuple[Word, ...]:
    words: tuple[Word, ...] = (
        (("in_channels", 16), ("out_channels", 16)),
        (("in_width", 16), ("in_height", 16)),
        (("out_width", 16), ("out_height", 16)),
        (("in_beats", 16), ("out_beats", 16)),
        (("size", 8), ("stride", 8), ("pad_top", 8), ("pad_left", 8)),
        (("turns", 16), ("shift", 8), ("top", 8)),
        (("zero_in", 8), ("zero_out", 8), ("residual_zero", 8), ("double", 1), ("expand", 1), ("residual", 1)),
        (("residual_multiplier", 32),),
        (("weight_words", 16), ("param_words", 16)),
    )
    return tuple(tuple((f"{name}_{field}", bits) for field, bits in word) for word in words)


WORDS: Final[tuple[Word, ...]] = (
    (
        ("conv_on", 1),
        ("dw_on", 1),
        ("pw_on", 1),
        ("residual_on", 1),
        ("pool_on", 1),
        ("map_on", 1),
        ("logits", 1),
        ("table_on", 1),
    ),
    (("in_channels", 16), ("in_skip", 8), ("residual_skip", 8)),
    (("out_channels", 16), ("out_skip", 8)),
    (("in_pixels", 32),),
    (("out_pixels", 32),),
    *_pattern("in"),
    *_pattern("out"),
    *_pattern("residual"),
    (("load_base", 32),),
    (("load_words", RUN_BITS),),
    (("pool_base", 32),),
    (("pool_multiplier", 16), ("pool_shift", 8), ("pool_zero", 8)),
    (("pool_offset", 32),),
    (("pool_top", 8), ("table_top", 8), ("table_zero", 8), ("table_shift", 8)),
    (("table_start", 32),),
    (("table_step", 16),),
    *(word for kernel in KERNELS for word in _kernel(kernel)),
)


@dataclass(frozen=True)
class Field:
    """Where a field is: word, lowest bit, width."""

    word: int
    low: int
    bits: int
    signed: bool


def _place() -> dict[str, Field]:
    out: dict[str, Field] = {}
    for index, word in enumerate(WORDS):
        low = 0
        for name, bits in word:
            out[name] = Field(index, low, bits, name in SIGNED or name.partition("_")[2] in SIGNED)
            low += bits
        assert low <= 32, word
    return out


FIELDS: Final[Mapping[str, Field]] = _place()

#: Words of one descriptor in memory: a whole number of the widest bus's words.
SIZE_WORDS: Final = -(-len(WORDS) // 16) * 16
SIZE_BYTES: Final = 4 * SIZE_WORDS


def encode(values: Mapping[str, int]) -> bytes:
    """The descriptor of the given fields, all others 0. InputError if a value does not fit its field."""
    words = [0] * SIZE_WORDS
    for name, value in values.items():
        field = FIELDS[name]
        low, high = (-(1 << (field.bits - 1)), 1 << (field.bits - 1)) if field.signed else (0, 1 << field.bits)
        if not low <= value < high:
            kind = "signed" if field.signed else "unsigned"
            raise InputError(f"descriptor: {name} = {value} does not fit {field.bits} {kind} bits")
        words[field.word] |= (value & ((1 << field.bits) - 1)) << field.low
    return b"".join(w.to_bytes(4, "little") for w in words)


def decode(data: bytes | Sequence[int]) -> dict[str, int]:
    """Every field of a descriptor."""
    raw = bytes(data)
    if len(raw) != SIZE_BYTES:
        raise InputError(f"descriptor: expected {SIZE_BYTES} bytes, got {len(raw)}")
    out: dict[str, int] = {}
    for name, field in FIELDS.items():
        value = int.from_bytes(raw[4 * field.word : 4 * field.word + 4], "little") >> field.low
        value &= (1 << field.bits) - 1
        out[name] = value - (1 << field.bits) if field.signed and value >> (field.bits - 1) else value
    return out
