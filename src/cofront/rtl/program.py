"""Program: everything external memory must hold for a network, and where its tensors will be.

The image is read-only: descriptors, weights, requantisation constants. Behind it lie the input and every tensor that
is written, each in its own place, so that after a run all of them can be compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cofront.errors import InputError
from cofront.rtl.layout import TensorLayout
from cofront.task.resize import resize_images

Ints = npt.NDArray[Any]


@dataclass(frozen=True)
class HostImage:
    """What the host writes for one image: resized to `side` (0: as it is), unfolded by `size` (1: not at all).

    Unfolding takes windows of `size` x `size` at `stride`; the elements of a window are channels, row by row. Positions
    outside the image are `fill`.
    """

    tensor: str
    side: int
    size: int
    stride: int
    padding: tuple[int, int, int, int]
    fill: int

    def prepare(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """(n, h, w, c) images to the (n, height, width, channels) tensor."""
        x = resize_images(images, self.side) if self.side else images
        if self.size == 1:
            return x
        top, left, bottom, right = self.padding
        x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=self.fill)
        windows = np.lib.stride_tricks.sliding_window_view(x, (self.size, self.size), (1, 2))
        windows = windows[:, :: self.stride, :: self.stride].transpose(0, 1, 2, 4, 5, 3)
        return np.ascontiguousarray(windows.reshape(*windows.shape[:3], -1))


@dataclass(frozen=True)
class JobInfo:
    """One descriptor for people and reports: its call, layers, kernels, output tensor, channels and columns."""

    call: str
    layers: tuple[str, ...]
    kernels: tuple[str, ...]
    target: str
    channels: tuple[int, int]
    columns: tuple[int, int]
    in_words: int
    out_words: int
    load_words: int


@dataclass(frozen=True)
class Program:
    """A compiled network. Addresses are bytes from the start of the accelerator's memory.

    `image`: content of the memory from 0 on; `memory_bytes`: all that is used. `tensors`: by node name, in the order
    in which they are written; `output` names the one with the result.
    """

    bus_bytes: int
    image: bytes
    memory_bytes: int
    descriptors: int
    inputs: tuple[HostImage, ...]
    output: str
    tensors: Mapping[str, TensorLayout]
    jobs: tuple[JobInfo, ...]

    def memory(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The whole memory (bytes,) before a run on one image (h, w, c)."""
        out = np.zeros(self.memory_bytes, np.uint8)
        out[: len(self.image)] = np.frombuffer(self.image, np.uint8)
        for base, data in self.input_bytes(image):
            out[base : base + len(data)] = np.frombuffer(data, np.uint8)
        return out

    def input_bytes(self, image: npt.NDArray[np.uint8]) -> list[tuple[int, bytes]]:
        """(address, bytes) that the host writes for one uint8 image (h, w, c)."""
        if image.dtype != np.uint8 or image.ndim != 3:
            raise InputError(f"expected one uint8 image (h, w, channels), given {image.dtype} {image.shape}")
        out = []
        for host in self.inputs:
            layout = self.tensors[host.tensor]
            out.append((layout.base, layout.pack(host.prepare(image[None])[0])))
        return out

    def logits(self, memory: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        """The result (classes,) in a memory image after a run."""
        return self.tensors[self.output].unpack(memory).reshape(-1)

    def to_dict(self) -> dict[str, Any]:
        """Everything but the image, for JSON."""
        out = {k: getattr(self, k) for k in ("bus_bytes", "memory_bytes", "descriptors", "output")}
        return {
            **out,
            "inputs": [asdict(i) for i in self.inputs],
            "tensors": {name: asdict(layout) for name, layout in self.tensors.items()},
            "jobs": [asdict(job) for job in self.jobs],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], image: bytes) -> Program:
        """The program that `to_dict` described; an InputError if it is not one."""
        try:
            return cls(
                bus_bytes=int(data["bus_bytes"]),
                image=image,
                memory_bytes=int(data["memory_bytes"]),
                descriptors=int(data["descriptors"]),
                inputs=tuple(HostImage(**{**i, "padding": tuple(i["padding"])}) for i in data["inputs"]),
                output=str(data["output"]),
                tensors={name: TensorLayout(**layout) for name, layout in data["tensors"].items()},
                jobs=tuple(_job(j) for j in data["jobs"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InputError(f"not the description of a program: {error}") from None


def _job(data: Mapping[str, Any]) -> JobInfo:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    return JobInfo(**values)
