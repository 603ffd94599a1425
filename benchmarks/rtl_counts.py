"""Accelerators of random configurations generated and synthesised: the counts that the resource model is fitted on.

    python benchmarks/rtl_counts.py [--kernels 52] [--fit 2] [--shells 7] [--check 22] [--front 6] [--batch 4]

Accelerators (one to three kernels, any engine) are written as Verilog and mapped by Yosys for UltraScale+ as
`cofront verify --synth` does it; rtl_counts.json beside this file gets their configurations, their counts, and what
each of their parts has of them. For fitting: `--kernels` kernels by themselves, `--shells` accelerators with stubs for
kernels, `--fit` whole ones. `--check` accelerators are held back: `rtl_calibration.py` looks at them once, after
fitting. `--front` accelerators of the main job's front (`cofront search --device zu3eg`), from its fastest design to
its most accurate, are larger than all of these: for how well the model extrapolates. Goes on where it stopped; modules
that were mapped before are taken from the bank. Needs the extra `rtl`.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import sys
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from record import read, write

from cofront import api
from cofront.hardware.subgraph.config import ABSENT, Config, KernelConfig
from cofront.hardware.subgraph.engines import ENGINES
from cofront.rtl.modules import Verilog
from cofront.rtl.netlist import TOP, engine_verilog, verilog
from cofront.rtl.synthesise import Bank, count, map_modules, occurrences, synthesise, wrapped
from cofront.study.provenance import versions

RESULT = Path(__file__).with_suffix(".json")
FAMILY, CLOCK_HZ = "xcup", 250e6
PARTS = ("kernel", "shell", "fit", "check", "front")

#: Multipliers of a kernel, least and most: of accelerators, of large ones (every fifth), of kernels by themselves; the
#: most on LUTs.
SMALL, LARGE, LONE, MOST_LUT = (6, 64), (32, 256), (4, 40), 24
LANES = (1, 2, 2, 3, 4, 4, 6, 8, 8, 12, 16, 24, 32)
SETS = (("conv", "dw", "pw"), ("conv", "dw", "pw"), ("dw", "pw"), ("conv", "dw", "pw"), ("conv",), ("conv", "pw"))
#: Kernels and port of the engines without kernels.
ALL = ("conv", "dw", "pw")
SHELLS = ((ALL, 128), (ALL, 64), (("dw", "pw"), 128), (("conv", "pw"), 128), (ALL, 256), (("conv",), 64), (ALL, 128))
WINDOWS = 42
BUSES = (128, 128, 128, 128, 128, 64, 128, 128, 128, 128)


def random_kernel(rng: np.random.Generator, name: str, rows: int, channels: int, size: tuple[int, int]) -> KernelConfig:
    """A kernel as the grids of a search have them, within the limits above."""

    def pick(values: Any) -> int:
        return int(rng.choice(np.array(values)))

    while True:
        dsp = int(size == LARGE or rng.random() < 0.8)
        if name == "dw":
            pi, po, taps = 1, pick(LANES), pick([t for t in (1, 3, 3, 9, 9, 25) if t <= rows**2])
        else:
            pi, po = pick(LANES), pick(LANES)
            taps = pick((1, 1, 3)) if name == "conv" and rows >= 3 else 1
        if size[0] <= pi * po * taps <= (size[1] if dsp else MOST_LUT):
            break
    width = pick((8, 16, 28, 32))
    depth = pick((512, 1024, 2048)) if name != "dw" else 512
    line = width * channels if name != "pw" and rows > 1 else 0
    ins = 0 if name == "dw" else channels
    return KernelConfig(pi, po, taps, dsp, depth, rows, line, ins, pick((channels, 4 * channels)))


def random_config(seed: int, index: int) -> tuple[Config, int]:
    """Configuration and bits of the memory port, by seed and number."""
    rng = np.random.default_rng((seed, index))
    engine = ("E88", "E48", "E44", "DUAL")[index % 4]
    present = SETS[int(rng.integers(len(SETS)))]
    rows = {"conv": int(rng.choice([1, 3, 3])), "dw": int(rng.choice([3, 5, 5, 7])), "pw": 1}
    channels = int(rng.choice([64, 96, 160, 320]))
    kernels = {
        n: random_kernel(rng, n, rows[n], channels, LARGE if index % 5 == 2 else SMALL) if n in present else ABSENT
        for n in ("conv", "dw", "pw")
    }
    bus = int(rng.choice(BUSES))
    return Config(engine, kernels["conv"], kernels["dw"], kernels["pw"], CLOCK_HZ), bus


def random_lone(seed: int, index: int) -> tuple[Config, int]:
    """A configuration of one kernel only; from number `WINDOWS` on of depthwise ones with whole windows at once."""
    rng = np.random.default_rng((seed, index, 1))
    if index >= WINDOWS:
        rows, po = (3, 5, 7)[index % 3], int(rng.choice([2, 3, 4, 6]))
        taps = 25 if index % 4 == 3 and rows > 3 else 9
        channels = int(rng.choice([64, 96, 160]))
        kernel = KernelConfig(1, po, taps, 1, 512, rows, 16 * channels, 0, channels * int(rng.choice([1, 2, 4])))
        return Config(("E88", "E48", "E44", "DUAL")[index % 4], ABSENT, kernel, ABSENT, CLOCK_HZ), 128
    name = ("conv", "dw", "pw")[index % 3]
    rows = {"conv": int(rng.choice([1, 3, 3])), "dw": int(rng.choice([3, 5, 5, 7])), "pw": 1}[name]
    kernel = random_kernel(rng, name, rows, int(rng.choice([64, 96, 160, 320])), LARGE if index % 8 == 6 else LONE)
    engine = ("E88", "E48", "E44", "DUAL")[index // 3 % 4]
    kernels = {n: kernel if n == name else ABSENT for n in ("conv", "dw", "pw")}
    return Config(engine, kernels["conv"], kernels["dw"], kernels["pw"], CLOCK_HZ), int(rng.choice(BUSES))


def random_shell(seed: int, index: int) -> tuple[Config, int]:
    """An accelerator of given kernels and port, of which only what is around the kernels is made."""
    rng = np.random.default_rng((seed, index, 2))
    kernels, bus = SHELLS[index % len(SHELLS)]
    made = {n: ABSENT for n in ("conv", "dw", "pw")}
    for name in kernels:
        made[name] = random_kernel(rng, name, 1 if name == "pw" else 3, int(rng.choice([64, 160, 320])), SMALL)
    engine = ("E88", "DUAL")[index // 4 % 2]
    return Config(engine, made["conv"], made["dw"], made["pw"], CLOCK_HZ), bus


@cache
def front_configs(count: int) -> tuple[Config, ...]:
    """Different accelerators of the main job's front, evenly spread over it."""
    found = api.search(api.SearchRequest()).document
    configs = list(dict.fromkeys(Config.from_dict(d.config, found.clock_hz) for d in found.front))
    return tuple(configs[i] for i in np.linspace(0, len(configs) - 1, count).round().astype(int))


