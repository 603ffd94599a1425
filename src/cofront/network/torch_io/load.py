"""A PyTorch module or exported program -> Network and weights, through torch.export."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from cofront.errors import CofrontError, InputError, UnsupportedError
from cofront.network.blocks import label_blocks
from cofront.network.graph import Network, Node
from cofront.network.ops import Input
from cofront.network.torch_io.module import NetworkModule, to_torch
from cofront.network.torch_io.rewrite import Unflatten, remove_unflatten
from cofront.network.torch_io.rules import RULES
from cofront.network.torch_io.state import Poisoned, Translation, Unsupported, short
from cofront.network.weights import Weights, validate

#: Samples in the traced batch: with one, a reshape that mixes batch and channels would go unseen.
BATCH = 2

#: The largest accepted difference between the module's outputs and the imported network's, relative to the largest.
TOLERANCE = 1e-3


def from_torch(
    module: nn.Module | ExportedProgram,
    input_shape: Sequence[int],
    name: str | None = None,
    check: bool = True,
) -> tuple[Network, Weights]:
    """The network that `module` computes in eval mode for inputs of `input_shape` (without batch), and its weights.

    Layers keep their module's name; batch norms are folded into the layer before them; `block` labels are inferred
    unless the module came from a labelled Network. With `check`, both are run on random input and must agree.
    A module that is called twice becomes two layers with a copy of the weights each, which is warned of.
    Raises UnsupportedError naming every unsupported operator at once, or saying which dimension is dynamic.
    """
    name = name or type(module).__name__
    shape = _static(input_shape, name)
    program = module if isinstance(module, ExportedProgram) else _export(module, shape, name)
    network, weights = _translate(program, shape, name)
    if isinstance(module, NetworkModule):
        network = _labelled_as(module.network, network)
    network = label_blocks(network)
    if check:
        _compare(module, program, network, weights)
    return network, weights


def _static(shape: Sequence[int], name: str) -> tuple[int, int, int]:
    if any(not isinstance(d, int) or isinstance(d, bool) or d < 1 for d in shape):
        raise UnsupportedError(
            f"'{name}': input shape {tuple(shape)} is dynamic; give channels, height and width as numbers, "
            f"e.g. (3, 224, 224)"
        )
    if len(shape) != 3:
        raise InputError(
            f"'{name}': expected an input shape (channels, height, width) without batch, got {tuple(shape)}"
        )
    return shape[0], shape[1], shape[2]


def _example(module: nn.Module, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    first = next((p for p in module.parameters()), torch.empty(0))
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((BATCH, *shape), generator=generator).to(device=first.device, dtype=first.dtype)


class _Eval:
    """Eval mode for a while; every submodule gets its own mode back."""

    def __init__(self, module: nn.Module) -> None:
        self._modes = [(m, m.training) for m in module.modules()]
        self._module = module

    def __enter__(self) -> None:
        self._module.eval()

    def __exit__(self, *_: object) -> None:
        for module, mode in self._modes:
            module.training = mode


def _export(module: nn.Module, shape: tuple[int, ...], name: str) -> ExportedProgram:
    if not isinstance(module, nn.Module):
        raise InputError(f"'{name}': expected a torch.nn.Module or an exported program, got {type(module).__name__}")
    with _Eval(module), torch.no_grad():
        try:
            return torch.export.export(module, (_example(module, shape),))
        except CofrontError:
            raise
        except Exception as error:  # whatever the user's forward() raises
            first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            raise UnsupportedError(
                f"'{name}' cannot be exported for input {shape}: {first}; forward() must take one tensor, accept this "
                f"shape, and not branch on values"
            ) from error


def _constants(program: ExportedProgram) -> dict[str, tuple[str, Tensor]]:
    """Placeholder name -> (qualified name, tensor) of parameters, buffers and constants."""
    signature = program.graph_signature
    out: dict[str, tuple[str, Tensor]] = {}
    for table in (
        signature.inputs_to_parameters,
        signature.inputs_to_buffers,
        signature.inputs_to_lifted_tensor_constants,
    ):
        for placeholder, qualified in table.items():
            tensor = program.state_dict.get(qualified, program.constants.get(qualified))
            if isinstance(tensor, Tensor):
                out[placeholder] = (qualified, tensor)
    return out


def _refuse_dynamic(nodes: list[fx.Node], name: str) -> None:
    for node in nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and any(not isinstance(d, int) for d in value.shape):
            raise UnsupportedError(
                f"'{name}': tensor '{node.name}' has the dynamic shape {tuple(map(str, value.shape))}; export it "
                f"without dynamic_shapes"
            )


def _translate(program: ExportedProgram, shape: tuple[int, int, int], name: str) -> tuple[Network, Weights]:
    nodes = list(program.graph.nodes)
    _refuse_dynamic(nodes, name)
    constants = _constants(program)
    inputs = [n for n in nodes if n.op == "placeholder" and n.name not in constants]
    if len(inputs) != 1:
        raise UnsupportedError(f"'{name}' takes {len(inputs)} inputs; a network here has exactly one")
    batch, *traced = inputs[0].meta["val"].shape
    if tuple(traced) != shape:
        raise InputError(f"'{name}' was exported for inputs of {tuple(traced)}, asked for {shape}")
    t = Translation(RULES, Node("input", Input(shape)), batch, constants)
    t.start(inputs[0])
    for node in nodes:
        if node.op == "call_function" and not _has_no_effect(node):
            t.run(node)
    result = _output(nodes[-1], name)
    output = ""
    try:
        output = t.source(result)
    except Poisoned:
        pass
    except Unsupported as error:
        t.failures.setdefault("output", []).append(str(error))
    if not t.failures:
        kept, output = remove_unflatten(t.nodes, t.shapes, t.weights, output)
        if any(isinstance(n.op, Unflatten) for n in kept):
            t.failures["view"] = ["of a vector that no linear layer made to a map"]
    if t.failures:
        raise UnsupportedError(f"'{name}': {_list_failures(t.failures)}; supported: {', '.join(sorted(RULES))}")
    network = Network(name, tuple(kept))
    shared = [constants[n.name][0] for n in nodes if n.name in constants and _layers_of(n) > 1]
    if shared:
        warnings.warn(
            f"'{name}': {', '.join(shared)} belong(s) to several layers; stored and counted once for each",
            stacklevel=3,
        )
    weights = {k: v.astype(np.float32) for k, v in t.weights.items() if k.rpartition(".")[0] in network.by_name}
    return network, validate(network, weights)


def _layers_of(parameter: fx.Node) -> int:
    """How many layers have the parameter as their weight."""
    kinds = ("conv", "linear", "addmm", "mm", "matmul")
    return sum(short(u).startswith(kinds) and u.args[0] is not parameter for u in parameter.users)


def _has_no_effect(node: fx.Node) -> bool:
    """Checks of metadata that exporting leaves behind; nothing reads them."""
    return "assert" in str(node.target) or (not node.users and node.target is operator.getitem)


def _output(node: fx.Node, name: str) -> Any:
    outputs = node.args[0]
    if not isinstance(outputs, tuple | list) or len(outputs) != 1:
        count = len(outputs) if isinstance(outputs, tuple | list) else 0
        raise UnsupportedError(f"'{name}' returns {count} tensors; a network here has exactly one output")
    return outputs[0]


def _list_failures(failures: dict[str, list[str]]) -> str:
    parts = []
    for op, details in failures.items():
        distinct = [d for d in dict.fromkeys(details) if d]
        times = f" ({len(details)} times)" if len(details) > 1 else ""
        parts.append(" ".join([f"'{op}'", *distinct[:2]]) + times)
    plural = "operators" if len(parts) > 1 else "operator"
    return f"unsupported {plural} {', '.join(parts)}"


def _labelled_as(original: Network, imported: Network) -> Network:
    """The block labels of the network that a module was made from, where names still agree."""
    labels: dict[str, str | None] = {}
    out = []
    for node in imported.nodes:
        known = original.by_name.get(node.name)
        # Activations and other nodes without parameters were renamed: they stay with the layer that feeds them.
        labels[node.name] = known.block if known else (labels[node.inputs[0]] if node.inputs else None)
        out.append(replace(node, block=labels[node.name]))
    return Network(imported.name, tuple(out))


def _compare(module: nn.Module | ExportedProgram, program: ExportedProgram, network: Network, weights: Weights) -> None:
    shape = network.input.op.out_shape(())
    runner = module if isinstance(module, nn.Module) else program.module()
    x = _example(runner, shape, seed=1)
    batch = next(
        n for n in program.graph.nodes if n.op == "placeholder" and n.name in program.graph_signature.user_inputs
    )
    x = x[:1].expand(batch.meta["val"].shape[0], *x.shape[1:]) if batch.meta["val"].shape[0] != BATCH else x
    ours = to_torch(network, weights).eval()
    with torch.no_grad():
        if isinstance(module, nn.Module):
            with _Eval(module):
                theirs = module(x)
        else:
            theirs = runner(x)
        mine = ours(x.float().cpu())
    theirs = theirs.float().cpu()
    worst = float((mine - theirs).abs().max())
    if not worst <= TOLERANCE * max(float(theirs.abs().max()), 1e-6):
        raise UnsupportedError(
            f"'{network.name}': the imported network's output differs from the module's by {worst:.2g} "
            f"(largest output {float(theirs.abs().max()):.2g}); the module does something that tracing does not show"
        )
