"""Small engines of every kind on a 7-series and an UltraScale+ part: built, simulated, synthesised as a whole.

    python benchmarks/rtl_parts.py [--only NAME ...] [--fresh] [--folder runs/rtl_parts]

Names are such as "xc7z020 E44". The same three inverted residual blocks with random integers, at the least precision
that an engine is made for; `cofront build` and `cofront verify --tensors --synth` are what is called. DSPs and block
RAMs must be those that the cost model says; LUTs and flip-flops stand beside it.

Writes rtl_parts.json beside this file, row by row: the same command goes on where it was stopped (--fresh: begins
anew). Needs the extra `rtl` and g++; quick with Verilator.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from record import cpu_time, read, say, write
from rtl_scale import blocks, one_image

from cofront.device import load as load_device
from cofront.hardware.subgraph import Config, KernelConfig
from cofront.rtl.build import Source, build
from cofront.rtl.simulate import choose_tool
from cofront.rtl.standin import random_integers
from cofront.rtl.verify import check_simulation, check_synthesis
from cofront.study.provenance import source_hash, versions

RESULT = Path(__file__).with_suffix(".json")
SEED = 0
PARTS = ("xc7z020", "zu3eg")
#: Engine -> bits of weights and activations that it is run with.
BITS = {"E88": (8, 8), "E48": (4, 8), "E44": (4, 4), "DUAL": (4, 4)}
CASES = {f"{part} {engine}": (part, engine) for part in PARTS for engine in BITS}


def engine(kind: str) -> Config:
    """All kernels, 150 to 192 products a cycle."""
    conv = KernelConfig(4, 8, 1, 1, 2048, 3, 1 << 13, 192, 192)
    dw = KernelConfig(1, 4, 9, 1, 512, 3, 1 << 13, 0, 192)
    return Config(kind, conv, dw, KernelConfig(8, 4, 1, 1, 2048, 1, 0, 192, 192), 150e6)


def measure(part: str, kind: str, folder: Path) -> dict[str, Any]:
    begun = cpu_time()
    network = blocks(*BITS[kind])
    device = load_device(part)
    images, _ = one_image(network, None)
    built = build(Source(random_integers(network, SEED), engine(kind), device, "{}\n"), folder, note=say)
    simulated = check_simulation(built, images, everything=True, tool=choose_tool(), note=say)
    ready = cpu_time()
    counted = check_synthesis(built, note=say)
    return {
        "source": source_hash(),
        "precision": "W{}A{}".format(*BITS[kind]),
        "config": built.manifest["config"],
        "elements": simulated.comparison.elements,
        "differing": simulated.comparison.differing,
        "cycles": simulated.cycles,
        "predicted": built.manifest["expected"]["resources"],
        "counted": counted.resources(),
        "label": "Yosys estimate",
        "synthesis_cpu_s": round(cpu_time() - ready, 1),
        "cpu_s": round(cpu_time() - begun, 1),
        "date": datetime.date.today().isoformat(),
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def equal(what: str) -> int:
        return sum(r["predicted"][what] == r["counted"][what] for r in rows)

    def errors(what: str) -> list[float]:
        return [round(r["predicted"][what] / r["counted"][what] - 1, 4) for r in rows]

    return {
        "engines": len(rows),
        "differing": sum(r["differing"] for r in rows),
        "dsp_equal": equal("dsp"),
        "bram36_equal": equal("bram36"),
        "lut_errors": errors("lut"),
        "ff_errors": errors("ff"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(CASES), choices=list(CASES))
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path("runs/rtl_parts"))
    args = parser.parse_args()
    rows = {} if args.fresh else {r["name"]: r for r in read(RESULT).get("rows", [])}
    for name in args.only:
        if name in rows:
            continue
        say(name)
        rows[name] = {"name": name, **measure(*CASES[name], args.folder / name.replace(" ", "-"))}
        ordered = [rows[n] for n in CASES if n in rows]
        record = {
            "command": "python benchmarks/rtl_parts.py",
            "seed": SEED,
            "versions": versions(),
            "summary": summary(ordered),
            "rows": ordered,
        }
        write(RESULT, record)
        say(f"  {rows[name]['differing']} differ; {rows[name]['predicted']} predicted, {rows[name]['counted']} counted")
    print(json.dumps(summary([rows[n] for n in CASES if n in rows]), indent=1))


if __name__ == "__main__":
    main()
