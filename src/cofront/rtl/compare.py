"""What hardware wrote, against the integer model: the first difference by image, layer, pixel and channel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError
from cofront.rtl.program import Program
from cofront.task.integer import QuantizedNetwork


@dataclass(frozen=True)
class Difference:
    """One element that differs. `layer` computes it; `descriptor` is the run of the engine that wrote it."""

    image: int
    tensor: str
    layer: str
    descriptor: int
    row: int
    column: int
    channel: int
    expected: int
    found: int

    def __str__(self) -> str:
        where = f"layer '{self.layer}' (tensor '{self.tensor}'), pixel ({self.row}, {self.column})"
        return (
            f"image {self.image}, {where}, channel {self.channel}: {self.found}, expected {self.expected} "
            f"(descriptor {self.descriptor})"
        )


@dataclass(frozen=True)
class Comparison:
    """Elements compared and how many of them differ, the tensors they are of, and the first difference."""

    elements: int
    differing: int
    tensors: int
    first: Difference | None


def compare(
    quantized: QuantizedNetwork,
    program: Program,
    images: npt.NDArray[np.uint8],
    memories: npt.NDArray[np.uint8],
    *,
    everything: bool = False,
    numbers: Iterable[int] | None = None,
) -> Comparison:
    """Memories (n, bytes) behind runs on images (n, h, w, c), whose `numbers` are those to report."""
    elements = differing = 0
    first: Difference | None = None
    names: set[str] = set()
    labels = list(numbers) if numbers is not None else list(range(len(images)))
    for label, image, memory in zip(labels, images, memories, strict=True):
        expected = quantized.tensors(image[None])
        for name in written(program, expected) if everything else [program.output]:
            layout = program.tensors[name]
            found = layout.unpack(memory)
            want = _as_map(expected[name][0], found.shape)
            wrong = found != want
            names.add(name)
            elements += wrong.size
            differing += int(wrong.sum())
            if first is None and wrong.any():
                first = _difference(program, label, name, found, want, wrong)
    return Comparison(elements, differing, len(names), first)


def written(program: Program, expected: Iterable[str]) -> list[str]:
    """Tensors that the engine writes and the integer model names, in the order of writing."""
    known, inputs = set(expected), {host.tensor for host in program.inputs}
    return [name for name in program.tensors if name in known and name not in inputs]


def _as_map(values: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    if values.size != int(np.prod(shape)):
        raise InputError(f"the build has a tensor of {shape}, its network one of {values.shape}")
    return values.reshape(shape).astype(np.int64)


def _difference(program: Program, image: int, name: str, found: Any, want: Any, wrong: Any) -> Difference:
    row, column, channel = (int(i) for i in np.argwhere(wrong)[0])
    layer, descriptor = name, -1
    for i, job in enumerate(program.jobs):
        if job.target != name:
            continue
        layer, descriptor = (job.layers or (name,))[-1], i
        if job.channels[0] <= channel < job.channels[1] and job.columns[0] <= column < job.columns[1]:
            break
    values = int(want[row, column, channel]), int(found[row, column, channel])
    return Difference(image, name, layer, descriptor, row, column, channel, *values)
