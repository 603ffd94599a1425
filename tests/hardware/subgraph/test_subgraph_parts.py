"""Configurations as JSON, packing arithmetic, resource anchors, the fused closed form, the default estimate."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from subgraph_nets import toy

from cofront import device, registry
from cofront.errors import InputError, UsageError
from cofront.hardware.subgraph import SUBGRAPH, Config, KernelConfig, area, coefficients, cost, estimate, resources
from cofront.hardware.subgraph.coefficients import describe
from cofront.hardware.subgraph.config import ABSENT
from cofront.hardware.subgraph.engines import engine
from cofront.hardware.subgraph.grid import GRIDS, grid
from cofront.hardware.subgraph.late import late_rows
from cofront.hardware.subgraph.packing import PAIRS, PORTS, SHARED
from cofront.hardware.subgraph.recurrence import PixelKernel, fused_cycles
from cofront.hardware.subgraph.roofline import breakdown, roofline
from cofront.hardware.subgraph.scalar import kernel_resources
from cofront.hardware.subgraph.tables import network_problem
from cofront.network import Builder, zoo
from cofront.space.base import PRECISIONS

ZU3EG = device.load("zu3eg")
CONV = KernelConfig(16, 16, 1, 1, 1024, 1, 0, 1280, 1280)
DW = KernelConfig(1, 16, 9, 0, 512, 3, 10752, 0, 960)
PLAIN = Config("E88", CONV, DW, CONV, 250e6)


def test_config_round_trip() -> None:
    assert Config.from_json(PLAIN.to_json()) == PLAIN
    assert str(PLAIN) == "E88 at 250 MHz: conv 16x16x1 on DSP, dw 1x16x9 on LUT, pw 16x16x1 on DSP"
    assert "dw none" in str(Config("E88", CONV, ABSENT, CONV, 250e6))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "E99"}, "engine must be one of E88, E48, E44, DUAL, got 'E99'"),
        ({"clock_hz": "fast"}, "clock_hz must be a positive number"),
        ({"clock_hz": float("nan")}, "clock_hz must be a positive number"),
        ({"conv": 3}, "kernel 'conv' must be an object, got int"),
        ({"more": 1}, "accelerator: unknown more"),
        ({"pw": {"pi": 3}}, "kernel 'pw': po, taps, dsp.* missing"),
        ({"conv": {**PLAIN.to_dict()["conv"], "pi": -1}}, "kernel 'conv': pi must be a whole number of 0 to"),
        ({"conv": {**PLAIN.to_dict()["conv"], "pi": 2.0}}, "kernel 'conv': pi must be a whole number"),
        ({"conv": {**PLAIN.to_dict()["conv"], "pi": 0}}, "kernel 'conv': pi must be at least 1"),
        ({"conv": {**PLAIN.to_dict()["conv"], "po": 0}}, "kernel 'conv': po = 0 means absent"),
        ({"conv": {**PLAIN.to_dict()["conv"], "dsp": 2}}, "dsp is 1 .* or 0 .* got 2"),
        ({"conv": {**PLAIN.to_dict()["conv"], "pi": 1 << 24}}, "multipliers is beyond any device"),
        ({"conv": {**PLAIN.to_dict()["conv"], "weight_depth": 1}}, "weight_depth must be at least 2 words"),
        ({"pw": {**PLAIN.to_dict()["pw"], "taps": 3}}, "kernel 'pw': taps and rows must be 1"),
        ({"dw": {**PLAIN.to_dict()["dw"], "pi": 3}}, "kernel 'dw': pi must be 1"),
    ],
)
def test_bad_configs(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Config.from_dict({**PLAIN.to_dict(), **change})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from([*PLAIN.to_dict(), "pi", "po"]), x, max_size=6),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(JSON, st.sampled_from([None, *PLAIN.to_dict()]))
def test_any_json_is_read_or_refused(data: Any, key: str | None) -> None:
    whole = data if key is None else {**PLAIN.to_dict(), key: data}
    with contextlib.suppress(InputError):
        assert Config.from_dict(whole).to_dict() == whole


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(InputError, match="accelerator"):
        Config.from_json(text)


def operands(bits: int, low: int = 0) -> np.ndarray:
    """All values of an operand from `low` on; of 8 bits the extremes and some others."""
    if bits < 8:
        return np.arange(low, low + (1 << bits))
    return np.array([0, 1, 2, 3, 85, 127, 128, 170, 254, 255]) + low


def every(*axes: np.ndarray) -> list[np.ndarray]:
    return [a.reshape(-1) for a in np.meshgrid(*axes, indexing="ij")]


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("kind", "key"), sorted(SHARED))
def test_shared_packing_is_exact_and_fits_the_ports(kind: str, key: str, signed: bool) -> None:
    """All weights against all activations (8 x 8: all weight pairs, the extreme and some other activations)."""
    p = SHARED[kind, key]
    assert all(need <= port for need, port in zip(p.operand_bits, PORTS[kind], strict=True))
    assert coefficients.load().products(kind, key) == p.count
    weights = np.arange(p.least_weight, 1 << (p.weight_bits - 1))
    acts = operands(p.act_bits, -(1 << (p.act_bits - 1)) if signed else 0)
    *w, x = every(*[weights] * p.count, acts)
    rows = np.stack(w, axis=1)
    assert np.array_equal(p.multiply(rows, x), rows * x[:, None])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("kind", "key"), sorted(PAIRS))
def test_own_packing_is_exact_and_fits_the_ports(kind: str, key: str, signed: bool) -> None:
    p = PAIRS[kind, key]
    ports = PORTS[kind] if p.operand_bits[0] > p.operand_bits[1] else PORTS[kind][::-1]
    if p.operand_bits[0] == p.operand_bits[1]:
        assert max(p.operand_bits) <= min(PORTS[kind])
    assert all(need <= port for need, port in zip(p.operand_bits, ports, strict=True))
    assert coefficients.load().products(kind, key, own=True) == 2
    weights = np.arange(-(1 << (p.weight_bits - 1)), 1 << (p.weight_bits - 1))
    acts = operands(p.act_bits, -(1 << (p.act_bits - 1)) if signed else 0)
    w0, w1, x0, x1 = every(weights, weights, acts, acts)
    w, x = np.stack([w0, w1], axis=1), np.stack([x0, x1], axis=1)
    assert np.array_equal(p.multiply(w, x), w * x)


def test_what_has_no_pair_counts_one_product() -> None:
    for kind in PORTS:
        for key in ("88", "48", "44"):
            assert coefficients.load().products(kind, key, own=True) == (2 if (kind, key) in PAIRS else 1)


def test_8_bit_weights_18_bits_apart_do_not_fit_25_bits() -> None:
    assert SHARED["DSP48E2", "88"].operand_bits[0] == 27 > PORTS["DSP48E1"][0]


@pytest.mark.parametrize(
    ("engine", "kernel", "size", "dsp"),
    [
        ("E88", "pw", (4, 4, 1), 4 * 2 + 4),
        ("E88", "pw", (4, 5, 1), 4 * 3 + 5),  # the fifth channel shares with no one
        ("E44", "pw", (4, 5, 1), 4 * 2 + 5),
        ("E44", "conv", (2, 8, 3), 2 * 3 * 2 + 8),
        ("E88", "dw", (1, 4, 9), 36 + 4),  # depthwise 8 x 8 products share nothing
        ("E44", "dw", (1, 5, 9), 23 + 5),
        ("DUAL", "dw", (1, 4, 9), 36 + 8),
    ],
)
def test_dsp_by_hand(engine: str, kernel: str, size: tuple[int, int, int], dsp: int) -> None:
    k = KernelConfig(*size, 1, 512, 1, 0, 64, 32)
    assert kernel_resources(kernel, k, replace(PLAIN, engine=engine), ZU3EG, coefficients.load())["dsp"] == dsp


def test_every_constant_has_a_source_and_a_confidence() -> None:
    rows = describe()
    assert len(rows) > 20
    for row in rows:
        assert row["source"]
        assert row["confidence"] in {"measured", "derived", "low", "estimate"}


@pytest.mark.parametrize(
    ("bits", "words", "blocks"),
    [
        (72, 512, 1), (73, 512, 2), (36, 1024, 1), (37, 1024, 2), (18, 2048, 1), (9, 4096, 1), (1, 513, 1),
        (288, 512, 4), (128, 1024, 4),
        (256, 1024, 8),  # fifteen halves of 18 bits
        (100, 1024, 3),  # not two deep and two wide
        (36, 1536, 2),
    ],
)  # fmt: skip
def test_block_rams_by_hand(bits: int, words: int, blocks: int) -> None:
    assert area.bram36(bits, words) == blocks
    assert list(area.bram36(np.array([bits, 72]), np.array([words, 512]))) == [blocks, 1]


def test_bram_by_hand() -> None:
    """16 x 16 at 8 bits: 2048 bits of 1024 words; constants of 768 bits; two pixels of 128 bits."""
    used = kernel_resources("pw", CONV, PLAIN, ZU3EG, coefficients.load())
    assert used["bram36"] == 57 + 11 + 2
    used = kernel_resources("dw", DW, PLAIN, ZU3EG, coefficients.load())
    assert used["bram36"] == 16 + 11 + 3 * 4  # 144 x 8 bits; constants; rows of 128 bits, 1024 words each


def _tree(bits: int, terms: int) -> tuple[int, int]:
    """LUTs and registers of a tree of fan-in 4, group by group: 1, 2, 4 LUTs a bit for 2, 3, 4 terms."""
    adders = registers = 0
    sizes, reach = [1] * terms, 1
    while len(sizes) > 1:
        groups = [sizes[i : i + 4] for i in range(0, len(sizes), 4)]
        adders += sum((0, 0, 1, 2, 4)[len(g)] for g in groups) * (bits + (reach - 1).bit_length())
        reach = min(4 * reach, terms)
        registers += len(groups) * (bits + (reach - 1).bit_length())
        sizes = [sum(g) for g in groups]
    return adders, registers


def test_trees_by_their_levels() -> None:
    terms = np.arange(1, 200)
    adders, registers = area.tree(16, terms)
    for t in terms:
        assert (int(adders[t - 1]), int(registers[t - 1])) == area.tree(16, int(t)) == _tree(16, int(t))


def test_more_of_anything_takes_more_logic() -> None:
    co = coefficients.load()
    for name, k in (("conv", CONV), ("dw", DW), ("pw", CONV)):
        used = kernel_resources(name, replace(k, dsp=1), PLAIN, ZU3EG, co)
        for larger in (replace(k, dsp=1, po=2 * k.po), replace(k, dsp=0)):
            assert kernel_resources(name, larger, PLAIN, ZU3EG, co)["lut"] > used["lut"]


def test_what_lies_outside_the_fitted_designs_is_said() -> None:
    inside = {"conv": vars(PLAIN.conv), "dw": vars(PLAIN.dw), "pw": vars(replace(PLAIN.pw, pi=2, po=8))}
    assert not any("pw" in line for line in coefficients.outside_range(inside, 128))
    huge = {**inside, "pw": vars(replace(PLAIN.pw, pi=96, po=96))}
    assert any(line.startswith("pw with multipliers 9216") for line in coefficients.outside_range(huge, 128))
    assert "a memory port of 512 bits" in coefficients.outside_range(inside, 512)
    found = estimate(toy(), ZU3EG, config=replace(PLAIN, pw=replace(PLAIN.pw, pi=96, po=96)))
    assert any("extrapolated" in note for note in found.notes)


def test_fused_form_against_pixel_recurrence() -> None:
    """Never above the simulated pipeline, and close to it: the plain [HAO21] maximum is much farther."""
    rng = np.random.default_rng(3)
    co = coefficients.load()
    closed, plain = [], []
    big = 1 << 20
    for _ in range(150):
        size, k, stride = int(rng.choice([7, 14, 28, 56])), int(rng.choice([3, 5, 7])), int(rng.choice([1, 2]))
        i, e, o = (int(rng.choice([16, 24, 40, 96])), int(rng.choice([72, 144, 240])), int(rng.choice([24, 40, 112])))
        pi, po, pc, qi, qo = (int(rng.choice([4, 8, 12, 16, 24, 32])) for _ in range(5))
        taps = int(rng.choice([1, 3, 9, 25]))
        b = Builder("x", (i, size, size))
        b.block = "x"
        b.conv(e, 1)
        b.depthwise(k, stride)
        b.conv(o, 1)
        config = Config(
            "E88",
            KernelConfig(pi, po, 1, 1, big, 1, 0, big, big),
            KernelConfig(1, pc, taps, 1, big, k, big, 0, big),
            KernelConfig(qi, qo, 1, 1, big, 1, 0, big, big),
            250e6,
        )
        fast = ZU3EG.with_budget(bandwidth_bytes_per_s=1e15)
        call = cost(b.build().uniform_bits(8, 8), config, fast).calls[0]

        def up(a: int, b: int) -> int:
            return -(-a // b)

        out = (size + 2 * (k // 2) - k) // stride + 1
        columns = up(k * max(k, taps), taps) if taps <= k else up(k * k, taps) + stride - 1
        works = (up(i, pi) * up(e, po), up(e, pc) * columns, up(e, qi) * up(o, qo))

        def through(front: int, terms: int) -> int:
            return front + co.pipeline_cycles + math.ceil(round(math.log(terms, 4), 9))

        exact = fused_cycles(
            [
                PixelKernel(size, size, 1, 1, 0, up(i, pi), works[0], through(1, pi)),
                PixelKernel(
                    size, size, k, stride, k // 2, up(e, pc), works[1], through(3 if taps <= k else 4, taps), k
                ),
                PixelKernel(out, out, 1, 1, 0, up(e, qi), works[2], through(1, qi)),
            ]
        )
        assert call.mode == "fused"
        assert call.cycles - call.overhead_cycles <= exact
        closed.append(1 - (call.cycles - call.overhead_cycles) / exact)
        plain.append(1 - max(size * size * works[0], out * out * works[1], out * out * works[2]) / exact)
    assert np.mean(closed) < 0.02
    assert np.max(closed) < 0.2
    assert np.mean(plain) > 4 * np.mean(closed)


@pytest.mark.parametrize("name", device.names())
def test_default_estimate_fits_every_part(name: str) -> None:
    part = device.load(name)
    answer = estimate(zoo.load("mobilenet_v2"), part)
    assert answer.feasible
    assert "costed at W8A8" in answer.notes[0]
    assert "not optimised" in answer.notes[1]
    again = estimate(zoo.load("mobilenet_v2"), part, answer.config, precision="w8a8")
    assert (again.cycles, again.resources) == (answer.cycles, answer.resources)
    bare = {k: v for k, v in answer.config.items() if k != "clock_hz"}
    slow = estimate(zoo.load("mobilenet_v2"), part, bare, clock_hz=part.clock_hz / 2)
    assert slow.clock_hz == part.clock_hz / 2
    assert answer.latency_s < slow.latency_s <= 2 * answer.latency_s
    assert json.loads(json.dumps(answer.to_dict()))["cycles"] == answer.cycles


def test_the_default_accelerator_runs_the_network_if_a_smaller_one_does() -> None:
    b = Builder("wide", (512, 7, 7))
    b.conv(512, 3)
    answer = estimate(
        b.build(), ZU3EG.with_budget(bram36=60)
    )  # weight memories of the largest that fits are too shallow
    assert answer.feasible
    assert (answer.config["conv"]["pi"], answer.config["conv"]["po"]) == (12, 12)


def test_pools_with_overlapping_windows_are_noted() -> None:
    b = Builder("pools", (16, 12, 12))
    b.conv(16, 3)
    b.pool("max", 3, 2, name="over")
    b.conv(16, 3)
    b.pool("max", 2, 2, name="beside")
    b.pool("avg", 2, 1, name="whole")  # one window is the whole map: a sum
    notes = estimate(b.build(), ZU3EG).notes
    assert any("overlapping windows of over hold" in note for note in notes)


def test_a_memory_too_slow_to_count_is_refused() -> None:
    with pytest.raises(InputError, match=r"a memory of 1000 bytes per second is too slow .* at least \d+"):
        estimate(toy(), ZU3EG.with_budget(bandwidth_bytes_per_s=1000.0))
    slow, fast = (estimate(toy(), ZU3EG.with_budget(bandwidth_bytes_per_s=b)).latency_s for b in (1e6, 1e7))
    assert slow > 5 * fast


def test_a_part_too_small_is_a_result() -> None:
    answer = estimate(zoo.load("mobilenet_v2"), ZU3EG.with_budget(dsp=1, bram36=2))
    assert not answer.feasible
    assert {i.limit for i in answer.infeasible} >= {"dsp", "bram36"}
    assert "dsp needed, 1 dsp available" in str(answer.infeasible[0])


def test_estimate_refuses_nonsense() -> None:
    with pytest.raises(UsageError, match="precision W9A9 is not supported"):
        estimate(toy(), ZU3EG, precision="W9A9")
    with pytest.raises(UsageError, match="at most 645 MHz"):
        estimate(toy(), ZU3EG, clock_hz=1e12)
    with pytest.raises(InputError, match="expected an object"):
        estimate(toy(), ZU3EG, config=[])  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no grid named 'fin'; did you mean fine"):
        grid("fin")


def test_narrow_precisions_take_narrow_engines() -> None:
    for precision, name in (("W8A8", "E88"), ("W4A8", "E48"), ("W4A4", "E44")):
        assert estimate(toy(), ZU3EG, precision=precision).config["engine"] == name


def test_grids_are_as_large_as_stated() -> None:
    """Configurations that fit ZU3EG by themselves, for MobileNetV2 at W4A4: every engine serves it."""
    net = zoo.load("mobilenet_v2").uniform_bits(4, 4)
    assert network_problem(net, ZU3EG, "coarse").n_accelerators() >= 10**7
    assert network_problem(net, ZU3EG, "fine").n_accelerators() >= 10**10
    assert {"coarse", "fine"} <= set(GRIDS)  # other tests may register grids of their own


def test_resources_add_up() -> None:
    parts = [kernel_resources(n, PLAIN.kernel(n), PLAIN, ZU3EG, coefficients.load()) for n in ("conv", "dw", "pw")]
    base = coefficients.load().base(128)
    assert list(resources(PLAIN, ZU3EG).values()) == [
        b + sum(p[r] for p in parts) for b, r in zip(base, ("dsp", "lut", "ff", "bram36"), strict=True)
    ]


def test_registered() -> None:
    assert registry.load("accelerator", "subgraph") is SUBGRAPH
    assert SUBGRAPH.estimate(toy(), ZU3EG).cycles == estimate(toy(), ZU3EG).cycles


def test_the_estimate_path_loads_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from cofront.hardware.subgraph import estimate\n"
        "from cofront import device\n"
        "from cofront.network import zoo\n"
        "estimate(zoo.load('mobilenet_v2'), device.load('zu3eg'))\n"
        "heavy = {'torch', 'numba', 'scipy', 'ortools', 'onnx', 'sklearn', 'pyarrow', 'plotly', 'pymoo'}\n"
        "print(', '.join(sorted(heavy & set(sys.modules))), end='')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_roofline_of_a_balanced_call_counts_all_its_multipliers() -> None:
    """56 x 56, 32 -> 192 -> 32: each kernel busy about 40 steps per pixel; together they exceed any one's peak."""
    config = Config(
        "E88",
        KernelConfig(4, 39, 1, 1, 1 << 14, 1, 0, 192, 192),
        KernelConfig(1, 5, 9, 1, 1 << 14, 3, 56 * 192, 0, 192),
        KernelConfig(39, 4, 1, 1, 1 << 14, 1, 0, 192, 192),
        250e6,
    )
    answer = cost(toy(), config, ZU3EG)
    (point,) = roofline(answer, ZU3EG)
    assert point.peak_macs_per_s == (156 + 45 + 156) * 250e6
    assert 156 * 250e6 < 0.9 * point.peak_macs_per_s < point.attained_macs_per_s <= point.ceiling_macs_per_s
    assert point.intensity == toy().macs / answer.calls[0].bytes_moved
    rows = breakdown(answer)
    assert [r.kernel for r in rows] == ["conv", "dw", "pw"]
    assert all(0.9 < r.utilisation <= 1 for r in rows)


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("E88", {"W8A8", "W4A8", "W4A4"}),
        ("DUAL", {"W8A8", "W4A8", "W4A4"}),
        ("E48", {"W4A8", "W4A4"}),
        ("E44", {"W4A4"}),
    ],
)
def test_engines_serve_what_they_say(name: str, served: set[str]) -> None:
    assert {p for p, bits in PRECISIONS.items() if engine(name).supports(*bits)} == served
    assert engine(name).factor(4, 4) == (2 if name == "DUAL" else 1)
    assert engine(name).factor(4, 8) == 1


def test_rows_that_come_late_by_walking_through_the_window() -> None:
    """Against a writer that takes a pixel's place only when no window needs it any more, pixel by pixel."""
    width = 12
    for kernel, stride, padding, height, held in itertools.product((3, 5), (1, 2), (1, 2), (6, 9, 16), (3, 5, 6)):
        if held < kernel or padding > kernel // 2:
            continue
        rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in (height, width))
        expected = [False]
        written = 0  # pixels, in order
        for y in range(1, rows):
            top, left = (
                (y - 1) * stride - padding,
                (columns - 1) * stride - padding,
            )  # the last window of the row before
            while written < height * width:
                over, at = written // width - held, written % width
                if over >= 0 and (over > top or (over == top and at >= left)):
                    break
                written += 1
            needed = min(y * stride - padding + kernel - 1, height - 1)
            expected.append(written < needed * width + kernel - padding)
        assert late_rows(rows, height, kernel, stride, padding, held) == expected
