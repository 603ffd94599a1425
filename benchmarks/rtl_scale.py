"""How long simulation takes: seconds a cycle of engines of 50 to 400 DSPs, and a whole MobileNetV2 at 224 x 224.

    python benchmarks/rtl_scale.py [--only NAME ...] [--fresh] [--folder runs/rtl_scale] [--data FOLDER]

Names are "engine 4x4x2" and so on (conv and pw of so many input x output lanes, dw of so many channels) and
"mobilenetv2". The engines run the same three inverted residual blocks with random weights; MobileNetV2 (W8A8, random
weights: nobody trained integers for it here) runs one image on the accelerator that is proven the fastest for it on a
ZU3EG. Every tensor that reaches memory is compared with the integer model. Seconds are processor time, of the
simulator alone (`cpu_s`) and of writing Verilog and compiling it (null where that was done before); `wall_s` is the
clock's, whatever else ran.

Writes rtl_scale.json beside this file, row by row: the same command goes on where it was stopped (--fresh: begins
anew; `source` of a row is the hash of cofront's sources). Needs the extra `rtl` and Verilator.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from record import cpu_time, read, say, write

from cofront import api
from cofront.device import Device
from cofront.device import load as load_device
from cofront.errors import CofrontError
from cofront.hardware.subgraph import Config, KernelConfig, coefficients
from cofront.hardware.subgraph.scalar import cost as network_cost
from cofront.hardware.subgraph.scalar import resources
from cofront.network import Builder, Network, zoo
from cofront.rtl.compare import compare
from cofront.rtl.compiler import compile_program
from cofront.rtl.netlist import engine_verilog
from cofront.rtl.simulate import LATENCY, TESTBENCH, MemoryModel, compile_simulator, simulate, tool_version
from cofront.rtl.standin import random_integers
from cofront.study.provenance import source_hash, versions
from cofront.task.data import load_dataset

RESULT = Path(__file__).with_suffix(".json")
SEED = 0

#: (input lanes, output lanes of conv and pw, channels of dw) of the engines.
SIZES = ((4, 4, 2), (8, 8, 4), (16, 8, 6), (24, 8, 8), (32, 10, 8))
ENGINES = {f"engine {pi}x{po}x{pc}": (pi, po, pc) for pi, po, pc in SIZES}
LARGE = "mobilenetv2"


def engine(pi: int, po: int, pc: int) -> Config:
    """An accelerator with all kernels, multipliers on DSPs, two 8-bit products each."""
    conv = KernelConfig(pi, po, 1, 1, 2048, 3, 1 << 13, 192, 192)
    dw = KernelConfig(1, pc, 9, 1, 512, 3, 1 << 13, 0, 192)
    return Config("E88", conv, dw, KernelConfig(pi, po, 1, 1, 2048, 1, 0, 192, 192), 200e6)


def blocks(weight_bits: int = 8, act_bits: int = 8) -> Network:
    """Three inverted residual blocks on 28 x 28 maps, and a classifier: 19 million multiplications."""
    b = Builder("blocks", (24, 28, 28))
    before = b.last
    for i in range(3):
        b.block = f"b{i + 1}"
        b.conv(144, 1, act="relu", name=f"b{i + 1}.expand")
        b.depthwise(3, act="relu", name=f"b{i + 1}.dw")
        out = b.conv(24, 1, name=f"b{i + 1}.project")
        before = b.sum(out, before, name=f"b{i + 1}.add") if i else out
    b.block = "head"
    b.classifier(10)
    return b.build().uniform_bits(weight_bits, act_bits)


def of_engine(name: str) -> tuple[Network, Config, Device]:
    return blocks(), engine(*ENGINES[name]), load_device("zu7ev")


def of_mobilenet() -> tuple[Network, Config, Device]:
    found = api.fit(LARGE, device="zu3eg", precision="W8A8")
    assert found.config is not None and found.status == "optimal"
    return zoo.load(LARGE).uniform_bits(8, 8), Config.from_dict(found.config, found.clock_hz), load_device("zu3eg")


def measure(network: Network, config: Config, device: Device, folder: Path, data: Path | None) -> dict[str, Any]:
    """One image on one accelerator: compared, and timed."""
    bus = coefficients.load().bus_bits(device, config.clock_hz)
    said: list[str] = []

    def note(text: str) -> None:
        said.append(text)
        say(f"  {text}")

    (verilog, ports), write_s, _ = timed(lambda: engine_verilog(config, bus, primitives=True, note=note))
    written = not any("written before" in text for text in said)
    said.clear()
    sources = {"engine.v": verilog, "dsp48e2.v": TESTBENCH.with_name("dsp48e2.v").read_text()}
    simulator, compile_s, _ = timed(lambda: compile_simulator(sources, ports, bus, folder, tool="verilator", note=note))
    quantized = random_integers(network, SEED)
    program = compile_program(quantized, config, device, bus_bits=bus)
    memory = MemoryModel(LATENCY, coefficients.load().bytes_per_kilocycle(device, config.clock_hz))
    expected = network_cost(network, config, device)
    images, source = one_image(network, data)
    limit = 6 * expected.cycles + 200_000
    (runs, memories), cpu_s, wall_s = timed(
        lambda: simulate(simulator, program, images, memory=memory, everything=True, limit=limit)
    )
    found = compare(quantized, program, images, memories, everything=True, numbers=range(1))
    used = resources(config, device)
    cycles = runs[0].cycles
    kernels = [k for k in (config.conv, config.dw, config.pw) if k.po]
    return {
        "source": source_hash(),
        "config": config.to_dict(),
        "dsp": used["dsp"],
        "multipliers": sum(k.pi * k.po * k.taps for k in kernels),
        "macs": network.macs,
        "image": source,
        "tensors": found.tensors,
        "elements": found.elements,
        "differing": found.differing,
        "cycles": cycles,
        "model_cycles": expected.cycles,
        "cpu_s": round(cpu_s, 2),
        "wall_s": round(wall_s, 2),
        "cpu_us_per_cycle": round(1e6 * cpu_s / cycles, 3),
        "verilog_mb": round(len(verilog) / 1e6, 2),
        "write_verilog_cpu_s": round(write_s, 1) if written else None,
        "compile_cpu_s": round(compile_s, 1) if said else None,
        "date": datetime.date.today().isoformat(),
    }


def one_image(network: Network, data: Path | None) -> tuple[Any, str]:
    """A test image for networks of three channels where there are any, else random values."""
    c, h, w = network.shapes[network.input.name]
    if c == 3:
        try:
            image = load_dataset(data).x_test[:1]
            if image.shape[1:] == (h, w, c):
                return image, "the first test image of CIFAR-10"
        except CofrontError:
            if data is not None:
                raise
    return np.random.default_rng(SEED).integers(0, 256, (1, h, w, c)).astype(np.uint8), "random"


def timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What `work` gives, the processor time of this process and its children for it, and the clock's."""
    cpu, wall = cpu_time(), time.perf_counter()
    result = work()
    return result, cpu_time() - cpu, time.perf_counter() - wall


