"""`--accelerator e2e_pipeline`: estimate and fit by throughput, and what a search says."""

import json
from pathlib import Path

import pytest


def test_a_pipeline_is_estimated_and_fitted_by_its_throughput(as_json, cofront):
    pipe = ("fbnet-a", "--device", "zu9eg", "--accelerator", "e2e_pipeline")
    default = as_json("estimate", *pipe)
    assert default["fits"] and default["fps"] == pytest.approx(default["clock_hz"] / default["cycles"])
    assert max(c["kernels"][k] for c in default["calls"] for k in c["kernels"]) == default["cycles"]
    best = as_json("fit", *pipe)
    assert best["status"] == "optimal" and best["cycles"] <= default["cycles"]
    fewest = as_json("fit", *pipe, "--objective", "dsp", "--fps", str(best["fps"] / 2))
    assert fewest["fps"] >= best["fps"] / 2 and fewest["resources"]["dsp"] < best["resources"]["dsp"]
    Path("fit.json").write_text(json.dumps(fewest))
    again = as_json("estimate", *pipe, "--config", "fit.json")
    assert (again["cycles"], again["resources"]) == (fewest["cycles"], fewest["resources"])
    code, out, _ = cofront("estimate", *pipe)
    assert code == 0 and "latency and cycles are those between two images" in out and "  multipliers 2520\n" in out


def test_what_a_pipeline_cannot_do_is_one_line(cofront, refused):
    code, line = refused("search", "--device", "zu3eg", "--accelerator", "e2e_pipeline")
    assert code == 1 and line.startswith("accelerator 'e2e_pipeline' costs one network at a time (estimate, fit)")
    few = ("fbnet-a", "--accelerator", "e2e_pipeline", "--device", "zu3eg", "--budget", "dsp=20")
    code, _, err = cofront("fit", *few)
    assert code == 1 and "20 dsp available" in err
