"""What a kernel is (`KernelDesign`, fixed in the netlist), what a run tells it (`KERNEL_RUN`), and how it counts.

The ports of every kernel (`kernel_ports`; lanes are properties of `KernelDesign`):

    run         In(KERNEL_RUN)                            stable from `start` until `done`
    start       In(1)                                     one cycle
    done        Out(1)                                    one cycle: the last output beat has been taken
    half        In(1)                                     which half of both memories this run computes with
    input       In(beats(act_bits, in_lanes))
    residual    In(beats(8, out_lanes))                   conv and pw: same order as the output
    output      Out(beats(8, out_lanes))
    weights     In(LoadPort(bus_bits)), params the same   fill the half that `half` of the load port names

Engines of doubled outputs (DUAL): every stream of outputs has 2 po lanes and the parameter image is in words of 2 po
lanes in every run; a single run computes po lanes a beat (out_beats counts those) and puts every second beat into the
upper half. dw takes beats of 2 po lanes in every run, in_beats = out_beats.

Tap order. Window positions are counted **column by column** (t = kx * size + ky), because the line buffer has a
memory per row: the positions of one turn then lie in different rows. `tap_table` is the definition; where a kernel has
more taps than the window has rows, a turn takes whole columns.

Logits (`logits`): every output beat is followed by three more; the four are the byte planes of 32-bit words, lowest
byte first. So logits of a beat of L lanes are 4 L bytes in which byte p * L + l is byte p of lane l.

Limits that a program must keep: sums, biases and the residual's multiplier within `KernelDesign.acc_bits`,
and what `check_run` checks; `weight_half` and `param_half` words.

A 1 x 1 convolution at stride 1 may be given any in_width x in_height of the right product (the same for the output);
width 1 needs least of conv's line buffer: one pixel per row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from cofront.errors import InputError
from cofront.hardware.subgraph.calls import PARAM_BITS
from cofront.hardware.subgraph.config import KernelConfig
from cofront.hardware.subgraph.engines import EngineKind

#: Accumulators: as wide as the wide operand of a slice, so that one multiplies in the requantisation.
ACC_BITS = 27
NARROW_ACC_BITS = 25
#: Largest shift of a requantisation, whose half 48 bits hold. Byte planes of logits shift by 24 more, in 6 bits.
MAX_SHIFT = 46
MAX_LOGITS_SHIFT = 63 - 24
#: Line buffers count words of a row in 16 bits.
MAX_ROW_WORDS = (1 << 16) - 1
#: Depth of a block RAM at its widest: memories are rounded up to it, which costs nothing.
BLOCK_WORDS = 512

#: Run-time dimensions of one kernel; names and widths as in the descriptor.
KERNEL_RUN: Any = data.StructLayout(
    {
        "in_width": unsigned(16),
        "in_height": unsigned(16),
        "out_width": unsigned(16),
        "out_height": unsigned(16),
        "in_beats": unsigned(16),  # beats of one input pixel: ceil(channels / lanes)
        "out_beats": unsigned(16),
        "turns": unsigned(16),
        "size": unsigned(8),
        "stride": unsigned(8),
        "pad_top": unsigned(8),
        "pad_left": unsigned(8),
        "zero_in": unsigned(8),  # what padding reads as
        "zero_out": unsigned(8),
        "top": unsigned(8),  # 255 or 15
        "shift": unsigned(8),
        "residual": unsigned(1),
        "residual_zero": unsigned(8),
        "residual_multiplier": signed(32),  # of which the low `acc_bits` are used
        "double": unsigned(1),  # DUAL only: a 4 x 4 run, twice the output lanes
        "logits": unsigned(1),
    }
)


def beats(bits: int, lanes: int) -> stream.Signature:
    """The stream of a tensor: pixels in raster order, channels ascending, `lanes` of them a beat."""
    return stream.Signature(data.ArrayLayout(unsigned(bits), lanes))


class LoadPort(wiring.Signature):
    """Fills one half of a memory: `go` starts a load of `words` memory words, `busy` lasts until they are written.

    `expand`: words of 4-bit weights for a memory of 8 bits (E88, DUAL); `double`: words of twice as many 4-bit weights
    (DUAL); both 0 for parameters.
    Bus words as in `layout.WordFormat`: a memory word takes whole bus words, or several share one.
    """

    def __init__(self, bus_bits: int) -> None:
        super().__init__(
            {
                "go": Out(1),
                "half": Out(1),
                "words": Out(16),
                "expand": Out(1),
                "double": Out(1),
                "busy": In(1),
                "data": Out(stream.Signature(unsigned(bus_bits))),
            }
        )


def up(a: int, b: int) -> int:
    """a / b rounded up."""
    return -(-a // b)


def acc_bits(dsp: str) -> int:
    """Bits of accumulators on parts with that slice."""
    return NARROW_ACC_BITS if dsp == "DSP48E1" else ACC_BITS


@dataclass(frozen=True)
class KernelDesign:
    """One kernel of an accelerator. `name` is conv, dw or pw; `bus_bits`: its load ports; `dsp`: its slices."""

    name: str
    kernel: KernelConfig
    kind: EngineKind
    bus_bits: int = 64
    dsp: str = "DSP48E2"

    def __post_init__(self) -> None:
        k = self.kernel
        most = k.rows**2 if self.depthwise else k.rows
        if k.taps > most:
            raise InputError(f"kernel '{self.name}': {k.rows} rows feed at most {most} taps, not {k.taps}")

    @property
    def depthwise(self) -> bool:
        return self.name == "dw"

    @property
    def dual(self) -> bool:
        """Whether runs of 4 x 4 bits compute twice the outputs."""
        return self.kind.w4a4_factor > 1

    @property
    def out_lanes(self) -> int:
        """Lanes of the output and residual streams. DUAL gathers two beats of po into one where it is not `double`."""
        return self.kernel.po * self.kind.w4a4_factor

    @property
    def in_lanes(self) -> int:
        """Lanes of the input stream; DUAL's depthwise kernel takes beats of twice its channels in every run."""
        return self.out_lanes if self.depthwise else self.kernel.pi

    @property
    def act_bits(self) -> int:
        return self.kind.act_bits

    @property
    def acc_bits(self) -> int:
        """Bits of an accumulator, and of a residual's multiplier."""
        return acc_bits(self.dsp)

    @property
    def weight_word_bits(self) -> int:
        k = self.kernel
        return k.pi * k.po * k.taps * self.kind.weight_bits

    @property
    def param_word_bits(self) -> int:
        return self.out_lanes * PARAM_BITS

    @property
    def weight_half(self) -> int:
        """Words of each half of the weight memory."""
        return self.kernel.weight_depth // 2

    @property
    def param_half(self) -> int:
        """Words of each half of the parameter memory."""
        return up(self.kernel.out_elements, self.out_lanes)

    @property
    def line_words(self) -> int:
        """Words of one row of the line buffer: in_width * in_beats must not exceed it.

        With one tap all rows share a memory, else each has its own; block RAMs are filled up.
        """
        k = self.kernel
        if k.rows == 1:
            return self.pixel_words
        row = max(up(k.line_elements, k.po if self.depthwise else k.pi), self.pixel_words, 1)
        if k.taps == 1:
            return BLOCK_WORDS * up(k.rows * row, BLOCK_WORDS) // k.rows
        return BLOCK_WORDS * up(row, BLOCK_WORDS)

    @property
    def pixel_words(self) -> int:
        """Words of one input pixel at most. A kernel of one row holds two of them, others at least one a row."""
        k = self.kernel
        return up(k.out_elements, k.po) if self.depthwise else up(k.in_elements, k.pi)


