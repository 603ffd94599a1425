"""Weight and requantisation memories of one kernel, as the compiler fills them and the executor reads them.

conv and pw: word (co * in_beats + ci) * turns + turn holds the weights of `lanes` outputs x `pi` inputs x `taps`
window positions; dw: word unit * turns + turn holds `lanes` channels x `taps` positions. `config.tap_table` says which
positions a turn takes. In a word outputs count fastest, then inputs, then positions; unused lanes are 0. Parameter
words have all the engine's lanes, whatever a run uses: channel after channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.hardware.subgraph.calls import PARAM_BITS
from cofront.hardware.subgraph.config import KernelConfig
from cofront.hardware.subgraph.engines import EngineKind
from cofront.rtl.config import KernelDesign, tap_table, up
from cofront.rtl.layout import WordFormat

Ints = npt.NDArray[Any]

BIAS_BITS, MULTIPLIER_BITS = 32, 16
assert BIAS_BITS + MULTIPLIER_BITS == PARAM_BITS


@dataclass(frozen=True)
class KernelFormat:
    """How one kernel counts: its lanes in this run (`double`: an engine of doubled outputs at 4 x 4 bits)."""

    name: str
    kernel: KernelConfig
    kind: EngineKind
    bus_bytes: int
    double: bool = False
    expand: bool = False
    dsp: str = "DSP48E2"

    @property
    def depthwise(self) -> bool:
        return self.name == "dw"

    @property
    def factor(self) -> int:
        return self.kind.w4a4_factor if self.double else 1

    @property
    def lanes(self) -> int:
        """Output lanes in this run."""
        return self.kernel.po * self.factor

    @property
    def pi(self) -> int:
        return 1 if self.depthwise else self.kernel.pi

    @property
    def weight_lane_bits(self) -> int:
        """Bits of one weight in memory: `expand` stores 4 bits for lanes of 8, and `double` computes with 4."""
        return 4 if self.double or self.expand else self.kind.weight_bits

    @property
    def weight_format(self) -> WordFormat:
        bits = self.pi * self.lanes * self.kernel.taps * self.weight_lane_bits
        return WordFormat(bits, self.bus_bytes)

    @property
    def design(self) -> KernelDesign:
        return KernelDesign(self.name, self.kernel, self.kind, 8 * self.bus_bytes, self.dsp)

    @property
    def param_format(self) -> WordFormat:
        return WordFormat(self.design.param_word_bits, self.bus_bytes)

    def turns(self, size: int) -> int:
        return len(self.positions(size))

    def positions(self, size: int) -> list[list[tuple[int, int] | None]]:
        """(ky, kx) of each multiplier, turn by turn; None: idle."""
        return tap_table(size, self.kernel.taps, self.kernel.rows)

    def in_beats(self, channels: int) -> int:
        return up(channels, self.lanes if self.depthwise else self.kernel.pi)

    def out_beats(self, channels: int) -> int:
        return up(channels, self.lanes)

    def weight_words(self, in_channels: int, out_channels: int, size: int) -> int:
        """Words of the weight memory that a layer takes."""
        inputs = 1 if self.depthwise else self.in_beats(in_channels)
        return self.out_beats(out_channels) * inputs * self.turns(size)

    def param_words(self, out_channels: int) -> int:
        """Words of the parameter memory that a layer takes."""
        return up(out_channels, self.design.out_lanes)

    def pack_weights(self, weight: Ints) -> bytes:
        """Image of weights (cout, cin / groups, k, k)."""
        cout, cin, size, _ = weight.shape
        out_beats, in_beats = self.out_beats(cout), 1 if self.depthwise else self.in_beats(cin)
        positions, lanes, pi = self.positions(size), self.lanes, self.pi
        turns, taps = len(positions), self.kernel.taps
        full = np.zeros((out_beats * lanes, in_beats * pi, turns, taps), np.int64)
        for turn, row in enumerate(positions):
            for tap, at in enumerate(row):
                if at is not None:
                    full[:cout, :cin, turn, tap] = weight[:, :, *at]
        words = full.reshape(out_beats, lanes, in_beats, pi, turns, taps).transpose(0, 2, 4, 5, 3, 1)
        return self.weight_format.pack(words.reshape(-1, taps * pi * lanes), self.weight_lane_bits)

    def unpack_weights(self, data: npt.NDArray[np.uint8], cin: int, cout: int, size: int) -> Ints:
        """(cout, cin / groups, k, k) from an image."""
        out_beats, in_beats = self.out_beats(cout), 1 if self.depthwise else self.in_beats(cin)
        positions, lanes, pi = self.positions(size), self.lanes, self.pi
        turns, taps = len(positions), self.kernel.taps
        words = self.weight_format.unpack(data, out_beats * in_beats * turns, self.weight_lane_bits, signed=True)
        full = words.reshape(out_beats, in_beats, turns, taps, pi, lanes).transpose(0, 5, 1, 4, 2, 3)
        full = full.reshape(out_beats * lanes, in_beats * pi, turns, taps)
        weight = np.zeros((cout, 1 if self.depthwise else cin, size, size), np.int64)
        for turn, row in enumerate(positions):
            for tap, at in enumerate(row):
                if at is not None:
                    weight[:, :, *at] = full[:cout, : weight.shape[1], turn, tap]
        return weight

    def pack_params(self, bias: Ints, multiplier: Ints) -> bytes:
        """Image of (cout,) biases and multipliers."""
        lanes = self.design.out_lanes
        flat = np.zeros(up(len(bias), lanes) * lanes, np.int64)
        flat[: len(bias)] = (multiplier.astype(np.int64) << BIAS_BITS) | (bias.astype(np.int64) & 0xFFFFFFFF)
        return self.param_format.pack(flat.reshape(-1, lanes), PARAM_BITS)

    def unpack_params(self, data: npt.NDArray[np.uint8], cout: int) -> tuple[Ints, Ints]:
        """(cout,) biases and multipliers from an image."""
        flat = self.param_format.unpack(data, self.param_words(cout), PARAM_BITS, signed=False).reshape(-1)[:cout]
        bias = flat & 0xFFFFFFFF
        return bias - ((bias >> 31) << 32), flat >> BIAS_BITS
