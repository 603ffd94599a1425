"""Cycles of searched designs as simulated, beside the schedule of their programs and the cost model's sum.

    python benchmarks/rtl_cycles.py [--data FOLDER] [--networks 3] [--images 100] [--folder runs/rtl_cycles]
    python benchmarks/rtl_cycles.py --predict      # nothing is simulated: today's predictions of what was

Exact searches of subgraph32 on ZU3EG under budgets of DSPs and with single precisions (CASES) give accelerators;
networks are drawn by seed from the designs of the front that use the accelerator which most of them do.
`rtl.schedule` and the cost model were mended looking at the cases marked as seen; `summary` is of the others alone.
Every design runs two test images with every tensor compared with the integer model; the first network of a single
precision also runs `--images` test images with their logits compared.

Writes rtl_cycles.json beside this file, design by design: the same command goes on where it was stopped (--fresh:
begins anew). `source` of a row is the hash of cofront's sources when it was simulated, `predicted_with` when its
cycles were predicted. Needs the extra `rtl` and Verilator.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from record import read, say, write

from cofront import api
from cofront.api.building import integers_of
from cofront.api.exporting import design_document
from cofront.api.networks import design_network, space_network
from cofront.device import load as load_device
from cofront.hardware.base import Cost
from cofront.hardware.subgraph import coefficients
from cofront.hardware.subgraph.config import Config
from cofront.hardware.subgraph.scalar import cost as network_cost
from cofront.network import Network
from cofront.rtl.compare import compare
from cofront.rtl.compiler import compile_program
from cofront.rtl.netlist import engine_verilog
from cofront.rtl.program import Program
from cofront.rtl.simulate import LATENCY, TESTBENCH, MemoryModel, compile_simulator, simulate
from cofront.rtl.verify import call_cycles
from cofront.study.documents import DesignDocument
from cofront.study.provenance import source_hash, versions
from cofront.task.data import load_dataset

RESULT = Path(__file__).with_suffix(".json")
SEED = 0

#: (precisions, None: every one; DSPs at most). The schedule began from two designs of 330 and 360 DSPs, all precisions.
CASES: tuple[tuple[str | None, int], ...] = (
    ("W8A8", 160),
    ("W4A8", 160),
    ("W4A4", 160),
    (None, 48),
    (None, 96),
    (None, 144),
    (None, 220),
    (None, 280),
    ("W8A8", 250),
    ("W4A8", 80),
    ("W4A4", 300),
    (None, 70),
    (None, 120),
    (None, 180),
    (None, 310),
)

#: Numbers of the cases that were looked at to mend schedule and cost model: not held out.
SEEN = tuple(range(8))

#: A block counts as large where its maps are at least this high and wide.
LARGE = 8


def drawn(case: int, networks: int) -> list[DesignDocument]:
    """Designs of one accelerator of a case's front: the networks by seed, spread over the front."""
    precision, dsp = CASES[case]
    request = api.SearchRequest(precisions=(precision,) if precision else None, budget={"dsp": dsp})
    found = api.search(request).document
    rng = np.random.default_rng((SEED, case))
    by: dict[str, list[int]] = {}
    for i, design in enumerate(found.front):
        by.setdefault(json.dumps(design.config, sort_keys=True), []).append(i)
    chosen = sorted(by.values(), key=len)[-1]
    picks = sorted(rng.choice(len(chosen), min(networks, len(chosen)), replace=False))
    out = []
    for pick in picks:
        index = chosen[int(pick)]
        network = space_network(found.space, found.front[index].point, found.front[index].choices)
        out.append(design_document(found, index, network, {"case": case, "front": len(found.front)}))
    return out


def measure(document: DesignDocument, simulator: Path, bus: int, data: Any, images: int) -> dict[str, Any]:
    """One design simulated: its elements compared, its cycles by call."""
    device = load_device(document.device)
    config = Config.from_dict(document.design.config, document.clock_hz)
    network = design_network(document)
    quantized, origin = integers_of(document, network, None, SEED, say)
    program = compile_program(quantized, config, device, bus_bits=bus)
    expected = network_cost(quantized.network, config, device)
    rate = coefficients.load().bytes_per_kilocycle(device, config.clock_hz)
    memory = MemoryModel(LATENCY, rate)
    limit = 6 * expected.cycles + 200_000
    begun = time.perf_counter()
    runs, memories = simulate(simulator, program, data[:2], memory=memory, everything=True, limit=limit)
    tensors = compare(quantized, program, data[:2], memories, everything=True, numbers=range(2))
    seconds = time.perf_counter() - begun
    found = {"images": 2, "tensors": tensors.tensors, "elements": tensors.elements, "differing": tensors.differing}
    if images:
        more, memories = simulate(simulator, program, data[:images], memory=memory, limit=limit)
        logits = compare(quantized, program, data[:images], memories, everything=False, numbers=range(images))
        found |= {"logit_images": images, "logits": logits.elements, "logits_differing": logits.differing}
        assert {r.cycles for r in more} == {runs[0].cycles}
    return {
        "source": source_hash(),
        "point": list(document.design.point),
        "config": config.to_dict(),
        "resources": dict(expected.resources),
        "precisions": document.design.precisions,
        "weights": origin,
        **found,
        "cycles": runs[0].cycles,
        "seconds_per_image": seconds / 2,
        **predictions(quantized.network, program, expected, config, runs[0].stamps, memory),
    }


