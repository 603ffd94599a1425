"""LUTs and flip-flops of the generated engine: the resource model fitted on synthesised designs, checked on others.

    python benchmarks/rtl_calibration.py [--write] [--check]

Reads rtl_counts.json (`rtl_counts.py` makes it). What each part of an accelerator takes is fitted by non-negative
least squares on the features of `hardware/subgraph/area.py`, part by part, on the kernels and accelerators that are
there for fitting. `--write` puts the constants where the cost model loads them; `--check` compares the model with the
accelerators that were held back, and, apart, with those of the main job's front, which are larger than what it was
fitted on: that is kept beside the constants, for notes on designs that are extrapolated. DSPs and block RAMs are not
fitted: they follow from the structure, and are compared. rtl_calibration.json beside this file gets constants,
residuals, ranges and versions.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from record import write
from rtl_counts import random_config
from scipy.optimize import nnls

from cofront import device
from cofront.hardware.subgraph import area, coefficients
from cofront.hardware.subgraph.config import Config
from cofront.hardware.subgraph.engines import ENGINES
from cofront.hardware.subgraph.scalar import kernel_resources, resources
from cofront.study.provenance import versions

COUNTS = Path(__file__).with_name("rtl_counts.json")
RESULT = Path(__file__).with_suffix(".json")
KERNELS = ("conv", "dw", "pw")
PART_NAMES = ("kernel", "shell", "fit", "check", "front")
#: The device is only asked for its kind of DSP.
DEVICE = device.load("zu3eg")
GEAR = area.GEAR
#: Features of the nearest sum over kernels for what is none, on random accelerators of a seed: what is between two
#: kernels, and the memory of averages, which has room for the most channels that any kernel gives.
LINKS = ("from_conv", "from_dw", "to_dw", "to_pw", "is_conv", "is_dw", "is_pw")
POOLS = ("base", "pool_conv", "pool_dw", "pool_pw")
POPULATION, POPULATION_SEED = 400, 7

#: Parts of an accelerator: the roles that belong to one, and the features that it is fitted on.
PARTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "multipliers": (r"K\.array\.U.*", (r"(own|shared|lut)_.*", "product_bits", "borrows")),
    "trees": (r"K\.array", ("adders", "sums", "dual_terms", "dual_sums")),
    "front": (r"K\.front.*", ("pixel", r"line.*", r"window.*")),
    "weights": (r"K\.weights", (r"(gather|cut)_.*",)),
    "params": (r"K\.params", (r"param_.*",)),
    "lanes": (r"K(\.walk|\.requantise.*|\.queue|\.residuals|\.halves)?", (r"(kernel|lane|dual)_(full|dw)", "queue")),
    "gearboxes": (r"K_(input|output|residual)", (r"gear.*",)),
    "links": (r"K_K(_queue)?", ()),
    "average": (r"average", ()),
    "base": (r".*", ("base", "base_bus", "kernel_full", "kernel_dw")),
}


#: Memories in LUTs, which are counted as they are.
KNOWN = ("window_store", "param_ram", "queue")


def part_of(role: str) -> str:
    plain = re.sub(r"\b(conv|dw|pw)(?=\b|_)", "K", role)
    plain = re.sub(r"_(conv|dw|pw)(?=\b|_)", "_K", plain)
    return next(name for name, (roles, _) in PARTS.items() if re.fullmatch(roles, plain))


def features(config: Config, bus: int) -> dict[str, int]:
    """The features of all kernels together, and those of what is around them."""
    total: dict[str, int] = {"base": 1, "base_bus": bus}
    for name in KERNELS:
        kernel = config.kernel(name)
        if kernel.po:
            for key, value in area.features(name, vars(kernel), ENGINES[config.engine], bus).items():
                total[key] = total.get(key, 0) + value
    return total


def counts_by_part(row: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """LUT, FF, DSP and BRAM36 of each part of a design."""
    total: dict[str, np.ndarray] = {}
    for role, numbers in row["roles"].items():
        name = part_of(role)
        if row["part"] == "shell" and role in KERNELS:
            continue  # a stub
        total[name] = total.get(name, 0) + np.array(numbers[1:])
    return total


def matching(keys: Iterable[str], patterns: tuple[str, ...]) -> list[str]:
    return sorted({k for k in keys if any(re.fullmatch(p, k) for p in patterns)})


def fit(x: np.ndarray, y: np.ndarray, relative: bool = True) -> np.ndarray:
    """Non-negative coefficients for absolute errors, or for relative ones with small counts weighing less."""
    weight = 1 / (np.abs(y) + 0.1 * np.abs(y).mean() + 1) if relative else np.ones(len(y))
    scale = np.maximum(np.abs(x).max(axis=0), 1e-9)
    found, _ = nnls((x / scale) * weight[:, None], y * weight, maxiter=10_000)
    return np.asarray(found / scale)


def between(config: Config) -> dict[str, int]:
    """The gearboxes and queues between kernels, exactly: no sum over kernels."""
    factor = ENGINES[config.engine].w4a4_factor
    names = [n for n in KERNELS if config.kernel(n).po]
    gives = {n: config.kernel(n).po * factor for n in names}
    takes = {n: gives[n] if n == "dw" else config.kernel(n).pi for n in names}
    total = dict.fromkeys((*GEAR, "link", "link_queue"), 0)
    for i, lower in enumerate(names):
        for upper in names[:i]:
            for key, value in zip(GEAR, area.gearbox(gives[upper], takes[lower]), strict=True):
                total[key] += value
            total["link"] += 1
            total["link_queue"] += area.lut_ram(8 * takes[lower], 16)
    return total


def deepest(config: Config, bus: int) -> int:
    """LUTs of the memory of averages."""
    most = max(config.kernel(n).out_elements for n in KERNELS)
    return int(area.lut_ram(3 * bus, area.up(most, bus // 8)))


def fitted(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Feature -> (LUT, FF) coefficients; residuals of each part; what links that are no sum over kernels cost."""
    configs = [Config.from_dict(r["config"]) for r in rows]
    known = [features(c, r["bus_bits"]) for c, r in zip(configs, rows, strict=True)]
    parts = [counts_by_part(r) for r in rows]
    coefficients_: dict[str, list[float]] = {}
    residuals: dict[str, Any] = {}

    def solve(
        name: str, keys: list[str], table: list[dict[str, int]], of: list[np.ndarray], relative: bool = True
    ) -> None:
        x = np.array([[t.get(k, 0) for k in keys] for t in table], dtype=float)
        y = np.array(of, dtype=float)
        fixed = np.array([k in KNOWN for k in keys])
        both = np.zeros((2, len(keys)))
        both[0, fixed] = 1
        for j in (0, 1):
            free = ~fixed if j == 0 else fixed | ~fixed
            both[j, free] = fit(x[:, free], y[:, j] - x @ both[j], relative)
        error = np.abs(x @ both.T - y).sum(axis=0) / np.maximum(y.sum(axis=0), 1)
        residuals[name] = {
            "designs": len(y), "features": len(keys),
            "lut": round(float(error[0]), 4), "ff": round(float(error[1]), 4),
        }  # fmt: skip
        for key, pair in zip(keys, both.T, strict=True):
            old = coefficients_.get(key, [0.0, 0.0])
            coefficients_[key] = [old[0] + float(pair[0]), old[1] + float(pair[1])]

    for name, (_, patterns) in PARTS.items():
        if not patterns:
            continue
        have = [i for i, p in enumerate(parts) if name in p]
        keys = matching((k for i in have for k in known[i]), patterns)
        solve(name, keys, [known[i] for i in have], [parts[i][name][:2] for i in have])
    # Queues between kernels, beside gearboxes, whose constants are known by now; then the nearest sum over kernels.
    linked = [i for i, p in enumerate(parts) if "links" in p]
    exact = [between(configs[i]) for i in linked]
    gears = np.array([[coefficients_[k][j] for k in GEAR] for j in (0, 1)])
    x = np.array([[e["link"], e["link_queue"]] for e in exact], dtype=float)
    rest = np.array([parts[i]["links"][:2] for i in linked]) - np.array([[e[k] for k in GEAR] for e in exact]) @ gears.T
    queues = np.stack([fit(x, np.maximum(rest[:, j], 0)) for j in (0, 1)])
    many = [random_config(POPULATION_SEED, i)[0] for i in range(POPULATION)]
    linked_ = [c for c in many if sum(c.kernel(n).po > 0 for n in KERNELS) > 1]
    true = [
        np.array([b[k] for k in GEAR]) @ gears.T + np.array([b["link"], b["link_queue"]]) @ queues.T
        for b in map(between, linked_)
    ]
    solve("links", list(LINKS), [features(c, 128) for c in linked_], true, relative=False)
    # Averages: as large as the port is wide and, at most, as the channels are many.
    have = [i for i, p in enumerate(parts) if "average" in p]
    x = np.array([[1, rows[i]["bus_bits"], deepest(configs[i], rows[i]["bus_bits"])] for i in have], dtype=float)
    y = np.array([parts[i]["average"][:2] for i in have], dtype=float)
    averages = np.stack([fit(x, y[:, j]) for j in (0, 1)])
    for key, pair in (("base", averages[:, 0]), ("base_bus", averages[:, 1])):
        coefficients_[key] = [old + float(new) for old, new in zip(coefficients_[key], pair, strict=True)]
    pools = [deepest(c, 128) * averages[:, 2] for c in many]
    solve("averages", list(POOLS), [features(c, 128) for c in many], pools, relative=False)
    return {"coefficients": coefficients_, "residuals": residuals, "queues": queues.tolist()}


