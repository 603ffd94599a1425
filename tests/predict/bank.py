"""Synthetic known devices for `one_hot_data`: linear models of functions like it, each a bit different."""

from __future__ import annotations

import numpy as np

from cofront.predict.devices import KnownDevices
from cofront.testing.predictors import one_hot_data


def synthetic_devices(m: int = 5, difference: float = 0.15) -> KnownDevices:
    x, y = one_hot_data(400, seed=9)
    rng = np.random.default_rng(3)
    weights = []
    for _ in range(m):
        own = y + difference * y.std() * (x @ rng.normal(size=x.shape[1]))
        centred = x - x.mean(axis=0)
        weights.append(np.linalg.solve(centred.T @ centred + np.eye(x.shape[1]), centred.T @ (own - own.mean())))
    w = np.array(weights)
    return KnownDevices("synthetic", tuple(f"d{i}" for i in range(m)), w, y.mean() - w @ x.mean(axis=0), x.mean(axis=0))
