"""`devices --known --space`: how alike the devices are that are known by networks of a space."""

from __future__ import annotations

from pathlib import Path

from cofront.errors import UsageError
from cofront.study.documents import AlikeDocument, clean

#: Random networks by which linear models are compared.
NETWORKS = 2000


def alike(space: str, *, table: str | Path | None = None, seed: int = 0, drop_negative: bool = False) -> AlikeDocument:
    """Rank correlations of all pairs of devices, those that are alike beside each other.

    The devices are all latency columns of `table`, or, without one, the linear models that come with the package, by
    what they say of `NETWORKS` random networks.
    """
    import numpy as np

    from cofront import space as spaces
    from cofront.predict.alike import by_likeness, rank_matrix

    wanted = spaces.load(space)
    if table is not None:
        from cofront.hardware.tables import read_measured
        from cofront.space.columnfile import read_columns

        path = Path(table)
        _, every = read_columns(path, set())
        columns = [n for n in every if n.lower().startswith(("lat_", "latency"))]
        if len(columns) < 2:
            raise UsageError(
                f"{path}: {len(columns)} columns of latency, such as lat_ms_board; two are compared at least"
            )
        found = read_measured(path, wanted, columns, drop_negative=drop_negative)
        wanted = found.space
        dead = getattr(wanted, "dead", None)
        kept = np.ones(len(found), bool) if dead is None else ~np.asarray(dead(found.points))
        names = [found.quantities[c].device for c in columns]
        latency, source = np.stack([found.column(c)[kept] for c in columns], axis=1), f"measurements of {path.name}"
    else:
        from cofront.measure.models import sample
        from cofront.predict.base import one_hot
        from cofront.predict.devices import shipped

        devices = shipped(space)
        wanted, names = spaces.load(devices.space), list(devices.names)
        points = sample(wanted, np.random.default_rng(seed), NETWORKS)
        latency, source = devices.predict(one_hot(wanted, points)), f"linear models, random networks, seed {seed}"
    matrix = rank_matrix(latency)
    order = by_likeness(matrix)
    return AlikeDocument(
        space=wanted.name, source=source, networks=len(latency), devices=[names[i] for i in order],
        spearman=clean(matrix[np.ix_(order, order)]),
    )  # fmt: skip