def kernel_ports(design: KernelDesign) -> dict[str, Any]:
    """The ports of a kernel, as listed above."""
    ports: dict[str, Any] = {
        "run": In(KERNEL_RUN),
        "start": In(1),
        "done": Out(1),
        "half": In(1),
        "input": In(beats(design.act_bits, design.in_lanes)),
        "output": Out(beats(8, design.out_lanes)),
        "weights": In(LoadPort(design.bus_bits)),
        "params": In(LoadPort(design.bus_bits)),
    }
    if not design.depthwise:
        ports["residual"] = In(beats(8, design.out_lanes))
    return ports


def check_run(design: KernelDesign, run: Mapping[str, int], layer: str) -> None:
    """InputError if the kernel cannot do what a run asks for: everything that its hardware takes for granted.

    `run` has fields of KERNEL_RUN. That sums fit the accumulators is for who knows the weights to prove.
    """

    def need(right: bool, what: str) -> None:
        if not right:
            raise InputError(f"layer '{layer}': kernel '{design.name}' {what}")

    size, windowed = run["size"], design.kernel.rows > 1
    table = tap_table(size, design.kernel.taps, design.kernel.rows)
    need(run["stride"] in (1, 2), f"has strides 1 and 2, not {run['stride']}")
    need(windowed or run["stride"] == 1, "has one row and so stride 1 only")
    need(run["turns"] == len(table), f"takes {len(table)} turns for a window of {size}, not {run['turns']}")
    right = (run["out_width"] - 1) * run["stride"] + size - run["pad_left"] - run["in_width"]
    bottom = (run["out_height"] - 1) * run["stride"] + size - run["pad_top"] - run["in_height"]
    for side, pad in (
        ("left and right", run["pad_left"] + max(right, 0)),
        ("top and bottom", run["pad_top"] + max(bottom, 0)),
    ):
        need(pad < size, f"pads a window of {size} by at most {size - 1} on {side} together, not {pad}")
    words = run["in_beats"] * (run["in_width"] if windowed else 1)
    row = min(design.line_words, MAX_ROW_WORDS)
    need(words <= row, f"holds {row} words of a row, not {words}")
    wide = run["in_beats"] * size
    need(wide <= MAX_ROW_WORDS, f"counts {MAX_ROW_WORDS} words across a window, not {wide}")
    factor, most = run.get("residual_multiplier", 0), 1 << (design.acc_bits - 1)
    need(-most <= factor < most, f"multiplies a residual by at most {design.acc_bits} signed bits, not by {factor}")
    top = MAX_LOGITS_SHIFT if run.get("logits", 0) else MAX_SHIFT
    need(run["shift"] <= top, f"shifts by at most {top}, not by {run['shift']}")


