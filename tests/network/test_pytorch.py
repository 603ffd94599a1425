"""To and from PyTorch: outputs, sizes and names survive; what is unsupported is named."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from cofront.errors import InputError, UnsupportedError
from cofront.network import Activation, Builder, ChannelShuffle, Conv2d, GlobalPool, Network, zoo
from cofront.network.reference import run
from cofront.network.weights import random_weights

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from cofront.network.pytorch import fold_batchnorm, from_torch, to_torch  # noqa: E402


def _call(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()


def _close(a: np.ndarray, b: np.ndarray, tolerance: float = 2e-5) -> None:
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


def _imported(module: nn.Module, shape: tuple[int, int, int], name: str = "net") -> Network:
    """Import, and compare the NumPy reference on the imported network with the module."""
    network, weights = from_torch(module, shape, name, check=False)
    x = np.random.default_rng(5).standard_normal((3, *shape), dtype=np.float32)
    with torch.no_grad():
        expected = copy.deepcopy(module).eval()(torch.from_numpy(x)).numpy()
    _close(run(network, weights, x), expected)
    return network


def _kinds(network: Network) -> list[str]:
    return [n.op.kind if isinstance(n.op, Activation) else type(n.op).__name__ for n in network.nodes[1:]]


def _shake(module: nn.Module, seed: int = 0) -> nn.Module:
    """Batch norms with statistics, scales and offsets that are not the identity."""
    generator = torch.Generator().manual_seed(seed)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.running_mean is not None:
            for tensor, low in ((m.running_mean, -0.5), (m.running_var, 0.5), (m.weight, 0.5), (m.bias, -0.5)):
                if tensor is not None:
                    tensor.data.uniform_(low, low + 1.0, generator=generator)
    return module


# --- the zoo


@pytest.mark.parametrize("name", zoo.names())
def test_zoo_round_trip(name: str) -> None:
    """NumPy and PyTorch agree; from_torch(to_torch(n)) has n's sizes, names, blocks and outputs."""
    original = zoo.load(name, classes=10, resolution=32)
    rng = np.random.default_rng(0)
    weights = random_weights(original, rng)
    module = to_torch(original, weights).eval()
    x = rng.standard_normal((2, 3, 32, 32), dtype=np.float32)
    expected = run(original, weights, x)
    _close(_call(module, x), expected)

    network, again = from_torch(module, (3, 32, 32), name, check=False)
    assert (network.macs, network.params) == (original.macs, original.params)
    assert [(n.name, n.op, n.block) for n in network.layers] == [(n.name, n.op, n.block) for n in original.layers]
    assert again.keys() == weights.keys()
    _close(run(network, again, x), expected)


# --- to_torch


@pytest.fixture
def small() -> Network:
    b = Builder("small", (3, 12, 12))
    b.conv(8, 3, 2, act="relu6", name="stem")
    b.conv(8, 3, padding=(0, 0, 1, 1), name="stem.asymmetric", bias=True)
    b.depthwise(3, name="training", act="hswish")  # also an attribute of nn.Module
    b.squeeze_excite(4, prefix="se")
    b.classifier(5)
    return b.build()


