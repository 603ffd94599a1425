"""LANA on CIFAR-10: does each step do what the paper says, and is the accelerated network fast and right?

    python benchmarks/lana.py [--work FOLDER] [--stage NAME ...]
    python benchmarks/lana.py --claims              # prints the claims table, no run

Stages, each kept in the folder and gone on from: `price` (this machine, one thread), `teacher` (a point of subgraph32,
its weights in the supernet trained on alone), `learn` (all operators of all units), `random` (the errors they begin
with by random weights, as published), `score`, `choose`, `train`, `scratch`, `judge`. Operators learn from
training images; scores and swaps are measured on training images held back; the teacher's and the students' epochs are
not chosen at all; test images are read once for each, in `judge`. Selection against brute force and its speed need no
images (`solver`).
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import record

from cofront.network import Network
from cofront.network.bits import without_bits
from cofront.search.allocation.allocate import allocate, diverse
from cofront.search.allocation.baselines import greedy
from cofront.search.allocation.problem import Problem
from cofront.space.operators_of import OperatorsOf, units_of
from cofront.space.subgraph32 import Subgraph32
from cofront.systems.claims import Claim, claims_table
from cofront.systems.lana_choose import LATENCY, names_of, problem_of, random_feasible
from cofront.task.scratch import ScratchTraining
from cofront.task.subnet import largest

OUT = Path(__file__).with_suffix(".json")
STAGES = ("solver", "price", "teacher", "learn", "random", "score", "choose", "train", "scratch", "judge")
#: Share of the teacher's latency.
BUDGET = 0.5
SWAPS, RANDOM, RUNS = 50, 20, 60
TEACHER_EPOCHS = 15
#: Lengths of the fine-tuning with distillation.
EPOCHS = (4, 10, 20)
#: Ten operators a unit, where its shapes admit them, of the space's 153.
OFFERED = (
    "teacher", "skip", "narrow0.25", "narrow0.375", "narrow0.5", "narrow0.75", "conv1", "dws3", "ib3e1", "rows3r0.5",
    "bottleneck3r0.25",
)  # fmt: skip


def solver() -> dict[str, object]:
    """Exact selection: 20 problems of 6 x 5 against all 15,625 allocations, and the time of 30 x 197."""
    rng = np.random.default_rng(0)
    worst = 0.0
    every = np.array(list(itertools.product(range(5), repeat=6)))
    for _ in range(20):
        problem = Problem(rng.random((6, 5)), {LATENCY: rng.random((6, 5))})
        limit = float(np.quantile(problem.total(LATENCY, every), 0.2))
        kept = problem.within(every, {LATENCY: limit})
        worst = max(worst, abs(allocate(problem, {LATENCY: limit}).loss - float(problem.losses(every)[kept].min())))
    times, gaps = [], []
    for _ in range(10):
        problem = Problem(rng.random((30, 197)), {LATENCY: rng.random((30, 197))})
        started = time.perf_counter()
        found = allocate(problem, {LATENCY: 9.0})
        times.append(time.perf_counter() - started)
        gaps.append(found.gap)
    first = Problem(rng.random((30, 197)), {LATENCY: rng.random((30, 197))})
    started = time.perf_counter()
    many = diverse(first, {LATENCY: 9.0}, 5)
    return {
        "brute_force_6x5": {"problems": 20, "largest_difference": worst},
        "random_30x197": {
            "median_s": float(np.median(times)), "most_s": max(times), "largest_gap": max(gaps), "runs": len(times),
        },
        "diverse_30x197": {"solutions": len(many), "seconds": time.perf_counter() - started},
    }  # fmt: skip


def graph() -> Network:
    """The widest network of 3 x 3 convolutions of half expansion, its last stage of middle width."""
    point = largest()
    point[7:16], point[5] = 4, 1
    return without_bits(Subgraph32().network(point))


def teacher(work: Path) -> dict[str, object]:
    """Trained on from the supernet's weights."""
    from cofront.network import weights as files
    from cofront.network.pytorch import fold_batchnorm
    from cofront.task.data import load_dataset
    from cofront.task.distil.restore import restored
    from cofront.task.folded import float_inputs, folded
    from cofront.task.scratch import Schedule, ScratchTraining

    data = load_dataset()
    network, values = folded(graph(), data.x_train)
    start = restored(network, values, float_inputs(data.x_train[:640], 32))
    schedule = Schedule(epochs=TEACHER_EPOCHS, rate=0.05, smoothing=0.0)
    training = ScratchTraining(network, data, schedule, work / "teacher.safetensors")
    if not training.resume():
        training.net.load_state_dict(start.state_dict())
    training.run(lambda log: record.say(f"teacher, epoch {log.epoch + 1}: {log.accuracy:.4f}"))
    files.save(work / "teacher_weights.safetensors", fold_batchnorm(training.net), {"network": network.name})
    return {
        "parameters": network.params, "macs": network.macs, "layers": len(network.layers),
        "epochs": TEACHER_EPOCHS, "seconds": training.seconds, "validation": training.history[-1].accuracy,
    }  # fmt: skip


