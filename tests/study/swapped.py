"""Documents of networks with cheaper operators: invented changes and times, exact fronts; nothing is a measurement."""

import itertools

import numpy as np

from cofront.study.documents import (
    AcceleratedNetwork,
    AccelerateDocument,
    AcceleratedPoint,
    AcceleratedUnit,
    MeasuredPair,
    RoofPair,
    RoofPoint,
    RoofSide,
    RunTraining,
)

NOTE = "invented for tests, no measurement"
ALL = ("teacher", "narrow0.5", "skip", "conv1", "dws3", "bottleneck3r0.25")


def roofline(points=6, seed=0, shrink=0.6, beside=2000):
    """Points below a roof of 100 GMAC/s and 4 GB/s, before and after; the last part multiplies nothing afterwards.

    Calls that multiply nothing move bytes `beside`; None as in older documents, which do not say.
    """
    rng = np.random.default_rng(seed)

    def side(label, factor, count):
        out = []
        for i in range(count):
            macs, moved = int(factor * 1e6 * (i + 1)), int(2e4 * (i + 1) * np.exp(rng.uniform(-2, 1)))
            seconds = max(macs / 100e9, moved / 4e9) * (1 + rng.uniform(0.05, 0.4))
            bound = "memory" if moved / 4e9 > macs / 100e9 else "conv"
            out.append(RoofPoint(name=f"u{i}", macs=macs, bytes=moved, seconds=seconds, peak_macs_per_s=100e9,
                                 precision="W8A8", bound_by=bound))  # fmt: skip
        total = sum(p.seconds for p in out) * 1.1
        moved = None if beside is None else beside + sum(p.bytes for p in out)
        return RoofSide(label=label, latency_s=total, bandwidth_bytes_per_s=4e9, points=out, bytes=moved)

    return RoofPair(before=side("teacher", 1.0, points), after=side("with the chosen operators", shrink, points - 1))


def units(count, rng):
    """Units; the first and the last have the teacher's operator alone. One operator cannot run, one diverged."""
    out = []
    for i in range(count):
        alone = i in (0, count - 1)
        names = ["teacher"] if alone else [n for n in ALL if n == "teacher" or rng.random() < 0.8]
        own = 0.0 if alone else float(rng.uniform(1e-4, 5e-4))
        change = [0.0, *(float(abs(rng.normal(0, 0.4)) - 0.05) for _ in names[1:])]
        error = [0.0, *(float(rng.uniform(0.05, 0.6)) for _ in names[1:])]
        seconds = [own, *(float(own * rng.uniform(0.05, 0.8)) for _ in names[1:])]
        if i == 1:
            change[-1], error[-1] = 3e35, None
        if i == 2:
            seconds[-1] = None
        out.append((f"s{i // 3 + 1}b{i % 3 + 1}", names, change, error, seconds))
    return out


def document(count=6, share=0.5, seed=0, device="zu3eg", measured=False, epochs=4, stopped=None, roof=True):
    """`stopped`: None, "start" (nothing is known yet) or "end" (operators are chosen, nothing is trained)."""
    rng = np.random.default_rng(seed)
    found, base, teacher = units(count, rng), 2e-4, 0.3
    before = base + sum(u[4][0] for u in found)
    limit = share * before
    common = {"model": "net.onnx", "device": device, "task": "cifar10", "budget": f"{share:g}x latency",
              "teacher_validation": 0.0, "latency_note": NOTE, "notes": [NOTE]}  # fmt: skip
    if stopped == "start":
        nothing = {"limit_s": 0.0, "before_s": 0.0, "least_s": 0.0, "teacher_loss": 0.0}
        return AccelerateDocument(interrupted=True, **nothing, **common)
    fit = [[k for k, s in enumerate(u[4]) if s is not None] for u in found]
    every = np.array(list(itertools.product(*fit)))
    time = base + sum(np.array([u[4][k] for k in every[:, i]]) for i, u in enumerate(found))
    change = sum(np.array([u[2][k] for k in every[:, i]]) for i, u in enumerate(found))
    order = np.lexsort((change, time))
    best, front = np.inf, []
    for i in order[time[order] <= before * (1 + 1e-9)]:
        if change[i] < best:
            best = change[i]
            front.append(AcceleratedPoint(latency_s=float(time[i]), predicted=float(change[i])))
    within = np.flatnonzero(time <= limit)
    taken = within[np.argsort(change[within], kind="stable")][:5]
    solutions = [
        AcceleratedNetwork(
            operators=[u[1][k] for u, k in zip(found, every[i], strict=True)], predicted=float(change[i]),
            latency_s=float(time[i]), loss=float(teacher + 0.8 * max(change[i], 0) + rng.uniform(0, 0.1)),
            accuracy=float(0.9 - 0.1 * max(change[i], 0)),
        )
        for i in taken
    ]  # fmt: skip
    chosen = int(np.argmin([s.loss for s in solutions]))
    best = every[taken[chosen]]
    rows = [
        AcceleratedUnit(
            name=name, names=names, change=changes, error=errors, seconds=seconds, chosen=names[best[i]],
            saved_s=seconds[0] - seconds[best[i]],
        )
        for i, (name, names, changes, errors, seconds) in enumerate(found)
    ]  # fmt: skip
    common |= {
        "limit_s": limit, "before_s": before, "least_s": float(time.min()), "teacher_loss": teacher, "units": rows,
        "solutions": solutions, "chosen": chosen, "front": front,
    }  # fmt: skip
    if stopped == "end":
        return AccelerateDocument(interrupted=True, **common)
    pair = MeasuredPair(before_s=before, after_s=limit, speed_up=1 / share, interval_95=[1.9, 2.1], visits=50)
    common |= {"teacher_validation": 0.91, "validation": 0.89, "teacher_test": 0.905, "macs": [80_000_000, 31_000_000],
               "params": [2_000_000, 750_000], "measured": pair if measured else None}  # fmt: skip
    return AccelerateDocument(
        training=RunTraining(epochs=epochs, images=45000 if epochs else 0, seconds=270.0 if epochs else 0.0,
                             loss=np.linspace(0.9, 0.5, epochs).tolist(),
                             validation=np.linspace(0.8, 0.89, epochs).tolist(), test=0.884, test_images=10000),
        roofline=roofline(count) if roof else None, files={"onnx": "out/accelerated.onnx"},
        roofline_note="" if roof else "no roofline: a measurement says nothing of multipliers and memory", **common,
    )  # fmt: skip
