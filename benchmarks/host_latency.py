"""This machine measured: sums of operators against whole networks, and adaptation from ten measurements.

    python benchmarks/host_latency.py [--networks 40] [--seconds 0.8] [--rounds 12] [--threads 1] [--spaces ...]

First the operators of Once-for-All's MobileNetV3 space with 16 whole networks for the overhead and --networks others
to judge it, all by turns; then, per space, ten chosen networks to adapt what is known and 30 others to judge that, the
baselines nnls and ridge beside it. Networks that judge were never seen by what they judge. Measure on a quiet machine:
what disturbed it is printed. Finished visits are kept beside this file and not measured again after an interrupt.
Writes host_latency.json.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from record import made, write

from cofront import registry, space
from cofront.hardware.tables import operator_key
from cofront.measure import known
from cofront.measure.base import Item, Settings
from cofront.measure.campaign import as_float
from cofront.measure.journal import Journal
from cofront.measure.models import networks, operators, sample
from cofront.measure.overhead import fit_overhead
from cofront.measure.session import Step, run
from cofront.measure.statistics import Quality, Timing, timings
from cofront.measure.table import network_terms
from cofront.measure.target import parse_target
from cofront.network.split import split
from cofront.predict.harness import rank_correlations

OUT = Path(__file__).with_suffix(".json")
SUMS = "ofa_mobilenetv3"
FIT, SEED = 16, 0
GOALS = {"mape": 0.05, "spearman": 0.98, "few_mape": 0.08}


def measured(name: str, items: list[Item], settings: Settings) -> tuple[dict[str, Timing], Quality, dict[str, object]]:
    """Timing by item, what disturbed it, and the machine."""
    started = shown = time.monotonic()

    def show(step: Step) -> None:
        nonlocal shown
        if time.monotonic() - shown > 15:
            shown = time.monotonic()
            left = "" if step.left_s is None else f", {step.left_s:.0f} s left"
            print(f"{name}: {step.done} of {step.total} visits{left}", file=sys.stderr, flush=True)

    header = {"name": name, "settings": asdict(settings), "items": [i.key for i in items]}
    with Journal(OUT.with_name(f"host_latency.{name}"), header) as journal:
        run(parse_target("host"), items, settings, journal, on_step=show, say=print)
        timing, quality = timings(journal.lines)
        machine = journal.machines[-1]
        journal.finish()
    print(f"{name}: {len(items)} models in {time.monotonic() - started:.0f} s")
    for note in quality.notes():
        print(f"  note: {note}")
    return timing, quality, {k: v for k, v in machine.items() if k != "host"}


def errors(said: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    spearman, kendall = rank_correlations(said, truth)
    relative = np.abs(said / truth - 1)
    return {
        "mape": float(relative.mean()), "median": float(np.median(relative)), "worst": float(relative.max()),
        "spearman": spearman, "kendall": kendall, "within_5": float((relative <= 0.05).mean()),
    }  # fmt: skip


def half(timing: dict[str, Timing], items: list[Item]) -> float:
    """Median half width of the 95 % intervals, relative."""
    return float(np.median([timing[i.id].half for i in items]))


def sums(settings: Settings, n: int) -> dict[str, object]:
    """Sums of operators with the overhead fitted on 16 networks, on n others."""
    found = space.load(SUMS)
    ops = operators(found)
    points = sample(found, np.random.default_rng(SEED), FIT + n)
    nets = networks(found, points)
    timing, quality, machine = measured("sums", [*ops, *nets], settings)
    seconds = {i.key: timing[i.id].median_s for i in ops}
    parts = [split(as_float(i.network)) for i in nets]
    terms = network_terms(parts, seconds, settings.batch, operator_key)
    truth = np.array([timing[i.id].median_s for i in nets])
    overhead = fit_overhead(terms[:FIT], truth[:FIT])
    test = errors(overhead.network(terms[FIT:]), truth[FIT:])
    plain = errors(terms[FIT:, 0], truth[FIT:])
    met = test["mape"] <= GOALS["mape"] and test["spearman"] >= GOALS["spearman"]
    print(f"{SUMS}: {len(ops)} operators, overhead fitted on {FIT} networks, judged on {n} others")
    for name, e in (("sum + overhead", test), ("sum alone", plain)):
        print(
            f"  {name:<15} MAPE {100 * e['mape']:5.2f} %  worst {100 * e['worst']:5.1f} %  Spearman {e['spearman']:.4f}"
        )
    print(f"  goal MAPE <= 5 %, Spearman >= .98: {'met' if met else 'NOT met'}")
    return {
        "space": SUMS, "operators": len(ops), "fitted_on": FIT, "judged_on": n, "overhead": asdict(overhead),
        "with_overhead": test, "sum_alone": plain, "goal_met": met,
        "latency_ms": [1e3 * truth.min(), 1e3 * truth.max()],
        "half_width_operators": half(timing, ops), "half_width_networks": half(timing, nets),
        "quality": asdict(quality), "machine": machine,
    }  # fmt: skip


def few(name: str, settings: Settings, n: int) -> dict[str, object]:
    """Ten chosen networks adapt what is known of the space; n others judge it."""
    found = space.load(name)
    chosen = known.choose(found, np.random.default_rng(SEED), 10)
    rest = sample(found, np.random.default_rng(SEED + 1), n + 10)
    rest = rest[~(rest[:, None] == chosen[None]).all(axis=2).any(axis=1)][:n]
    items = networks(found, np.concatenate([chosen, rest]))
    timing, quality, machine = measured(name, items, settings)
    truth = np.array([timing[i.id].median_s for i in items])
    devices, words = known.known_devices(found, None)
    out = {}
    for predictor in ("transfer", "nnls", "ridge"):
        kind = registry.load("predictor", predictor)
        columns = kind.encode(found, np.concatenate([chosen, rest]))
        made = kind.with_devices(found, devices) if kind.needs_devices else kind.for_space(found)
        said = made.fit(columns[:10], truth[:10]).predict(columns[10:])
        out[predictor] = errors(said.mean, truth[10:])
        out[predictor]["covered"] = float((np.abs(said.mean - truth[10:]) <= 1.96 * said.std).mean())
    met = out["transfer"]["mape"] <= GOALS["few_mape"]
    print(f"{name}: ten measurements adapted from {words}, judged on {len(rest)} others")
    for predictor, e in out.items():
        told = f"MAPE {100 * e['mape']:5.2f} %  median {100 * e['median']:5.2f} %  Spearman {e['spearman']:.4f}"
        print(f"  {predictor:<10} {told}")
    print(f"  goal MAPE <= 8 % of transfer: {'met' if met else 'NOT met'}")
    return {
        "samples": 10, "judged_on": len(rest), "adapted_from": words, "predictors": out, "goal_met": met,
        "latency_ms": [1e3 * truth.min(), 1e3 * truth.max()], "half_width": half(timing, items),
        "quality": asdict(quality), "machine": machine,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--networks", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=0.8, help="timed seconds per model")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--spaces", default=f"fbnet@cifar100,nasbench201,{SUMS}", help="of the ten measurements")
    args = parser.parse_args()
    started = time.monotonic()
    settings = Settings(threads=args.threads, rounds=args.rounds, budget_s=args.seconds, seed=SEED)
    result = {
        **made("numpy", "scipy", "onnx", "onnxruntime", seed=SEED, goals=GOALS),
        "sums": sums(settings, args.networks) if args.networks else None,
        "few": {name: few(name, settings, 30) for name in filter(None, args.spaces.split(","))},
    }  # fmt: skip
    result["seconds"] = time.monotonic() - started
    write(OUT, result)
    print(f"{result['seconds']:.0f} s in all; {OUT.name} written")


if __name__ == "__main__":
    main()