class Scene:
    """What the stages behind the teacher share."""

    def __init__(self, work: Path) -> None:
        from cofront.network import weights as files
        from cofront.systems.lana import Lana, Recipe
        from cofront.task.data import load_dataset
        from cofront.task.distil.layerwise import Lesson
        from cofront.task.scratch import Schedule

        self.work = work
        network = graph()
        values = files.load(work / "teacher_weights.safetensors", network)
        recipe = Recipe(
            offered=OFFERED, learn=1024, score=500, statistics=512, solutions=12,
            lesson=Lesson(epochs=2, batch=64, rate=2e-3),
            schedule=Schedule(epochs=EPOCHS[-1], rate=0.03, smoothing=0.0),
        )  # fmt: skip
        self.lana = Lana(network, values, load_dataset(), recipe)
        self.learnt = self.lana.distillation(work / "learnt.safetensors")
        self.learnt.resume()

    def for_epochs(self, epochs: int) -> Any:
        """The same with a fine-tuning of another length."""
        recipe = self.lana.recipe
        return replace(self.lana, recipe=replace(recipe, schedule=replace(recipe.schedule, epochs=epochs)))

    def table(self, values: object) -> np.ndarray:
        """(l, o) of JSON, where None stands for NaN."""
        return np.array([[np.nan if v is None else v for v in row] for row in values], float)  # type: ignore[attr-defined]


def learn(scene: Scene) -> dict[str, object]:
    """Errors before and after, of all operators."""
    learnt = scene.learnt
    cpu = record.cpu_time()
    learnt.run(lambda step: record.say(f"step {step} of {learnt.steps}") if step % 8 == 0 else None)
    after = learnt.errors()
    trained = list(learnt.modules)
    cut = {key: 1 - after[key] / learnt.before[key] for key in trained}
    return {
        "images": len(scene.lana.lessons), "epochs": scene.lana.recipe.lesson.epochs, "seconds": learnt.seconds,
        "cpu_s": record.cpu_time() - cpu, "operators": len(trained),
        "teacher_error": max(v for (i, n), v in after.items() if n == "teacher"),
        "share_halved": float(np.mean([c >= 0.5 for c in cut.values()])),
        "median_cut": float(np.median(list(cut.values()))),
        "not_halved": {f"u{i}:{n}": [learnt.before[i, n], after[i, n]] for (i, n), c in cut.items() if c < 0.5},
        "share_explaining_half": float(np.mean([after[k] <= 0.5 for k in trained])),
        "errors": {f"u{i}:{n}": [learnt.before[i, n], after[i, n]] for i, n in after},
    }  # fmt: skip


def random(scene: Scene, found: dict[str, dict[str, Any]]) -> dict[str, object]:
    """The errors that all operators begin with where none has the teacher's weights, and what learning leaves of it."""
    lana = scene.lana
    plain = replace(lana, recipe=replace(lana.recipe, lesson=replace(lana.recipe.lesson, inherit=False)))
    before = {f"u{i}:{n}": e for (i, n), e in plain.distillation().errors().items()}
    after = {k: e[1] for k, e in found["learn"]["errors"].items() if before[k] > 0 and e[0] != e[1]}
    return {
        "errors": before, "operators": len(after),
        "share_halved": float(np.mean([e <= 0.5 * before[k] for k, e in after.items()])),
        "not_halved": {k: [before[k], e] for k, e in after.items() if e > 0.5 * before[k]},
    }  # fmt: skip