def test_training_then_folding_keeps_eval_outputs(small: Network) -> None:
    module = to_torch(small, rng=np.random.default_rng(1))
    assert module.training
    x = torch.randn(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        module.zero_grad()
        F.cross_entropy(module(x), torch.arange(16) % 5).backward()
        with torch.no_grad():
            for p in module.parameters():
                p -= 0.1 * p.grad
    module.eval()
    folded = fold_batchnorm(module)
    _close(run(small, folded, x.numpy()), _call(module, x.numpy()))
    _close(_call(to_torch(small, folded).eval(), x.numpy()), _call(module, x.numpy()))
    assert float(np.abs(folded["stem.bias"]).max()) > 0


def test_parameters_are_named_by_node_and_copies_are_independent(small: Network) -> None:
    module = to_torch(small)
    names = dict(module.named_parameters())
    assert {"stem.weight", "stem.norm.weight", "stem.asymmetric.bias", "training_.weight", "se.reduce.bias"} <= set(
        names
    )
    assert sum(p.numel() for p in module.parameters()) == small.params
    x = np.ones((1, 3, 12, 12), dtype=np.float32)
    twin = copy.deepcopy(module).eval()
    expected = _call(twin, x)
    with torch.no_grad():
        for p in module.parameters():
            p.zero_()
    np.testing.assert_array_equal(_call(twin, x), expected)
    assert np.abs(expected).max() > 0


def test_initialisation_is_repeatable_and_leaves_the_global_generator_alone(small: Network) -> None:
    state = torch.get_rng_state()
    one, two = to_torch(small, rng=np.random.default_rng(3)), to_torch(small, rng=np.random.default_rng(3))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_to_torch_refuses_foreign_weights(small: Network) -> None:
    with pytest.raises(InputError, match=r"weights of 'small': missing 'stem.weight'"):
        to_torch(small, {})
    with pytest.raises(InputError, match="expected the module that to_torch made, got Linear; see from_torch"):
        fold_batchnorm(nn.Linear(1, 1))  # type: ignore[arg-type]


# --- from_torch: many ways to write one thing


class Gate(nn.Module):
    """Squeeze-excite with linear layers and views, and hard functions written out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding="same", bias=False)
        self.bn = nn.BatchNorm2d(8)
        self.fc = nn.Sequential(nn.Linear(8, 4), nn.ReLU(inplace=True), nn.Linear(4, 8))

    def forward(self, x):
        x = self.bn(self.conv(x))
        x = x * F.relu6(x + 3.0, inplace=True) / 6
        b, c, _, _ = x.size()
        y = self.fc(F.adaptive_avg_pool2d(x, 1).view(b, c))
        y = F.relu6(y + 3) * (1 / 6)
        return (x * y.view(b, c, 1, 1)).mean(3).mean(2)


def test_squeeze_excite_with_linear_layers_becomes_convolutions() -> None:
    network = _imported(_shake(Gate()), (3, 9, 9))
    assert _kinds(network) == [
        "Conv2d", "hswish", "GlobalPool", "Conv2d", "relu", "Conv2d", "hsigmoid", "Mul", "GlobalPool", "Flatten",
    ]  # fmt: skip
    assert network.params == sum(p.numel() for p in Gate().parameters())
    assert {n.name for n in network.layers} == {"conv", "fc.0", "fc.2"}


class Shuffle(nn.Module):
    def __init__(self, flat: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 1, groups=3, bias=False)
        self.flat = flat

    def forward(self, x):
        x = self.conv(x)
        n, c, h, w = x.shape
        if self.flat:
            return x.reshape(n, 3, c // 3, h * w).permute(0, 2, 1, 3).reshape(n, c, h, w)
        return x.view(n, 3, c // 3, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)


@pytest.mark.parametrize("flat", [False, True])
def test_channel_shuffle_is_recognised(flat: bool) -> None:
    network = _imported(Shuffle(flat), (6, 4, 5))
    assert network.output.op == ChannelShuffle(3)


class Odd(nn.Module):
    """A norm with nothing to fold into, in-place aliasing, broadcasting, asymmetric padding, odd pools."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 6, (3, 2), stride=2, dilation=(1, 2), groups=2)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(24, 7, bias=False), nn.BatchNorm1d(7))

    def forward(self, x):
        x = F.silu(self.first(x))
        y = self.conv(F.pad(x, (1, 2, 0, 1)))
        F.relu_(y)  # y itself changes
        y = self.pool(y) + F.adaptive_avg_pool2d(y, (1, 1))
        z = y * torch.sigmoid(y)
        z = torch.cat([z, F.avg_pool2d(F.hardtanh(y, 0.0, 6.0), 3, 1, 1, count_include_pad=False)], 1)
        return self.head(F.adaptive_avg_pool2d(z.clamp(min=0), (1, 2)))


def test_unusual_but_supported_uses() -> None:
    module = _shake(Odd())
    network = _imported(module, (4, 12, 11))
    first = network.by_name["first"].op
    assert isinstance(first, Conv2d)
    assert (first.groups, first.kernel, first.bias, first.norm) == (4, (1, 1), True, False)
    assert _kinds(network).count("silu") == 2
    assert network.by_name["head.2"].op.bias
    # Linear's batch norm folds away: its scale is no longer counted.
    assert network.params == sum(p.numel() for p in module.parameters()) - 7


def test_norm_of_a_tensor_that_others_read_stays_apart() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, affine=False)

        def forward(self, x):
            y = self.conv(x)
            return y + self.bn(y)

    assert _kinds(_imported(_shake(Net()), (3, 4, 4))) == ["Conv2d", "Conv2d", "Add"]


def test_whole_map_average_is_a_global_pool() -> None:
    class Net(nn.Module):
        def forward(self, x):
            return F.avg_pool2d(x, x.shape[2:]).flatten(1) + x.flatten(2).mean(-1) + x.mean((-2, -1))

    network = _imported(Net(), (3, 4, 6))
    assert sum(isinstance(n.op, GlobalPool) for n in network.nodes) == 3


def test_exported_programs_are_accepted() -> None:
    module = Shuffle(False).eval()
    program = torch.export.export(module, (torch.zeros(4, 6, 8, 8),))
    network, weights = from_torch(program, (6, 8, 8))
    x = np.random.default_rng(0).standard_normal((2, 6, 8, 8), dtype=np.float32)
    _close(run(network, weights, x), module(torch.from_numpy(x)).detach().numpy())
    with pytest.raises(InputError, match=r"was exported for inputs of \(6, 8, 8\), asked for \(6, 4, 4\)"):
        from_torch(program, (6, 4, 4))


def test_training_mode_is_given_back() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5))
    module[1].eval()
    from_torch(module, (3, 4, 4))
    assert [module.training, *(m.training for m in module)] == [True, True, False, True]


# --- from_torch: refusals


