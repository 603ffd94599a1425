"""Networks to and from ONNX and QONNX files."""

from cofront.network.onnx_io.read import Imported, from_onnx, import_onnx, read_onnx
from cofront.network.onnx_io.write import to_onnx, write_onnx

__all__ = ["Imported", "from_onnx", "import_onnx", "read_onnx", "to_onnx", "write_onnx"]
