"""One proxy device is enough: raw and adapted rank correlations beside the paper's, and what its choices lose.

    python benchmarks/one_proxy.py [--draws 10] [--targets raspi4,eyeriss,...]

Proxy pixel3 on NAS-Bench-201 and FBNet, as in two of the paper's panels, eagle_* on the 1,999 measured cells. A
proxy or target that the tables at hand do not have (the Myriad VPU, for one) is skipped by name. Rows with -1 in
rice_edgetpu are dropped. Writes one_proxy.json beside this file.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow.csv as pc
import pyarrow.parquet as pq
from record import made, write

from cofront import space as spaces
from cofront.hardware.tables import read_measured
from cofront.systems.claims import claims_json, claims_table
from cofront.systems.one_proxy import OneProxy, claims

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("COFRONT_DATA", ROOT.parent / "shared" / "data"))
TABLES = {"nasbench201": "nasbench201.parquet", "fbnet": "fbnet_space.parquet"}
PROXIES = {"nasbench201": ("eagle_vpu", "pixel3"), "fbnet": ("pixel3",)}
TARGETS = {
    "nasbench201": ("eyeriss", "raspi4", "rice_edgegpu", "rice_edgetpu", "fpga", "eagle_cpu_855", "eagle_gpu_855",
                    "eagle_dsp_855", "eagle_gtx", "eagle_i7", "eagle_jetson", "eagle_jetson_16", "eagle_tpu"),
    "fbnet": ("eyeriss", "fpga", "raspi4", "gold_6226", "titan_rtx_1"),
}  # fmt: skip
SAMPLES = (70, 120)


def candidates_gap(proxy: OneProxy, latency: np.ndarray, target: str) -> dict[str, object] | None:
    """CIFAR-100 accuracy lost over MetaD2A's 500 candidates at ten limits, 120 measurements."""
    path = DATA / "nb201_metad2a_candidates.csv.gz"
    if not path.is_file() or proxy.space.name != "nasbench201":
        return None
    read = pc.read_csv(path).to_pydict()
    rows = np.array(read["arch_index"])
    accuracy, only = np.full(len(latency), -np.inf), np.full(len(latency), np.nan)
    accuracy[rows] = np.array(read["cifar100_acc"])
    only[rows] = latency[rows]
    if np.isfinite(only).sum() < 200:
        return None
    found = proxy.choose(only, accuracy, rows, 120)
    return {
        "target": target,
        "worst_gap": max(c.oracle - c.chosen for c in found),
        "choices": [asdict(c) for c in found],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--targets", default="")
    args = parser.parse_args()
    wanted = set(filter(None, args.targets.split(",")))
    result: dict[str, object] = {}
    table = []
    for name, file in TABLES.items():
        columns = set(pq.read_schema(DATA / file).names)
        for proxy_name in PROXIES[name]:
            if f"lat_ms_{proxy_name}" not in columns:
                print(f"{name}: no proxy {proxy_name} in {file}, skipped")
                continue
            targets = [t for t in TARGETS[name] if f"lat_ms_{t}" in columns and (not wanted or t in wanted)]
            missing = [t for t in TARGETS[name] if f"lat_ms_{t}" not in columns]
            names = [f"lat_ms_{d}" for d in (proxy_name, *targets)]
            read = read_measured(DATA / file, spaces.load(name), names, drop_negative=True, any_magnitude=True)
            proxy = OneProxy(read.space, read.points, proxy_name, read.column(names[0]))
            found = []
            gaps = []
            for target in targets:
                latency = read.column(f"lat_ms_{target}")
                for samples in SAMPLES:
                    found.append(proxy.adapt(target, latency, samples, args.draws))
                    a = found[-1]
                    print(
                        f"{name} {proxy_name} -> {target:16s} {samples:4d}: raw {a.raw:.4f} adapted {a.adapted:.4f}",
                        flush=True,
                    )
                gap = candidates_gap(proxy, latency, target)
                if gap is not None:
                    gaps.append(gap)
            said = claims(name, proxy_name, found)
            table += said
            result[f"{name}/{proxy_name}"] = {
                "linear_fit": proxy.linear_fit(), "adapted": [asdict(a) for a in found], "missing": missing,
                "gaps": gaps, "claims": claims_json(said),
            }  # fmt: skip
    print(claims_table(table))
    meta = made("numpy", "scipy", "scikit-learn", draws=args.draws)
    write(Path(__file__).with_suffix(".json"), {**meta, **result})


if __name__ == "__main__":
    main()
