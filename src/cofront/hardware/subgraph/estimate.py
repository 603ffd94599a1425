"""What a network costs on a device, with a stated default configuration: no search, no heavy imports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cofront.device import Device
from cofront.errors import UsageError
from cofront.hardware.base import Cost
from cofront.hardware.subgraph import coefficients
from cofront.hardware.subgraph.calls import KERNELS, Call
from cofront.hardware.subgraph.coefficients import Coefficients
from cofront.hardware.subgraph.config import ABSENT, Config, KernelConfig
from cofront.hardware.subgraph.engines import ENGINES
from cofront.hardware.subgraph.grid import capacities
from cofront.hardware.subgraph.lowering import lower, overlapping_pools, unfolded_by_host
from cofront.hardware.subgraph.scalar import cost_of_calls, resources
from cofront.network import Network
from cofront.network.bits import with_precision

#: Sizes of the default accelerator, largest first: s x s (conv), s channels x 9 taps (dw), s x s (pw). 16 is CoDeNet's.
SIZES = (64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
DEPTHS = (4096, 2048, 1024, 512, 256)


def default_config(
    calls: Sequence[Call], device: Device, clock_hz: float | None = None, co: Coefficients | None = None
) -> Config:
    """CoDeNet's accelerator scaled to the device: the largest of SIZES that fits and runs every call, multipliers on
    DSPs where possible (depthwise ones on LUTs otherwise), with the deepest weight memories that fit. Where none runs
    every call, the smallest that fits; where none fits, the smallest. Not optimised: `fit` is.
    """
    co = co or coefficients.load()
    clock = device.clock(clock_hz)
    precisions = {(s.weight_bits, s.act_bits) for c in calls for s in c.stages}
    kind = next((e for e in ("E44", "E48", "E88") if all(ENGINES[e].supports(*p) for p in precisions)), "E88")
    limit = device.budget
    fits: Config | None = None
    held = {name: capacities(name, calls) if any(c.stage(name) for c in calls) else None for name in KERNELS}
    for size in SIZES:
        for on_dsp in ((1, 1, 1), (1, 0, 1)):
            for depth in DEPTHS:
                kernels = [_kernel(n, held[n], size, dsp, depth) for n, dsp in zip(KERNELS, on_dsp, strict=True)]
                config = Config(kind, kernels[0], kernels[1], kernels[2], clock)
                used = resources(config, device, co)
                if all(used[r] <= limit[r] for r in used):
                    if cost_of_calls(calls, config, device, co).feasible:
                        return config
                    fits = config
    return fits or config


def _kernel(name: str, held: tuple[int, int, int, int] | None, size: int, dsp: int, depth: int) -> KernelConfig:
    """`held` are the capacities that every call needs, None when no call needs the kernel."""
    if held is None:
        return ABSENT
    rows, line, ins, outs = held
    if name == "dw":
        return KernelConfig(1, size, 9, dsp, 512, rows, line, 0, outs)
    return KernelConfig(size, size, 1, dsp, depth, rows, line, ins, outs)


def estimate(
    network: Network,
    device: Device,
    config: Config | Mapping[str, Any] | None = None,
    precision: str | None = None,
    clock_hz: float | None = None,
) -> Cost:
    """The cost of a network on a device: of `config`, or of the default accelerator (`default_config`) when None.

    `config` as an object may leave out its clock; `clock_hz` overrides it, and is the device's default when None.
    """
    co = coefficients.load()
    given = config if config is None or isinstance(config, Config) else Config.from_dict(config, device.clock(clock_hz))
    if given and clock_hz is not None:
        given = replace(given, clock_hz=device.clock(clock_hz))
    bus = co.bus_bits(device, given.clock_hz if given else clock_hz)
    calls = lower(with_precision(network, precision), co.word_bytes(bus))
    if not calls:
        raise UsageError(f"network '{network.name}' has nothing for an accelerator to compute")
    notes: tuple[str, ...] = ()
    if precision is None and network.layers and network.layers[0].weight_bits is None:
        notes += ("the network has no bit-widths: costed at W8A8",)
    chosen = given or default_config(calls, device, clock_hz)
    if given is None:
        notes += (f"default accelerator, not optimised: {chosen}",)
    if unfolded := unfolded_by_host(network):
        notes += (f"the host unfolds the image for {', '.join(unfolded)} (im2col): that work is not costed",)
    if pools := overlapping_pools(network):
        notes += (f"the rows that the overlapping windows of {', '.join(pools)} hold on chip are not costed",)
    if outside := coefficients.outside_range({name: vars(chosen.kernel(name)) for name in KERNELS}, bus):
        notes += (
            f"LUTs and flip-flops are extrapolated, their model being fitted on smaller or other designs"
            f"{coefficients.beyond_range()}: {'; '.join(outside)}",
        )
    return replace(cost_of_calls(calls, chosen, device, name=network.name), notes=notes)
