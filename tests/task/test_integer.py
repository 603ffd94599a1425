"""The integers: against brute force, against the quantised network in floats, on disk, and the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file

from cofront.errors import CofrontError, InputError
from cofront.hardware.subgraph.calls import PARAM_BITS
from cofront.network import Builder, Conv2d, Mul
from cofront.task import QuantizedNetwork, compare, quantize, subnet
from cofront.task.calibrate import Runner, calibrate
from cofront.task.data import Dataset
from cofront.task.evaluate import CALIBRATION, evaluate_points
from cofront.task.finetune import calibrated
from cofront.task.integer import QuantizedLayer, Rescale, Residual, accumulate
from cofront.task.kernels import FloatKernel, Int8Kernel, best_kernel
from cofront.task.release import save_supernet
from cofront.task.supernet import Supernet
from cofront.task.table import measure, read_lines, stratified, write_table

MIXED = subnet.as_point([1, 1, 2, 0, 1, 0, 1, 0, 5, 3, 4, 2, 0, 1, 5, 0, 2, 0, 1, 2, 2, 0, 0, 1, 0])


@pytest.fixture(scope="module")
def net() -> Supernet:
    return Supernet(torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def integers(net: Supernet, tiny: Dataset) -> QuantizedNetwork:
    return quantize(net, MIXED, tiny, {"seed": 3})


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_accumulators_are_brute_force(data: st.DataObject) -> None:
    pick = lambda *a: data.draw(st.sampled_from(a))  # noqa: E731
    kernel, stride, side, bits = pick(1, 3, 5), pick(1, 2), pick(5, 6, 7), pick(4, 8)
    depthwise, cin, cout = pick(True, False), pick(1, 3, 8), pick(2, 5)
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    b = Builder("n", (cin, side, side))
    groups, cout = (cin, cin) if depthwise else (1, cout)
    b.conv(cout, kernel, stride, groups=groups, name="c")
    node = b.build().by_name["c"]
    w = rng.integers(-127, 128, (cout, cin // groups, kernel, kernel)).astype(np.int8)
    bias = rng.integers(-1000, 1000, cout).astype(np.int32)
    zero = 2 ** (bits - 1)
    layer = QuantizedLayer(w, bias, np.ones(cout, np.int32), 1, zero, 0, 8, 8, "c")
    a = rng.integers(0, 2**bits, (2, side, side, cin)).astype(np.int32)
    got = accumulate(node, layer, a)
    pad = kernel // 2
    x = np.pad(a, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=zero).astype(np.int64) - zero
    for n, i, j, c in np.ndindex(*got.shape):
        patch = x[n, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        patch = patch[..., c : c + 1] if depthwise and groups > 1 else patch
        assert got[n, i, j, c] == bias[c] + (patch * w[c].transpose(1, 2, 0).astype(np.int64)).sum()


@given(st.integers(0, 255), st.integers(1, 32767), st.integers(1, 30), st.sampled_from([0, 8, 128]))
def test_rescale_rounds_half_up(q: int, m: int, shift: int, zero: int) -> None:
    expected = int(np.clip(((q - zero) * m + 2 ** (shift - 1)) // 2**shift + 8, 0, 15))
    assert int(Rescale(m, shift, zero, 8, 4)(np.array([q]))[0]) == expected


def test_only_integers_inside(integers: QuantizedNetwork, tiny: Dataset) -> None:
    tensors = integers.tensors(tiny.x_test[:4])
    assert all(np.issubdtype(t.dtype, np.integer) for t in tensors.values())
    for layer in list(integers.layers.values())[:-1]:
        out = tensors[layer.output]
        assert out.min() >= 0
        assert out.max() < 2**layer.out_bits


def test_every_layer_is_the_quantised_layer(net: Supernet, tiny: Dataset, integers: QuantizedNetwork) -> None:
    """On the same input, the integers of each layer are those of real arithmetic, but for rounding at the edge."""
    q = calibrated(net, MIXED, tiny)
    tensors = integers.tensors(tiny.x_test)
    nodes = [n for n in integers.network.layers if isinstance(n.op, Conv2d)]
    for node, c in zip(nodes, (c for b in q.blocks for c in b), strict=True):
        layer = integers.layers[node.name]
        a = tensors[node.inputs[0]]
        a = a if layer.read is None else layer.read(a)
        h = torch.from_numpy(a.astype(np.float64) - layer.zero_in).permute(0, 3, 1, 2)
        w = c.layer.weight.double() * (c.layer.factor * c.layer.read.scale).double().view(-1, 1, 1, 1)
        conv = c.layer.conv
        y = F.conv2d(
            h, w, c.layer.shift.double(), conv.stride, conv.kernel // 2, groups=conv.cout if conv.depthwise else 1
        )
        if layer.residual is not None and c.residual is not None:
            r = torch.from_numpy(tensors[layer.residual.tensor].astype(np.float64)).permute(0, 3, 1, 2)
            y = y + (r - layer.residual.zero) * c.residual.scale
        expected = (y / c.out.scale).round().clamp(c.out.low, c.out.high)
        got = torch.from_numpy(tensors[layer.output].astype(np.float64)).permute(0, 3, 1, 2) - layer.zero_out
        assert float((got - expected).abs().max()) <= 1, node.name
        assert float((got != expected).double().mean()) < 0.01, node.name


def test_compare(net: Supernet, tiny: Dataset) -> None:
    result, integers = compare(net, MIXED, tiny)
    assert result["images"] == len(tiny.y_test)
    assert result["agreement"] > 0.5
    assert result["integer"] == integers.accuracy(tiny.x_test, tiny.y_test)


def test_kernels_compute_the_same(net: Supernet, tiny: Dataset) -> None:
    fast = best_kernel()
    if not isinstance(fast, Int8Kernel):
        pytest.skip("no 8-bit kernels here")
    images = torch.randint(0, 256, (32, 3, 28, 28), generator=torch.Generator().manual_seed(0)).float()
    # 8 bits throughout: a value that rounds the other way moves little. At 4 bits in an untrained network it moves the
    # tensors behind it by up to a quarter, so there only the outputs of one calibration are compared, on average.
    wide, mixed = (
        [calibrate(net, subnet.decode(p), images, k) for k in (fast, FloatKernel())] for p in (subnet.middle(0), MIXED)
    )
    for x, y in zip(sum(wide[0].blocks, ()), sum(wide[1].blocks, ()), strict=True):
        assert torch.equal(x.layer.weight, y.layer.weight)
        assert x.out.scale == pytest.approx(y.out.scale, rel=0.05)
    assert float((Runner(wide[1], fast)(images) - Runner(wide[1])(images)).abs().max()) < 0.06
    assert float((Runner(mixed[1], fast)(images) - Runner(mixed[1])(images)).abs().mean()) < 0.06


def test_save_and_load(integers: QuantizedNetwork, tiny: Dataset, tmp_path: Path) -> None:
    integers.save(tmp_path / "n.safetensors")
    back = QuantizedNetwork.load(tmp_path / "n.safetensors")
    assert back.network == integers.network
    assert back.meta == {"seed": 3}
    np.testing.assert_array_equal(back.run(tiny.x_test), integers.run(tiny.x_test))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_input_errors(integers: QuantizedNetwork, tmp_path: Path, data: st.DataObject) -> None:
    good = tmp_path / "good"
    if not good.exists():
        integers.save(good)
    blob = bytearray(good.read_bytes())
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 255)), min_size=1, max_size=9)):
        blob[at] = value
    (tmp_path / "bad").write_bytes(blob[: data.draw(st.sampled_from([len(blob), len(blob) // 2, 9, 0]))])
    try:
        QuantizedNetwork.load(tmp_path / "bad")
    except CofrontError as e:
        one_line = "\n" not in str(e)
        assert one_line


def test_a_file_of_another_kind_is_said_in_words(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"\x08\x07" * 40)
    save_file({"a": np.ones(2, np.float32)}, tmp_path / "float.safetensors", {"network": "n"})
    for name, reason in (("net.onnx", "it is no safetensors file, or cut off"), ("float.safetensors", "'cofront' is ")):
        with pytest.raises(InputError, match=f"{name}' is not an integer network, as `cofront train` and .*: {reason}"):
            QuantizedNetwork.load(tmp_path / name)


def test_wrong_integers_are_named(integers: QuantizedNetwork) -> None:
    layers = dict(integers.layers)
    layers["stem"] = replace(layers["stem"], multiplier=layers["stem"].multiplier * 0 - 1)
    with pytest.raises(InputError, match=r"'stem': multipliers must be 0..32767"):
        replace(integers, layers=layers)
    with pytest.raises(InputError, match="expected uint8 images"):
        integers.run(np.zeros((1, 3, 32, 32), np.float32))  # type: ignore[arg-type]


def header_of(integers: QuantizedNetwork, path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    integers.save(path)
    with safe_open(path, "numpy") as f:
        return json.loads(f.metadata()["cofront"]), {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118


@pytest.mark.parametrize("value", ["7", 7.5, None, True, -1, 2**60, [1]], ids=str)
@pytest.mark.parametrize(
    "field",
    ["pool.multiplier", "pool.shift", "pool.zero_in", "pool.zero", "pool.bits", "layer.shift", "layer.zero_in",
     "layer.zero_out", "layer.out_bits", "layer.weight_bits", "layer.output", "read.multiplier", "read.shift",
     "read.zero_in", "read.zero", "read.bits", "residual.tensor", "residual.zero", "residual.multiplier",
     "net.input_zero"],
)  # fmt: skip
def test_scalars_out_of_range_are_refused(
    integers: QuantizedNetwork, tmp_path: Path, field: str, value: object
) -> None:
    header, tensors = header_of(integers, tmp_path / "n")
    part, name = field.split(".")
    layers = header["layers"].values()
    found = {
        "net": lambda: header,
        "pool": lambda: next(iter(header["pools"].values())),
        "layer": lambda: next(iter(layers)),
        "read": lambda: next(x["read"] for x in layers if x["read"]),
        "residual": lambda: next(x["residual"] for x in layers if x["residual"]),
    }[part]()
    found[name] = value
    save_file(tensors, tmp_path / "bad", {"cofront": json.dumps(header)})
    with pytest.raises(CofrontError) as error:
        QuantizedNetwork.load(tmp_path / "bad")
    assert "\n" not in str(error.value)


def test_what_a_layer_refers_to_must_have_been_computed(integers: QuantizedNetwork) -> None:
    layers = dict(integers.layers)
    name, layer = next((n, x) for n, x in layers.items() if x.residual)
    assert layer.residual is not None
    first = integers.network.layers[0].name
    for tensor, message in ((integers.network.output.name, "do not lead to the tensor"), ("input", "do not lead to")):
        wrong = replace(layer, residual=replace(layer.residual, tensor=tensor))
        with pytest.raises(InputError, match=message):
            replace(integers, layers={**layers, name: wrong})
    with pytest.raises(InputError, match="do not lead to the tensor"):
        replace(integers, layers={**layers, first: replace(layers[first], output=layers[name].output)})
    with pytest.raises(InputError, match="only logits"):
        replace(integers, layers={**layers, first: replace(layers[first], out_bits=0, zero_out=0)})
    most = np.full_like(layers[first].bias, 2**31 - 1)
    with pytest.raises(InputError, match=r"sums may reach [0-9]+, beyond 32 bits"):
        replace(integers, layers={**layers, first: replace(layers[first], bias=most)})
    with pytest.raises(InputError, match=f"'{first}' is no pool of network"):
        replace(integers, pools={**integers.pools, first: next(iter(integers.pools.values()))})
    with pytest.raises(InputError, match="has no integers"):
        replace(integers, pools={})


def test_a_residual_must_be_stored_first_and_have_the_shape_of_the_sum() -> None:
    b = Builder("n", (4, 8, 8))
    b.conv(4, 1, name="a")
    x = b.last
    b.conv(4, 1, name="b")
    b.sum(x, b.last, name="sum")
    network = b.build()

    def layer(output: str, residual: Residual | None = None) -> QuantizedLayer:
        one = np.ones(4, np.int32)
        return QuantizedLayer(np.ones((4, 4, 1, 1), np.int8), one, one, 8, 0, 0, 8, 8, output, residual=residual)

    good = QuantizedNetwork(network, {"a": layer("a"), "b": layer("sum", Residual("a", 0, 5))}, {})
    assert good.tensors(np.zeros((1, 8, 8, 4), np.uint8))["sum"].shape == (1, 8, 8, 4)
    with pytest.raises(InputError, match="node 'a': adds 'b', which no layer before it computes"):
        QuantizedNetwork(network, {"a": layer("sum", Residual("b", 0, 5)), "b": layer("b")}, {})
    with pytest.raises(InputError, match="'b': its integers do not lead to the tensor 'sum'"):
        QuantizedNetwork(network, {"a": layer("a"), "b": layer("sum")}, {})
    with pytest.raises(InputError, match="'b': has a residual, but no addition follows"):
        QuantizedNetwork(network, {"a": layer("a"), "b": layer("b", Residual("a", 0, 5))}, {})


def test_stratified_points() -> None:
    points = stratified(90, 0)
    assert len({tuple(p) for p in points.tolist()}) == 90
    np.testing.assert_array_equal(points, stratified(90, 0))
    assert tuple(subnet.largest()) in {tuple(p) for p in points}
    assert {len(set(p[16:])) for p in points.tolist()} == {1, 2, 3}


def test_table(net: Supernet, tiny: Dataset, tmp_path: Path) -> None:
    parts = {f"{a}_{p}": getattr(tiny, f"{a}_{p}") for p in ("train", "test") for a in "xy"}
    np.savez(tmp_path / "data.npz", **parts)
    weights, lines = tmp_path / "w.safetensors", tmp_path / "t.jsonl"
    save_supernet(net, weights, {})
    assert measure(weights, lines, 2, 0, 5.0, 1, tmp_path / "data.npz") == 2
    lines.write_text(lines.read_text() + '{"point": [1,')  # killed while writing
    assert measure(weights, lines, 4, 0, 5.0, 1, tmp_path / "data.npz") == 4
    assert len(read_lines(lines, "another")) == 0
    meta = write_table(lines, weights, tmp_path / "t.parquet", "a command", 0, {"hours": 1})
    assert meta["pairs"] == 4
    assert json.loads((tmp_path / "t.json").read_text())["command"] == "a command"
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "t.parquet")
    assert table.column_names == [*subnet.NAMES, "val_accuracy", "n_val"]
    assert json.loads(table.schema.metadata[b"cofront"])["pairs"] == 4
    assert isinstance(table.schema.field("b1_op").type.bit_width, int)


def test_the_documentation_has_the_counts_of_the_code() -> None:
    text = " ".join((Path(__file__).parents[2] / "docs" / "task.md").read_text(encoding="utf-8").split())
    assert f"under the quantisers on {CALIBRATION} training images" in text
    assert f"counts {PARAM_BITS} bits of requantisation constants per output channel (multiplier 16, bias 32)" in text


def test_evaluate_points(net: Supernet, tiny: Dataset) -> None:
    a = evaluate_points([subnet.smallest(), MIXED], net, tiny)
    assert a.shape == (2,)
    assert ((a >= 0) & (a <= 1)).all()


def test_only_known_operators(integers: QuantizedNetwork) -> None:
    b = Builder("n", (4, 8, 8))
    b.conv(4, 3, groups=2, name="c")
    b.add(Mul(), "c", "c", name="square")
    network = b.build()
    assert isinstance(network.by_name["c"].op, Conv2d)
    layer = QuantizedLayer(
        np.zeros((4, 2, 3, 3), np.int8), np.zeros(4, np.int32), np.zeros(4, np.int32), 1, 0, 0, 8, 8, "c"
    )
    with pytest.raises(CofrontError, match="'square': Mul has no integer definition"):
        QuantizedNetwork(network, {"c": layer}, {})