class Bad(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))

    def forward(self, x):
        x = F.gelu(x * self.scale)
        x = torch.clamp(x - x.amax(1, keepdim=True), -1, 1)
        return F.gelu(x).transpose(2, 3) + 2


def test_all_unsupported_operators_are_named_at_once() -> None:
    with pytest.raises(UnsupportedError) as caught:
        from_torch(Bad(), (3, 8, 8), "bad")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(
        "'bad': unsupported operators 'mul' with the parameter or buffer 'scale', 'gelu' (2 times)"
    )
    for part in ("'sub'", "'amax'", "; supported: adaptive_avg_pool2d, add, "):
        assert part in message


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (lambda x: x + 2, "'add' with the constant 2"),
        (lambda x: x.clamp(-1, 1), r"'clamp' to \[-1, 1\] \(only \[0, 6\] and \[0, inf\)\)"),
        (lambda x: x.mean(1), r"'mean' over dimensions \[1\]"),
        (lambda x: x.transpose(2, 3), "'transpose' except in a channel shuffle"),
        (lambda x: x.reshape(-1, 8), "'reshape' that mixes the batch with other dimensions"),
        (lambda x: torch.cat([x, x], 2), "'cat' along dimension 2"),
        (lambda x: x + 3, "'output' after adding or scaling by a constant"),
        (lambda x: F.pad(x, (1, 1)), "'output' after zero padding"),
        (lambda x: F.pad(x, (1, 1), value=1.0), "'pad' other than by zeros around a map"),
        (lambda x: F.adaptive_avg_pool2d(x, 3), r"'adaptive_avg_pool2d' from \(8, 8\) to \(3, 3\)"),
        (lambda x: torch.add(x, x, alpha=2), "'add' with alpha = 2"),
        (lambda x: x.flatten(1).view(2, 3, 8, 8).flatten(2), r"'output' after a reshape of \(3, 8, 8\) to \(3, 64\)"),
        (lambda x: x.softmax(1), "unsupported operator 'softmax'"),
        (lambda x: x * x.mean((1, 2, 3), keepdim=True), "'mean' over dimensions"),
    ],
)
def test_unsupported_uses_say_what(forward, message: str) -> None:
    class Net(nn.Module):
        def forward(self, x):
            return forward(x)

    with pytest.raises(UnsupportedError, match=message):
        from_torch(Net(), (3, 8, 8))


@pytest.mark.parametrize("shape", [(3, None, 8), (3, -1, 8), (3, "h", 8), (3, 0, 8)])
def test_dynamic_shapes_are_refused(shape) -> None:
    with pytest.raises(UnsupportedError, match=r"'ReLU': input shape .* is dynamic; give channels, height and width"):
        from_torch(nn.ReLU(), shape)


def test_dynamic_program_is_refused() -> None:
    size = torch.export.Dim("size", min=4, max=64)
    program = torch.export.export(nn.ReLU(), (torch.zeros(1, 3, 8, 8),), dynamic_shapes=({2: size},))
    with pytest.raises(
        UnsupportedError, match=r"tensor '\w+' has the dynamic shape \('1', '3', '.*', '8'\); export it"
    ):
        from_torch(program, (3, 8, 8))


def test_what_cannot_be_traced_is_one_line() -> None:
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    class Two(nn.Module):
        def forward(self, x):
            return x, x

    class Pair(nn.Module):
        def forward(self, x, y):
            return x + y

    for module, message in (
        (Branch(), r"'Branch' cannot be exported for input \(3, 8, 8\): .*forward\(\) must take one tensor"),
        (Pair(), r"'Pair' cannot be exported for input \(3, 8, 8\): "),
        (nn.Conv2d(4, 4, 1), r"'Conv2d' cannot be exported .*4 channels"),
        (Two(), "'Two' returns 2 tensors; a network here has exactly one output"),
    ):
        with pytest.raises(UnsupportedError, match=message) as caught:
            from_torch(module, (3, 8, 8))
        assert "\n" not in str(caught.value)
    with pytest.raises(
        InputError, match=r"expected an input shape \(channels, height, width\) without batch, got \(8,\)"
    ):
        from_torch(nn.ReLU(), (8,))
    with pytest.raises(InputError, match=r"expected a torch.nn.Module or an exported program, got int"):
        from_torch(3, (3, 8, 8))  # type: ignore[arg-type]


def test_the_check_catches_what_tracing_does_not_show() -> None:
    class Counter(nn.Module):
        calls = 0

        def forward(self, x):
            Counter.calls += 1
            return F.relu(x) if Counter.calls == 1 else x

    with pytest.raises(UnsupportedError, match="the imported network's output differs from the module's by"):
        from_torch(Counter(), (3, 8, 8))


def test_weights_of_a_module_called_twice_are_warned_of():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(4, 4, 1)

        def forward(self, x):
            return self.conv(F.relu(self.conv(x)))

    with pytest.warns(UserWarning, match=r"conv\.weight.* stored and counted once for each"):
        network, _ = from_torch(Twice(), (4, 5, 5))
    assert network.params == 2 * 20
