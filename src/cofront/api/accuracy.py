"""From measured accuracies to a co-design problem: the table, the additive model, penalties, the trellis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from cofront.errors import InputError, UsageError, unknown_name
from cofront.study.provenance import file_hash

if TYPE_CHECKING:
    from cofront.device import Device
    from cofront.problem import CodesignProblem
    from cofront.space import Space


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


def shipped_table(space: Space) -> Path:
    """The accuracy table that comes with cofront for a space."""
    path = Path(str(files("cofront"))) / "data_tables" / f"{space.name}_{space.task}.parquet"
    if not path.is_file():
        raise InputError(
            f"no measured accuracies for space '{space.name}' come with this cofront; "
            "give your own with --accuracy-table FILE (`cofront train` makes one for subgraph32)"
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
) -> Measured:
    """The co-design problem of a space on a device under the accuracies measured in `table`.

    Precisions that the table does not measure stay out, unless `penalty` states what they cost; `precisions` narrows
    the choice further.
    """
    from cofront.hardware.subgraph import codesign_problem
    from cofront.predict.additive import Additive
    from cofront.predict.codesign import on_trellis
    from cofront.predict.penalty import PrecisionPenalty
    from cofront.predict.tables import read_table

    path = table or shipped_table(space)
    found = read_table(path, space, column)
    space, points, accuracy = found.space, found.points, found.accuracy
    model = Additive.for_space(space).fit(space.features(points), accuracy).model
    stated = PrecisionPenalty.parse(penalty) if penalty else None
    known = space.precisions_of(points)
    offered = stated.precisions(known, space) if stated else known
    if precisions is not None:
        offered = _narrow(offered, precisions)
    layered = space.layered(offered)
    extra = stated.coefficients(space, model.score_loss) if stated else None
    scores = on_trellis(model, layered.trellis, extra)

    def lay(on: Device) -> CodesignProblem:
        bare = codesign_problem(layered, on, scores.edge_score, grid=grid, clock_hz=clock_hz)
        return replace(bare, **scores.fields(), meta={**bare.meta, "space": space.name})

    note = (
        f"additive model of {len(accuracy):,} measured networks, leave-one-out error {100 * model.loo_rmse:.2f} points"
    )
    if stated:
        note += f"; precisions not measured there at a stated penalty ({penalty})"
    if unmeasured := found.unmeasured():
        note += f"; never measured, so out of the model's reach: {', '.join(unmeasured[:5])}"
    used = tuple(sorted({p for ps in offered.values() for p in ps}, reverse=True))
    return Measured(lay(device), lay, space, used, str(path), note, file_hash(path))


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
