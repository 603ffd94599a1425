"""The state of one import from ATen: values, nodes so far, weights, failures.

Reshapes, zero padding and the constants of hand-written hard-swishes are not nodes: a value carries them (`pending`)
until an operator consumes them, so that the many ways to write one thing end as one node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, fx

from cofront.errors import CofrontError
from cofront.network.graph import Node
from cofront.network.ops import (
    Conv2d,
    Flatten,
    Linear,
    Op,
    Padding,
    Shape,
)
from cofront.network.torch_io.module import Array, fold, to_numpy
from cofront.network.torch_io.rewrite import Arrays, Unflatten

NO_PAD: Padding = (0, 0, 0, 0)


class Unsupported(CofrontError):
    """One operator, or one use of it, that has no meaning here; collected by `Translation.run`."""


class Poisoned(Exception):
    """Control flow, never seen by a caller: an operator upstream was unsupported, and that is already said."""


@dataclass(frozen=True)
class Value:
    """A tensor of the exported program: what was done to node `name`'s output since.

    `shape` is without batch, and without the zeros of `pad`, which the next convolution takes over. `pending` is "" or:
    "swap" (groups swapped, a channel shuffle in the making), "row mean", "+3" (x + 3), "h6" (relu6(x + 3)), "x h6"
    (x relu6(x + 3)).
    """

    name: str
    shape: Shape
    pending: str = ""
    pad: Padding = NO_PAD
    groups: int = 1

    @property
    def seen(self) -> Shape:
        """The shape that PyTorch sees."""
        if self.pad == NO_PAD:
            return self.shape
        c, h, w = self.shape
        top, left, bottom, right = self.pad
        return (c, h + top + bottom, w + left + right)


def short(node: fx.Node) -> str:
    """The operator's name: "conv2d" for aten.conv2d.default."""
    target = str(node.target)
    return target.removeprefix("aten.").partition(".")[0] if target.startswith("aten.") else target


def arguments(node: fx.Node) -> list[Any]:
    """The positional arguments, which PyTorch types as almost anything."""
    return [*node.args]


#: Operators whose result is their input, not a copy of it.
ALIASES = frozenset({"contiguous", "detach", "alias", "dropout", "feature_dropout"})

Rule = Callable[["Translation", fx.Node], Value]


class Box:
    """A mutable cell: in-place operators change what every alias of a tensor holds. None: upstream of it failed."""

    def __init__(self, value: Value | None) -> None:
        self.value = value


def pair(value: Any) -> tuple[int, int]:
    """PyTorch's int, [int] or [int, int] as two ints."""
    if isinstance(value, int):
        return value, value
    items = [int(v) for v in value]
    if len(items) > 2:
        raise Unsupported("works on more than two dimensions")
    return items[0], items[-1]