def shell_verilog(config: Config, bus: int) -> str:
    """An engine whose kernels are stubs: every output is a register that depends on all inputs."""
    from amaranth.hdl import Cat, Module, Signal, Value
    from amaranth.lib import wiring
    from amaranth.lib.wiring import In

    from cofront.rtl.config import KernelDesign, kernel_ports
    from cofront.rtl.dsp48 import Primitives
    from cofront.rtl.engine import Engine

    class Stub(wiring.Component):  # type: ignore[misc]
        def __init__(self, design: KernelDesign) -> None:
            super().__init__(kernel_ports(design))

        def elaborate(self, platform: Any) -> Any:
            m, mixed = Module(), Signal()
            ports = [(member.flow, Value.cast(value)) for _, member, value in self.signature.flatten(self)]
            m.d.sync += mixed.eq(Cat(value for flow, value in ports if flow == In).xor())
            for flow, value in ports:
                if flow != In:
                    m.d.sync += value.eq(value ^ mixed.replicate(len(value)))
            return m

    return verilog(Engine(config, bus, Stub), TOP, Primitives())


def generate(part: str, seed: int, index: int) -> tuple[Config, int, str, str]:
    """Configuration, port, Verilog and its top: of an accelerator, of one kernel, or of what is around kernels.

    Of those of a front `seed` is how many there are.
    """
    if part == "shell":
        config, bus = random_shell(seed, index)
        return config, bus, shell_verilog(config, bus), TOP
    if part != "kernel":
        config, bus = (front_configs(seed)[index], 128) if part == "front" else random_config(seed, index)
        return config, bus, engine_verilog(config, bus, primitives=True)[0], TOP
    from cofront.rtl.config import KernelDesign
    from cofront.rtl.dsp48 import Primitives
    from cofront.rtl.kernel import Kernel

    config, bus = random_lone(seed, index)
    name = next(n for n in ("conv", "dw", "pw") if config.kernel(n).po)
    design = KernelDesign(name, config.kernel(name), ENGINES[config.engine], bus)
    return config, bus, verilog(Kernel(design), name, Primitives()), name


def role(name: str) -> str:
    """What a module is, from its name: without the engine's, numbers of lanes and the numbers that tell names apart."""
    plain = re.sub(r"\$\d+", "", name.removeprefix("\\"))
    plain = re.sub(r"(lane_|U)\d*$", r"\1", plain)
    return plain.removeprefix(f"{TOP}.")


