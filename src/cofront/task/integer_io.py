"""A QuantizedNetwork as one safetensors file: integers as tensors, the graph and the scalars as JSON in the header."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cofront.errors import CofrontError, InputError
from cofront.network import (
    Activation,
    Add,
    AdderConv2d,
    ChannelShuffle,
    Concat,
    Conv2d,
    Flatten,
    GlobalPool,
    Input,
    Linear,
    Network,
    Node,
    Op,
    Pool2d,
    ShiftConv2d,
)
from cofront.rights import move_into_place
from cofront.task.integer import QuantizedLayer, QuantizedNetwork, Rescale, Residual
from cofront.task.integer_ops import Join

FORMAT = "cofront-integer-network"
VERSION = 1
_KNOWN = (
    Activation, Add, AdderConv2d, ChannelShuffle, Concat, Conv2d, Flatten, GlobalPool, Input, Linear, Pool2d,
    ShiftConv2d,
)  # fmt: skip
OPS: dict[str, type[Op]] = {c.__name__: c for c in _KNOWN}
ARRAYS = ("weight", "bias", "multiplier")


def save(net: QuantizedNetwork, path: str | Path) -> None:
    """Write `net`; all or nothing."""
    tensors, layers = {}, {}
    for name, layer in net.layers.items():
        for a in ARRAYS:
            tensors[f"{name}.{a}"] = np.ascontiguousarray(getattr(layer, a))
        layers[name] = {k: v for k, v in asdict(layer).items() if k not in ARRAYS and (k, v) != ("align", 0)}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "network": network_to_json(net.network),
        "layers": layers,
        "pools": {k: asdict(v) for k, v in net.pools.items()},
        **({"joins": {k: asdict(v) for k, v in net.joins.items()}} if net.joins else {}),
        "input_zero": net.input_zero,
        "input_scale": net.input_scale,
        "scales": dict(net.scales),
        "meta": dict(net.meta),
    }
    target = Path(path)
    tmp = target.with_name(target.name + ".tmp")
    save_file(tensors, tmp, {"cofront": json.dumps(header)})
    move_into_place(tmp, target)


def load(path: str | Path) -> QuantizedNetwork:
    """Read and check a file written by `save`."""
    try:
        with safe_open(path, "numpy") as f:
            header = json.loads((f.metadata() or {})["cofront"])
            tensors = {k: f.get_tensor(k) for k in f.keys()}  # noqa: SIM118
        if header["format"] != FORMAT or header["version"] != VERSION:
            raise InputError(f"{path}: expected {FORMAT} {VERSION}, found {header['format']} {header['version']}")
        layers = {name: _layer(name, d, tensors) for name, d in header["layers"].items()}
        return QuantizedNetwork(
            network_from_json(header["network"]),
            layers,
            {k: Rescale(**v) for k, v in header["pools"].items()},
            header["input_zero"],
            float(header["input_scale"]),
            header["scales"],
            header["meta"],
            {k: _join(v) for k, v in header.get("joins", {}).items()},
        )
    except CofrontError:
        raise
    except Exception as e:
        raise InputError(
            f"'{path}' is not an integer network, as `cofront train` and `cofront evaluate --out` write it: "
            f"{_reason(e)}"
        ) from None


def _reason(error: Exception) -> str:
    """What is wrong with a file, in words."""
    if isinstance(error, SafetensorError):
        return "it is no safetensors file, or cut off"
    if isinstance(error, KeyError):
        return f"{error} is missing in it"
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _layer(name: str, d: dict[str, Any], tensors: dict[str, Any]) -> QuantizedLayer:
    d = dict(d)
    read, residual = d.pop("read"), d.pop("residual")
    return QuantizedLayer(
        **{a: tensors[f"{name}.{a}"] for a in ARRAYS},
        **d,
        read=Rescale(**read) if read else None,
        residual=Residual(**residual) if residual else None,
    )


def _join(d: dict[str, Any]) -> Join:
    return Join(**{**d, "zeros": tuple(d["zeros"]), "multipliers": tuple(d["multipliers"])})


def network_to_json(network: Network) -> dict[str, Any]:
    """A Network of the operators that have integers, as plain JSON values."""
    nodes = []
    for n in network.nodes:
        op = {"type": type(n.op).__name__, **asdict(n.op)}  # type: ignore[call-overload]
        nodes.append({f.name: getattr(n, f.name) for f in fields(n) if f.name != "op"} | {"op": op})
    return {"name": network.name, "nodes": nodes}


def network_from_json(data: dict[str, Any]) -> Network:
    """The inverse; lists become tuples again."""

    def plain(d: dict[str, Any]) -> dict[str, Any]:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in d.items()}

    nodes = []
    for d in data["nodes"]:
        op, rest = plain(d["op"]), plain({k: v for k, v in d.items() if k != "op"})
        kind = str(op.pop("type"))
        nodes.append(Node(op=OPS[kind](**op), **rest))
    return Network(str(data["name"]), tuple(nodes))
