"""What there is to measure of a space, and the model files of it.

Everything is measured in float32. The files hold no weights: all models take them from one file of random numbers that
the runner writes, at the standard deviation nearest to He initialisation, so that a few hundred models are a few
megabytes on their way to a board.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from cofront.errors import UnsupportedError, UsageError
from cofront.hardware.tables import operator_key
from cofront.measure.base import Item, Settings
from cofront.measure.runner import SCALES
from cofront.network import Network
from cofront.space.base import PRECISIONS, Points, Space

if TYPE_CHECKING:
    import onnx

#: A space with more operators is measured by whole networks: its "operators" are hardly shared between networks.
MOST_OPERATORS = 10_000
_WHOLE = "--no-operators --networks 50, or --samples 10"
#: Tensors of fewer elements stay in the model (clipping limits, shapes).
_SMALL = 16
#: Elements of a page, to which the scales' places in the file of weights are aligned.
_PAGE = 1024


def as_float(network: Network) -> Network:
    """The network with all layers in float32."""
    return network.with_bits(lambda _: None)


def operators(space: Space) -> list[Item]:
    """Every distinct operator of the space, in float32, in the order in which its trellis names them."""
    try:
        layered = space.layered(tuple(PRECISIONS)[:1])  # the others are the same in float32
    except UnsupportedError as error:
        raise UsageError(f"{error}; measure whole networks: {_WHOLE}") from None
    except UsageError:
        layered = space.layered()
    fragments = layered.fragments
    if layered.trellis.n_nodes == 2 or len(fragments) > MOST_OPERATORS:  # whole networks, edge by edge
        raise _too_many(space, len(fragments))
    found: dict[str, Network] = {}
    for fragment in fragments:
        floating = as_float(fragment)
        found.setdefault(operator_key(floating), floating)
    return [Item(f"op{i}", key, network.name, network) for i, (key, network) in enumerate(found.items())]


def _too_many(space: Space, n: int) -> UsageError:
    return UsageError(
        f"space '{space.name}' has {n:,} operators, which its networks hardly share; measure whole networks: {_WHOLE}"
    )


def plain_points(space: Space, points: Points) -> Points:
    """(n, d) canonical points without their precisions: each choice of one is set to its first option."""
    out = space.canonical(points).copy()
    for j, choice in enumerate(space.choices):
        if all(option in PRECISIONS for option in choice.options):
            out[:, j] = 0
    return space.canonical(out)


def sample(space: Space, rng: np.random.Generator, n: int) -> Points:
    """(n, d) different random networks, precisions aside; dead cells and the like are left out."""
    dead = getattr(space, "dead", None)
    found: dict[tuple[int, ...], None] = {}
    for _ in range(100):
        points = plain_points(space, space.sample(rng, 2 * n))
        if dead is not None:
            points = points[~np.asarray(dead(points))]
        for p in points:
            found[tuple(map(int, p))] = None
        if len(found) >= n:
            return np.array(list(found)[:n], dtype=np.int64)
    raise UsageError(f"space '{space.name}' has {len(found)} different networks, {n} were asked for")


def networks(space: Space, points: Points, prefix: str = "net") -> list[Item]:
    """Whole networks as items."""
    out = []
    for i, p in enumerate(points):
        point = tuple(map(int, p))
        out.append(
            Item(f"{prefix}{i}", f"{space.name}{list(point)}", f"network {i + 1}", as_float(space.network(p)), point)
        )
    return out


def pack(items: Sequence[Item], settings: Settings, extra: dict[str, Any]) -> bytes:
    """A compressed archive of the runner, its plan and the models; `extra` are further entries of the plan."""
    largest = max((n for item in items for n in _sizes(item.network)), default=0)
    largest = -(-largest // _PAGE) * _PAGE
    entries = []
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for item in items:
            torch = settings.runtime == "pytorch"
            data = _torchscript(item.network, settings) if torch else _onnx(item.network, settings.batch, largest)
            name = f"{item.id}.{'pt' if torch else 'onnx'}"
            _add(archive, name, data)
            shape = [settings.batch, *item.network.shapes[item.network.input.name]]
            size = 4 * sum(_sizes(item.network))
            entries.append({"id": item.id, "file": name, "label": item.label, "shape": shape, "bytes": size})
        plan = {
            "items": entries, "largest": 0 if settings.runtime == "pytorch" else largest, "threads": settings.threads,
            "runtime": settings.runtime, "provider": settings.provider, "rounds": settings.rounds,
            "budget_s": settings.budget_s, "seed": settings.seed, "cores": list(settings.cores),
            "least": settings.least, "most": settings.most, **extra,
        }  # fmt: skip
        _add(archive, "plan.json", json.dumps(plan).encode())
        _add(archive, "runner.py", resources.files("cofront.measure").joinpath("runner.py").read_bytes())
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    archive.addfile(entry, io.BytesIO(data))


def _sizes(network: Network) -> Iterable[int]:
    from cofront.network.weights import weight_shapes

    return (math.prod(s) for s in weight_shapes(network).values())


def _onnx(network: Network, batch: int, largest: int) -> bytes:
    """The model with every weight in the file `weights.bin`."""
    from cofront.network.onnx_io.write import to_onnx
    from cofront.network.weights import weight_shapes

    zero = np.zeros(1, np.float32)
    weights = {k: np.broadcast_to(zero, s) for k, s in weight_shapes(network).items()}
    model = to_onnx(network, weights, batch)
    del model.metadata_props[:]
    for tensor in model.graph.initializer:
        _move_out(tensor, largest)
    return bytes(model.SerializeToString())


def _move_out(tensor: onnx.TensorProto, largest: int) -> None:
    from onnx import TensorProto

    size = math.prod(tensor.dims)
    if tensor.data_type != TensorProto.FLOAT or size < _SMALL:
        return
    spread = math.sqrt(2.0 / math.prod(tensor.dims[1:])) if len(tensor.dims) > 1 else SCALES[-1]
    nearest = min(range(len(SCALES)), key=lambda i: abs(math.log(SCALES[i] / spread)))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    places = {"location": "weights.bin", "offset": 4 * largest * nearest, "length": 4 * size}
    for key, value in places.items():
        tensor.external_data.add(key=key, value=str(value))


def _torchscript(network: Network, settings: Settings) -> bytes:
    """The traced module, frozen: convolutions with their activations as PyTorch fuses them."""
    import warnings

    import torch

    from cofront.network.pytorch import to_torch
    from cofront.network.weights import random_weights

    module = to_torch(network, random_weights(network, np.random.default_rng(0))).eval()
    example = torch.zeros(settings.batch, *network.shapes[network.input.name])
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer versions prefer another format, which needs more than torch to load
        traced = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))  # type: ignore[no-untyped-call]
        buffer = io.BytesIO()
        torch.jit.save(traced, buffer)
    return buffer.getvalue()