def tap_table(size: int, taps: int, rows: int) -> list[list[tuple[int, int] | None]]:
    """Turn by turn, the window position (ky, kx) of each of `taps` multipliers; None: weight 0.

    taps <= rows: counted in columns of max(size, taps) positions. taps > rows: size * size positions in a sequence.
    InputError if the kernel does not serve the size.
    """
    sizes = tuple(range(1, rows + 1)) if taps <= rows else window_sizes(rows)
    if size not in sizes:
        served = ", ".join(map(str, sorted(sizes)))
        raise InputError(f"a kernel of {taps} taps and {rows} rows serves windows of {served}, not {size}")
    pitch = max(size, taps) if taps <= rows else size
    flat: list[tuple[int, int] | None] = []
    for kx in range(size):
        flat += [(ky, kx) if ky < size else None for ky in range(pitch)]
    flat += [None] * (-len(flat) % taps)
    return [flat[i : i + taps] for i in range(0, len(flat), taps)]


def window_sizes(rows: int) -> tuple[int, ...]:
    """Window sizes that a kernel with more taps than rows serves: `rows` and what differs from it by an even number."""
    return tuple(range(rows, 0, -2))


def turns(size: int, taps: int, rows: int) -> int:
    """Turns of one window: ceil(size^2 / taps), or one per column where a column has no more positions than taps."""
    return len(tap_table(size, taps, rows))