def predictions(
    network: Network, program: Program, expected: Cost, config: Config, stamps: Sequence[int], memory: MemoryModel
) -> dict[str, Any]:
    """What is predicted of a design, beside what was simulated: `stamps` are the cycles at which its runs ended."""
    calls = call_cycles(program, config, {c.name: c.cycles for c in expected.calls}, stamps, memory)
    simple = {c.name: max([*c.kernels.values(), c.memory_cycles]) for c in expected.calls}
    sides = {c.name: min(network.shapes[c.layers[-1]][1:] or (1,)) for c in expected.calls}
    return {
        "predicted_with": source_hash(),
        "stamps": list(stamps),
        "schedule": sum(c.predicted for c in calls),
        "model": expected.cycles,
        "maximum_over_kernels": sum(simple.values()),
        "calls": [
            {
                "name": c.name,
                "side": sides.get(c.name),
                "simulated": c.simulated,
                "schedule": c.predicted,
                "model": c.model,
                "maximum_over_kernels": simple.get(c.name),
            }
            for c in calls
        ],
    }


def predicted_again(row: dict[str, Any], document: DesignDocument) -> dict[str, Any]:
    """A row with the predictions of today's sources; `document`: any design of this space and device."""
    design = msgspec.structs.replace(document.design, point=tuple(row["point"]), config=row["config"])
    document = msgspec.structs.replace(document, design=design)
    device, config = load_device(document.device), Config.from_dict(row["config"], document.clock_hz)
    network = design_network(document)
    quantized, _ = integers_of(document, network, None, SEED, say)
    program = compile_program(quantized, config, device, bus_bits=coefficients.load().bus_bits(device, config.clock_hz))
    expected = network_cost(quantized.network, config, device)
    memory = MemoryModel(LATENCY, coefficients.load().bytes_per_kilocycle(device, config.clock_hz))
    stamps = row.get("stamps") or list(itertools.accumulate(c["simulated"] for c in row["calls"]))
    return {**row, **predictions(quantized.network, program, expected, config, stamps, memory)}


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Errors (fractions of the simulated cycles) of every prediction over whole networks and over large blocks."""
    if not rows:
        return {"designs": 0}
    out: dict[str, Any] = {
        "designs": len(rows),
        "accelerators": len({json.dumps(r["config"], sort_keys=True) for r in rows}),
        "elements": sum(r["elements"] + r.get("logits", 0) for r in rows),
        "differing": sum(r["differing"] + r.get("logits_differing", 0) for r in rows),
    }
    for name in ("schedule", "model", "maximum_over_kernels"):
        whole = np.array([r[name] / r["cycles"] - 1 for r in rows])
        large = [c for r in rows for c in r["calls"] if (c["side"] or 0) >= LARGE and c[name] is not None]
        block = np.array([c[name] / c["simulated"] - 1 for c in large])
        out[name] = {
            "network_mean_abs": float(np.abs(whole).mean()),
            "network_worst": float(whole[np.abs(whole).argmax()]),
            "networks_within_1_percent": int((np.abs(whole) <= 0.01).sum()),
            "large_blocks": len(large),
            "block_mean_abs": float(np.abs(block).mean()),
            "block_worst": float(block[np.abs(block).argmax()]),
            "blocks_within_3_percent": int((np.abs(block) <= 0.03).sum()),
        }
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--networks", type=int, default=3)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--folder", type=Path, default=Path("runs/rtl_cycles"))
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--predict", action="store_true")
    parser.add_argument("--cases", type=int, nargs="*", default=list(range(len(CASES))))
    args = parser.parse_args()
    rows: list[dict[str, Any]] = [] if args.fresh else read(RESULT).get("rows", [])
    done = {(r["case"], r["number"]) for r in rows}
    if args.predict:
        document = drawn(0, 1)[0]
        rows = [predicted_again(row, document) for row in rows]
        keep(rows)
        print(json.dumps(summary(rows), indent=1))
        return
    images = load_dataset(args.data).x_test
    for case in args.cases:
        if all((case, n) in done for n in range(args.networks)):
            continue
        begun = time.process_time()
        documents = drawn(case, args.networks)
        device = load_device(documents[0].device)
        config = Config.from_dict(documents[0].design.config, documents[0].clock_hz)
        bus = coefficients.load().bus_bits(device, config.clock_hz)
        say(f"case {case} {CASES[case]}: {len(documents)} designs, {config.to_dict()}")
        verilog, ports = engine_verilog(config, bus, primitives=True, note=say)
        sources = {"engine.v": verilog, "dsp48e2.v": TESTBENCH.with_name("dsp48e2.v").read_text()}
        simulator = compile_simulator(sources, ports, bus, args.folder, note=say)
        say(f"case {case}: engine of {len(verilog) / 1e6:.1f} MB after {time.process_time() - begun:.0f} s of our own")
        for n, document in enumerate(documents):
            if (case, n) in done:
                continue
            single = CASES[case][0] is not None and n == 0
            row = measure(document, simulator, bus, images, args.images if single else 0)
            rows.append({"case": case, "precision": CASES[case][0], "dsp_budget": CASES[case][1], "number": n, **row})
            keep(rows)
            error = row["schedule"] / row["cycles"] - 1
            say(f"  {n}: {row['differing']} differ, {row['cycles']} cycles, schedule {100 * error:+.2f} %")
    print(json.dumps(summary([r for r in rows if r["case"] not in SEEN]), indent=1))


def keep(rows: list[dict[str, Any]]) -> None:
    """The file, whole at any moment."""
    record = {
        "command": "python benchmarks/rtl_cycles.py",
        "seed": SEED,
        "versions": versions(),
        "summary": summary([r for r in rows if r["case"] not in SEEN]),
        "seen": summary([r for r in rows if r["case"] in SEEN]),
        "rows": rows,
    }
    write(RESULT, msgspec.to_builtins(record))


if __name__ == "__main__":
    main()
