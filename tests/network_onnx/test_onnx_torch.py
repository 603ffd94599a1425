"""Modules exported by torch.onnx.export, by its exporter of today and the one before, are read with equal outputs."""

from __future__ import annotations

import contextlib
import io
import os
import warnings
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx_helpers import close

from cofront.network import Activation, Network
from cofront.network.onnx_io import from_onnx
from cofront.network.reference import run

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, matrices: bool) -> None:
        super().__init__()
        self.matrices = matrices
        self.reduce = nn.Linear(channels, 4) if matrices else nn.Conv2d(channels, 4, 1)
        self.expand = nn.Linear(4, channels) if matrices else nn.Conv2d(4, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(x.mean((2, 3), keepdim=not self.matrices)))))
        return x * (gate.view(x.shape[0], -1, 1, 1) if self.matrices else gate)


class Shuffle(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, h, w = x.shape
        return x.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, c, h, w)


class OwnHardSwish(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * F.relu6(x + 3) / 6


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


class Join(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(channels, channels, 1)
        self.b = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.a(x), self.b(x)], 1)


class Normalise(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 0.4) / torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1)


def block(cin: int, cout: int, k: int = 3, act: Callable[[], nn.Module] = nn.ReLU6, **kw: int) -> list[nn.Module]:
    return [nn.Conv2d(cin, cout, k, padding=k // 2, bias=False, **kw), nn.BatchNorm2d(cout), act()]


MOBILE = [
    Normalise(),
    *block(3, 8, act=nn.Hardswish, stride=2),
    Residual(nn.Sequential(*block(8, 8, groups=8), SqueezeExcite(8, matrices=False), *block(8, 8, 1, nn.Identity))),
    *block(8, 8, act=OwnHardSwish),
    SqueezeExcite(8, matrices=True),
    Shuffle(),
    *block(8, 8, act=nn.SiLU, groups=2),
    nn.Hardsigmoid(),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Dropout(0.2),
    nn.Linear(8, 5),
]
PLAIN = [
    nn.Conv2d(3, 8, 3, padding=(0, 2), dilation=(1, 2)),
    nn.ReLU(),
    nn.BatchNorm2d(8),
    nn.MaxPool2d(3, 2, 1),
    Join(8),
    nn.AvgPool2d(2, 2, ceil_mode=True),
    nn.AvgPool2d(3, 1, 1, count_include_pad=False),
    nn.Flatten(),
    nn.Linear(16 * 4 * 4, 8),
    nn.BatchNorm1d(8),
    nn.Sigmoid(),
    nn.Linear(8, 5),
]


def module(layers: list[nn.Module]) -> nn.Module:
    """The layers with batch statistics that are not the initial ones."""
    torch.manual_seed(0)
    net = nn.Sequential(*layers)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(m.running_mean)
            nn.init.uniform_(m.running_var, 0.5, 2)
            nn.init.uniform_(m.weight, 0.5, 2)
            nn.init.normal_(m.bias)
    return net.eval()


def export(net: nn.Module, x: torch.Tensor, how: str) -> onnx.ModelProto:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if how.startswith("torchscript"):
            file = io.BytesIO()
            train = torch.onnx.TrainingMode.PRESERVE if "raw" in how else torch.onnx.TrainingMode.EVAL
            names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": {"x": {0: "b"}, "y": {0: "b"}}}
            torch.onnx.export(
                net, (x,), file, dynamo=False, training=train, do_constant_folding="raw" not in how, **names
            )
            return onnx.load_model_from_string(file.getvalue())
        shapes = ({0: torch.export.Dim("batch")},) if "dynamic" in how else None
        program = torch.onnx.export(
            net, (x,), dynamo=True, verbose=False, dynamic_shapes=shapes, optimize="raw" not in how
        )
        model: onnx.ModelProto = program.model_proto
        return model


def kinds(network: Network) -> list[str]:
    return [n.op.kind if isinstance(n.op, Activation) else type(n.op).__name__ for n in network.nodes[1:]]


# Exporting takes seconds; COFRONT_ALL=1 runs every combination.
COMBINATIONS = [("mobile", "dynamo dynamic"), ("plain", "torchscript raw")]
if os.environ.get("COFRONT_ALL"):
    HOW = ["dynamo", "dynamo dynamic", "dynamo raw", "torchscript", "torchscript raw"]
    COMBINATIONS = [(which, how) for which in ("mobile", "plain") for how in HOW]


@pytest.mark.parametrize(("which", "how"), COMBINATIONS)
def test_exported_modules(which: str, how: str) -> None:
    net = module(MOBILE if which == "mobile" else PLAIN)
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = net(x).numpy()
    found = from_onnx(export(net, x, how))
    assert close(run(found.network, found.weights, x.numpy()), expected)
    if which == "mobile":
        squeeze = ["GlobalPool", "Conv2d", "relu", "Conv2d", "sigmoid", "Mul"]
        residual = ["Conv2d", "relu6", *squeeze, "Conv2d", "Add"]
        tail = ["ChannelShuffle", "Conv2d", "silu", "hsigmoid", "GlobalPool", "Flatten", "Linear"]
        assert kinds(found.network) == [
            "Conv2d", "Conv2d", "hswish", *residual, "Conv2d", "hswish", *squeeze, *tail
        ]  # fmt: skip
    assert not any(np.isnan(w).any() for w in found.weights.values())