def score(scene: Scene) -> dict[str, object]:
    """Single swaps, and how well their sum ranks 50 networks of random operators (a random number of units swapped)."""
    from scipy.stats import pearsonr, spearmanr

    from cofront.task.distil.student import swapped

    lana, cpu, started = scene.lana, record.cpu_time(), time.perf_counter()
    scores = lana.scores(scene.learnt, lambda i: record.say(f"unit {i}"))
    assert scores is not None
    seconds = time.perf_counter() - started
    rng = np.random.default_rng(1)
    free = [i for i, o in enumerate(lana.space.operators) if len(o) > 1]
    rows = []
    for k in range(SWAPS):
        choice = np.zeros(len(lana.space.operators), np.int64)
        for i in rng.permutation(free)[: rng.integers(1, len(free) + 1)]:
            choice[i] = rng.integers(1, len(lana.space.operators[i]))
        names = names_of(lana.space.operators, choice)
        said = float(scores.change[np.arange(len(choice)), choice].sum())
        plain = swapped(scene.learnt, names, *lana.held, None)
        again = swapped(scene.learnt, names, *lana.held, lana.lessons[: lana.recipe.statistics])
        rows.append([int((choice > 0).sum()), said, plain.loss, again.loss, again.accuracy])
        record.say(f"swap {k + 1}: {rows[-1]}")
    found = np.array(rows)
    return {
        "images": scores.images, "teacher_loss": scores.teacher, "seconds": seconds, "cpu_s": record.cpu_time() - cpu,
        "names": [list(o) for o in lana.space.operators], "change": [[clean(v) for v in row] for row in scores.change],
        "swaps": rows, "columns": ["units swapped", "sum of changes", "loss", "loss, norms re-estimated", "accuracy"],
        "spearman": float(spearmanr(found[:, 1], found[:, 2]).statistic),
        "spearman_re_estimated": float(spearmanr(found[:, 1], found[:, 3]).statistic),
        "pearson": float(pearsonr(found[:, 1], found[:, 2]).statistic),
        "spearman_of_units_swapped": float(spearmanr(found[:, 0], found[:, 2]).statistic),
    }  # fmt: skip


