"""What a quantiser makes as files: integers bit for bit, QONNX with the same bits and nearly the same logits."""

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ort = pytest.importorskip("onnxruntime")

from quantise_nets import noise, separable  # noqa: E402

from cofront.network import Builder, Flatten, Linear, Network  # noqa: E402
from cofront.network.onnx_io import from_onnx, quantisation_of, to_integer_onnx, to_qonnx  # noqa: E402
from cofront.network.weights import Weights, random_weights  # noqa: E402
from cofront.task.integer import QuantizedNetwork  # noqa: E402
from cofront.task.quantise import QuantModule, to_integers  # noqa: E402
from cofront.task.quantise.observe import observe  # noqa: E402
from cofront.task.quantise.refine import refine  # noqa: E402


def everything() -> tuple[Network, Weights]:
    b = Builder("everything", (3, 12, 12))
    y = separable(b)
    z = b.conv(8, 3, 2, src=y, groups=2, norm=False, name="grouped")
    p = b.pool("max", 2, 2, src=y, name="greatest")
    q = b.pool("avg", 3, 2, 1, src=y, name="mean")
    b.concat(z, p, q, name="concat")
    b.act("relu", name="free")
    b.shuffle(2, name="shuffle")
    b.conv(8, 3, dilation=2, name="dilated")
    b.pool("max", 3, 2, 1, name="half")
    b.add(Flatten(), name="flat")
    b.add(Linear(10), name="head")
    return b.build(), random_weights(b.build(), np.random.default_rng(1))


def made(bits: dict[str, tuple[int, int]], stored: int = 8) -> QuantizedNetwork:
    network, weights = everything()
    module = QuantModule(network, weights, observe(network, weights, noise(32)))
    setting = refine(module.set_bits(bits, stored), network, weights, noise(64), "bias")
    return to_integers(setting)


BITS = [
    {},
    {"stem": (8, 8), "dw": (4, 4), "project": (3, 5), "grouped": (2, 2), "dilated": (1, 7), "head": (6, 3)},
]


@pytest.mark.parametrize("bits", BITS)
def test_the_integer_file_is_bit_exact(bits: dict[str, tuple[int, int]]) -> None:
    integers = made(bits)
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(to_integer_onnx(integers).SerializeToString(), options)
    x = noise(16, seed=5)
    (got,) = session.run(None, {"input": np.ascontiguousarray(x.transpose(0, 3, 1, 2))})
    want = integers.run(x)
    assert np.array_equal(got, want) and len(np.unique(want)) > 20


@pytest.mark.parametrize("bits", BITS)
def test_qonnx_keeps_the_bits_and_the_logits(bits: dict[str, tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    wrapper = pytest.importorskip("qonnx.core.modelwrapper")
    runner = pytest.importorskip("qonnx.core.onnx_exec")
    # It makes models in the newest IR version that onnx knows, which onnxruntime may not know yet.
    monkeypatch.setattr(runner, "qonnx_make_model", functools.partial(runner.qonnx_make_model, ir_version=8))
    integers = made(bits)
    model = to_qonnx(integers.network, quantisation_of(integers))
    found = from_onnx(model)
    for node in integers.network.nodes:
        assert found.network.by_name[node.name].weight_bits == node.weight_bits
        assert found.network.by_name[node.name].in_bits == node.in_bits
    for name in ("stem", "dw", "project", "grouped", "dilated"):
        w = found.weights[f"{name}.weight"]
        assert all(
            len(np.unique(np.abs(row))) <= max(1, 2 ** (found.network.by_name[name].weight_bits - 1)) for row in w
        )
    x = noise(6, seed=5)
    real = ((x.astype(np.float32) - 128) / 64).transpose(0, 3, 1, 2)
    own = wrapper.ModelWrapper(model)
    got = np.concatenate(
        [runner.execute_onnx(own, {"input": np.ascontiguousarray(v[None])})[own.graph.output[0].name] for v in real]
    )
    want = integers.run(x) * integers.scales["head"]
    # Quant nodes round halves to even and their gains are real numbers: a step here and there differs.
    assert np.corrcoef(got.ravel(), want.ravel())[0, 1] > 0.99
    assert np.abs(got - want).mean() < 0.1 * want.std()


def test_a_bias_that_a_refinement_gave_is_in_the_graph() -> None:
    network, _ = everything()
    integers = made({"grouped": (2, 8)})
    assert not network.by_name["grouped"].op.bias  # type: ignore[attr-defined]
    assert integers.layers["grouped"].bias.any() and integers.network.by_name["grouped"].op.bias  # type: ignore[attr-defined]
