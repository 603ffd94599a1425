"""Forests per kind of kernel."""

import numpy as np
import pytest

from cofront.errors import InputError
from cofront.network import Builder, Network
from cofront.predict.forest import KernelForests


def kernel(op: str) -> Network:
    b = Builder(op, (8, 8, 8))
    if op == "conv":
        b.conv(8, 3)
    else:
        b.pool("max", 2, 2)
    return b.build()


def test_a_second_fit_forgets_the_first():
    forests = KernelForests().fit([kernel("conv")] * 3, np.full(3, 1e-6))
    forests.fit([kernel("pool")] * 3, np.full(3, 1e-6))
    assert forests.predict([kernel("pool")]) == pytest.approx(1e-6)
    with pytest.raises(InputError, match="no kernel like 'conv'"):
        forests.predict([kernel("conv")])
