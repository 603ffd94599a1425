"""From and to PyTorch. Importing this module imports torch."""

from __future__ import annotations

from cofront.network.torch_io.load import from_torch
from cofront.network.torch_io.module import NetworkModule, fold_batchnorm, to_torch

__all__ = ["NetworkModule", "fold_batchnorm", "from_torch", "to_torch"]
