"""How tensors, weights and requantisation constants stand in external memory.

A tensor is NHWC; each pixel starts on a bus word (`bus_bytes`), its channels padded to whole words. Elements take
one byte, also those of 4 bits. Logits are 32 bits wide and stand as the kernels send them: of each beat of L lanes
first the L lowest bytes, then the L bytes above, and so on. Weight and parameter memories are loaded word by word: a
memory word of at least a bus word takes whole bus words, smaller ones share a bus word, none crossing its end.
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
    """A tensor in memory. `logits` is the number of output lanes of the kernel that writes 32-bit logits, else 0."""

    name: str
    base: int
    height: int
    width: int
    channels: int
    bus_bytes: int
    logits: int = 0

    def stream_bytes(self, channels: int) -> int:
        """Bytes of a pixel's stream of that many channels."""
        return 4 * up(channels, self.logits) * self.logits if self.logits else channels

    @property
    def pixel_bytes(self) -> int:
        return up(self.stream_bytes(self.channels), self.bus_bytes) * self.bus_bytes

    @property
    def row_bytes(self) -> int:
        return self.width * self.pixel_bytes

    @property
    def total_bytes(self) -> int:
        return self.height * self.row_bytes

    def pack(self, values: Ints) -> bytes:
        """Memory content of a (height, width, channels) tensor of bytes."""
        if values.shape != (self.height, self.width, self.channels):
            expected = (self.height, self.width, self.channels)
            raise InputError(f"tensor '{self.name}': expected shape {expected}, got {values.shape}")
        out = np.zeros((self.height, self.width, self.pixel_bytes), np.uint8)
        out[:, :, : self.channels] = values
        return out.tobytes()

    def unpack(self, memory: npt.NDArray[np.uint8]) -> Ints:
        """The (height, width, channels) tensor in a memory image (bytes,)."""
        raw = memory[self.base : self.base + self.total_bytes].reshape(self.height, self.width, self.pixel_bytes)
        if not self.logits:
            return raw[:, :, : self.channels].astype(np.int64)
        raw = raw[:, :, : self.stream_bytes(self.channels)]
        return from_planes(raw, self.logits)[:, :, : self.channels]


def to_planes(values: Ints, lanes: int) -> npt.NDArray[np.uint8]:
    """Logits (..., channels) as the stream of byte planes (..., bytes) that a kernel of `lanes` outputs sends."""
    beats = up(values.shape[-1], lanes)
    full = np.zeros((*values.shape[:-1], beats * lanes), "<i4")
    full[..., : values.shape[-1]] = values
    raw = full.view(np.uint8).reshape(*values.shape[:-1], beats, lanes, 4)
    return np.ascontiguousarray(np.swapaxes(raw, -1, -2)).reshape(*values.shape[:-1], -1)


def from_planes(raw: npt.NDArray[np.uint8], lanes: int) -> Ints:
    """The opposite of `to_planes`: (..., beats * lanes)."""
    planes = raw.reshape(*raw.shape[:-1], -1, 4, lanes)
    full = np.ascontiguousarray(np.swapaxes(planes, -1, -2)).view("<i4")
    return full.reshape(*raw.shape[:-1], -1).astype(np.int64)


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