def by_role(design: Verilog, bank: Bank) -> dict[str, list[int]]:
    """Role -> modules of it, and LUT, FF, DSP and BRAM36 of all of them."""
    flat = {child for _, child in wrapped(design)}
    total: dict[str, Counter[str]] = {}
    for name, times in design.times.items():
        if name in flat:
            continue
        part = bank.parts[design.canonical[name].key]
        found = count(part.cells, part.bram36, bank.family).resources()
        row = total.setdefault(role(name), Counter())
        row["n"] += times
        for key, value in found.items():
            row[key] += times * value
    return {k: [row[key] for key in ("n", "lut", "ff", "dsp", "bram36")] for k, row in sorted(total.items())}


def measure(parts: list[tuple[str, int, int]], bank: Bank) -> list[dict[str, Any]]:
    """The counts of some accelerators, given as part, seed and number."""
    made = []
    for part, seed, index in parts:
        start = time.process_time()
        made.append((part, index, *generate(part, seed, index), time.process_time() - start))
    map_modules([Verilog.parse(text, top) for *_, text, top, _ in made], bank)
    rows = []
    for part, index, config, bus, text, top, seconds in made:
        found = synthesise(text, top, FAMILY, bank=bank)
        design = Verilog.parse(text, top)
        rows.append(
            {
                "part": part,
                "index": index,
                "config": config.to_dict(),
                "bus_bits": bus,
                "counted": found.resources(),
                "cells": dict(found.cells),
                "modules": sum(occurrences(design).values()),
                "roles": by_role(design, bank),
                "generated_s": round(seconds, 1),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", type=int, default=52, help="kernels by themselves")
    parser.add_argument("--fit", type=int, default=2)
    parser.add_argument("--shells", type=int, default=7, help="accelerators whose kernels are stubs")
    parser.add_argument("--check", type=int, default=22)
    parser.add_argument("--front", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4, help="accelerators whose modules are mapped in one run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--backwards", action="store_true", help="the last first, beside another process")
    parser.add_argument(
        "--only", nargs="*", default=["kernel", "shell", "fit", "check", "front"], help="parts to count"
    )
    parser.add_argument("--bank", type=Path, default=Path("runs/rtl_counts_bank.json"))
    args = parser.parse_args()
    args.bank.parent.mkdir(parents=True, exist_ok=True)
    # What is for fitting comes first, accelerators and kernels in turns.
    wanted = [("kernel", i, i / args.kernels) for i in range(args.kernels)]
    wanted += [("shell", i, i / args.shells) for i in range(args.shells)]
    wanted += [("fit", i, i / args.fit) for i in range(args.fit)]
    wanted += [("check", i, 1 + i) for i in range(args.check)]
    wanted += [("front", i, 2 + i) for i in range(args.front)]
    order = [(part, i) for part, i, _ in sorted(wanted, key=lambda w: w[2])]
    todo = [w for w in order if w not in counted() and w[0] in args.only]
    seeds = {
        "kernel": args.seed,
        "shell": args.seed,
        "fit": args.seed,
        "check": args.seed + 1_000_003,
        "front": args.front,
    }
    if args.backwards:
        todo.reverse()
    print(f"{len(todo)} of {len(order)} to count", file=sys.stderr, flush=True)
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    bank = Bank(FAMILY, args.bank)
    while todo := [w for w in todo if w not in counted()]:
        begun = time.perf_counter(), time.process_time(), os.times().children_user
        done = measure([(p, seeds[p], i) for p, i in todo[: args.batch]], bank)
        for row in done:
            keep(row, args.seed)
        cpu = time.process_time() - begun[1] + os.times().children_user - begun[2]
        print(f"{len(done)} in {time.perf_counter() - begun[0]:.0f} s, {cpu:.0f} s of processor", file=sys.stderr)


def counted() -> set[tuple[str, int]]:
    """Part and number of what has been counted, by whomever."""
    rows = read(RESULT).get("rows", [])
    return {(r["part"], r["index"]) for r in rows}


def keep(row: dict[str, Any], seed: int) -> None:
    """Adds a row to the file, which is whole at any moment."""
    with Path("runs/rtl_counts.lock").open("w") as lock:  # several of us may be at work on different parts
        fcntl.flock(lock, fcntl.LOCK_EX)
        rows = read(RESULT).get("rows", [])
        _write([*rows, row], seed)
    c = row["counted"]
    print(f"{row['part']} {row['index']}: {c}, generated in {row['generated_s']} s", file=sys.stderr, flush=True)


def _write(rows: list[dict[str, Any]], seed: int) -> None:
    record = {
        "command": "python benchmarks/rtl_counts.py",
        "seed": seed,
        "label": "Yosys estimates: nothing here has met a vendor's tools",
        "family": FAMILY,
        "versions": versions(),
        "rows": rows,
    }
    write(RESULT, record, indent=None)


if __name__ == "__main__":
    main()
