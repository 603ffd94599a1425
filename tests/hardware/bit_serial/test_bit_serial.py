"""Bit-serial engines: cycles by hand, tables that add up to estimates, HAQ's own table to the printed digits."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cofront import registry
from cofront.device import load
from cofront.errors import InputError, UsageError
from cofront.hardware.bit_serial import (
    CHIP,
    CLOUD,
    EDGE,
    SPATIAL,
    TEMPORAL,
    Chip,
    HaqTable,
    cloud,
    edge,
    read_haq_table,
    spatial,
    temporal,
)
from cofront.hardware.bit_serial.haq_table import read_policies
from cofront.hardware.bit_serial.units import unit
from cofront.hardware.bit_serial.work import Columns, Work
from cofront.network import Builder, Network
from cofront.network.zoo import load as network_of

DATA = Path(os.environ.get("COFRONT_DATA", Path(__file__).parents[4] / "shared" / "data"))
needs_table = pytest.mark.skipif(
    not (DATA / "haq_mobilenetv2_latency.npy").is_file(), reason="haq_mobilenetv2_latency.npy is not at hand"
)


def small(bits: dict[str, tuple[int, int]] | None = None) -> Network:
    b = Builder("small", (8, 10, 10))
    b.conv(20, 3, act="relu", name="full")
    b.depthwise(3, act="relu", name="dw")
    b.classifier(6, name="head")
    network = b.build()
    if bits is None:
        return network.uniform_bits(8, 8)
    return Network(network.name, tuple(_with(n, bits) for n in network.nodes))


def _with(node, bits):
    return replace(node, weight_bits=bits[node.name][0], in_bits=bits[node.name][1]) if node.name in bits else node


def test_binary_cycles_by_hand():
    full = Work(1, 20, 72, 100, 4, 3, 1440, 800, 2000)
    depthwise = Work(20, 1, 9, 100, 4, 3, 180, 2000, 2000)
    c = Columns.of([full, depthwise])
    config = temporal.Config(8, 64, 8)
    # 3 tiles of rows, 2 of dot products, 13 of columns; depthwise: 7 groups of 9 taps in 64 bits, 3 turns of 13
    assert temporal.tiles(c, config).tolist() == [3 * 2 * 13, 3 * 13]
    busy, _ = temporal.stages(c, np.array([4, 4]), np.array([3, 3]), config, 128.0)
    assert busy.tolist() == [78 * 12, 39 * 12]
    _, memory = temporal.stages(c, np.array([4, 4]), np.array([3, 3]), config, 128.0)
    assert memory.tolist() == [-(-(1440 * 4 + 800 * 3 + 2000 * 8) // 128), -(-(180 * 4 + 2000 * 3 + 2000 * 8) // 128)]


def test_bricks_by_hand():
    assert spatial.fused(np.array([1, 2, 3, 4, 5, 8, 9])).tolist() == [2, 2, 4, 4, 8, 8, 16]
    per, cycles = spatial.products(np.array([2, 3, 8, 16]), np.array([2, 8, 8, 16]))
    assert (per.tolist(), cycles.tolist()) == ([16, 2, 1, 1], [1, 1, 1, 4])
    c = Columns.of([Work(1, 20, 72, 100, 4, 4, 1440, 800, 2000)])
    busy, _ = spatial.stages(c, np.array([4]), np.array([4]), spatial.Config(4, 8), 128.0)
    assert busy.tolist() == [3 * 5 * 100]  # 20 outputs in 8 columns, 72 products in 4 rows of 4 products


@pytest.mark.parametrize(
    ("family", "device", "config"), [(TEMPORAL, edge(), EDGE), (TEMPORAL, cloud(), CLOUD), (SPATIAL, Chip(), CHIP)]
)
def test_a_table_adds_up_to_estimates(family, device, config):
    rng = np.random.default_rng(0)
    table = family.table(small(), device, config)
    assert table.latency_s.shape == table.energy_j.shape == (3, 8, 8)
    for _ in range(20):
        bits = rng.integers(1, 9, (3, 2))
        network = small({name: tuple(b) for name, b in zip(table.layers, bits.tolist(), strict=True)})
        cost = family.estimate(network, device, config)
        chosen = np.arange(3), bits[:, 0] - 1, bits[:, 1] - 1
        assert cost.latency_s == pytest.approx(table.latency_s[chosen].sum() + table.other_s)
        assert cost.energy_j == pytest.approx(table.energy_j[chosen].sum() + table.other_j)
    for axis in (1, 2):
        assert np.all(np.diff(table.latency_s, axis=axis) >= 0)
        assert np.all(np.diff(table.energy_j, axis=axis) >= 0)


def test_presets_fit_and_are_registered():
    assert all(EDGE.resources[r] <= edge().budget[r] for r in EDGE.resources)
    assert all(CLOUD.resources[r] <= cloud().budget[r] for r in CLOUD.resources)
    assert cloud().bram36 == 2160
    assert registry.load("accelerator", "bit_serial") is TEMPORAL
    assert registry.load("accelerator", "bit_fusion") is SPATIAL
    table = TEMPORAL.table(network_of("mobilenetv2"), edge(), EDGE)
    assert table.latency_s.shape == (53, 8, 8)
    # a product of w by a bits takes w * a turns where computing binds
    assert table.latency_s[2, 7, 7] == pytest.approx(4 * table.latency_s[2, 3, 7] / 2, rel=0.02)


def test_energy_is_its_parts():
    work = Work(1, 8, 64, 8, 2, 2, 512, 64, 64)
    c = Columns.of([work])
    config = temporal.Config(8, 64, 8)
    expected = 8 * 64 * 8 * 4 * unit("bismo", "binary_mac_pj") + (512 * 2 + 64 * 2 + 64 * 8) / 8 * unit(
        "memory", "dram_pj_per_byte"
    )
    assert temporal.energy_pj(c, np.array([2]), np.array([2]), config)[0] == pytest.approx(expected)


def test_wrong_devices_and_figures_are_refused():
    with pytest.raises(UsageError, match="'bit_fusion' does not run on 'zu3eg': it counts units, buffer_bytes"):
        SPATIAL.estimate(small(), load("zu3eg"))
    with pytest.raises(UsageError, match="'bit_serial' does not run on 'bit-fusion'"):
        TEMPORAL.estimate(small(), Chip())
    with pytest.raises(InputError, match="chip: clock_hz must be above 0"):
        Chip(clock_hz=0)
    with pytest.raises(InputError, match=r"chip: units must be a whole number, got 1\.5"):
        Chip(units=1.5)
    with pytest.raises(InputError, match=r"chip: buffer_bytes must be a whole number, got 256\.0"):
        Chip().with_budget(buffer_bytes=256.0)
    with pytest.raises(UsageError, match="no resource of chip 'bit-fusion' named 'x'; known: buffer_bytes, units"):
        Chip().with_budget(x=1)
    assert Chip(units=0, bandwidth_bytes_per_s=0.5).budget["units"] == 0  # what is no resource need not be whole
    with pytest.raises(InputError, match="d_k must be a whole number of 1 to"):
        temporal.Config(8, 0, 8)
    with pytest.raises(UsageError, match="no configuration of accelerator 'bit_fusion' fits"):
        SPATIAL.estimate(small(), Chip(units=1))


@needs_table
def test_haqs_table_has_the_printed_figures():
    table = read_haq_table(DATA / "haq_mobilenetv2_latency.npy")
    assert table.base == 39_624_933
    printed = {1: 0.0867, 2: 0.1783, 4: 0.3966, 5: 0.5279, 6: 0.6726, 7: 0.8300}
    assert {b: round(table.uniform(b), 4) for b in printed} == printed
    t = table.cycles
    assert np.all(np.diff(t, axis=1) >= 0) and np.all(np.diff(t, axis=2) >= 0)
    assert np.ptp(t[1, :, 4]) / t[1, 0, 4] < 1e-3 and np.ptp(t[52, 3, :]) / t[52, 3, 0] < 1e-3
    w = np.arange(3, 9)
    assert np.allclose(t[3, 2:, 7] / (w * 8), t[3, 7, 7] / 64, rtol=0.01)


@needs_table
def test_haqs_published_policy_has_the_printed_ratio():
    table = read_haq_table(DATA / "haq_mobilenetv2_latency.npy")
    policies = read_policies(DATA / "haq_published_policies.json")
    policy = policies["linear_mobilenetv2_ratio0.6"]
    assert round(float(table.ratio(policy)[0]), 4) == 0.5914
    assert round(float(table.ratio(policy, quirk=False)[0]), 4) == 0.5965
    assert round(policy[:, 0].mean(), 2) == 5.70
    assert round(np.where(policy[:, 1] < 0, 8, policy[:, 1])[1:].mean(), 2) == 6.31
    assert policies["kmeans_resnet50_ratio0.1"].shape == (54,)


def test_haq_tables_from_outside_are_checked(tmp_path):
    with pytest.raises(InputError, match=r"expected positive whole numbers of shape \(layers, 8, 8\), got \(2, 8\)"):
        HaqTable(np.ones((2, 8), np.int64))
    table = HaqTable(np.ones((2, 8, 8), np.int64))
    with pytest.raises(InputError, match=r"expected policies of shape \(2, 2\), got \(3, 2\)"):
        table.cost(np.ones((3, 2)))
    with pytest.raises(InputError, match="bits are 1 to 8, or -1"):
        table.cost([[9, 8], [8, 8]])
    bad = tmp_path / "t.npy"
    bad.write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not a HAQ latency table"):
        read_haq_table(bad)
    with pytest.raises(InputError, match="does not hold HAQ policies"):
        read_policies(bad)
