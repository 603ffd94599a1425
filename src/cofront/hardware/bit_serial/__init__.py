"""Accelerators whose speed depends on bits: temporal (after [BISMO18]) and spatial (after [BitFusion18]).

Neither paper's simulator is released with it; [HAQ19]'s tables come from such. `EDGE` and `CLOUD` are the two temporal
engines of its table 2 (array and part recalled, medium confidence; the width of dot products is ours), `CHIP` the
spatial one. `HaqTable` is the released table of a network itself.
"""

from __future__ import annotations

from pathlib import Path

from cofront.device import Device, load
from cofront.hardware.bit_serial import spatial, temporal
from cofront.hardware.bit_serial.family import BitTable, Family
from cofront.hardware.bit_serial.haq_table import HaqTable, read_haq_table
from cofront.hardware.bit_serial.spatial import Chip

_TEMPORAL_NOTES = (
    "after [BISMO18]; packing of depthwise layers, traffic and energy are ours; flip-flops are not modelled",
)
_SPATIAL_NOTES = ("after [BitFusion18]; mapping and the energy's composition are ours",)

_SIDES = (2, 4, 8, 16)
TEMPORAL = Family(
    temporal,
    {
        "coarse": [temporal.Config(m, k, n) for m in _SIDES for k in (32, 64, 128, 256) for n in _SIDES],
        "small": [temporal.Config(m, k, 8) for m in (2, 8) for k in (32, 64)],
    },
    _TEMPORAL_NOTES,
)
SPATIAL = Family(
    spatial,
    {
        "coarse": [
            spatial.Config(r, c, b) for r in (4, 8, 16, 32) for c in (4, 8, 16, 32) for b in (28 << 10, 112 << 10)
        ],
        "small": [spatial.Config(r, c, 28 << 10) for r in (4, 16) for c in (4, 16)],
    },
    _SPATIAL_NOTES,
)

#: [HAQ19]'s two temporal engines: 8 x 8 units on a Zynq-7020, 16 x 16 on a VU9P.
EDGE = temporal.Config(8, 64, 8, clock_hz=125e6)
CLOUD = temporal.Config(16, 256, 16, clock_hz=200e6)
CHIP = spatial.Config(16, 32)


def edge() -> Device:
    """The part of `EDGE`."""
    return load("xc7z020")


def cloud() -> Device:
    """The part of `CLOUD`."""
    return load(Path(__file__).with_name("vu9p.toml"))


__all__ = [
    "CHIP",
    "CLOUD",
    "EDGE",
    "SPATIAL",
    "TEMPORAL",
    "BitTable",
    "Chip",
    "Family",
    "HaqTable",
    "cloud",
    "edge",
    "read_haq_table",
]
