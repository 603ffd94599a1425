"""Networks to and from ONNX, QONNX and QDQ files."""

from cofront.network.onnx_io.grids import Grid, IntegerLayer, Quantisation, calibrate, integers
from cofront.network.onnx_io.integer import quantisation_of, to_integer_onnx
from cofront.network.onnx_io.quantised import to_qdq, to_qonnx, write_qdq, write_qonnx
from cofront.network.onnx_io.read import Imported, from_onnx, import_onnx, read_onnx
from cofront.network.onnx_io.write import to_onnx, write_onnx

__all__ = [
    "Grid",
    "Imported",
    "IntegerLayer",
    "Quantisation",
    "calibrate",
    "from_onnx",
    "import_onnx",
    "integers",
    "quantisation_of",
    "read_onnx",
    "to_integer_onnx",
    "to_onnx",
    "to_qdq",
    "to_qonnx",
    "write_onnx",
    "write_qdq",
    "write_qonnx",
]
