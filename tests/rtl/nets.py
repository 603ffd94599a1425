"""Small networks for the RTL tests, and accelerators for them."""

from __future__ import annotations

from cofront.hardware.subgraph import Config, KernelConfig
from cofront.hardware.subgraph.config import ABSENT
from cofront.network import Builder, Network


def accelerator(
    engine: str = "E88",
    *,
    pi: int = 4,
    po: int = 6,
    pc: int = 8,
    taps: tuple[int, int] = (1, 9),
    depth: int = 4096,
    line: int = 1 << 14,
    rows: int = 5,
    pw: bool = True,
    dsp: int = 1,
    most: int = 1024,
) -> Config:
    """An accelerator with all kernels (without pw where that is False)."""
    conv = KernelConfig(pi, po, taps[0], dsp, depth, rows, line, most, most)
    dw = KernelConfig(1, pc, taps[1], dsp, depth, rows, line, 0, most)
    return Config(engine, conv, dw, KernelConfig(po, pi, 1, dsp, depth, 1, 0, most, most) if pw else ABSENT, 200e6)


def chain(
    *,
    kernel: int = 3,
    stride: int = 1,
    size: int = 6,
    cin: int = 5,
    wide: int = 9,
    cout: int = 5,
    depthwise: bool = True,
) -> Network:
    """One block (a convolution, depthwise, a projection with addition where it fits), then a classifier."""
    b = Builder("tiny", (cin, size, size))
    b.block = "a"
    b.conv(cin, 1, act="relu", name="first")
    b.block = "b"
    b.conv(wide, 1 if depthwise else kernel, 1 if depthwise else stride, act="relu", name="expand")
    if depthwise:
        b.depthwise(kernel, stride, act="relu", name="dw")
    out = b.conv(cout, 1, name="project")
    if stride == 1 and cin == cout:
        b.sum(out, "first.act", name="add")
    b.block = "head"
    b.conv(11, 1, act="relu", name="wider")
    b.classifier(7)
    return b.build()
