"""What a quantiser is given, checked: weights, images and labels that fit the network; and images as its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cofront.errors import InputError
from cofront.network import Convolution, Network
from cofront.network.weights import Weights, has_bias, validate
from cofront.task.augment import resize
from cofront.task.calibrate import INPUT_GRID
from cofront.task.kernels import Grid

#: Fewer images say too little of the ranges of the tensors.
LEAST_IMAGES = 16


def bare(network: Network) -> Network:
    """The same graph without batch norms: the folded ones have left a bias."""
    nodes = (
        replace(n, op=replace(n.op, norm=False, bias=has_bias(n))) if isinstance(n.op, Convolution) else n
        for n in network.nodes
    )
    return Network(network.name, tuple(nodes))


def check_weights(network: Network, weights: Mapping[str, npt.NDArray[np.float32]] | None) -> Weights:
    """The weights, validated; one line where there are none."""
    if not network.layers:
        raise InputError(f"network '{network.name}' has no layers with weights: nothing to quantise")
    if not weights:
        raise InputError(f"network '{network.name}' comes without weights; a trained network is needed")
    return validate(network, weights)


def check_images(network: Network, images: Any, least: int = LEAST_IMAGES) -> npt.NDArray[np.uint8]:
    """uint8 images (n, h, w, c) that fit the network's input, at least `least` of them; else an InputError."""
    shape = network.shapes[network.input.name]
    if len(shape) != 3:
        raise InputError(f"network '{network.name}' takes inputs of shape {shape}; (channels, height, width) is needed")
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        found = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise InputError(f"expected uint8 images (n, height, width, channels), got {found}")
    if images.shape[3] != shape[0]:
        raise InputError(f"network '{network.name}' takes {shape[0]} channels, the images have {images.shape[3]}")
    if shape[1] != shape[2] and images.shape[1:3] != shape[1:]:
        raise InputError(f"network '{network.name}' takes images of {shape[1:]}, got {images.shape[1:3]}")
    if len(images) < least:
        raise InputError(f"calibration needs at least {least} images, got {len(images)}")
    return images


def check_labels(network: Network, images: npt.NDArray[np.uint8], labels: Any) -> npt.NDArray[np.int64]:
    """One class per image, each one that the network has; else an InputError."""
    y = np.asarray(labels)
    if y.shape != images.shape[:1] or not np.issubdtype(y.dtype, np.integer):
        raise InputError(f"expected one label per image, {len(images)} whole numbers, got {y.dtype} {y.shape}")
    classes = network.shapes[network.output.name][0]
    if len(y) and (int(y.min()) < 0 or int(y.max()) >= classes):
        raise InputError(f"labels go from {y.min()} to {y.max()}; network '{network.name}' has {classes} classes")
    return y.astype(np.int64)


def pixels_of(images: npt.NDArray[np.uint8], network: Network) -> torch.Tensor:
    """uint8 images (n, h, w, c) at the network's resolution, (n, c, side, side) float32 whole numbers 0..255."""
    x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    _, high, wide = network.shapes[network.input.name]
    x = resize(x, high) if high == wide else x.float()
    return x.contiguous(memory_format=torch.channels_last)


def check_grid(grid: Grid) -> Grid:
    """The grid of the pixels: 8 bits."""
    if grid.bits != 8 or not grid.scale > 0:
        raise InputError(f"pixels are of 8 bits and have a positive scale, got {grid}")
    return grid


#: What a pixel means unless said otherwise: (pixel - 128) / 64.
PIXELS = INPUT_GRID
