"""Operators that a table lacks: the factor that is stated must hold for kinds that were never seen."""

import numpy as np
import pytest

from cofront.measure.estimate import Estimate
from cofront.measure.work import kind_of, work_rates
from cofront.space.work import WORK

KINDS = [
    "conv{}k3float",
    "conv{}k1float",
    "conv{}k3g{}float",
    "conv{}k5s2g{}float|relu6",
    "linear{}float",
    "conv{}k5float",
]


def invented(rng, n=5, spread=0.6):
    """A table whose kinds run at speeds of their own: exp(spread) apart."""
    rows, seconds, keys = [], [], []
    for kind in KINDS:
        speed = np.exp(rng.normal(0, spread))
        for _ in range(n):
            channels = int(rng.integers(8, 256))
            work = np.exp(rng.normal(0, 1, 6)) * [1e6, 2e4, 1e4, 1e4, 0, 0] + [0, 0, 0, 0, 1, 0]
            rows.append(work)
            seconds.append(speed * (work @ [1e-11, 0, 1e-9, 0, 1e-5, 0]) * np.exp(rng.normal(0, 0.03)))
            keys.append("8x4x4|" + kind.format(channels, channels))
    out = {name: np.array(rows)[:, j] for j, name in enumerate(WORK)}
    return {**out, "seconds": np.array(seconds), "operator": np.array(keys)}


def test_kinds_are_types_kernels_and_strides():
    assert (
        kind_of("64x16x16|conv384k1float|relu6|conv384k5s2g384float|add@6.1") == "convk1float|relu6|convk5s2float|add"
    )
    assert kind_of("64x1x1|linear10float") == kind_of("8x1x1|linear1000float")
    assert kind_of("64x8x8|conv64k3float") != kind_of("64x8x8|conv64k5float")


def test_intervals_cover_kinds_that_were_left_out():
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(40):
        table = invented(rng)
        kinds = np.array([kind_of(k) for k in table["operator"]])
        out = kinds == rng.choice(sorted(set(kinds)))
        rates, factor = work_rates({k: v[~out] for k, v in table.items()})
        said = np.column_stack([table[name] for name in WORK])[out] @ rates
        inside += (np.abs(np.log(table["seconds"][out] / said)) <= np.log(factor)).tolist()
    assert np.mean(inside) >= 0.9


def test_a_table_that_its_work_explains_is_nearly_certain_and_others_are_not():
    rng = np.random.default_rng(1)
    plain, wild = (work_rates(invented(rng, spread=s))[1] for s in (0.0, 1.0))
    assert 1 <= plain < 1.25 < 2 < wild


def test_without_kinds_to_leave_out_the_factor_is_a_guess():
    table = invented(np.random.default_rng(2))
    one = np.array([kind_of(k) for k in table["operator"]]) == "convk3float"
    assert one.sum() >= 5
    table = {k: v[:5] for k, v in table.items()}
    assert work_rates(table)[1] is None
    assert work_rates({}) == (None, None)


def test_intervals_are_symmetric_unless_they_are_given():
    assert Estimate(1.0, 0.1, "").range_s == pytest.approx((0.804, 1.196))
    assert Estimate(1.0, 1.0, "").range_s[0] == 0.0 and Estimate(1.0, None, "").range_s is None
    assert Estimate(1.0, 1.0, "", (0.5, 4.0)).range_s == (0.5, 4.0)
