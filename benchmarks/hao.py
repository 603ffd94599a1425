"""HAO's own loop beside the exact search, on the same evaluator.

    python benchmarks/hao.py [--evaluator table] [--seeds 3] [--proposals 360]     # subgraph32, what ships
    python benchmarks/hao.py --evaluator supernet [--data FOLDER]                  # accuracies evaluated for real
    python benchmarks/hao.py --space ofa_mobilenetv3 --table FILE                  # stated penalties as sensitivities
    python benchmarks/hao.py --seed 1 --json part.json                             # one seed, e.g. beside the others
    python benchmarks/hao.py --merge part.json                                     # its runs into hao.json
    python benchmarks/hao.py --claims                                              # prints the claims table, no run

`table`: the additive accuracy model of the measured table is the truth for HAO and for the exact search, so the
difference is the search's alone. `supernet`: HAO measures each network it chooses with the supernet's weights on the
validation images (`task.evaluate`), and the designs of the exact front, which was found by the model, are measured the
same way: what either is worth when nothing is modelled but the hardware. Bits are weighed by the Hessian of the
supernet's weights where they ship (subgraph32), by the accuracy model's own losses elsewhere.

Every finished run goes to hao.json beside this file, every accuracy measured to --cache: a killed benchmark goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from record import command, read, write

import cofront
from cofront.api.accuracy import Measured, build_problem
from cofront.api.joint import exact_front
from cofront.device import load as load_device
from cofront.front import Design, Front
from cofront.hardware.subgraph import network_problem
from cofront.network import zoo
from cofront.problem import IntArray
from cofront.search.checkpoint import problem_key
from cofront.search.exact.fit import fit
from cofront.search.metrics import compare
from cofront.space import load as load_space
from cofront.study.provenance import file_hash
from cofront.systems.claims import Claim, claims_json, claims_table
from cofront.systems.hao import Hao, HaoSettings
from cofront.systems.hao_bits import sensitivity

JSON = Path(__file__).with_suffix(".json")
PENALTY = "W4A8=1.0,W4A4=4.0"  # of the OFA space, whose table has one precision: stated, not measured
SPREAD = 40  # designs of the exact front that are measured for real


class Supernet:
    """Accuracies by the supernet's weights on the validation images; each is measured once and kept in a file."""

    def __init__(self, cache: Path, data: Path | None) -> None:
        import torch

        from cofront.task.data import load_dataset
        from cofront.task.evaluate import Evaluator
        from cofront.task.release import default_weights, digest, load_supernet

        torch.set_num_threads(1)
        self.cache, self.key = cache, digest(default_weights())[:16]
        self.evaluator = Evaluator(load_supernet()[0], load_dataset(data))
        self.known: dict[tuple[int, ...], float] = {}
        if cache.is_file():
            for line in cache.read_text().splitlines():
                row = json.loads(line) if line.endswith("}") else {}
                if row.get("weights") == self.key:
                    self.known[tuple(row["point"])] = row["accuracy"]
        cache.parent.mkdir(parents=True, exist_ok=True)

    def __call__(self, points: IntArray) -> np.ndarray:
        for p in map(tuple, points.tolist()):
            if p not in self.known:
                self.known[p] = self.evaluator.accuracy(np.array(p))
                with self.cache.open("a") as file:
                    row = {"weights": self.key, "point": p, "accuracy": self.known[p]}
                    file.write(json.dumps(row) + "\n")
        return np.array([self.known[tuple(p)] for p in points.tolist()])


def measured_front(front: Front, truth: Callable[[IntArray], np.ndarray]) -> Front:
    """Some designs of a front, spread over it, with their accuracies by `truth`: what of them is non-dominated."""
    picked = sorted({round(i) for i in np.linspace(0, len(front.designs) - 1, SPREAD)})
    designs = [front.designs[i] for i in picked]
    accuracy = truth(np.array([d.point for d in designs], dtype=np.int64))
    out: list[Any] = []
    for d, a in zip(designs, accuracy, strict=True):
        if not out or a > out[-1].accuracy:
            out.append(replace(d, accuracy=float(a)))
    return replace(front, designs=tuple(out), gap=1.0, status="heuristic", method="exact front, measured")


