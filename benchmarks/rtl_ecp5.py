"""Kernels and a small engine placed and routed on an ECP5: a real clock rate and utilisation, as a sanity check.

    python benchmarks/rtl_ecp5.py [--only NAME ...] [--seed 1]

Multipliers are those of `INTEL18X19` (18 x 18 bits between registers, inferred), the part is the largest ECP5 of the
fastest grade. Every figure is nextpnr's timing analysis after routing, with one seed; nothing was loaded into a part,
and nothing follows from it for UltraScale+ or 7-series parts. Writes rtl_ecp5.json beside this file, adding to what is
there; needs the extra `ecp5`.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import sys
from pathlib import Path
from typing import Any

from record import cpu_time, read, write

from cofront.hardware.subgraph import Config, KernelConfig
from cofront.hardware.subgraph.engines import ENGINES
from cofront.rtl.config import KernelDesign
from cofront.rtl.engine import Engine
from cofront.rtl.kernel import Kernel
from cofront.rtl.place import TARGET_MHZ, place

BUS_BITS = 64
DSP = "INTEL18X19"
FILE = Path(__file__).with_suffix(".json")

PW = KernelConfig(4, 4, 1, 1, 512, 1, 0, 64, 64)
CONV = KernelConfig(4, 4, 1, 1, 512, 3, 512, 64, 64)
DW = KernelConfig(1, 4, 9, 1, 512, 3, 512, 0, 64)

#: Name -> engine, kernel, configuration.
KERNELS: dict[str, tuple[str, str, KernelConfig]] = {
    "pw 2x2 E88": ("E88", "pw", KernelConfig(2, 2, 1, 1, 512, 1, 0, 64, 64)),
    "pw 4x4 E88": ("E88", "pw", PW),
    "pw 4x8 E48": ("E48", "pw", KernelConfig(4, 8, 1, 1, 512, 1, 0, 64, 64)),
    "pw 4x8 E44": ("E44", "pw", KernelConfig(4, 8, 1, 1, 512, 1, 0, 64, 64)),
    "conv 4x4 E88": ("E88", "conv", CONV),
    "dw 2x9 E88": ("E88", "dw", KernelConfig(1, 2, 9, 1, 512, 3, 512, 0, 64)),
    "dw 4x9 E88": ("E88", "dw", DW),
    "dw 4x9 E44": ("E44", "dw", DW),
}
ENGINE = "engine: conv 2x2, dw 2x3, pw 2x2, E88"


def component(name: str) -> Any:
    if name == ENGINE:
        conv = KernelConfig(2, 2, 1, 1, 512, 3, 512, 64, 64)
        dw = KernelConfig(1, 2, 3, 1, 512, 3, 512, 0, 64)
        return Engine(Config("E88", conv, dw, KernelConfig(2, 2, 1, 1, 512, 1, 0, 64, 64), 100e6), BUS_BITS, dsp=DSP)
    engine, kernel, config = KERNELS[name]
    return Kernel(KernelDesign(kernel, config, ENGINES[engine], BUS_BITS, DSP))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", default=[*KERNELS, ENGINE])
    parser.add_argument("--seed", type=int, default=1, help="of the placement: another where routing does not end")
    args = parser.parse_args()
    rows = {row["name"]: row for row in read(FILE).get("placed", [])}
    for name in args.only:
        before = cpu_time()
        found = place(component(name), seed=args.seed, note=lambda text: print(f"  {text}", file=sys.stderr))
        rows[name] = {
            "name": name,
            "fmax_mhz": round(found.fmax_hz / 1e6, 1),
            "used": dict(found.used),
            "share": {k: round(n / found.available[k], 4) for k, n in found.used.items()},
            "bed_ff": found.bed_ff,
            "critical_path": list(found.critical),
            "seed": args.seed,
            "cpu_s": round(cpu_time() - before, 1),
            "tools": dict(found.tools),
            "date": datetime.date.today().isoformat(),
        }
        result = {
            "command": "python benchmarks/rtl_ecp5.py",
            "label": "nextpnr's timing analysis after routing on an ECP5, one seed; loaded into no part",
            "part": found.part,
            "target_mhz": TARGET_MHZ,
            "python": platform.python_version(),
            "placed": [rows[n] for n in [*KERNELS, ENGINE] if n in rows],
        }
        write(FILE, result, indent=2)
        print(f"{name}: {rows[name]['fmax_mhz']} MHz, {rows[name]['used']}, {rows[name]['cpu_s']} s")


if __name__ == "__main__":
    main()
