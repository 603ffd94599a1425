"""Cycles of a program, run by run: what memory and kernels of this engine take, worked out from its descriptors.

A run's kernels are followed pixel by pixel (`hardware/subgraph/recurrence.py`); what it moves, and what is loaded
meanwhile for the run behind it, goes over one memory port. The model that a search adds up charges every call its own
weights, because a sum over calls can know no neighbours; here they are charged where the engine waits for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.device import Device
from cofront.hardware.subgraph import coefficients
from cofront.hardware.subgraph.calls import KERNELS
from cofront.hardware.subgraph.config import Config
from cofront.hardware.subgraph.engines import ENGINES
from cofront.hardware.subgraph.late import late_rows
from cofront.hardware.subgraph.recurrence import serve, work_by_pixel
from cofront.rtl.average import DELAY
from cofront.rtl.config import KernelDesign, up
from cofront.rtl.descriptor import SIZE_BYTES, decode
from cofront.rtl.kernel import front_type, latency
from cofront.rtl.program import Program
from cofront.rtl.requantise import APART, PLANES
from cofront.rtl.simulate import LATENCY
from cofront.rtl.windows import WindowBuffer

#: Cycles of a run besides its kernels, its words and two latencies of memory: control, alignment, gearboxes.
AROUND = 12
#: Cycles from the start of a run to the following run's weights, besides their words and two latencies of memory.
FETCH = 16
#: Cycles for each channel word of an average besides its channels.
AVERAGE = DELAY + 2


@dataclass(frozen=True)
class RunCycles:
    """One descriptor: cycles of its kernels and of its own words, the wait for its weights, and all of it."""

    call: str
    kernels: int
    moved: int
    waited: int
    cycles: int


def schedule(program: Program, config: Config, *, memory_latency: int, bytes_per_kilocycle: int) -> list[RunCycles]:
    """Every run of a program in order, each with the wait for its own descriptor and weights before it."""
    bus = program.bus_bytes
    pace = max(1000 * bus / bytes_per_kilocycle, 1.0) if bytes_per_kilocycle else 1.0
    fields = [decode(program.image[i * SIZE_BYTES : (i + 1) * SIZE_BYTES]) for i in range(program.descriptors)]
    loads = [(SIZE_BYTES // bus + d["load_words"]) * pace for d in fields] + [0.0]
    out = []
    first = 2 * memory_latency + FETCH
    waited = loads[0] + first
    for i, (d, job) in enumerate(zip(fields, program.jobs, strict=True)):
        kernels = kernel_cycles(d, config, bus, pace)
        readers = 1 + bool(d["residual_on"])
        ends, loaded = shared_port(kernels, job.in_words * pace, job.out_words * pace, loads[i + 1], first, readers)
        average = up(d["out_channels"], bus) * (bus + AVERAGE) if d["pool_on"] else 0
        run = ends + average + 2 * memory_latency + AROUND
        moved = round((job.in_words + job.out_words) * pace)
        out.append(RunCycles(job.call, kernels, moved, round(waited), round(run + waited)))
        waited = max(loaded - run, 0)
    return out


def expected_cycles(program: Program, config: Config, device: Device) -> int:
    """Cycles of an image, behind a memory of the latency and bandwidth that simulations assume for the device."""
    pace = coefficients.load().bytes_per_kilocycle(device, config.clock_hz)
    return sum(run.cycles for run in schedule(program, config, memory_latency=LATENCY, bytes_per_kilocycle=pace))


def shared_port(
    kernels: float, reads: float, writes: float, load: float, first: float, readers: int = 1
) -> tuple[float, float]:
    """When a run ends and when the following run's weights are there, cycles from the run's start.

    The run alone would take `kernels` cycles; its `reads` and `writes` and the `load` of weights, which begins at
    cycle `first`, are in cycles of the one memory port. Every reader has as many words on their way, so that those of
    maps (two with a residual) and that of weights take turns: the run waits only where its own reads would need more
    than weights leave them.
    """
    alone = max(kernels, reads + writes)
    both = max(kernels, reads * (1 + 1 / readers) + writes)
    early = min(first / alone, 1.0) if alone else 1.0  # share of the run that is done before weights are asked for
    if not load or not reads or early == 1.0:
        return alone, first + load
    pace = (both - reads - writes) / both  # of the port, for weights
    if load / pace >= (1 - early) * both:
        ends = first + (1 - early) * both
        return ends, ends + load - pace * (ends - first)
    done = load / pace
    return first + done + (1 - early - done / both) * alone, first + done


def kernel_cycles(d: Mapping[str, int], config: Config, bus: int, pace: float) -> int:
    """Cycles from the first input word to the last output word of a run (fields `d` of its descriptor)."""
    kind = ENGINES[config.engine]
    ready: NDArray[np.int64] | None = None
    pixels = d["in_pixels"]
    pixel = up(d["in_channels"], bus) * pace  # cycles between pixels that come
    for name in KERNELS:
        k = {key.removeprefix(f"{name}_"): value for key, value in d.items() if key.startswith(f"{name}_")}
        if not k.get("on"):
            continue
        if ready is None:
            ready = np.ceil(pixel * np.arange(1, pixels + 1)).astype(np.int64)
        design = KernelDesign(name, config.kernel(name), kind, 8 * bus)
        step = k["turns"] * (1 if name == "dw" else k["in_beats"])
        if k.get("residual") and d["residual_on"]:
            step = max(step, APART)
        if d["logits"]:
            step = max(step, PLANES)
        if front_type(design) is WindowBuffer:
            step += k["stride"] - 1  # a column more of every unit
        late = late_rows(k["out_height"], k["in_height"], k["size"], k["stride"], k["pad_top"], design.kernel.rows)
        wait = round((k["size"] - k["pad_left"]) * max(pixel, k["in_beats"]))
        work = work_by_pixel(k["out_beats"] * step, k["out_width"], late, wait)
        ready = serve(serve(ready, k["in_beats"])[_last_input(k)], work) + latency(design)
        pixel = max(k["in_beats"], k["out_beats"] * step)
    if ready is None:
        return round(pixels * pixel)
    return int(ready[-1])


def _last_input(k: Mapping[str, int]) -> NDArray[np.int64]:
    """(q,) index of the last input pixel that each output pixel needs."""

    def last(count: int, pad: int, size: int) -> NDArray[np.int64]:
        return np.clip(np.arange(count) * k["stride"] - pad + k["size"] - 1, 0, size - 1)

    rows = last(k["out_height"], k["pad_top"], k["in_height"])
    columns = last(k["out_width"], k["pad_left"], k["in_width"])
    found: NDArray[np.int64] = (rows[:, None] * k["in_width"] + columns[None, :]).reshape(-1)
    return found
