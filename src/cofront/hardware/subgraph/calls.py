"""What the subgraph accelerator executes: calls of up to three kernels, from external memory to external memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

KernelName = Literal["conv", "dw", "pw"]
KERNELS: tuple[KernelName, ...] = ("conv", "dw", "pw")

#: Requantisation constants of one output channel in memory: multiplier 16, bias 32 bits; the shift is a layer's.
PARAM_BITS = 48


def bits_to_bytes(bits: int) -> int:
    return -(-bits // 8)


@dataclass(frozen=True, slots=True)
class Stage:
    """One layer on one kernel. Channels are totals over the groups; `lead` and `flush` count pixels.

    `lead`: input pixels that must be read before the first output pixel can be computed. `flush`: output pixels
    still to compute when the last input pixel has been read. In a fused call the stage before delivers the pixels of
    `lead` at its own pace: `fed` is 1 when there is one, `next_lead` is the `lead` of the stage behind (1 if none).
    Bytes are of tensors and weights as stored in memory. `apart`: least cycles between beats of output channels.
    `stalls`: input pixels that are waited for between rows of outputs by a kernel of no more rows than the window.
    `logits`: 1 where the outputs are the network's, stored by all output lanes that an engine has at any precision.
    """

    kernel: KernelName
    in_channels: int
    out_channels: int
    groups: int
    taps: int
    rows: int
    in_width: int
    in_pixels: int
    out_pixels: int
    lead: int
    flush: int
    overlap: int
    weight_bits: int
    act_bits: int
    in_bytes: int
    out_bytes: int
    weight_bytes: int
    fed: int = 0
    next_lead: int = 1
    stride: int = 1
    apart: int = 1
    stalls: int = 0
    logits: int = 0

    @property
    def windowed(self) -> bool:
        """Whether the kernel needs rows of the map on chip: for a window, or for pixels that it leaves out."""
        return self.rows > 1 or self.stride > 1

    @property
    def macs(self) -> int:
        summed = 1 if self.kernel == "dw" else self.in_channels // self.groups
        return self.out_pixels * self.out_channels * summed * self.taps


@dataclass(frozen=True, slots=True)
class Call:
    """One call: at most one stage per kernel, in the order conv, dw, pw.

    `extra_bytes` are read or written besides the first stage's input, the weights and the last stage's output: the
    other operand of a residual addition, a pooled copy. A call without stages only moves `moved_bytes` (an
    element-wise operator that could not be folded into a producer). Names do not count in comparisons, so equal calls
    of different layers are equal. `averaged`: channels whose average over the map is taken at the end. `opens`: reads
    the unfolded image, so that no call before it hides the loading of its weights (an image that is not unfolded does
    not tell: fragments of a space have inputs, too).
    """

    stages: tuple[Stage, ...]
    extra_bytes: int
    moved_bytes: int = 0
    averaged: int = 0
    opens: bool = False
    name: str = field(default="", compare=False)
    layers: tuple[str, ...] = field(default=(), compare=False)

    @property
    def macs(self) -> int:
        return sum(s.macs for s in self.stages)

    @property
    def is_pointwise(self) -> bool:
        """A single 1 x 1 layer of stride 1, which may run on `conv` or on `pw`."""
        return len(self.stages) == 1 and self.stages[0].kernel == "pw"

    @property
    def bytes(self) -> int:
        """Bytes through external memory when every tensor moves once."""
        if not self.stages:
            return self.moved_bytes
        weights = sum(s.weight_bytes for s in self.stages)
        return self.stages[0].in_bytes + weights + self.stages[-1].out_bytes + self.extra_bytes

    @property
    def exposed_bytes(self) -> int:
        """Bytes of weights that are loaded while nothing else happens."""
        return sum(s.weight_bytes for s in self.stages) if self.opens else 0

    def stage(self, kernel: KernelName) -> Stage | None:
        return next((s for s in self.stages if s.kernel == kernel), None)


def count(calls: Iterable[Call]) -> dict[Call, int]:
    """Distinct calls, in order of first appearance, and how often each occurs."""
    table: dict[Call, int] = {}
    for call in calls:
        table[call] = table.get(call, 0) + 1
    return table
