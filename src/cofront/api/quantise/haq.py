"""HAQ's agent as `quantize --method haq`: the same costs and limits as the exact allocation, which bounds its model.

The reward is accuracy on training images that did not calibrate, after rounding to nearest: no episode is fine-tuned
(the published one is, for an epoch).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cofront.api.quantise.choosing import Chosen, Point, on_layers, problem_of
from cofront.api.quantise.costs import BitCosts, quantity_of
from cofront.errors import UsageError
from cofront.study.provenance import digest

if TYPE_CHECKING:
    from cofront.api.quantise.scene import Scene
    from cofront.task.quantise.curvature import LossTables
    from cofront.task.quantise.simulate import QuantModule

#: Training images that rewards are taken on.
REWARDED = 500


def by_policy(scene: Scene, module: QuantModule, costs: BitCosts, tables: LossTables) -> Chosen:
    """The best episode's bits; the bound is of the exact allocation, for the sensitivity model's sum of rises."""
    from cofront.api.quantise.scene import haq_range, inputs_of
    from cofront.systems.haq import HaqSearch, features

    request = scene.request
    low, high = haq_range(request, scene.budgets)
    exact = on_layers(costs, tables, scene.budgets, "exact", request.seed)
    if exact.point is None:
        return exact
    quantity = quantity_of(costs, scene.budgets[0].quantity)
    order = np.random.default_rng(request.seed).permutation(len(scene.data.x_train))
    some = order[len(scene.calibration) :][:REWARDED]
    if not len(some):
        raise UsageError("--method haq needs training images that do not calibrate: lower --images")
    x, y = scene.data.x_train[some], scene.data.y_train[some]

    def named(bits: Any) -> dict[str, tuple[int, int]]:
        return {n: (int(w), int(a)) for n, (w, a) in zip(costs.layers, bits, strict=True)}

    def evaluate(bits: Any) -> float:
        module.set_bits(named(bits))
        return module.accuracy(x, y)

    module.set_bits({})
    search = HaqSearch(
        features(scene.network), lambda bits: costs.of(quantity, named(bits)), evaluate,
        exact.limits[quantity], module.accuracy(x, y), bits_range=(low, high),
        pinned=tuple(int(i) for i in np.flatnonzero(costs.allowed.sum(axis=1) == 1)),
        start=np.full((len(costs.layers), 2), 8, np.int64), episodes=request.episodes, seed=request.seed,
    )  # fmt: skip
    told = {**inputs_of(scene), "refine": "", "epochs": 0}  # which come after
    scene.folder.mkdir(parents=True, exist_ok=True)
    found = search.run(
        scene.folder / f"haq-{digest(told)[:8]}.safetensors",
        lambda e: scene.say("searching", f"episode {e.number + 1} of {request.episodes}: reward {e.reward:+.3f}, best "
                            f"{e.best_reward:+.3f}"),
        scene.stop,
    )  # fmt: skip
    if found.stopped:
        raise KeyboardInterrupt
    bits = named(found.bits)
    assert costs.of(quantity, bits) <= exact.limits[quantity] * (1 + 1e-9)
    choice = np.array([costs.pairs.index(bits[n]) for n in costs.layers])
    point = Point(
        bits, {q: costs.of(q, bits) for q in costs.costs}, float(problem_of(costs, tables).losses(choice)[0])
    )  # fmt: skip
    scene.notes.append(
        f"{request.episodes} episodes on {len(some)} training images; the bound is the exact allocation's, for the "
        "sensitivity model"
    )
    return replace(exact, point=point, status="heuristic")
