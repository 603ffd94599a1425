"""A file as Brevitas exports it (`brevitas_model.py` makes it): its bits and its weights' integers are kept."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from brevitas_model import BITS, FILE
from test_onnx_quantised import execute_qonnx

from cofront.network import Conv2d, Linear
from cofront.network.onnx_io import Imported, import_onnx
from cofront.network.reference import run


@pytest.fixture(scope="module")
def found() -> Imported:
    return import_onnx(FILE)


def test_every_layer_keeps_its_bits(found: Imported) -> None:
    layers = [n for n in found.network.nodes if isinstance(n.op, (Conv2d, Linear))]
    assert [(n.weight_bits, n.in_bits) for n in layers] == list(BITS.values())
    assert found.network.input.out_bits == 8


def test_weights_stay_on_the_grids_of_the_file(found: Imported) -> None:
    # Batch norms are folded into the weights, channel by channel, so that each channel has a step of its own.
    for node, (bits, _) in zip(found.network.layers, BITS.values(), strict=True):
        for channel in found.weights[f"{node.name}.weight"]:
            values = np.unique(np.abs(channel[np.abs(channel) > 1e-9]))
            codes = values / values.min()
            step = next(s for s in range(1, 2**bits) if np.abs(codes * s - np.rint(codes * s)).max() < 1e-3)
            assert np.rint(codes * step).max() < 2 ** (bits - 1) + 1


def test_computes_what_the_file_does_but_for_the_rounding_of_activations(
    found: Imported, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = onnx.load(FILE), np.random.default_rng(0).normal(size=(8, 3, 16, 16)).astype(np.float32)
    wanted = np.concatenate([execute_qonnx(model, image[None], monkeypatch) for image in x])
    got = run(found.network, found.weights, x)
    assert np.corrcoef(got.ravel(), wanted.ravel())[0, 1] > 0.98
    assert np.abs(got - wanted).max() < 0.2 * np.ptp(wanted)
    assert any("only their widths are kept" in note for note in found.notes)
