"""What `--budget` may say."""

from __future__ import annotations

import pytest

from cofront.api.budgets import Budget, parse_budgets
from cofront.errors import UsageError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.6x latency", [Budget("latency", share=0.6)]),
        (".5X  Latency, 1.5MB", [Budget("latency", share=0.5), Budget("size", limit=1.5e6)]),
        ("12ms", [Budget("latency", limit=0.012)]),
        ("250 us,3mJ", [Budget("latency", limit=250e-6), Budget("energy", limit=3e-3)]),
        ("64KiB", [Budget("size", limit=65536.0)]),
    ],
)
def test_budgets_are_limits_or_shares(text: str, expected: list[Budget]) -> None:
    found = parse_budgets(text)
    assert [(b.quantity, b.share) for b in found] == [(b.quantity, b.share) for b in expected]
    assert [b.limit for b in found] == [None if b.limit is None else pytest.approx(b.limit) for b in expected]


def test_a_share_is_of_what_the_network_costs_now() -> None:
    assert Budget("latency", share=0.5).of(0.02) == pytest.approx(0.01)
    assert Budget("latency", limit=0.012).of(0.02) == 0.012


@pytest.mark.parametrize(
    "text", ["", "fast", "0.6", "0.6x speed", "0x latency", "-1ms", "12 parsecs", "1e400ms", "nan ms"]
)
def test_anything_else_is_one_line_with_examples(text: str) -> None:
    with pytest.raises(UsageError, match=r"--budget expects '0.6x latency' or '12ms'.*got '"):
        parse_budgets(text)


def test_each_quantity_once_and_only_those_a_device_has() -> None:
    with pytest.raises(UsageError, match="limits the latency twice"):
        parse_budgets("12ms,0.6x latency")
    with pytest.raises(UsageError, match=r"expects '0.25x size' or '1MB', got '12ms'"):
        parse_budgets("12ms", known=("size",))
