"""Documents of differentiable runs: real gradient searches on tables of invented losses; nothing is a measurement."""

import numpy as np

from cofront.search.gradient.choices import Layers
from cofront.search.gradient.cost import AdditiveCost
from cofront.search.gradient.engine import GradientSearch
from cofront.search.gradient.exact import exact_front
from cofront.search.gradient.objective import LogLatency, Multiplier, Weighted
from cofront.search.gradient.polish import polish
from cofront.search.gradient.recipe import Recipe
from cofront.search.gradient.relax import Temperature
from cofront.search.gradient.task import Tabular
from cofront.space import load
from cofront.space.darts import Darts
from cofront.study.documents import (
    RunDocument,
    RunEpoch,
    RunLayer,
    RunNetwork,
    RunPoint,
    RunTraining,
)
from cofront.systems.eh_dnas import CellLayers

NOTE = "invented for tests, no measurement"


def accuracy(loss):
    """Falls with the loss, between 0 and 1: invented."""
    return np.exp(-0.35 * np.asarray(loss))


def layers_of(space):
    """As `cofront.systems` has them: a chain's operators, or the edges of two cells."""
    if isinstance(space, Darts):
        return CellLayers.of_choices(space)
    return Layers.of_trellis(space, space.layered(("W8A8",)).trellis)


def table(layers, seed):
    """(l, o) seconds and losses: both from one hidden work, so that what is slow is good, with exceptions."""
    rng = np.random.default_rng(seed)
    work = rng.uniform(0.3, 1.0, layers.shape)
    stands = np.array([[o.name.endswith(("=skip", "none")) for o in row] + [False] * (layers.shape[1] - len(row))
                       for row in layers.layers])  # fmt: skip
    work = np.where(stands, 0.02, work * np.linspace(1.4, 0.7, layers.shape[0])[:, None])
    loss = (1.0 - np.sqrt(work / work.max())) * rng.uniform(0.6, 1.4, layers.shape) * 3.0 / layers.shape[0]
    return 4e-4 * work, loss


def document(
    space="fbnet@cifar10-small", system="fbnet", share=0.5, epochs=30, seed=0, trained=True, interrupted=False, pair=0.1
):
    """A run of `epochs`; its target, if any, lies at `share` between the fastest and the slowest network.

    Neighbours change the loss by up to `pair`, which the additive front does not know of.
    """
    space = Darts(channels=4, cells=5, side=8, classes=4) if space == "darts" else load(space)
    layers = layers_of(space)
    seconds, unary = table(layers, seed)
    rng = np.random.default_rng(seed + 1)
    l, o = layers.shape
    between = pair / l * rng.standard_normal((l - 1, o, o))
    cells = isinstance(space, Darts)
    task = Tabular(layers, unary, None if cells else between, constant=0.2, noise=0.3, batches=20, seed=seed)
    cost = AdditiveCost(layers, seconds, 3e-4, "toy")
    fastest, slowest = cost.bounds()
    target = fastest + share * (slowest - fastest) if system == "light_nas" else None
    objective = {"light_nas": lambda: Multiplier(target, rate=0.1), "fbnet": LogLatency}.get(
        system, lambda: Weighted(0.05)
    )()
    recipe = Recipe(
        epochs=epochs, freeze=0 if cells else 4, relaxation="softmax" if cells else "single-path", arch_rate=0.03,
        arch_decay=0.0, temperature=Temperature(5.0, 0.12, hold=4), seed=seed,
    )  # fmt: skip
    search = GradientSearch(task, cost, objective, recipe)
    found = search.run(until_step=20 * (2 * epochs // 3) if interrupted else None)
    base = task.losses if cells else Tabular(layers, unary, constant=0.2).losses

    def network(role, choice):
        macs = int(1e9 * float(cost.of(choice)[0]))
        return RunNetwork(
            role=role, options=[int(c) for c in choice], point=layers.points(choice)[0].tolist(),
            latency_s=float(cost.of(choice)[0]), macs=20 * macs, params=macs, loss=task.evaluate(choice),
            accuracy=float(accuracy(task.evaluate(choice))), predicted=float(accuracy(base(choice)[0])),
        )  # fmt: skip

    networks, points, regret, gap = [], [], None, None
    if not interrupted:
        networks = [network("most likely", found.choice)]
        choices = layers.sample(rng, 60)
        for i, choice in enumerate(layers.space.canonical(choices) if cells else choices):
            points.append(
                RunPoint(
                    kind="random", latency_s=float(cost.of(choice)[0]), predicted=float(accuracy(base(choice)[0])),
                    accuracy=float(accuracy(task.evaluate(choice))) if i < 40 else None, options=choice.tolist(),
                )
            )  # fmt: skip
    if not interrupted and not cells:
        networks.append(network("polished", polish(task, cost, found).choice))
        front = exact_front(layers, cost.grains, unary, constant_grains=cost.constant_grains, constant=0.2)
        best = front.within(found.latency_s)
        networks.append(network("certified optimum", best.choice))
        gap = 0.0
        regret = max(float(accuracy(best.loss)) - networks[0].predicted, 0.0)
        points += [
            RunPoint(kind="front", latency_s=float(t), predicted=float(accuracy(v)))
            for t, v in zip(front.latency_s, front.loss, strict=True)
        ]
    training = None
    if trained and not interrupted:
        steps = np.arange(1, 13)
        training = RunTraining(
            epochs=12, images=5000, seconds=340.0, loss=(2.3 * steps**-0.4).tolist(),
            validation=(0.72 - 0.45 * steps**-0.8).tolist(), test=0.68, test_images=2000,
        )  # fmt: skip
    return RunDocument(
        system=system, preset="small", space=space.name, device="zu3eg", task="cifar10", target_s=target,
        words=f"{type(objective).__name__}, {recipe.relaxation} paths", bounds_s=[fastest, slowest],
        layers=[
            RunLayer(
                name=row[0].name.partition("=")[0], options=[option.name.partition("=")[2] for option in row],
                allowed=layers.mask[i, : len(row)].tolist(),
                cost_s=[] if cells else cost.table_s[i, : len(row)].tolist(),
            )
            for i, row in enumerate(layers.layers)
        ],
        history=[
            RunEpoch(
                epoch=h.epoch, loss=None if np.isnan(h.loss) else h.loss, expected_s=h.expected_s, likely_s=h.likely_s,
                entropy=h.entropy, temperature=h.temperature, multiplier=h.multiplier,
                probabilities=[list(p[: len(row)]) for p, row in zip(h.probabilities, layers.layers, strict=True)],
            )
            for h in found.history
        ],
        networks=networks, chosen=0 if networks else None, points=points, gap=gap, regret=regret,
        predictor_note=NOTE, latency_note=NOTE, epochs=len(found.history), steps=found.steps, images=0,
        search_s=12.0, search_cpu_s=found.cpu_s, training=training, interrupted=interrupted, notes=[NOTE],
    )  # fmt: skip
