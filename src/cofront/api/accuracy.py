"""From measured accuracies to a co-design problem: the table, the additive model, penalties, the trellis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from cofront import registry
from cofront.errors import UsageError, unknown_name
from cofront.study.provenance import file_hash

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cofront.device import Device
    from cofront.hardware.base import Accelerator
    from cofront.predict.additive import AdditiveModel
    from cofront.predict.base import Predictor
    from cofront.problem import CodesignProblem, IntArray
    from cofront.search.method import Accuracy
    from cofront.space import Layered, Points, Space


#: The accuracy predictor of the exact search.
ADDITIVE = "additive"


@dataclass(frozen=True)
class Measured:
    """A space with its accuracy model laid on the co-design problem, and where the accuracies come from."""

    problem: CodesignProblem
    lay: Callable[[Device], CodesignProblem]  # the same for another device
    space: Space
    precisions: tuple[str, ...]
    source: str
    note: str
    table_hash: str
    accuracy: Accuracy  # of points (n, d): the problem's, or another predictor's
    edge_operations: Callable[[], IntArray]  # (e,) bit operations of each edge of the problem's trellis
    layered: Layered  # the space; its trellis has the problem's edges


def shipped_table(space: Space) -> Path:
    """The accuracy table that comes with cofront for a space."""
    path = Path(str(files("cofront"))) / "data_tables" / f"{space.name}_{space.task}.parquet"
    if not path.is_file():
        with_table = sorted(p.stem.rpartition("_")[0] for p in path.parent.glob("*.parquet"))
        raise UsageError(
            f"no measured accuracies for space '{space.name}' come with cofront, only for {', '.join(with_table)}; "
            "give your own with --accuracy-table FILE"
        )
    return path


def build_problem(
    space: Space,
    device: Device,
    *,
    table: Path | None = None,
    column: str | None = None,
    penalty: str | None = None,
    precisions: tuple[str, ...] | None = None,
    grid: str = "coarse",
    clock_hz: float | None = None,
    predictor: str = ADDITIVE,
    accelerator: str = "subgraph",
) -> Measured:
    """The co-design problem of a space on a device under the accuracies measured in `table`.

    Precisions that the table does not measure stay out, unless `penalty` states what they cost; `precisions` narrows
    the choice further. The problem's own scores come from a predictor that adds up: `predictor` if it does, otherwise
    the additive one, beside which `accuracy` is then that of `predictor`.
    """
    from cofront.predict.codesign import on_trellis
    from cofront.predict.penalty import PrecisionPenalty
    from cofront.predict.tables import read_table

    chosen: type[Predictor] = registry.load("predictor", predictor)
    family: Accelerator = registry.load("accelerator", accelerator)
    path = table or shipped_table(space)
    found = read_table(path, space, column)
    space, points, accuracy = found.space, found.points, found.accuracy
    adding: type[Predictor] = chosen if chosen.adds_up else registry.load("predictor", ADDITIVE)
    model: AdditiveModel = adding.for_space(space).fit(adding.encode(space, points), accuracy).model  # type: ignore[attr-defined]
    stated = PrecisionPenalty.parse(penalty) if penalty else None
    if stated and not chosen.adds_up:
        raise UsageError(f"--penalty states losses that add up, which predictor '{predictor}' does not; leave one out")
    known = space.precisions_of(points)
    offered = stated.precisions(known, space) if stated else known
    if precisions is not None:
        offered = _narrow(offered, precisions)
    layered = space.layered(offered)
    extra = stated.coefficients(space, model.score_loss) if stated else None
    scores = on_trellis(model, layered.trellis, extra)

    def lay(on: Device) -> CodesignProblem:
        bare = family.codesign_problem(layered, on, scores.edge_score, grid=grid, clock_hz=clock_hz)
        return replace(bare, **scores.fields(), meta={**bare.meta, "space": space.name, "device": on.name})

    problem = lay(device)
    note = (
        f"additive model of {len(accuracy):,} measured networks, leave-one-out error {100 * model.loo_rmse:.2f} points"
    )
    predict = additive_accuracy(problem)
    if not chosen.adds_up:
        fitted = chosen.for_space(space).fit(chosen.encode(space, points), accuracy)
        note = f"predictor '{predictor}' fitted to {len(accuracy):,} measured networks"

        def predict(at: Points) -> NDArray[np.float64]:
            return fitted.predict(chosen.encode(space, at)).mean.clip(0.0, 1.0)

    if stated:
        note += f"; precisions not measured there at a stated penalty ({penalty})"
    if unmeasured := found.unmeasured():
        note += f"; never measured, so out of the model's reach: {', '.join(unmeasured[:5])}"
    used = tuple(sorted({p for ps in offered.values() for p in ps}, reverse=True))
    return Measured(
        problem, lay, space, used, str(path), note, file_hash(path), predict, lambda: bit_operations(layered),
        layered,
    )  # fmt: skip


def additive_accuracy(problem: CodesignProblem) -> Accuracy:
    """Accuracy of points (n, d) by the problem's own scores."""
    import numpy as np

    from cofront.search.walk import Paths

    paths = Paths(problem.trellis)

    def accuracy(points: Points) -> NDArray[np.float64]:
        return problem.accuracy(np.array([problem.edge_score[paths(p)].sum() for p in points], dtype=np.int64))

    return accuracy


def bit_operations(layered: Layered) -> IntArray:
    """(e,) MACs x weight bits x activation bits of every edge's layers."""
    return layered.per_edge(
        [sum(f.node_macs(n) * (n.weight_bits or 8) * (n.in_bits or 8) for n in f.layers) for f in layered.fragments]
    )


def _narrow(offered: dict[str, tuple[str, ...]], wanted: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    from cofront.space import PRECISIONS

    for name in wanted:
        if name not in PRECISIONS:
            raise unknown_name("precision", name, PRECISIONS)
    every = {p for ps in offered.values() for p in ps}
    for name in wanted:
        if name not in every:
            raise UsageError(
                f"the accuracy of {name} was not measured; state what it costs with --penalty {name}=POINTS, "
                f"or choose from {', '.join(sorted(every, reverse=True))}"
            )
    # a block that has none of the wanted precisions keeps the one it was measured at
    return {b: tuple(p for p in ps if p in wanted) or ps[:1] for b, ps in offered.items()}
