import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cofront.cli.output import _numeric
from cofront.cli.show import where
from cofront.figures import accuracy, limit_words, number, rate
from cofront.study.documents import Call


def value(text):
    return float(text.removesuffix(" %").replace(",", ""))


@given(st.floats(1e-4, 1e9))
def test_a_frame_rate_is_never_rounded_up_and_keeps_four_digits(fps):
    shown = value(rate(fps))
    assert fps * (1 - 1e-3) <= shown <= fps * (1 + 1e-11)


@given(st.floats(0, 1))
def test_an_accuracy_is_never_rounded_up(fraction):
    assert 100 * fraction - 0.01 - 1e-9 <= value(accuracy(fraction)) <= 100 * fraction + 1e-9


@given(st.floats(0, 1e-4))
def test_every_frame_rate_can_be_printed(fps):
    assert 0 <= value(rate(fps)) <= fps * (1 + 1e-11)


def test_figures_that_are_exact_stay():
    assert [rate(x) for x in (2000, 32820.9, 999.96, 30, 0.5, 0, 1e-310, math.inf)] == [
        "2,000", "32,820", "999.9", "30", "0.5", "0", "0", "unlimited"
    ]  # fmt: skip
    assert [accuracy(x) for x in (0.7, 0.84999, None)] == ["70.00 %", "84.99 %", "-"]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (("latency", 3.1e-3, 2e-3, "s", "do that"), "latency: at best 3.1 ms, asked for 2 ms; do that"),
        (("accuracy", 0.9, 0.851, "of 1", "do that"), "accuracy: at best 85.1 %, asked for 90 %; do that"),
        (("dsp", 400, 360, "dsp", "do that"), "dsp: 400 dsp needed, 360 dsp available; do that"),
        (("budget", 1, 0, "conflict", "do that"), "budget: do that"),
        (("calls that can run", 10, 4, "calls", "do that"), "calls that can run: 4 of 10; do that"),
        (("support", 3, 0, "calls that engine E44 cannot run", "x"), "support: 3 calls that engine E44 cannot run; x"),
        (("support", 1, 0, "networks that some accelerator can run", "x"),
         "support: there are no networks that some accelerator can run; x"),
    ],
)  # fmt: skip
def test_a_limit_says_what_can_be_had_and_what_was_asked(entry, words):
    assert limit_words(*entry) == words


def test_what_is_counted_agrees_with_its_number():
    assert [number(n, "image") for n in (0, 1, 2, 2000)] == ["0 images", "1 image", "2 images", "2,000 images"]


def test_what_limits_next_to_nothing_is_not_named():
    calls = [Call(name="", cycles=n, bound_by=by) for by, n in (("pw", 700), ("overhead", 4), ("memory", 297))]
    assert where(calls) == "pw 70 %, memory 30 %"


def had_and_asked(text):
    """Numbers of "at best A, asked for B; ..." with their units."""
    units = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "%": 0.01}
    pair = text.partition(": ")[2].partition(";")[0].removeprefix("at best ").split(", asked for ")
    return [float(v) * units[u] for v, u in (p.split() for p in pair)], pair


@given(st.floats(0.01, 1), st.integers(1, 11))
def test_an_accuracy_that_can_be_had_is_rounded_down_and_is_not_what_was_asked(best, digits):
    asked = best + 10.0**-digits
    (had, wanted), (a, b) = had_and_asked(limit_words("accuracy", asked, best, "of 1", "x"))
    assert had <= best * (1 + 1e-11) and had < wanted and a != b
    assert best - had <= 1e-5 * best


@given(st.floats(1e-8, 900), st.integers(1, 11))
def test_a_latency_that_can_be_had_is_rounded_up_and_is_not_what_was_asked(best, digits):
    asked = best * (1 - 10.0**-digits / 2)
    (had, wanted), (a, b) = had_and_asked(limit_words("latency", best, asked, "s", "x"))
    assert had >= best * (1 - 1e-11) and had > wanted and a != b
    assert had - best <= 1.1e-5 * best


def test_what_can_be_had_and_what_was_asked_are_not_the_same_words():
    text = limit_words("accuracy", 0.7893234, 0.78932339, "of 1", "x")
    assert text == "accuracy: at best 78.93233 %, asked for 78.93234 %; x"
    assert "at best 2.00001 ms, asked for 2 ms" in limit_words("latency", 0.002000001, 0.002, "s", "x")


@pytest.mark.parametrize("cell", ["1", "31.9 us", "2,020", "64 GMAC/s", "98 %", "-", "", "5.94e36", "-0.02 %", "<1 ms"])
def test_numbers_are_right_aligned(cell):
    assert _numeric(cell)


@pytest.mark.parametrize("cell", ["2 W8A8, 3 W4A4", "10 W8A8", "E88", "3x3", "float32"])
def test_words_are_not(cell):
    assert not _numeric(cell)
