"""The weights of a design: trained ones where there are any, otherwise random ones, and the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cofront.errors import CofrontError, InputError, UnsupportedError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from cofront.network import Network
    from cofront.study.documents import DesignDocument

#: Spaces whose supernet cofront trains.
SUPERNETS = ("subgraph32",)


@dataclass(frozen=True)
class Trained:
    """Weights by the names of `network.weights`; `reason` says why they are random, "" when they are trained.

    `samples` (n, *input shape) calibrate the quantisers of a QONNX file when `quantisation` is not known.
    """

    weights: dict[str, NDArray[np.float32]]
    samples: NDArray[np.float32]
    reason: str = ""
    quantisation: Any = None
    integers: Any = None  # a task.integer.QuantizedNetwork


def no_supernet(space: str) -> str:
    """Why a space has random weights alone, whatever is installed."""
    return f"no supernet of space '{space}' comes with cofront"


def check_request(space: str, data: Path | None) -> None:
    """UsageError when images are named that cannot be used, before anything else is done."""
    if data is None:
        return
    from cofront.api.training import check_data, need_torch

    if space not in SUPERNETS:
        whose = f"space '{space}' has" if space else "this design has"
        raise UsageError(
            f"--data is what the trained weights of space {', '.join(SUPERNETS)} are set on; {whose} none here, "
            "leave --data out"
        )
    need_torch("taking weights from the supernet")
    check_data(data)


def _of_supernet(design: DesignDocument, network: Network, images: Path | None) -> Trained:
    """The shipped supernet's weights for the design, with batch norm and scales set on training images."""
    import numpy as np

    from cofront.api.training import load_data, need_torch

    if design.space not in SUPERNETS:
        raise UnsupportedError(no_supernet(design.space))
    need_torch("taking them from the supernet")
    from cofront.task.release import load_supernet

    net, _ = load_supernet()
    try:
        data = load_data(images)
    except CofrontError as error:
        raise InputError(f"batch norm and scales are set on training images: {error}") from None
    from cofront.network.onnx_io import quantisation_of
    from cofront.task.finetune import quantize

    integers = quantize(net, design.design.point, data)
    quantisation = quantisation_of(integers)
    weights: dict[str, Any] = {}
    for name, layer in quantisation.layers.items():
        weights[f"{name}.weight"] = layer.real()
        if layer.bias is not None:
            weights[f"{name}.bias"] = layer.bias
    shape = network.shapes[network.input.name]
    return Trained(weights, np.zeros((1, *shape), np.float32), quantisation=quantisation, integers=integers)


def trained_weights(design: DesignDocument, network: Network, seed: int = 0, data: Path | None = None) -> Trained:
    """The design's trained weights, or random ones with the reason.

    `data` are the images to set batch norm and scales on, CIFAR-10 by default; when they are named, what is wrong with
    them is an error.
    """
    check_request(design.space, data)
    import numpy as np

    from cofront.network.weights import random_weights

    rng = np.random.default_rng(seed)
    shape = network.shapes[network.input.name]
    samples = rng.standard_normal((1, *shape)).astype(np.float32)
    if not design.space:
        from pathlib import Path

        from cofront.network.onnx_io import import_onnx

        if Path(design.network).suffix.lower() in (".onnx", ".qonnx"):
            found = import_onnx(design.network, input_shape=tuple(design.input_shape) or None)
            return Trained(dict(found.weights), samples)
        what = f"'{design.network}' is a table of layers"
        if Path(design.network).suffix.lower() == ".json":
            what = f"'{design.network}' has weights at its own precision alone"
    else:
        try:
            return _of_supernet(design, network, data)
        except CofrontError as error:
            if data is not None:
                raise
            what = str(error)
    reason = f"{what}; the ONNX files hold random weights (seed {seed}): right in structure, useless for inference"
    return Trained(random_weights(network, rng), samples, reason)


def real_beside(design: Path, weights: Path | None, origin: str) -> list[str]:
    """What to say of random integers where `quantize` has left real ones."""
    real = design.with_name("integers.safetensors")
    if weights is not None or not origin.startswith("random") or not real.is_file():
        return []
    return [f"the integers are random, though there are real ones beside the design: --weights {real}"]
