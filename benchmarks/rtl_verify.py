"""Designs built, simulated on test images and compared with the integer model; cycles and counts beside predictions.

    python benchmarks/rtl_verify.py DESIGN [DESIGN ...] [--images 100] [--synth] [--jobs 1] [--data PATH]

DESIGN is a design file of `search`. Each is built in a temporary folder and verified as `cofront verify` does it.
Writes rtl_verify.json beside this file; needs the extra `rtl`, g++ and, to be quick, Verilator.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from pathlib import Path

import msgspec
from record import say, write

from cofront.api.building import build, verify
from cofront.study.provenance import versions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("designs", nargs="+", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--synth", action="store_true")
    parser.add_argument("--tensors", action="store_true")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    rows = []
    for design in args.designs:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "built"
            made = build(design, folder, data=args.data, note=say)
            found = verify(
                folder, images=args.images, synth=args.synth, tensors=args.tensors, data=args.data, jobs=args.jobs,
                note=say,
            )  # fmt: skip
        row = msgspec.to_builtins(found)
        for key in ("folder", "schema", "cofront", "kind"):
            row.pop(key, None)
        rows.append({"design": design.name, "config": made.config, "weights": made.weights, **row})
        state = "bit-exact" if found.passed else f"{found.differing} of {found.elements} elements differ"
        say(f"{design}: {state}, {found.cycles} cycles, {found.predicted_cycles} predicted")
    out = {
        "command": " ".join([Path(sys.argv[0]).name, *(Path(a).name for a in sys.argv[1:])]),
        "date": datetime.date.today().isoformat(),
        "versions": versions(),
        "passed": all(row["passed"] for row in rows),
        "designs": rows,
    }
    write(Path(__file__).with_suffix(".json"), out)


if __name__ == "__main__":
    main()
