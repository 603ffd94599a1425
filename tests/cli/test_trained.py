"""The MODEL argument: a trained network from whatever names one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cofront.api.trained import load_trained
from cofront.errors import CofrontError, InputError, UsageError
from cofront.network import Builder
from cofront.network import weights as files
from cofront.network.onnx_io import to_onnx

torch = pytest.importorskip("torch")

MODULE = """
import torch

def net():
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 5),
    )

def broken():
    raise OSError("no such weights")

number = 3
"""


def small() -> Builder:
    b = Builder("small", (3, 8, 8))
    b.conv(4, 3, act="relu")
    b.classifier(5)
    return b


def test_an_onnx_file_has_its_weights_inside(tmp_path: Path) -> None:
    network = small().build()
    values = files.random_weights(network, np.random.default_rng(0))
    (tmp_path / "net.onnx").write_bytes(to_onnx(network, values).SerializeToString())
    found = load_trained(str(tmp_path / "net.onnx"))
    assert not found.has_bits and [n.name for n in found.network.layers] == [n.name for n in network.layers]
    assert all(np.array_equal(found.weights[k], v) for k, v in values.items())
    with pytest.raises(UsageError, match="has its own"):
        load_trained(str(tmp_path / "net.onnx"), weights=tmp_path / "other.safetensors")


def test_of_several_outputs_it_says_what_can_be_done(tmp_path: Path) -> None:
    net = small().build()
    model = to_onnx(net, files.random_weights(net, np.random.default_rng(0)))
    model.graph.output.add().CopyFrom(model.graph.output[0])
    model.graph.output[1].name = model.graph.node[0].output[0]
    (tmp_path / "two.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CofrontError, match=r"has 2 outputs \(.*\); expected one: export .*extract_model"):
        load_trained(str(tmp_path / "two.onnx"))


def test_a_module_is_called_and_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_nets_of_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    found = load_trained("my_nets_of_test:net", input_shape=(3, 8, 8))
    assert found.network.shapes[found.network.output.name] == (5,) and found.label == "my_nets_of_test:net"
    for source, text in (
        ("my_nets_of_test:broken", "cannot be called: OSError: no such weights"),
        ("my_nets_of_test:nothing", "cannot be called: AttributeError"),
        ("no_such_module_of_test:net", "cannot be called: ModuleNotFoundError"),
    ):
        with pytest.raises(InputError, match=text):
            load_trained(source, input_shape=(3, 8, 8))
    with pytest.raises(UsageError, match=r"gives int; expected a torch\.nn\.Module"):
        load_trained("my_nets_of_test:number", input_shape=(3, 8, 8))
    with pytest.raises(UsageError, match="--input-shape 3x32x32"):
        load_trained("my_nets_of_test:net")


def test_published_networks_need_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="without trained weights: give --weights"):
        load_trained("mobilenet_v2")
    from cofront.network import zoo

    network = zoo.load("mobilenet_v2", resolution=32)
    values = files.random_weights(network, np.random.default_rng(0))
    files.save(tmp_path / "w.safetensors", values)
    found = load_trained("mobilenet_v2", weights=tmp_path / "w.safetensors", input_shape=(3, 32, 32))
    assert not found.has_bits and set(found.weights) == set(values)
    files.save(tmp_path / "few.safetensors", dict(list(values.items())[1:]))
    with pytest.raises(CofrontError, match="missing"):
        load_trained("mobilenet_v2", weights=tmp_path / "few.safetensors")


def test_a_normalisation_moves_into_the_first_layer(tmp_path: Path) -> None:
    from cofront.api.trained import Normalisation
    from cofront.network.pytorch import to_torch

    b = Builder("plain", (3, 8, 8))
    b.conv(4, 3, act="relu", padding=0, norm=False, bias=False)
    b.classifier(5)
    network = b.build()
    values = files.random_weights(network, np.random.default_rng(0))
    (tmp_path / "net.onnx").write_bytes(to_onnx(network, values).SerializeToString())
    how = Normalisation((0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    found = load_trained(str(tmp_path / "net.onnx"), normalised=how)
    pixels = np.random.default_rng(1).integers(0, 256, (6, 3, 8, 8)).astype(np.float32)
    own = (pixels / 255 - np.array(how.mean)[:, None, None]) / np.array(how.std)[:, None, None]
    with torch.inference_mode():
        wanted = to_torch(network, values).eval()(torch.from_numpy(own.astype(np.float32)))
        got = to_torch(found.network, found.weights).eval()(torch.from_numpy((pixels - 128) / 64))
    assert torch.allclose(wanted, got, atol=1e-4) and "moved into the first layer" in found.notes[-1]
    one = load_trained(str(tmp_path / "net.onnx"), normalised=Normalisation((0.5,), (0.25,)))
    assert not np.allclose(one.weights["conv2d_0.weight"], found.weights["conv2d_0.weight"])
    with pytest.raises(CofrontError, match="--mean expects one number, or one for each of 3 channels, got 2"):
        load_trained(str(tmp_path / "net.onnx"), normalised=Normalisation((0.5, 0.5), (0.2, 0.2)))
    with pytest.raises(UsageError, match="above 0"):
        Normalisation((0.5,), (0.0,))
