"""What there is: FPGA parts as data, each figure with its source."""

from cofront.device.base import Device, DspKind, load, names

__all__ = ["Device", "DspKind", "load", "names"]
