"""What a few measurements are adapted from: known devices of a space, a table of another device, or totals of work."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cofront.errors import UsageError
from cofront.hardware.tables import read_additive
from cofront.measure.models import sample
from cofront.predict.base import MIN_ROWS, FloatArray
from cofront.predict.columns import latency_columns
from cofront.predict.devices import KnownDevices, learn_devices, shipped
from cofront.predict.transfer import Transfer
from cofront.space.base import Points, Space
from cofront.space.work import WORK

#: Random networks from which the model of a table, or of totals of work, is learnt.
_ROWS = 1500
#: Candidates per network that is chosen to be measured.
_CANDIDATES = 40


def known_devices(space: Space, source: str | None) -> tuple[KnownDevices, str]:
    """The devices, and in words what they are. `source` is the path of an operator table, or None for what ships."""
    if source is None:
        try:
            devices = shipped(space.name)
        except UsageError:
            return _work_devices(space), "totals of work (no known devices come with this space)"
        other = f", measured on {devices.space}" if devices.space != space.name else ""
        return devices, f"the {len(devices.names)} known devices of {devices.space.partition('@')[0]}{other}"
    path = Path(source)
    device = read_additive(path, any_magnitude=True)
    points = sample(space, np.random.default_rng(0), _ROWS)
    return learn_devices(space, points, {device.name: device.of_points(space, points)}), f"the table '{path.name}'"


def _work_devices(space: Space) -> KnownDevices:
    """One imaginary device per total of work that varies, which takes a millisecond for the mean network."""
    points = sample(space, np.random.default_rng(0), _ROWS)
    work = space.work(points)
    columns = {n: 1e-3 * work[:, j] / work[:, j].mean() for j, n in enumerate(WORK) if np.ptp(work[:, j]) > 0}
    return learn_devices(space, points, columns)


def choose(space: Space, rng: np.random.Generator, n: int) -> Points:
    """(n, d) networks worth measuring: spread evenly over the amount of work, and unlike each other."""
    if n < MIN_ROWS:
        raise UsageError(f"--samples must be at least {MIN_ROWS}, fewer are no basis for adaptation; got {n}")
    pool = sample(space, rng, _CANDIDATES * n)
    work = space.work(pool)
    order = np.argsort(work[:, 0] + work[:, 1], kind="stable")
    columns = (work - work.mean(axis=0)) / np.maximum(work.std(axis=0), 1e-30)
    taken: list[int] = []
    for stratum in np.array_split(order, n):
        if not taken:
            taken.append(int(stratum[len(stratum) // 2]))
            continue
        apart = np.abs(columns[stratum][:, None] - columns[taken][None]).sum(axis=2).min(axis=1)
        taken.append(int(stratum[int(apart.argmax())]))
    return pool[taken]


def adapt(space: Space, devices: KnownDevices, points: Points, latency_s: FloatArray) -> tuple[Transfer, float | None]:
    """The few-shot predictor fitted to (n, d) points and (n,) latencies, and its leave-one-out mean relative error."""
    x = latency_columns(space, points)
    fitted = Transfer(devices).fit(x, latency_s)
    if len(points) <= MIN_ROWS:
        return fitted, None
    errors = []
    for i in range(len(points)):
        others = np.arange(len(points)) != i
        said = Transfer(devices).fit(x[others], latency_s[others]).predict(x[[i]]).mean[0]
        errors.append(abs(said / latency_s[i] - 1))
    return fitted, float(np.mean(errors))
