"""Histograms, clip points and grids: against NumPy, brute force, and what each rule promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from cofront.errors import UsageError  # noqa: E402
from cofront.task.quantise.grids import Rules, act_grid, check_bits, top_of, weight_codes, weight_scales  # noqa: E402
from cofront.task.quantise.histogram import BINS, Histogram, least_divergence  # noqa: E402


def histogram(*batches: np.ndarray) -> Histogram:
    h = Histogram()
    for batch in batches:
        h.add(torch.from_numpy(batch.astype(np.float32)))
    return h


@given(seed=st.integers(0, 10**6), grows=st.lists(st.floats(0.1, 30), min_size=1, max_size=5))
@settings(max_examples=30)
def test_every_value_is_counted_where_it_lies(seed: int, grows: list[float]) -> None:
    rng = np.random.default_rng(seed)
    batches = [size * rng.standard_normal((4, 50)) for size in grows]
    h, every = histogram(*batches), np.abs(np.concatenate(batches).astype(np.float32)).ravel()
    assert h.counts.sum() == every.size and h.peak == pytest.approx(every.max())
    assert h.top >= h.peak * 0.999
    # The mean of magnitudes is right to a bin.
    assert (h.centres * h.counts).sum() / every.size == pytest.approx(every.mean(), abs=h.top / BINS)
    for q in (50, 90, 99):
        clip, bin_width = h.clip("percentile", 8, 255, q), h.top / BINS
        assert (every <= clip + 0.01 * bin_width).mean() >= q / 100 - 1e-9
        assert (every < clip - 1.01 * bin_width).mean() <= q / 100 + 1e-9
    assert h.clip("max", 8, 255) == h.peak


@pytest.mark.parametrize(("bits", "signed"), [(2, False), (3, True), (4, False), (4, True), (8, True)])
def test_least_squares_is_least(bits: int, signed: bool) -> None:
    rng = np.random.default_rng(bits)
    x = rng.laplace(size=20000)
    x = x if signed else np.maximum(x, 0)
    grid = act_grid(histogram(x[:, None]), bits, signed, Rules())

    def error(scale: float) -> float:
        return float(np.square(np.clip(np.rint(x / scale), grid.low, grid.high) * scale - x).mean())

    others = [error(c / grid.high) for c in np.linspace(0.02, 1, 200) * np.abs(x).max()]
    assert error(grid.scale) <= min(others) * 1.02
    assert error(grid.scale) < 0.9 * error(np.abs(x).max() / grid.high) or bits == 8


def test_the_divergence_clips_a_long_tail_and_not_a_flat_one() -> None:
    rng = np.random.default_rng(0)
    tail = np.concatenate([np.abs(rng.standard_normal(50000)), rng.uniform(20, 40, 5)])
    h = histogram(tail[:, None])
    assert h.clip("kl", 4, 15) < 10
    assert h.clip("kl", 8, 255) == h.peak  # HAQ: from 5 bits on the greatest magnitude
    flat = np.zeros(BINS)
    flat[1:257] = 100
    assert least_divergence(flat, 8) > 240


def test_zeros_are_held_by_any_grid() -> None:
    h = histogram(np.zeros((4, 8)))
    assert h.clip("mse", 4, 15) == 1 and act_grid(h, 4, False, Rules()).scale > 0
    h.add(torch.ones(2, 2))
    assert h.counts[0] == 32 and h.counts.sum() == 36


@given(seed=st.integers(0, 10**6), bits=st.integers(1, 8), rule=st.sampled_from(["max", "mse", "percentile", "kl"]),
       channels=st.booleans(), power=st.booleans())  # fmt: skip
@settings(max_examples=60)
def test_weights_are_integers_of_their_bits(seed: int, bits: int, rule: str, channels: bool, power: bool) -> None:
    w = torch.from_numpy(np.random.default_rng(seed).standard_normal((5, 3, 3, 3)).astype(np.float32))
    w[1] *= 100
    w[2] = 0
    scale = weight_scales(w, bits, Rules(rule, per_channel=channels, power_of_two=power))
    codes = weight_codes(w, scale, bits)
    assert codes.abs().max() <= top_of(bits) and torch.equal(codes, codes.round())
    assert (scale > 0).all() and scale.shape == (5,)
    assert codes[2].abs().max() == 0
    if bits == 1:
        assert (codes[[0, 1, 3, 4]].abs() == 1).all()
    if power:
        assert torch.equal(scale.log2(), scale.log2().round())
    if not channels or rule == "kl":
        assert len(set(scale.tolist())) == (1 if not channels or bits > 1 or rule == "kl" else 5)
    if rule == "max" and not power and bits > 1:
        off = (codes * scale.view(-1, 1, 1, 1) - w).abs().flatten(1).amax(1)
        assert (off <= scale * 0.5001 + 1e-7).all()


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_least_squares_of_weights_is_at_most_that_of_the_greatest(bits: int) -> None:
    w = torch.from_numpy(np.random.default_rng(bits).laplace(size=(6, 200)).astype(np.float32))

    def error(rule: str) -> torch.Tensor:
        scale = weight_scales(w, bits, Rules(rule))
        return (weight_codes(w, scale, bits) * scale[:, None] - w).square().sum(1)

    assert (error("mse") <= error("max") + 1e-5).all() and error("mse").sum() < 0.8 * error("max").sum()


def test_bad_rules_and_bits_are_one_line() -> None:
    h = histogram(np.ones((2, 2)))
    with pytest.raises(UsageError, match="rule 'entropy' is unknown; known: max, percentile, mse, kl"):
        h.clip("entropy", 4, 15)
    with pytest.raises(UsageError, match="a percentile from 50 to 100 is expected, got 3"):
        h.clip("percentile", 4, 15, 3)
    with pytest.raises(UsageError, match="not finite"):
        h.add(torch.tensor([[float("nan")]]))
    for pair in ((0, 8), (9, 8), (4, 1), (4, 9), (True, 8), (4.0, 8)):
        with pytest.raises(UsageError, match=r"bits; [12] to 8 are possible"):
            check_bits("layer", *pair)
    check_bits("layer", np.int64(1), 2)
