"""The weights of a design: trained ones where there are any, otherwise random ones, and the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cofront.network import Network
    from cofront.study.documents import DesignDocument


@dataclass(frozen=True)
class Trained:
    """Weights by the names of `network.weights`; `reason` says why they are random, "" when they are trained.

    `samples` (n, *input shape) calibrate the quantisers of a QONNX file when `quantisation` is not known.
    """

    weights: dict[str, NDArray[np.float32]]
    samples: NDArray[np.float32]
    reason: str = ""
    quantisation: Any = None


def trained_weights(design: DesignDocument, network: Network, seed: int = 0) -> Trained:
    """The design's trained weights, or random ones with the reason."""
    import numpy as np

    from cofront.network.weights import random_weights

    rng = np.random.default_rng(seed)
    shape = network.shapes[network.input.name]
    samples = rng.standard_normal((1, *shape)).astype(np.float32)
    if not design.space:
        from pathlib import Path

        from cofront.network.onnx_io import import_onnx

        if Path(design.network).suffix.lower() in (".onnx", ".qonnx"):
            return Trained(dict(import_onnx(design.network).weights), samples)
        what = f"'{design.network}' is a table of layers"
    else:
        what = f"no trained supernet of space '{design.space}' comes with this cofront"
    reason = f"{what}; the ONNX files hold random weights (seed {seed}): right in structure, useless for inference"
    return Trained(random_weights(network, rng), samples, reason)
