"""What the supernet and exact search say of what a run has learnt: its networks, random ones, the certified front."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from cofront.api.costing import unbuildable
from cofront.api.run.design import fitted
from cofront.api.run.scene import Scene, Stopped
from cofront.study.documents import RunDocument, RunNetwork, RunPoint

if TYPE_CHECKING:
    from cofront.problem import IntArray
    from cofront.search.gradient.cost import CostModel
    from cofront.search.gradient.recipe import Learned
    from cofront.search.gradient.supernet import SupernetTask
    from cofront.systems.judging import Judged

#: Random networks that the supernet is judged on; fewer of cells, where each takes longer.
RANDOM, RANDOM_CELLS = 160, 40
#: So many of them between two lines of progress.
JUDGING_EVERY = 20
#: What is said of a model that hardly ranks networks.
WEAK = ": too little for the front and the regret to say much; a longer search ranks better"


def judged(scene: Scene, document: RunDocument, task: SupernetTask, cost: CostModel, learned: Learned) -> RunDocument:
    """The document with the networks that came of the search, random ones beside them, and the certified front."""
    from cofront.search.gradient.polish import polish
    from cofront.systems.judging import judge
    from cofront.systems.learnt import additive_of

    exact = additive_of(cost)
    n = RANDOM if exact is not None else RANDOM_CELLS
    found = judge(task, exact or cost, n, scene.request.seed, lambda i: _told(scene, i, n))
    chosen: list[tuple[str, IntArray]] = [("most likely", learned.choice)]
    limit = learned.latency_s if scene.request.target_s is None else scene.request.target_s
    notes = list(document.notes)
    if exact is not None:
        scene.say("polishing", "exact search over what was learnt")
        better = polish(task, exact, learned, limit, rounds=1)
        chosen.append(("polished", better.choice))
        assert found.front is not None
        chosen.append(("certified optimum", found.front.within(limit).choice))
    else:
        notes.append("no polish and no certified front: latencies of cells are no sum over their operations")
    networks = [_network(scene, role, c, task, found) for role, c in chosen]
    points = [
        RunPoint(
            kind="random", latency_s=float(s), predicted=float(p), accuracy=float(a), options=c.tolist()
        )
        for c, s, p, a in zip(
            found.choices, cost.of(found.choices), found.predict(found.choices), found.accuracy, strict=True
        )
    ]  # fmt: skip
    gap = regret = None
    if found.front is not None:
        points += _front(found)
        gap = 0.0
        regret = found.regret(learned.choice, learned.latency_s)
    index = 1 if exact is not None else 0
    taken = networks[index]
    network = scene.space.network(scene.layers.points(chosen[index][1])[0])
    best = fitted(network, scene.space, scene.request, taken.latency_s, document.device)
    if best.get("accelerator") == "subgraph":
        notes += unbuildable(network, "subgraph")
    return msgspec.structs.replace(
        document, networks=networks, points=points, gap=gap, regret=regret, chosen=index, notes=notes, fitted=best,
        predictor_note=f"additive model of the supernet's accuracy of {n} random networks on "
        f"{min(task.judged, len(scene.data.x_val)):,} validation images; rank correlation {found.spearman:.2f} "
        "with networks left out" + ("" if found.spearman >= 0.5 else WEAK),
    )  # fmt: skip


def _network(scene: Scene, role: str, choice: IntArray, task: SupernetTask, judged: Judged) -> RunNetwork:
    point = scene.layers.points(choice)[0]
    network = scene.space.network(point)
    loss, accuracy = task.judge(choice)
    return RunNetwork(
        role=role, options=choice.tolist(), point=point.tolist(), macs=network.macs, params=network.params,
        latency_s=float(scene.priced.cost.of(choice)[0]), loss=loss, accuracy=accuracy,
        predicted=float(judged.predict(choice)[0]),
    )  # fmt: skip


def _front(judged: Judged, most: int = 60) -> list[RunPoint]:
    """The certified front, thinned evenly where it is long."""
    front = judged.front
    assert front is not None
    n = len(front)
    kept = sorted({round(i * (n - 1) / (most - 1)) for i in range(most)} if n > most else set(range(n)))
    return [
        RunPoint(
            kind="front", latency_s=float(front.latency_s[i]), predicted=1.0 - float(front.loss[i]),
            options=front.choice(i).tolist(),
        )
        for i in kept
    ]  # fmt: skip


def _told(scene: Scene, done: int, n: int) -> None:
    if done % JUDGING_EVERY == 0:
        scene.say("judging", f"{done} of {n} random networks")
    if scene.stop():
        raise Stopped
