"""HAO's own loop beside the exact search, on the same evaluator.

    python benchmarks/hao.py --data ../shared/data [--proposals 360] [--seeds 3] [--json benchmarks/hao.json]

OFA-MobileNetV3 on a ZU3EG with three precisions per block: the additive accuracy model of the measured networks is the
truth for both, so the difference is the search's. HAO weighs bits by the Hessian of trained weights; these networks
come without weights, so it is given the stated penalty itself as sensitivity, the best it could have. The claims of the
paper stand in the table with what can be said of each here.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

import cofront
from cofront.api.accuracy import build_problem
from cofront.api.joint import exact_front
from cofront.device import load as load_device
from cofront.hardware.subgraph import network_problem
from cofront.network import zoo
from cofront.search.exact.fit import fit
from cofront.search.metrics import compare
from cofront.space import load as load_space
from cofront.systems.claims import Claim, claims_json, claims_table
from cofront.systems.hao import Hao, HaoSettings

PENALTY = "W4A8=1.0,W4A4=4.0"


def fps(name: str, precision: str) -> float:
    bits = {"W8A8": (8, 8), "W4A8": (4, 8)}[precision]
    network = zoo.load(name).uniform_bits(*bits)
    return fit(network_problem(network, load_device("zu3eg"))).fps


def claims(comparisons: list[dict[str, float]]) -> list[Claim]:
    """What the paper says, and what this run can say of it."""
    mnas, fbnet = fps("mnasnet-b1", "W4A8"), fps("fbnet-c", "W4A8")
    ratio = float(np.median([c["hypervolume_ratio"] for c in comparisons]))
    return [
        Claim("ZU3EG, ImageNet", "72.5 % top-1 at 50 fps", "not claimed", "abstract", "sourced",
              "needs ImageNet training; the modelled pipeline is idealised"),
        Claim("speed over MnasNet", "1.60 x", "not claimed", "abstract", "sourced", "of HAO's own network"),
        Claim("speed over FBNet", "2.35 x", "not claimed", "abstract", "sourced", "of HAO's own network"),
        Claim("MnasNet : FBNet, fps", "1.47", f"{mnas / fbnet:.2f}", "two lines above", "derived",
              f"{mnas:.0f} and {fbnet:.0f} fps modelled at W4A8, 31.3 and 21.3 implied: docs/systems/hao.md"),
        Claim("the search finds the front", "heuristic", f"{100 * ratio:.1f} % of the exact hypervolume", "-", "ours",
              f"median of {len(comparisons)} seeds, same evaluator"),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--proposals", type=int, default=HaoSettings().proposals)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()

    table = args.data / "ofa_mobilenetv3_imagenet.parquet"
    measured = build_problem(load_space("ofa_mobilenetv3"), load_device("zu3eg"), table=table, penalty=PENALTY)
    problem, space = measured.problem, measured.space
    exact_front(problem)  # compiles
    exact = exact_front(problem)

    # the stated penalty of each edge: how much less it scores than the same edge at W8A8
    best: dict[tuple[object, ...], int] = {}
    trellis, keys = problem.trellis, []
    bits = {i for i, c in enumerate(space.choices) if c.name.endswith("_bits")}
    for e in range(trellis.n_edges):
        rest = tuple((v, o) for v, o in trellis.choices[e] if v not in bits)
        key = (int(trellis.edge_from[e]), int(trellis.edge_to[e]), rest)
        keys.append(key)
        best[key] = max(best.get(key, -(10**18)), int(problem.edge_score[e]))
    sensitivity = np.array([best[k] - int(s) for k, s in zip(keys, problem.edge_score, strict=True)], dtype=float)

    def truth(points: np.ndarray) -> np.ndarray:
        path = hao._paths(points)
        scores = np.where(path >= 0, problem.edge_score[path], 0).sum(axis=1)
        return np.asarray(problem.accuracy(scores))

    runs = []
    for seed in range(args.seeds):
        start = time.perf_counter()
        hao = Hao(space, problem, sensitivity, truth, HaoSettings(proposals=args.proposals, seed=seed))
        front = hao.run(lambda a, b: print(f"{a} of {b} proposals", file=sys.stderr))
        row = asdict(compare(front, exact))
        row |= {"seed": seed, "seconds": time.perf_counter() - start, "designs": len(front.designs), **front.stats}
        runs.append({k: v if np.isfinite(v) else None for k, v in row.items()})
        print(runs[-1])
    rows = claims(runs)
    print(claims_table(rows))
    document = {
        "command": "python benchmarks/hao.py " + " ".join(sys.argv[1:]),
        "date": time.strftime("%Y-%m-%d"),
        "versions": {"cofront": cofront.__version__, "python": platform.python_version(), "numpy": np.__version__},
        "exact": {
            "designs": len(exact.designs),
            "gap": exact.gap,
            "solve_s": exact.solve_s,
            "triples": exact.n_designs,
        },
        "settings": asdict(HaoSettings(proposals=args.proposals)),
        "hao": runs,
        "claims": claims_json(rows),
    }
    args.json.write_text(json.dumps(document, indent=1, default=str) + "\n")


if __name__ == "__main__":
    main()