def clean(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def price(work: Path) -> dict[str, object]:
    """Every operator on this machine, one thread; sums against twenty networks that were not measured for the table."""
    from cofront.measure.target import parse_target
    from cofront.systems.lana_prices import measured, side_by_side
    from cofront.task.distil.restore import with_norms

    space, target = OperatorsOf(units_of(with_norms(graph())), OFFERED), parse_target("host")
    prices = measured(space, target, work / "host.parquet", say=record.say)
    assert prices is not None
    choices = space.sample(np.random.default_rng(77), 20)
    choices[0] = 0
    found = side_by_side([space.network(c) for c in choices], target, work / "check.jsonl", runs=20)
    assert found is not None
    taken = np.array([t.median_s for t in found])
    off = prices.of(choices) / taken - 1
    return {
        "base_s": prices.base_s, "note": prices.note, "seconds": [[clean(v) for v in row] for row in prices.seconds],
        "teacher_s": prices.teacher_s, "least_s": prices.least_s,
        "sum_against_measured": {
            "networks": len(taken), "measured_s": taken.tolist(), "predicted_s": prices.of(choices).tolist(),
            "mean_absolute": float(np.abs(off).mean()), "largest": float(np.abs(off).max()), "bias": float(off.mean()),
            "within_10_percent": float((np.abs(off) <= 0.1).mean()),
        },
    }  # fmt: skip


def choose(scene: Scene, found: dict[str, dict[str, object]]) -> dict[str, object]:
    """The exact optimum and diverse solutions checked, beside greedy and random ones, all with norms re-estimated."""
    from cofront.systems.lana import best_of
    from cofront.systems.lana_prices import Prices
    from cofront.task.distil.scores import Scores

    lana, told = scene.lana, found["price"]
    prices = Prices(scene.table(told["seconds"]), float(told["base_s"]), "host", "")  # type: ignore[arg-type]
    change = scene.table(found["score"]["change"])
    scores = Scores(change, float(found["score"]["teacher_loss"]), 0)  # type: ignore[arg-type]
    limit = BUDGET * prices.teacher_s
    cpu = record.cpu_time()
    solved = lana.solutions(scene.learnt, scores, prices, limit, lambda c: record.say(f"{c.predicted:.3f} {c.judged}"))
    problem = problem_of(change, prices)
    steps = greedy(problem, {LATENCY: limit - prices.base_s})
    drawn = random_feasible(problem, limit - prices.base_s, RANDOM, np.random.default_rng(5))
    by_greedy = lana.check(scene.learnt, scores, prices, steps.array) if steps.choice else None
    random = [lana.check(scene.learnt, scores, prices, c) for c in drawn]
    best = best_of(solved)
    return {
        "limit_s": limit, "cpu_s": record.cpu_time() - cpu,
        "chosen": told_of(best), "place": solved.index(best), "exact": told_of(solved[0]),
        "solutions": [told_of(c) for c in solved], "greedy": by_greedy and told_of(by_greedy),
        "random": {
            "networks": len(random), "mean_loss": float(np.mean([c.judged.loss for c in random])),
            "mean_accuracy": float(np.mean([c.judged.accuracy for c in random])),
            "best_loss": min(c.judged.loss for c in random), "best_accuracy": max(c.judged.accuracy for c in random),
        },
    }  # fmt: skip


def told_of(c: object) -> dict[str, object]:
    return {
        "names": list(c.names), "predicted": c.predicted, "latency_s": c.latency_s, "loss": c.judged.loss,  # type: ignore[attr-defined]
        "accuracy": c.judged.accuracy,  # type: ignore[attr-defined]
    }  # fmt: skip


def cost_of(training: ScratchTraining) -> float:
    """Processor seconds of a step, of 30 behind the first 5."""
    training.run(until_step=5)
    cpu = record.cpu_time()
    training.run(until_step=35)
    return (record.cpu_time() - cpu) / 30


def finished(training: ScratchTraining, work: Path, name: str) -> dict[str, object]:
    """A training to its end, its weights kept."""
    from cofront.network import weights as files
    from cofront.network.pytorch import fold_batchnorm

    went_on = training.resume() and training.position > 0
    cpu = record.cpu_time()
    training.run(lambda log: record.say(f"{name}, epoch {log.epoch + 1}: {log.accuracy:.4f}"))
    spent = record.cpu_time() - cpu
    files.save(work / f"{name}_weights.safetensors", fold_batchnorm(training.net), {"network": "student"})
    return {
        "epochs": training.schedule.epochs, "seconds": training.seconds, "cpu_s": None if went_on else spent,
        "validation": [h.accuracy for h in training.history],
    }  # fmt: skip


def by_length(found: dict[str, dict[str, Any]], stage: str) -> dict[str, Any]:
    """What is known of a stage, by epochs of the fine-tuning."""
    return {str(e): found[stage][str(e)] for e in EPOCHS if str(e) in found.get(stage, {})}


def train(scene: Scene, found: dict[str, dict[str, Any]]) -> dict[str, object]:
    """The chosen network with distillation, by epochs."""
    out = by_length(found, "train")
    for epochs in EPOCHS:
        name = f"student{epochs}"
        if str(epochs) not in out or not (scene.work / f"{name}_weights.safetensors").is_file():
            start = scene.lana.student(scene.learnt, found["choose"]["chosen"]["names"])
            training = scene.for_epochs(epochs).training(start, scene.work / f"{name}.safetensors")
            out[str(epochs)] = finished(training, scene.work, name)
            record.write(OUT, {**record.read(OUT), "train": out})
    return out


def scratch(scene: Scene, found: dict[str, dict[str, Any]]) -> dict[str, object]:
    """The same network from the start, for as many epochs as take all of LANA's processor time, by LANA's epochs.

    That is learning, scores, the choice and the fine-tuning, without the prices, which a network of its own needs, too.
    """
    lana, out, pace = scene.lana, by_length(found, "scratch"), scene.work / "pace.json"
    start = lana.student(scene.learnt, found["choose"]["chosen"]["names"])
    plain = replace(lana.recipe.schedule, rate=0.1)
    if not pace.is_file():  # once: a training that goes on has the epochs that it began with
        costs = [cost_of(t) for t in (lana.training(start), ScratchTraining(start.network, lana.data, plain))]
        pace.write_text(json.dumps(costs))
    taught, own = json.loads(pace.read_text())
    steps = ScratchTraining(start.network, lana.data, plain).steps // plain.epochs
    before = sum(found[stage]["cpu_s"] for stage in ("learn", "score", "choose"))
    for epochs in EPOCHS:
        name = f"scratch{epochs}"
        if str(epochs) in out and (scene.work / f"{name}_weights.safetensors").is_file():
            continue
        many = replace(plain, epochs=round(epochs * taught / own + before / (own * steps)))
        record.say(f"from scratch: {many.epochs} epochs, a step takes {own:.3f} s; distilled {epochs}, {taught:.3f} s")
        training = ScratchTraining(start.network, lana.data, many, scene.work / f"{name}.safetensors")
        told = {"step_cpu_s": own, "distilled_step_cpu_s": taught, "cpu_s_before_fine_tuning": before}
        out[str(epochs)] = {**finished(training, scene.work, name), **told}
        record.write(OUT, {**record.read(OUT), "scratch": out})
    return out


def judge(scene: Scene, found: dict[str, dict[str, object]]) -> dict[str, object]:
    """Test accuracy once, and both networks side by side on this machine."""
    from cofront.measure.target import parse_target
    from cofront.network import weights as files
    from cofront.network.pytorch import to_torch
    from cofront.systems.lana_prices import side_by_side
    from cofront.task.distil.student import judge as tested

    lana, names = scene.lana, found["choose"]["chosen"]["names"]  # type: ignore[call-overload,index]
    small = lana.student(scene.learnt, names).network
    files_of = {"teacher": (lana.teacher.network, "teacher_weights")}
    files_of |= {f"{kind}{e}": (small, f"{kind}{e}_weights") for kind in ("student", "scratch") for e in EPOCHS}
    out: dict[str, object] = {}
    for name, (network, file) in files_of.items():
        if not (scene.work / f"{file}.safetensors").is_file():
            continue  # that stage was left out
        module = to_torch(network, files.load(scene.work / f"{file}.safetensors", network))
        part = tested(module, lana.data.x_test, lana.data.y_test)
        out[name] = {"test": part.accuracy, "loss": part.loss, "parameters": network.params, "macs": network.macs}
    times = side_by_side([lana.teacher.network, small], parse_target("host"), scene.work / "pair.jsonl", runs=RUNS)
    assert times is not None
    before, after = times
    predicted = float(found["choose"]["chosen"]["latency_s"])  # type: ignore[call-overload,index]
    return {
        **out, "test_images": len(lana.data.y_test),
        "latency": {
            "teacher_s": before.median_s, "student_s": after.median_s, "speed_up": before.median_s / after.median_s,
            "interval_95": [before.low_s / after.high_s, before.high_s / after.low_s], "visits": RUNS,
            "predicted_s": predicted, "predicted_off": predicted / after.median_s - 1,
        },
    }  # fmt: skip


def claims(found: dict[str, dict[str, Any]]) -> list[Claim]:
    """What the published method should show on one teacher, beside what was measured; the figures of LANA21 itself are
    for ImageNet on GPUs."""
    learnt, score, price, choice, judged = (found[s] for s in ("learn", "score", "price", "choose", "judge"))
    solved, sums, times = found["solver"], price["sum_against_measured"], judged["latency"]
    swapped, random = {k: choice[k]["loss"] for k in ("chosen", "exact", "greedy")}, choice["random"]
    own, zero = "the method's sense", max(abs(row[0]) for row in score["change"])
    least, random_at = solved["brute_force_6x5"], random["mean_loss"]
    low, high = times["interval_95"]
    out = [
        Claim(
            "error and score of the teacher's own operator", "0", f"{learnt['teacher_error']:g}, {zero:g}", own,
            "derived",
        ),
        Claim(
            "operators whose error learning halves", "most", f"{learnt['share_halved']:.0%} of {learnt['operators']}",
            own, "derived",
            f"of random weights, {found['random']['share_halved']:.0%}; by default some begin with the teacher's",
        ),
        Claim(
            "selection against all 15,625 choices, 6 x 5", "equal",
            f"off by {least['largest_difference']:.1g} at most, {least['problems']} problems", own, "derived",
        ),
        Claim(
            "time of a selection, 30 units x 197 operators", "seconds to minutes (ILP)",
            f"{solved['random_30x197']['median_s']:.2g} s, proven", "abstract", "sourced", "random losses and costs",
        ),
        Claim(
            "rank correlation of the sum of changes and the true loss", "high",
            f"{score['spearman']:.2f}; {score['spearman_re_estimated']:.2f} with norms re-estimated", own, "derived",
            f"{len(score['swaps'])} random networks",
        ),
        Claim(
            "sum of operators against whole networks measured", "close",
            f"{sums['mean_absolute']:.1%} off, {sums['largest']:.1%} at most", own, "derived",
            f"{sums['networks']} other networks on this machine",
        ),
        Claim(
            f"loss before fine-tuning at {BUDGET:g}x latency", "ILP below others",
            f"chosen {swapped['chosen']:.3f}, exact optimum {swapped['exact']:.3f}, greedy {swapped['greedy']:.3f}, "
            f"random {random_at:.2f} (best {random['best_loss']:.2f})", own, "derived",
            f"best of {len(choice['solutions'])} diverse solutions; {random['networks']} random networks",
        ),
        Claim(
            "speed-up measured", "up to 5x", f"{times['speed_up']:.2f}x (95 %: {low:.2f} to {high:.2f})", "abstract",
            "sourced", f"{times['visits']} visits in turns; 2x asked for",
        ),
    ]  # fmt: skip
    for e in EPOCHS:
        if f"student{e}" not in judged or f"scratch{e}" not in judged:
            continue
        by = {k: 100 * judged[k]["test"] for k in ("teacher", f"student{e}", f"scratch{e}")}
        whole, student, alone = by.values()
        out.append(
            Claim(
                f"test accuracy after {e} epochs of distillation", "within points of the teacher",
                f"{student:.2f} %, {student - whole:+.2f} points from the teacher's {whole:.2f} %", own, "derived",
                f"the same network from the start, {found['scratch'][str(e)]['epochs']} epochs, as much processor time "
                f"as all of LANA: {alone:.2f} %",
            )
        )  # fmt: skip
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("lana-work"), help="where checkpoints are kept")
    parser.add_argument("--stage", nargs="*", choices=STAGES, default=STAGES, help="these alone")
    parser.add_argument("--claims", action="store_true", help="print the claims table of what is known")
    arguments = parser.parse_args()
    if arguments.claims:
        print(claims_table(claims(record.read(OUT))))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    made = record.made("torch", "onnxruntime", "numpy", seed=0, budget=f"{BUDGET}x latency", offered=list(OFFERED))
    made["command"] = "python benchmarks/lana.py"  # whichever stages at a time, in whatever folder
    scene = None
    for stage in STAGES:
        if stage not in arguments.stage:
            continue
        record.say(stage)
        told: dict[str, object]
        if stage == "solver":
            told = solver()
        elif stage in ("price", "teacher"):
            told = {"price": price, "teacher": teacher}[stage](arguments.work)
        else:
            scene = scene or Scene(arguments.work)
            if stage in ("learn", "score"):
                told = {"learn": learn, "score": score}[stage](scene)
            else:
                call = {"random": random, "choose": choose, "train": train, "scratch": scratch, "judge": judge}[stage]
                told = call(scene, record.read(OUT))
        record.write(OUT, {**record.read(OUT), "made": made, stage: told})  # others may run at the same time


if __name__ == "__main__":
    main()
