"""EH-DNAS: labels against the accelerators' own costs, tables, the derivation of cells, a search on a small network."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cofront.device import load as load_device
from cofront.errors import UsageError
from cofront.hardware.e2e import GENERIC, pipeline
from cofront.search.gradient.throughput import Training, fit_throughput
from cofront.space.darts import DARTS_V2, Darts, encode
from cofront.systems.claims import claims_table
from cofront.systems.eh_dnas import (
    PAPER,
    CellLayers,
    Labeller,
    claims,
    judge,
    label,
    search,
    stand_in,
    tables,
)

torch.set_num_threads(1)
QUICK = Training(epochs=8, rate=3e-3, decay=0.0, dropout=0.0, cosine=True)


@pytest.fixture(scope="module")
def labeller():
    return Labeller.of(Darts(channels=16, cells=8))


@pytest.fixture(scope="module")
def device():
    return load_device("zu9eg")


@pytest.fixture(scope="module")
def made(labeller, device):
    layers = CellLayers.of_choices(labeller.space)
    labels = {p: label(labeller, p, device, (4000, 500, 500)) for p in ("generic", "pipeline")}
    costs = {p: fit_throughput(layers, l.train, l.valid, p, training=QUICK)[0] for p, l in labels.items()}
    return layers, labels, costs


def test_labels_are_what_the_networks_cost(labeller, device):
    codes = labeller.space.sample(np.random.default_rng(3), 8)
    counts = labeller.counts(codes)
    generic, pipelined = (labeller.images_per_s(codes, p, device) for p in ("generic", "pipeline"))
    for i, code in enumerate(codes):
        network = labeller.space.network(code)
        assert counts[i] @ [w.macs for w in labeller.works] == network.macs
        assert generic[i] == pytest.approx(GENERIC.estimate(network, device).fps)
        assert pipelined[i] == pytest.approx(pipeline(network, device.dsp).images_per_s(device.clock_hz))
    assert labeller.edge_macs[:, 0].sum() == 0 and labeller.edge_macs[:, 5].min() > 0
    with pytest.raises(UsageError, match="no paradigm named 'pipelin'; did you mean pipeline"):
        labeller.images_per_s(codes, "pipelin", device)


def test_parts_share_no_code(made):
    _, labels, _ = made
    for found in labels.values():
        parts = [codes for codes, _ in (found.train, found.valid, found.test)]
        assert [len(p) for p in parts] == [4000, 500, 500]
        assert len(np.unique(np.concatenate(parts), axis=0)) == 5000


def test_a_shared_array_adds_up_and_a_pipeline_does_not(made):
    layers, labels, _ = made
    generic, pipelined = (tables(layers, labels[p]) for p in ("generic", "pipeline"))
    assert generic["seconds"].relative < 1e-3 < 5e-3 < generic["throughput"].relative
    assert pipelined["seconds"].relative > 0.01 and pipelined["throughput"].relative > 0.01


def test_a_short_training_is_near_enough(made, labeller, device):
    _, labels, costs = made
    found = [judge(p, labels[p], labeller, device, costs[p], costs[p]) for p in labels]
    for j in found:
        assert j.tuned.relative < 0.06 and j.tuned.spearman > 0.9
        assert j.gradient > 0.9 and j.one_hot_gap < 1e-9
    assert min(found[0].exchanges.values()) > 0.9
    said = claims_table(claims({p: (l, 1.0) for p, l in labels.items()}, found, []))
    assert said.count("\n") == 7 and "their table is exact" in said and "of the better table's error" in said


def test_cells_are_derived_as_darts_does():
    layers = CellLayers.of_choices(Darts())
    scores = np.log(np.full(layers.shape, 1e-3))
    code = encode(DARTS_V2)
    scores[np.flatnonzero(code), code[code > 0]] = 0.0
    scores[:, 0] = 1.0  # "none" is never chosen, however likely
    assert np.array_equal(layers.likely(scores), code)
    scores[9:14, :] = 0.0
    scores[[10, 12, 13], 4] = 1.0, 3.0, 2.0
    assert layers.likely(scores)[9:14].tolist() == [0, 0, 0, 4, 4]


def test_throughput_rises_with_the_rate(made, labeller, device):
    layers, _, costs = made
    task = stand_in(layers, labeller, batches=20)
    recipe = replace(PAPER, epochs=5, arch_rate=0.04)
    found = [search(task, costs["generic"], labeller, "generic", device, r, recipe) for r in (0.0, 0.3)]
    slow, fast = found
    assert slow.macs > fast.macs and fast.images_per_s > 1.3 * slow.images_per_s and fast.loss > slow.loss
    assert np.array_equal(labeller.space.canonical(np.array(fast.code))[0], fast.code)
    said = claims_table(claims({}, [], found))
    assert "rate 0.3" in said and "1.00x" in said
    top = np.array([5 if d else 0 for d in encode(DARTS_V2)])
    assert task.evaluate(top) < task.evaluate(encode(DARTS_V2))


def test_the_schedule_is_the_released_one():
    assert (PAPER.epochs, PAPER.relaxation, PAPER.arch_rate, PAPER.arch_betas) == (25, "softmax", 3e-4, (0.5, 0.999))
    assert PAPER.temperature.at(24) == 1.0 and (PAPER.weight_rate, PAPER.weight_decay) == (0.025, 3e-4)
    assert Training() == Training(30, 1e-4, 0.01, 128, 0.5, False)
