"""The shipped supernet's weights, quantised, compiled and run in NumPy on CIFAR-10 images."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from nets import accelerator
from test_program import PART, check

from cofront.rtl.compiler import compile_program
from cofront.space.base import PRECISIONS

torch = pytest.importorskip("torch")
FILE = Path(os.environ.get("COFRONT_DATA", "../shared/data")) / "cifar10" / "test.parquet"


def cifar(count: int) -> np.ndarray:
    """The first test images (n, 32, 32, 3), or random ones where the data is absent."""
    if not FILE.exists():
        return np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
    import pyarrow.parquet as pq
    from PIL import Image

    table = next(pq.ParquetFile(FILE).iter_batches(count)).to_pylist()
    return np.stack([np.asarray(Image.open(io.BytesIO(row["img"]["bytes"]))) for row in table])


@pytest.mark.parametrize("precision", range(len(PRECISIONS)))
def test_trained_network(precision: int) -> None:
    from cofront.task import quantize, subnet
    from cofront.task.data import CIFAR10, Dataset
    from cofront.task.release import load_supernet

    torch.set_num_threads(1)
    images = cifar(64)
    labels = np.arange(64) % 10
    data = Dataset(images, labels, images[:8], labels[:8], images[:8], labels[:8], CIFAR10)
    quantized = quantize(load_supernet()[0], subnet.middle(precision), data)
    config = accelerator("DUAL", pi=16, po=16, pc=16, depth=2048, line=2048)
    for mode in ("auto", "split"):
        # The kernels' own width of accumulators: no trained layer needs more.
        program = compile_program(quantized, config, PART, bus_bits=128, mode=mode)
        check(quantized, program, config, images[3])