def growth(rows: list[dict[str, Any]]) -> dict[str, float] | None:
    """Exponent of the time a cycle over the number of multipliers, by least squares of logarithms."""
    found = [r for r in rows if r["name"] in ENGINES]
    if len(found) < 3:
        return None
    x, y = (np.log([r[key] for r in found]) for key in ("multipliers", "cpu_us_per_cycle"))
    slope, _ = np.polyfit(x, y, 1)
    return {"exponent": round(float(slope), 3), "engines": len(found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=[*ENGINES, LARGE], choices=[*ENGINES, LARGE])
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/rtl_scale"))
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    rows = {} if args.fresh else {r["name"]: r for r in read(RESULT).get("rows", [])}
    for name in args.only:
        if name in rows:
            continue
        say(name)
        network, config, device = of_mobilenet() if name == LARGE else of_engine(name)
        rows[name] = {"name": name, **measure(network, config, device, args.folder, args.data)}
        keep([rows[n] for n in (*ENGINES, LARGE) if n in rows])
        shown = ("dsp", "multipliers", "differing", "cycles", "cpu_s", "cpu_us_per_cycle", "compile_cpu_s")
        say("  " + ", ".join(f"{key} {rows[name][key]}" for key in shown))
    print(json.dumps(growth(list(rows.values()))))


def keep(rows: list[dict[str, Any]]) -> None:
    """The file, whole at any moment."""
    record = {
        "command": "python benchmarks/rtl_scale.py",
        "seed": SEED,
        "versions": versions(),
        "python": platform.python_version(),
        "verilator": tool_version("verilator"),
        "cores": os.cpu_count(),
        "time_per_cycle_over_multipliers": growth(rows),
        "rows": rows,
    }
    write(RESULT, record)


if __name__ == "__main__":
    main()
