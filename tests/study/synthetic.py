"""A study with an invented front, for tests of the study and the report; nothing in it is a measurement."""

import numpy as np

from cofront.study import Study
from cofront.study.documents import Call, Cost, Design, Kernel, Roof, SearchDocument, Step, clean

BUDGET = {"dsp": 360, "lut": 49392, "ff": 141120, "bram36": 216}


KERNELS = (("conv", 4, 8, 1), ("dw", 1, 16, 9), ("pw", 16, 16, 1))


def kernel(pi, po, taps):
    return {
        "pi": pi, "po": po, "taps": taps, "dsp": int(taps == 1), "weight_depth": 1024, "rows": 3 if taps > 1 else 1,
        "line_elements": 4096 if taps > 1 else 0, "in_elements": 256, "out_elements": 256,
    }  # fmt: skip


def designs(n, rng):
    latency = np.sort(np.exp(rng.uniform(np.log(1.6e-4), np.log(2.4e-3), n)))
    accuracy = 0.925 - 0.13 * (latency[0] / latency) ** 0.55 + np.sort(rng.uniform(0, 2e-3, n))
    accuracy = np.maximum.accumulate(accuracy)
    out = []
    for i in range(n):
        choices = {"resolution": 32, **{f"s{s}_{w}": 64 for s in (1, 2, 3) for w in ("width", "depth")}}
        for b in range(1, 10):
            choices[f"b{b}_op"] = ["dw3e2", "dw5e4", "full3e1"][int(rng.integers(3))]
            choices[f"b{b}_bits"] = ["W8A8", "W4A8", "W4A4"][int(rng.integers(3))]
        cycles = int(latency[i] * 250e6)
        out.append(
            Design(
                accuracy=float(accuracy[i]),
                latency_s=cycles / 250e6,
                fps=250e6 / cycles,
                cycles=cycles,
                resources={
                    "dsp": int(200 + 160 * i / n),
                    "lut": 30000 + 40 * i,
                    "ff": 61000 + i,
                    "bram36": 120 + i % 97,
                },
                config={"engine": "DUAL", "clock_hz": 250e6}
                | {k: kernel(pi, po + i % 3, taps) for k, pi, po, taps in KERNELS},
                point=[i, *rng.integers(0, 3, 24).tolist()],
                choices=choices,
                precisions={"W8A8": 5, "W4A4": 6},
                energy_j=1e-3 + 1e-6 * i,
                macs=20_000_000 + 10**5 * i,
                params=400_000 + 1000 * i,
            )
        )
    return out


def cost(design, rng):
    names = ["stem", *(f"s{s}.b{b}" for s in (1, 2, 3) for b in (1, 2, 3)), "head"]
    share = rng.dirichlet(np.ones(len(names)) * 3)
    calls = []
    for name, part in zip(names, share, strict=True):
        cycles = int(part * design.cycles)
        bound = (
            "conv"
            if name == "stem"
            else "memory"
            if name == "head"
            else ["dw", "pw", "pw", "conv"][int(rng.integers(4))]
        )
        busy = {k: int(cycles * rng.uniform(0.2, 0.9)) for k in ("conv", "dw", "pw")}
        if bound in busy:
            busy[bound] = int(0.97 * cycles)
        macs = int(part * design.macs * rng.uniform(0.5, 1.4))
        calls.append(
            Call(
                name=name, layers=[f"{name}.expand", f"{name}.dw", f"{name}.project"], precision="W4A8", cycles=cycles,
                mode="fused" if rng.random() < 0.8 else "split", macs=macs, dram_bytes=int(macs / rng.uniform(8, 300)),
                bound_by=bound, kernels=busy, memory_cycles=cycles // 3, overhead_cycles=300,
                utilisation={k: 0.9 * b / cycles for k, b in busy.items()}, ceiling_macs_per_s=180e9,
            )
        )  # fmt: skip
    return Cost(
        latency_s=design.latency_s, cycles=design.cycles, clock_hz=250e6, resources=design.resources, budget=BUDGET,
        config=design.config, macs=design.macs, energy_j=design.energy_j, calls=calls,
        roof=Roof(peak_macs_per_s=180e9, bandwidth_bytes_per_s=4.27e9),
        kernels=[
            Kernel(
                name=k, macs=design.macs // 3, busy=0.5, limits=0.3, peak_macs_per_s=60e9, attained_macs_per_s=50e9,
                utilisation=0.4,
            )
            for k in ("conv", "dw", "pw")
        ]
        + [Kernel(name="memory", macs=0, busy=0.3, limits=0.1, bytes=10**6, bytes_per_s=1e9)],
        notes=["the host unfolds the image for stem (im2col): that work is not costed"],
    )  # fmt: skip


def document(n=60, gap=0.0, method="exact", seed=0):
    rng = np.random.default_rng(seed)
    front = designs(n, rng)
    bound = [Step(latency_s=d.latency_s * 0.99, accuracy=d.accuracy + gap) for d in front] if gap else []
    return SearchDocument(
        status="optimal" if gap == 0 else "feasible", space="subgraph32", device="zu3eg",
        precisions=["W8A8", "W4A8", "W4A4"], clock_hz=250e6, method=method, grid="coarse", budget=BUDGET,
        front=front, gap=gap,        designs=5 * 10**36, solve_s=1.34, bound=bound, chosen=n // 2, knee=n // 3,
        accuracy_source="invented for tests", accuracy_note="invented for tests, no measurement",
        cover=[
            {"accelerators": k, "max_loss": 0.01 / k**2, "configs": [d.config for d in front[:k]]} for k in (1, 2, 3)
        ],
    )  # fmt: skip


def fill(path, n=60, gap=0.0, seed=0):
    import msgspec

    found = document(n, gap, seed=seed)
    rng = np.random.default_rng(seed + 1)
    with Study(path) as study:
        run = study.start(
            "search", {"space": "subgraph32", "device": "zu3eg", "table_hash": "0" * 64, "n": n}, seed=seed
        )
        run.record(
            [({"point": d.point, "config": d.config}, clean(msgspec.to_builtins(cost(d, rng)))) for d in found.front]
        )
        for i in range(12):
            run.event("progress", {"elapsed_s": 0.1 * i, "gap": max(gap, 0.04 * 0.6**i - 1e-4)})
        run.finish("done", clean(msgspec.to_builtins(found)))
    return found