def compared(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Predicted against counted: whole accelerators."""
    each = []
    for row in rows:
        config = Config.from_dict(row["config"])
        predicted = resources(config, DEVICE, bus_bits=row["bus_bits"])
        each.append(
            {"index": row["index"], "bus_bits": row["bus_bits"], "counted": row["counted"], "predicted": predicted}
        )
    return {**summary(each), "designs": each}


def summary(each: list[dict[str, Any]]) -> dict[str, Any]:
    out: dict[str, Any] = {"number": len(each)}
    for key in ("lut", "ff"):
        error = np.array([e["predicted"][key] / e["counted"][key] - 1 for e in each])
        out[key] = {
            "mean": round(float(np.abs(error).mean()), 4), "worst": round(float(np.abs(error).max()), 4),
            "bias": round(float(error.mean()), 4),
        }  # fmt: skip
    for key in ("dsp", "bram36"):
        out[key] = {"exact": sum(e["predicted"][key] == e["counted"][key] for e in each)}
    return out


def kernels_compared(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Kernels by themselves whose DSPs and block RAMs are exact."""
    right = {"number": len(rows), "dsp": 0, "bram36": 0}
    for row in rows:
        config = Config.from_dict(row["config"])
        name = next(n for n in KERNELS if config.kernel(n).po)
        found = kernel_resources(name, config.kernel(name), config, DEVICE, coefficients.load(), row["bus_bits"])
        for key in ("dsp", "bram36"):
            right[key] += found[key] == row["counted"][key]
            if found[key] != row["counted"][key]:
                print(f"kernel {row['index']}: {key} {found[key]}, counted {row['counted'][key]}", file=sys.stderr)
    return right


def ranges(rows: list[dict[str, Any]], whole: list[dict[str, Any]]) -> dict[str, Any]:
    """Least and most of what the designs for fitting have, kernel by kernel; ports of those with all around kernels."""
    out: dict[str, Any] = {"bus_bits": sorted({r["bus_bits"] for r in whole})}
    for name in KERNELS:
        there = [r["config"][name] for r in rows if r["config"][name]["po"]]
        for key in ("pi", "po", "taps", "rows"):
            values = [k[key] for k in there]
            out.setdefault(name, {})[key] = [min(values), max(values)]
        values = [k["pi"] * k["po"] * k["taps"] for k in there]
        out[name]["multipliers"] = [min(values), max(values)]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="into the file that the cost model loads")
    parser.add_argument("--check", action="store_true", help="compare with what was held back")
    args = parser.parse_args()
    counted = json.loads(COUNTS.read_text())
    rows = {part: [r for r in counted["rows"] if r["part"] == part] for part in PART_NAMES}
    done = fitted(rows["kernel"] + rows["shell"] + rows["fit"])
    record: dict[str, Any] = {
        "command": "python benchmarks/rtl_calibration.py --write --check",
        "label": "Yosys estimates: nothing here has met a vendor's tools",
        "versions": versions(),
        "tool": counted["rows"][0].get("tool", counted["family"]),
        "fitted_on": {part: len(rows[part]) for part in ("kernel", "shell", "fit")},
        "ranges": ranges(rows["kernel"] + rows["fit"], rows["shell"] + rows["fit"]),
        "residuals": done["residuals"],
    }
    if args.write:
        milli = {k: [round(1000 * v) for v in pair] for k, pair in sorted(done["coefficients"].items())}
        kept = {k: pair for k, pair in milli.items() if any(pair)}
        write(coefficients.AREA_FILE, {**record, "milli": kept})
        coefficients.load.cache_clear()
    record["kernels"] = kernels_compared(rows["kernel"])
    record["fit"] = compared(rows["fit"])
    if args.check:
        record["check"] = compared(rows["check"])
        record["front"] = compared(rows["front"])
        known = json.loads(coefficients.AREA_FILE.read_text())
        beyond = {k: v for k, v in record["front"].items() if k != "designs"}
        coefficients.AREA_FILE.write_text(json.dumps({**known, "beyond": beyond}, indent=1) + "\n")
        write(RESULT, record)
    for name in ("residuals", "kernels", "fit", "check", "front"):
        shown = record.get(name, {})
        print(name, json.dumps({k: v for k, v in shown.items() if k != "designs"}))


if __name__ == "__main__":
    main()
