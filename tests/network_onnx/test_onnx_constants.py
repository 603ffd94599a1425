"""Constant folding against onnx's own reference evaluator, and quantisers against qonnx."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from cofront.errors import InputError
from cofront.network.onnx_io import constants
from cofront.network.onnx_io.load import RawNode

RNG = np.random.default_rng(5)
A = RNG.standard_normal((3, 4)).astype(np.float32)
I = np.array([7, -3, 2, 5], np.int64)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def raw(op: str, attributes: dict[str, Any], domain: str = "") -> RawNode:
    return RawNode("node", op, domain, (), ("y",), attributes)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes"),
    [
        ("Cast", [A], {"to": TensorProto.INT64}),
        ("Slice", [I, ints(1), ints(2**40)], {}),
        ("Slice", [I, ints(3), ints(-(2**40)), ints(0), ints(-2)], {}),
        ("Slice", [A, ints(-2, 0), ints(3, 3), ints(1, 0), ints(1, 2)], {}),
        ("Unsqueeze", [A, ints(0, 3)], {}),
        ("Squeeze", [A[:1, :, None], ints(0, -1)], {}),
        ("Squeeze", [A[:1, :, None]], {}),
        ("Expand", [A[:, :1], ints(2, 1, 4)], {}),
        ("ConstantOfShape", [ints(2, 3)], {}),
        ("Range", [np.array(1), np.array(9), np.array(3)], {}),
        ("Reshape", [A, ints(2, -1)], {}),
        ("Reshape", [A, ints(0, 2, 2)], {}),
        ("Concat", [A, A], {"axis": -1}),
        ("Gather", [A, ints(2, 0)], {"axis": 1}),
        ("Gather", [I, np.array(-1)], {}),
        ("Transpose", [A[None]], {"perm": [2, 0, 1]}),
        ("Transpose", [A], {}),
        ("Shape", [A[None]], {"start": 1, "end": -1}),
        ("Where", [A > 0, A, -A], {}),
        ("ReduceProd", [I], {"keepdims": 0}),
        ("Div", [I, ints(2, 2, -3, 4)], {}),
        ("Div", [A, A + 10], {}),
        ("Sub", [I, ints(1)], {}),
        ("Pow", [np.abs(A), np.array(0.5, np.float32)], {}),
        ("Max", [A, -A], {}),
        ("Min", [A, -A], {}),
        ("Equal", [I, ints(7, 3, 2, 5)], {}),
        ("MatMul", [A, A.T], {}),
        ("Neg", [I], {}),
        ("Floor", [A], {}),
        ("Ceil", [A], {}),
        ("Sqrt", [np.abs(A)], {}),
        ("Exp", [A], {}),
        ("Abs", [I], {}),
        ("Reciprocal", [A], {}),
        ("QuantizeLinear", [A, np.array([0.1, 0.2, 0.3], np.float32), np.array([3, 0, 9], np.uint8)], {"axis": 0}),
        ("QuantizeLinear", [A, np.array(0.01, np.float32), np.array(-3, np.int8)], {}),
        ("DequantizeLinear", [np.array([[1, -2], [3, 4]], np.int8), np.array([0.5, 2], np.float32)], {"axis": 0}),
        ("DequantizeLinear", [np.array([1, 200], np.uint8), np.float32(0.5).reshape(()), np.array(7, np.uint8)], {}),
    ],
)
def test_rules_agree_with_the_reference(op: str, inputs: list[np.ndarray], attributes: dict[str, Any]) -> None:
    names = [f"x{i}" for i in range(len(inputs))]
    proto = helper.make_node(op, names, ["y"], **attributes)
    (want,) = ReferenceEvaluator(proto, opsets={"": 17}).run(None, dict(zip(names, inputs, strict=True)))
    got = constants.fold(raw(op, attributes), inputs)
    assert got.shape == np.shape(want)
    assert got.dtype == np.asarray(want).dtype
    assert np.allclose(got, want)


@pytest.mark.parametrize("mode", ["ROUND", "CEIL", "FLOOR", "UP", "DOWN", "HALF_UP", "HALF_DOWN", "HALF_EVEN"])
@pytest.mark.parametrize(("bits", "signed", "narrow"), [(3, 1, 1), (4, 1, 0), (2, 0, 0), (4, 0, 1)])
def test_quant_agrees_with_qonnx(mode: str, bits: int, signed: int, narrow: int) -> None:
    quant = pytest.importorskip("qonnx.custom_op.general.quant").quant
    x = np.arange(-5, 5, 0.125)
    flags = {"signed": signed, "narrow": narrow, "rounding_mode": mode}
    inputs = [x, np.array(0.5), np.array(1.0 if not signed else 0.0), np.array(float(bits))]
    got = constants.fold(raw("Quant", flags, "qonnx.custom_op.general"), inputs)
    assert np.array_equal(got, quant(*inputs, bool(signed), bool(narrow), mode).astype(np.float32))


def test_one_bit_weights_are_signs() -> None:
    inputs = [np.array([-0.5, 0.0, 2.0]), np.array(0.25), np.array(0.0), np.array(1.0)]
    assert constants.fold(raw("Quant", {"signed": 1}), inputs).tolist() == [-0.25, 0.25, 0.25]


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "message"),
    [
        ("Reshape", [A, ints(5, -1)], {}, r"cannot reshape \(3, 4\) to \(5, -1\)"),
        ("Reshape", [A, ints(-1, -1)], {}, "cannot reshape"),
        ("Expand", [A, ints(2**20, 2**20, 3, 4)], {}, "is too large"),
        ("Range", [np.array(0), np.array(2**50), np.array(1)], {}, "is too large"),
        ("Add", [np.zeros((2**15, 1)), np.zeros((1, 2**15))], {}, "is too large"),
        ("Cast", [A], {"to": TensorProto.STRING}, "cast to object"),
        ("Quant", [A, np.array(1.0), np.array(0.0), np.array(2.5)], {}, r"a quantiser of 2.5 bits"),
        ("Quant", [A, np.array(1.0), np.array(0.0), np.array(4.0)], {"rounding_mode": "ODD"}, "rounding mode 'ODD'"),
        ("Unsqueeze", [None, ints(0)], {}, "an input is missing"),
    ],
)
def test_constants_that_do_not_fit(op: str, inputs: list[Any], attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as info:
        constants.fold(raw(op, attributes), inputs)
    assert str(info.value).startswith(f"node 'node' ({op}): ")
