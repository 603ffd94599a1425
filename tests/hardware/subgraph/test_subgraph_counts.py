"""The resource model against what Yosys counted on the generated RTL (`benchmarks/rtl_counts.py`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cofront import device
from cofront.hardware.subgraph import Config, coefficients, resources
from cofront.hardware.subgraph.scalar import kernel_resources

COUNTS = Path(__file__).parents[3] / "benchmarks" / "rtl_counts.json"
ZU3EG = device.load("zu3eg")


def rows(part: str) -> list[dict[str, Any]]:
    if not COUNTS.is_file():
        pytest.skip("benchmarks/rtl_counts.json is not there")
    return [row for row in json.loads(COUNTS.read_text())["rows"] if row["part"] == part]


def test_kernels_by_themselves() -> None:
    for row in rows("kernel"):
        config = Config.from_dict(row["config"])
        name = next(n for n in ("conv", "dw", "pw") if config.kernel(n).po)
        found = kernel_resources(name, config.kernel(name), config, ZU3EG, coefficients.load(), row["bus_bits"])
        counted = row["counted"]
        assert (found["dsp"], found["bram36"]) == (counted["dsp"], counted["bram36"]), row["index"]
        # Alone, a kernel has no gearboxes; the model counts them with it.
        assert found["lut"] > 0.9 * counted["lut"] and found["ff"] > 0.9 * counted["ff"], row["index"]


def test_whole_accelerators() -> None:
    for row in rows("fit") + rows("check"):
        found, counted = resources(Config.from_dict(row["config"]), ZU3EG, bus_bits=row["bus_bits"]), row["counted"]
        assert (found["dsp"], found["bram36"]) == (counted["dsp"], counted["bram36"]), row["index"]
        assert found["lut"] == pytest.approx(counted["lut"], rel=0.2), row["index"]
        assert found["ff"] == pytest.approx(counted["ff"], rel=0.2), row["index"]


def test_how_far_the_model_is_off_beyond_its_range_is_what_notes_say() -> None:
    known = json.loads(coefficients.AREA_FILE.read_text())["beyond"]
    larger = rows("front")
    found = [(resources(Config.from_dict(r["config"]), ZU3EG, bus_bits=r["bus_bits"]), r["counted"]) for r in larger]
    assert known["number"] == len(found) > 0
    for key in ("lut", "ff"):
        worst = max(abs(model[key] / counted[key] - 1) for model, counted in found)
        assert known[key]["worst"] == pytest.approx(worst, abs=6e-5)
        assert f"{100 * worst:.0f} %" in coefficients.beyond_range()
    for row in larger:
        kernels = {name: row["config"][name] for name in ("conv", "dw", "pw")}
        assert coefficients.outside_range(kernels, row["bus_bits"])
