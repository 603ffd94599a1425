"""How many look-ups random, evolution and surrogate need to find the exact front of a full table, over several seeds.

    python benchmarks/table_searches.py --searches random --evaluations 15625 --runs 10
    python benchmarks/table_searches.py --searches evolution --evaluations 10000
    python benchmarks/table_searches.py --searches surrogate --evaluations 3000

NAS-Bench-201: accuracy on CIFAR-10 (200 epochs) against the latency of each of --devices. Adds to table_searches.json
beside this file; needs the public tables under $COFRONT_DATA. `to_all`, the evaluations to the whole front, is null
where half of the runs or more did not get there. The last two take some minutes of processor.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import time
from pathlib import Path
from statistics import median

from record import made, read, write

from cofront.api.pareto import pareto

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data"))
OUT = Path(__file__).with_suffix(".json")
ACCURACY = "cifar10_test_200"
AT = (100, 300, 1000, 3000, 10000)


def score(device: str, search: str, evaluations: int, runs: int) -> dict[str, object]:
    """Seeds 0 to `runs` - 1 of one search on one device."""
    begun = time.process_time()
    found = pareto(
        space="nasbench201", table=DATA / "nasbench201.parquet", accuracy=ACCURACY, cost=f"lat_ms_{device}",
        searches=(search,), evaluations=evaluations, runs=runs,
    )  # fmt: skip
    (trace,) = found.searches
    points = len(found.front)
    share = {
        n: median(sum(t <= n for t in times) / points for times in trace.found_after)
        for n in (*(n for n in AT if n < evaluations), evaluations)
    }
    whole = [times[-1] if len(times) == points else None for times in trace.found_after]
    return {
        "evaluations": evaluations, "runs": runs, "front": points, "rows": found.rows, "share_after": share,
        "hypervolume": trace.hypervolume, "to_half": trace.to_half, "to_all": trace.to_all, "to_all_of_each_run": whole,
        "cpu_s": time.process_time() - begun,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--evaluations", type=int, default=3000)
    parser.add_argument("--searches", default="random,evolution,surrogate")
    parser.add_argument("--devices", default="raspi4,1080ti_1")
    args = parser.parse_args()
    kept = read(OUT).get("devices", {})  # a run of one search adds to what the file has
    for device in args.devices.split(","):
        for search in args.searches.split(","):
            found = score(device, search, args.evaluations, args.runs)
            kept.setdefault(device, {})[search] = found
            shares = "  ".join(f"{n}: {100 * s:.0f} %" for n, s in found["share_after"].items())  # type: ignore[attr-defined]
            print(f"{device:9s} {search:10s} {shares}  cpu {found['cpu_s']:.1f} s", flush=True)
            write(OUT, {**made("numpy", accuracy=ACCURACY), "devices": kept})


if __name__ == "__main__":
    main()
