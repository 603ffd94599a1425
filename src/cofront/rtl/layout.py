"""How tensors, weights and requantisation constants stand in external memory.

A tensor is NHWC; each pixel starts on a bus word (`bus_bytes`), its channels padded to whole words. Elements take
one byte, also those of 4 bits; logits take four. Weight and parameter memories are loaded word by word: a memory word
of at least a bus word takes whole bus words, smaller ones share a bus word, none crossing its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError
from cofront.rtl.config import up

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class TensorLayout:
    """A tensor in memory. `element_bytes` is 1, or 4 for logits (signed)."""

    name: str
    base: int
    height: int
    width: int
    channels: int
    bus_bytes: int
    element_bytes: int = 1

    @property
    def pixel_bytes(self) -> int:
        return up(self.channels * self.element_bytes, self.bus_bytes) * self.bus_bytes

    @property
    def row_bytes(self) -> int:
        return self.width * self.pixel_bytes

    @property
    def bytes(self) -> int:
        return self.height * self.row_bytes

    def pack(self, values: Ints) -> bytes:
        """Memory content of a (height, width, channels) tensor."""
        if values.shape != (self.height, self.width, self.channels):
            expected = (self.height, self.width, self.channels)
            raise InputError(f"tensor '{self.name}': expected shape {expected}, got {values.shape}")
        out = np.zeros((self.height, self.width, self.pixel_bytes // self.element_bytes), self._dtype)
        out[:, :, : self.channels] = values
        return out.tobytes()

    def unpack(self, memory: npt.NDArray[np.uint8]) -> Ints:
        """The (height, width, channels) tensor in a memory image (bytes,)."""
        raw = memory[self.base : self.base + self.bytes].tobytes()
        values = np.frombuffer(raw, self._dtype).reshape(self.height, self.width, -1)[:, :, : self.channels]
        return values.astype(np.int64)

    @property
    def _dtype(self) -> np.dtype[Any]:
        return np.dtype("<i4" if self.element_bytes == 4 else "u1")


@dataclass(frozen=True)
class WordFormat:
    """Memory words of `word_bits` in bus words of `bus_bytes`."""

    word_bits: int
    bus_bytes: int

    @property
    def beats(self) -> int:
        """Bus words that a memory word takes, if it is not smaller than one."""
        return up(self.word_bits, 8 * self.bus_bytes)

    @property
    def per_beat(self) -> int:
        """Memory words in a bus word: 1 if they are not smaller."""
        return max(8 * self.bus_bytes // self.word_bits, 1)

    def bus_words(self, words: int) -> int:
        """Bus words that `words` memory words take."""
        return up(words, self.per_beat) * self.beats

    def pack(self, lanes: Ints, lane_bits: int) -> bytes:
        """Words of signed or unsigned lanes, (words, lanes) with the first lane lowest, as they stand in memory."""
        words, count = lanes.shape
        if count * lane_bits != self.word_bits:
            raise InputError(f"expected {self.word_bits} bits per memory word, got {count} lanes of {lane_bits}")
        bits = (lanes.astype(np.int64)[:, :, None] >> np.arange(lane_bits)) & 1
        groups = up(words, self.per_beat)
        flat = np.zeros((groups * self.per_beat, self.word_bits), np.uint8)
        flat[:words] = bits.reshape(words, self.word_bits)
        out = np.zeros((groups, self.beats * 8 * self.bus_bytes), np.uint8)
        out[:, : self.per_beat * self.word_bits] = flat.reshape(groups, -1)
        return np.packbits(out, axis=1, bitorder="little").tobytes()

    def unpack(self, data: npt.NDArray[np.uint8], words: int, lane_bits: int, signed: bool) -> Ints:
        """(words, lanes) from bytes as `pack` wrote them."""
        groups = up(words, self.per_beat)
        raw = data[: groups * self.beats * self.bus_bytes].reshape(groups, -1)
        bits = np.unpackbits(raw, axis=1, bitorder="little")[:, : self.per_beat * self.word_bits]
        lanes = bits.reshape(groups * self.per_beat, -1, lane_bits)[:words].astype(np.int64)
        values: Ints = (lanes << np.arange(lane_bits)).sum(2)
        return values - ((values >> (lane_bits - 1)) << lane_bits) if signed else values
