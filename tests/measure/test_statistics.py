"""Medians, their intervals, outliers and changes of the clock."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cofront.measure.statistics import interval, timings


@pytest.mark.parametrize("n", [1, 2, 5, 6, 9, 12])
def test_interval_covers_the_median_as_often_as_it_says(n: int) -> None:
    """All patterns of observations below or above the true median, each as likely."""
    values = np.arange(1.0, n + 1)
    low, high = interval(values)
    k, m = int(low) - 1, n - int(high)
    assert k == m, "as many are left out on either side"
    sides = [sum(p) for p in product((0, 1), repeat=n)]
    missed = np.mean([below > n - k - 1 or below < k + 1 for below in sides])
    assert missed <= 0.05 or k == 0
    if k + 1 < n // 2:
        more = np.mean([below > n - k - 2 or below < k + 2 for below in sides])
        assert more > 0.05, "the next narrower interval does not cover it"


def visit(item: str, number: int, seconds: float, **more: object) -> dict:
    return {"visit": item, "round": number, "s": seconds, "runs": 4, "interrupted": 1, "by": "wall", **more}


@given(st.lists(st.floats(0.5e-3, 2e-3), min_size=3, max_size=30), st.floats(2, 50))
def test_a_far_visit_moves_nothing_much(values: list[float], factor: float) -> None:
    lines = [visit("a", i, v) for i, v in enumerate(values)]
    plain = timings(lines)[0]["a"]
    assert min(values) <= plain.low_s <= plain.median_s <= plain.high_s <= max(values)
    worse = timings([*lines, visit("a", 99, factor * max(values))])[0]["a"]
    assert plain.median_s <= worse.median_s <= max(values)


def test_outliers_are_said() -> None:
    lines = [visit("a", i, 1e-3 * (1 + 0.001 * i)) for i in range(10)] + [visit("a", 10, 5e-3)]
    found, quality = timings(lines)
    assert found["a"].outliers == 1 and "1 of 11 visits are outliers" in quality.notes()
    assert timings(lines[:10])[1].outliers == 0


def test_visits_under_another_clock_are_left_out() -> None:
    lines: list[dict] = []
    for number in range(12):
        slow = number in (4, 5)
        lines.append({"ref": number, "s": 1e-4 * (1.3 if slow else 1.0)})
        lines.append(visit("a", number, 1e-3 * (1.3 if slow else 1.0 + 1e-3 * number)))
    found, quality = timings(lines)
    assert found["a"].drifted == 2 and found["a"].visits == 12 and found["a"].high_s < 1.2e-3
    assert quality.clock_low == pytest.approx(0.3) and "up to 30 % more" in quality.notes()[0]
    steady = [{**line, "s": 1e-4} if "ref" in line else line for line in lines]
    assert timings(steady)[1].drifted == 0 and not any("clock" in n for n in timings(steady)[1].notes())


def test_interruptions_and_stolen_time_are_said() -> None:
    lines = [visit("a", i, 1e-3, by="processor" if i else "wall") for i in range(4)]
    quality = timings([*lines, {"done": True, "stolen": 0.2}])[1]
    assert quality.interrupted == 0.25 and quality.substituted == 3
    assert any("3 of 4 visits" in n for n in quality.notes()) and any("20 %" in n for n in quality.notes())


def test_what_slows_all_models_alike_is_divided_out() -> None:
    rng = np.random.default_rng(0)
    truth = {f"op{i}": 10 ** rng.uniform(-4, -2) for i in range(15)}
    lines: list[dict] = []
    for number in range(12):
        for name in rng.permutation(list(truth)):
            slow = 1.5 if 60 < len(lines) < 120 else 1.0
            lines.append(visit(str(name), number, truth[name] * slow * np.exp(0.01 * rng.standard_normal())))
    found, quality = timings(lines)
    for name, seconds in truth.items():
        assert found[name].median_s == pytest.approx(seconds, rel=0.02)
        assert found[name].half < 0.02, "without it the interval would reach to half as much again"
    inside = [found[n].low_s <= t <= found[n].high_s for n, t in truth.items()]
    assert sum(inside) >= 11, "intervals of 95 %"
    assert quality.common == pytest.approx(0.5, abs=0.05) and any("divided out" in n for n in quality.notes())


def test_a_single_slow_model_is_its_own_affair() -> None:
    """A model that becomes slow later on does not make the others look fast."""
    lines = [
        visit(f"op{i}", number, 2e-3 if i == 0 and number > 3 else 1e-3) for number in range(12) for i in range(15)
    ]
    found, quality = timings(lines)
    assert found["op0"].median_s == 2e-3 and found["op1"].median_s == 1e-3 and quality.common == 0