class Translation:
    """State of one import: the nodes so far, their weights, what was unsupported."""

    def __init__(
        self, rules: Mapping[str, Rule], first: Node, batch: int, constants: dict[str, tuple[str, Tensor]]
    ) -> None:
        self._rules = rules
        self.nodes = [first]
        self.shapes: dict[str, Shape] = {first.name: first.op.out_shape(())}
        self.weights: Arrays = {}
        self.failures: dict[str, list[str]] = {}
        self.batch = batch
        self._constants = constants  # placeholder -> (qualified name, tensor)
        self._boxes: dict[fx.Node, Box] = {}
        self._flat: dict[tuple[str, Shape], str] = {}

    # --- names and nodes

    def unique(self, name: str) -> str:
        name = name or "layer"
        k, out = 1, name
        while out in self.shapes:
            k += 1
            out = f"{name}_{k}"
        return out

    def add(self, op: Op, *inputs: str, name: str) -> Value:
        shape = op.out_shape(tuple(self.shapes[i] for i in inputs))
        name = self.unique(name)
        self.nodes.append(Node(name, op, inputs))
        self.shapes[name] = shape
        return Value(name, shape)

    def node(self, name: str) -> Node:
        return next(n for n in reversed(self.nodes) if n.name == name)

    # --- arguments

    def box(self, arg: Any) -> Box:
        if not isinstance(arg, fx.Node):
            raise Unsupported(f"with the constant {arg}")
        if arg.name in self._constants:
            raise Unsupported(f"with the parameter or buffer '{self._constants[arg.name][0]}'")
        return self._boxes[arg]

    def value(self, arg: Any) -> Value:
        """What `arg` holds; raises _Poisoned when an operator upstream failed."""
        value = self.box(arg).value
        if value is None:
            raise Poisoned
        return value

    def constant(self, arg: Any) -> Array | None:
        """A parameter or buffer as an array."""
        if arg is None:
            return None
        if not isinstance(arg, fx.Node) or arg.name not in self._constants:
            raise Unsupported("with a weight that is computed, not a parameter")
        return to_numpy(self._constants[arg.name][1])

    def owner(self, arg: Any, kind: str) -> str:
        """Name of the module whose parameter `arg` is."""
        if isinstance(arg, fx.Node) and arg.name in self._constants:
            return self._constants[arg.name][0].rpartition(".")[0] or kind
        return kind

    def resolve(self, value: Value) -> str:
        """The node whose output is exactly `value`, made if need be."""
        if value.pending or value.pad != NO_PAD:
            what = {"swap": "a transpose", "row mean": "a mean over rows", "": "zero padding"}
            raise Unsupported(f"after {what.get(value.pending, 'adding or scaling by a constant')}")
        if self.shapes[value.name] == value.shape:
            return value.name
        key = (value.name, value.shape)
        if key not in self._flat:
            have = self.shapes[value.name]
            if len(value.shape) == 1:
                made = self.add(Flatten(), value.name, name=f"{value.name}.flatten")
            elif value.shape[1:] == (1, 1) and len(have) == 1:
                made = self.add(Unflatten(), value.name, name=f"{value.name}.map")
            else:
                raise Unsupported(f"after a reshape of {have} to {value.shape}")
            self._flat[key] = made.name
        return self._flat[key]

    def source(self, arg: Any) -> str:
        return self.resolve(self.value(arg))

    # --- the run

    def start(self, placeholder: fx.Node) -> None:
        self._boxes[placeholder] = Box(Value(self.nodes[0].name, self.shapes[self.nodes[0].name]))

    def run(self, node: fx.Node) -> None:
        """Translate one call; a failure is recorded and poisons what depends on it."""
        op = short(node)
        rule = self._rules.get(op.rstrip("_"))
        box = Box(None)
        try:
            if rule is None:
                raise Unsupported("")
            value = rule(self, node)
            want = tuple(node.meta["val"].shape)
            if want != (self.batch, *value.seen):
                raise Unsupported(f"of shape {want}, where {(self.batch, *value.seen)} was expected")
            box.value = value
            if op in ALIASES:
                box = self.box(node.args[0])
        except Poisoned:
            pass
        except CofrontError as error:
            self.failures.setdefault(op, []).append(str(error))
        source = node.args[0] if node.args else None
        if op.endswith("_") and isinstance(source, fx.Node) and source in self._boxes:
            self._boxes[source].value = box.value
            box = self._boxes[source]
        self._boxes[node] = box

    def merge_norm(self, node: fx.Node, value: Value) -> Value | None:
        """Fold a batch norm into the layer just before it, if nothing else reads that layer's output."""
        source, gamma, beta, mean, var, _, _, eps = arguments(node)[:8]
        owner = self.node(value.name)
        only = isinstance(source, fx.Node) and len(source.users) == 1
        if not only or value.pending or value.pad != NO_PAD:
            return None
        key = f"{owner.name}.weight"
        if isinstance(owner.op, Conv2d) and not owner.op.norm and value.shape == self.shapes[value.name]:
            op: Op = replace(owner.op, norm=True)
        elif isinstance(owner.op, Linear):
            op = replace(owner.op, bias=True)
        else:
            return None
        bias_key = f"{owner.name}.bias"
        self.weights[key], self.weights[bias_key] = fold(
            self.weights[key],
            self.weights.get(bias_key),
            self.constant(gamma),
            self.constant(beta),
            *self.running(mean, var),
            eps,
        )
        self.nodes[self.nodes.index(owner)] = replace(owner, op=op)
        return value

    def running(self, mean: Any, var: Any) -> tuple[Tensor, Tensor]:
        if mean is None or var is None:
            raise Unsupported("without running statistics (it depends on the batch)")
        self.constant(mean)
        self.constant(var)
        return self._constants[mean.name][1], self._constants[var.name][1]