def known_front(measured: Measured, cache: Path) -> tuple[Front, float]:
    """The exact front and its processor seconds; kept in a file, for the seeds that run beside one another."""
    key = f"{measured.table_hash} {measured.problem.n_designs()} {problem_key(measured.problem)}"
    if cache.is_file() and (found := json.loads(cache.read_text()))["key"] == key:
        designs = tuple(Design(**{**d, "point": tuple(d["point"])}) for d in found.pop("designs"))
        front = Front(designs, found["gap"], measured.problem.n_designs(), found["solve_s"], found["status"])
        return front, found["processor_s"]
    cpu = time.process_time()
    front = exact_front(measured.problem)
    spent = round(time.process_time() - cpu, 1)
    kept = {"key": key, "gap": front.gap, "solve_s": front.solve_s, "status": front.status, "processor_s": spent}
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text(json.dumps({**kept, "designs": [asdict(d) for d in front.designs]}))
    return front, spent


def finite(row: dict[str, Any]) -> dict[str, Any]:
    """Numbers without end become null."""
    return {k: None if isinstance(v, float) and not np.isfinite(v) else v for k, v in row.items()}


def run(measured: Measured, truth: Callable[[IntArray], np.ndarray], exact: Front, settings: HaoSettings) -> Any:
    weighed = sensitivity(measured.space, measured.problem)
    hao = Hao(measured.space, measured.problem, weighed.edges, truth, settings)
    start, cpu = time.perf_counter(), time.process_time()
    front = hao.run(lambda a, b: print(f"seed {settings.seed}: {a} of {b} proposals", file=sys.stderr, flush=True))
    row = asdict(compare(front, exact)) | {
        "wall_s": round(time.perf_counter() - start, 1), "processor_s": round(time.process_time() - cpu, 1),
        "designs": len(front.designs), **front.stats,
    }  # fmt: skip
    return finite(row) | {
        "front": [[d.latency_s, d.accuracy] for d in front.designs], "bits_weighed_by": weighed.source,
        "versions": {n: version(n) for n in ("numpy", "scikit-learn", "numba")}, "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip


def zoo_fps(name: str) -> float:
    network = zoo.load(name).uniform_bits(4, 8)
    return fit(network_problem(network, load_device("zu3eg"))).fps


def median(runs: list[dict[str, Any]], key: str) -> float:
    return float(np.median([r[key] if r[key] is not None else np.inf for r in runs]))


def slower(found: list[dict[str, Any]]) -> str:
    """Latency at equal accuracy, in words."""
    ratio, points = median(found, "ratio_median"), found[0]["points"]
    if np.isfinite(ratio):
        return f"takes {ratio:.2f} x the latency at equal accuracy in the median"
    return f"never reaches the accuracy of {median(found, 'unmatched'):.0f} of {points} designs"


def claims(document: dict[str, Any]) -> list[Claim]:
    """What the paper says, and what these runs can say of it."""
    mnas, fbnet = document["zoo_fps"]["mnasnet-b1"], document["zoo_fps"]["fbnet-c"]
    out = [
        Claim("ZU3EG, ImageNet", "72.5 % top-1 at 50 fps", "not claimed", "abstract", "sourced",
              "needs ImageNet training; the modelled pipeline is idealised"),
        Claim("speed over MnasNet", "1.60 x", "not claimed", "abstract", "sourced", "of HAO's own network"),
        Claim("speed over FBNet", "2.35 x", "not claimed", "abstract", "sourced", "of HAO's own network"),
        Claim("MnasNet : FBNet, fps", "1.47", f"{mnas / fbnet:.2f}", "two lines above", "derived",
              f"{mnas:.0f} and {fbnet:.0f} fps modelled at W4A8, 31.3 and 21.3 implied"),
    ]  # fmt: skip
    words = {
        "table": "the additive model is the truth for both",
        "supernet": f"HAO measures; the {SPREAD} designs of the exact front were measured too",
    }
    for name, part in document["runs"].items():
        space, evaluator = name.split("/")
        found = list(part["seeds"].values())
        against = "the exact front" if evaluator == "table" else "the exact front's designs, measured"
        out.append(
            Claim(
                f"the search, {space}, {evaluator}", "heuristic",
                f"{100 * median(found, 'hypervolume_ratio'):.1f} % of the hypervolume of {against}; loses "
                f"{median(found, 'loss_median'):.2f} points in the median; {slower(found)}",
                "-", "ours",
                f"median of {len(found)} seeds, {found[0]['measured']:.0f} accuracies and {found[0]['programs']:.0f} "
                f"programs in {median(found, 'processor_s'):.0f} processor s (exact front: "
                f"{part['exact']['processor_s']:.0f}); {words[evaluator]}",
            )
        )  # fmt: skip
    return out


def merge(document: dict[str, Any], files: list[Path], target: Path) -> None:
    """The runs of several files with the same inputs, and the claims over all of them."""
    for file in files:
        other = json.loads(file.read_text())
        for name, part in other["runs"].items():
            mine = document.setdefault("runs", {}).setdefault(name, {**part, "seeds": {}})
            if mine["inputs"] != part["inputs"] or mine["exact"]["front"] != part["exact"]["front"]:
                raise SystemExit(f"{file}: '{name}' was run on other accuracies, costs or settings")
            mine["seeds"] |= part["seeds"]
            mine["command"] = "; ".join(dict.fromkeys([*mine["command"].split("; "), part["command"]]))
        document |= {k: v for k, v in other.items() if k not in ("runs", "claims")}
    document["claims"] = claims_json(claims(document))
    write(target, document)
    print(claims_table(claims(document)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="subgraph32")
    parser.add_argument("--table", type=Path, help="accuracies; what ships when not given")
    parser.add_argument("--evaluator", choices=("table", "supernet"), default="table")
    parser.add_argument("--proposals", type=int, default=HaoSettings.proposals)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--seed", type=int, help="only this one")
    parser.add_argument("--merge", type=Path, nargs="+", help="add the runs of other files of this kind to --json")
    parser.add_argument("--data", type=Path, help="CIFAR-10, for the supernet evaluator")
    parser.add_argument("--cache", type=Path, default=Path("runs/hao/measured.jsonl"))
    parser.add_argument("--json", type=Path, default=JSON)
    parser.add_argument("--claims", action="store_true", help="print the table of --json and do nothing else")
    args = parser.parse_args()
    document = read(args.json)
    if args.claims:
        print(claims_table(claims(document)))
        return

    if args.merge:
        merge(document, args.merge, args.json)
        return

    penalty = PENALTY if args.space == "ofa_mobilenetv3" else None
    measured = build_problem(load_space(args.space), load_device("zu3eg"), table=args.table, penalty=penalty)
    exact, spent = known_front(measured, args.cache.with_name(f"exact-{args.space}.json"))
    truth: Any = measured.accuracy
    best = exact
    if args.evaluator == "supernet":
        truth = Supernet(args.cache, args.data)
        best = measured_front(exact, truth)
    inputs = {
        "table": measured.table_hash, "accuracy": measured.note, "penalty": penalty, "device": "zu3eg",
        "grid": "coarse", "settings": {k: v for k, v in asdict(HaoSettings(args.proposals)).items() if k != "seed"},
    }  # fmt: skip
    tables = Path(cofront.__file__).parent / "data_tables"
    if (hessian := tables / f"{args.space}_hessian.json").is_file():
        inputs["sensitivities"] = file_hash(hessian)
    if args.evaluator == "supernet":
        inputs["weights"] = file_hash(tables / "subgraph32_supernet.safetensors")
    name = f"{args.space}/{args.evaluator}"
    part = document.setdefault("runs", {}).get(name, {})
    known = [[d.latency_s, d.accuracy] for d in best.designs]
    if part.get("inputs") != inputs or part["exact"]["front"] != known:  # other accuracies, costs, bits: begin anew
        part = {"inputs": inputs, "seeds": {}}
    part["command"] = command()
    part["exact"] = {
        "designs": len(exact.designs), "gap": exact.gap, "processor_s": spent, "triples": exact.n_designs,
        "front": known,
    }  # fmt: skip
    document["runs"][name] = part
    document["versions"] = {"cofront": cofront.__version__, "python": platform.python_version()}
    document.setdefault("zoo_fps", {n: zoo_fps(n) for n in ("mnasnet-b1", "fbnet-c")})
    for seed in range(args.seeds) if args.seed is None else (args.seed,):
        if str(seed) in part["seeds"]:
            continue
        part["seeds"][str(seed)] = run(measured, truth, best, HaoSettings(proposals=args.proposals, seed=seed))
        document["claims"] = claims_json(claims(document))
        write(args.json, document)
    print(claims_table(claims(document)))


if __name__ == "__main__":
    main()
