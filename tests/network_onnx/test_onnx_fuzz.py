"""Whatever is in the file: a network, or one line that says what is wrong."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx_helpers import every_operator, model_of

from cofront.errors import CofrontError, InputError
from cofront.network.onnx_io import calibrate, from_onnx, import_onnx, to_onnx, to_qdq, to_qonnx
from cofront.network.onnx_io.load import parse_model
from cofront.network.weights import random_weights, validate


@cache
def valid() -> tuple[bytes, ...]:
    """Models of every kind, as files."""
    network = every_operator()
    rng = np.random.default_rng(0)
    weights = random_weights(network, rng)
    q = calibrate(network.uniform_bits(4, 4), weights, rng.standard_normal((2, 4, 13, 11)).astype(np.float32))
    models = [
        to_onnx(network, weights),
        to_onnx(network, weights),
        to_qonnx(network.uniform_bits(4, 4), q),
        to_qdq(network.uniform_bits(4, 4), q),
    ]
    del models[1].metadata_props[:]
    return tuple(m.SerializeToString() for m in models)


def read(data: bytes) -> None:
    """Reads a file; anything but a network with its weights, or a CofrontError of one line, fails the test."""
    try:
        found = from_onnx(parse_model(data, "file.onnx"), "file.onnx")
    except CofrontError as error:
        message = str(error)
    else:
        validate(found.network, found.weights)
        return
    assert message
    assert "\n" not in message


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes(data: bytes) -> None:
    read(data)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.floats(0, 1))
def test_truncated_models(which: int, where: float) -> None:
    data = valid()[which]
    read(data[: int(where * len(data))])


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 3), st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), max_size=6))
def test_flipped_bits(which: int, flips: list[tuple[float, int]]) -> None:
    data = bytearray(valid()[which])
    for where, bit in flips:
        data[int(where * len(data))] ^= 1 << bit
    read(bytes(data))


numbers = st.one_of(st.integers(-3, 9), st.sampled_from([2**31, -(2**31), 2**62, 10**6]))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_changed_attributes_and_shapes(data: st.DataObject) -> None:
    """Well-formed files with wrong contents: numbers in attributes, dimensions and initialisers, names, operators."""
    model = onnx.load_model_from_string(valid()[data.draw(st.integers(0, 3))])
    graph = model.graph
    ops = sorted({n.op_type for n in graph.node} | {"Softmax", "Shape", "Transpose", "Pad", "Slice", "Expand", "If"})
    for _ in range(data.draw(st.integers(1, 3))):
        node = data.draw(st.sampled_from(list(graph.node)))
        tensor = data.draw(st.sampled_from(list(graph.initializer)))
        match data.draw(st.integers(0, 6)):
            case 0 if node.attribute:
                a = data.draw(st.sampled_from(list(node.attribute)))
                a.i = data.draw(numbers)
                if a.ints:
                    a.ints[data.draw(st.integers(0, len(a.ints) - 1))] = data.draw(numbers)
            case 1 if tensor.dims:
                tensor.dims[data.draw(st.integers(0, len(tensor.dims) - 1))] = data.draw(numbers)
            case 2:
                tensor.data_type = data.draw(st.integers(0, 30))
            case 3:
                node.op_type = data.draw(st.sampled_from(ops))
            case 4 if node.input:
                other = data.draw(st.sampled_from(list(graph.node)))
                node.input[data.draw(st.integers(0, len(node.input) - 1))] = other.output[0]
            case 5 if node.attribute:
                del node.attribute[data.draw(st.integers(0, len(node.attribute) - 1))]
            case _:
                dims = graph.input[0].type.tensor_type.shape.dim
                dims[data.draw(st.integers(0, len(dims) - 1))].dim_value = data.draw(numbers)
    read(model.SerializeToString())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty; expected an ONNX model"),
        (b"PK\x03\x04rest", "is not an ONNX model; it looks like a ZIP archive (a PyTorch file? export it"),
        (b'{"a": 1}', "is not an ONNX model; it looks like JSON"),
        (b"PAR1....", "is not an ONNX model; it looks like Parquet"),
        (b"\x00\x01\x02", "is not an ONNX model, or it is damaged"),
        (onnx.ModelProto(ir_version=8).SerializeToString(), "is not an ONNX model: it has no graph"),
    ],
)
def test_foreign_files(data: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(data)
    with pytest.raises(InputError) as info:
        import_onnx(file)
    assert message in str(info.value)
    assert str(file) in str(info.value)


def test_absent_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file '.*none.onnx'; expected an ONNX model"):
        import_onnx(tmp_path / "none.onnx")
    with pytest.raises(InputError, match="is a directory; expected an ONNX file"):
        import_onnx(tmp_path)
    with pytest.raises(InputError, match="cannot read"):
        import_onnx("a\0b")


def test_external_data(tmp_path: Path) -> None:
    weight = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = model_of([onnx.helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)], ["n", 3], {"w": weight})
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    file = tmp_path / "m.onnx"
    onnx.save_model(model, file)
    with pytest.raises(InputError, match=r"keeps its weights in 'weights.bin', which cannot be read beside it"):
        import_onnx(file)
    (tmp_path / "weights.bin").write_bytes(weight.tobytes())
    assert np.array_equal(import_onnx(file).weights["y.weight"], weight)
    with pytest.raises(InputError, match=r"initialiser 'w' keeps its data outside the model"):
        from_onnx(model)
    for location in ("../m.onnx", "/etc/passwd", ""):
        tensor.external_data[0].value = location
        onnx.save_model(model, file)
        with pytest.raises(InputError):
            import_onnx(file)
