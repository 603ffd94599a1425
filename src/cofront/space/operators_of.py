"""`OperatorsOf`: the networks that come of a trained one by cheaper operators in the place of its units [LANA21].

A unit is a part of the network between two places where a single tensor is alive: a layer with its norm and activation,
or a block or residual unit as a whole, where what an inner layer gives is no use to a cheaper operator of another make.
Its input and output shapes are fixed. Its first operator, "teacher", is the unit itself; then come `narrow` versions of
it and those of `candidates.KINDS` that its shapes admit. What gives no map (the classifier) has the teacher's alone.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import replace

from cofront.errors import InputError, UsageError, unknown_name
from cofront.network import Activation, Add, Builder, Flatten, GlobalPool, Input, Network, Node
from cofront.network.bits import PRECISIONS
from cofront.network.ops import ActivationKind
from cofront.network.split import split
from cofront.space.base import Choice
from cofront.space.candidates import KINDS, Slot
from cofront.space.declare import Declaration, TrellisSpace
from cofront.space.narrowed import narrowed

TEACHER = "teacher"
#: Shares of the inner channels that are left.
SHARES = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)
NARROW = {f"narrow{s:g}": s for s in SHARES}
#: All names, as `--candidates` takes them.
EVERY = (TEACHER, *NARROW, *KINDS)
#: Ten that cover the range of costs, for quick runs; and thirty.
FEW = (
    TEACHER, "skip", "narrow0.25", "narrow0.5", "narrow0.75", "conv1", "dws3", "ib3e1", "bottleneck3r0.25", "rows3r0.5",
)  # fmt: skip
SOME = (
    *FEW, "narrow0.125", "narrow0.375", "narrow0.625", "conv3", "conv3g4", "dws5", "dws3se", "ib3e2", "ib5e1",
    "ib3e1se", "bottleneck3r0.5", "bottleneck5r0.25", "bottleneck3r0.5g4", "fused3e0.25", "fused3e0.5", "fused3e0.25se",
    "shuffle3g4", "rows3r0.25", "rank3r0.25", "gate5",
)  # fmt: skip


def units_of(network: Network) -> list[Network]:
    """The network's units in order: its blocks (`network.split`), the pooling behind the last map a unit of its own."""
    out: list[Network] = []
    for part in split(network):
        at = next((i for i, n in enumerate(part.nodes) if isinstance(n.op, GlobalPool | Flatten)), 0)
        rest = part.nodes[at:]
        own = {n.name for n in rest}
        last = part.nodes[at - 1].name
        alone = all(i in own or i == last for n in rest for i in n.inputs)
        if at < 2 or not alone or _side(part.shapes[last]) < 2 or _side(part.shapes[part.output.name]) > 1:
            out.append(part)
            continue
        tail = [replace(n, block=f"{n.block}.tail", inputs=tuple("input" if i == last else i for i in n.inputs))
                for n in rest]  # fmt: skip
        first = Node("input", Input(part.shapes[last]))
        out += [Network(part.name, part.nodes[:at]), Network(f"{part.name}.tail", (first, *tail))]
    return out


def _side(shape: tuple[int, ...]) -> int:
    """The smaller side of a map; 1 of a vector."""
    return min(shape[1:], default=1)


def slot_of(unit: Network, label: str) -> Slot | None:
    """What has to be replaced; None where the unit gives no map, or one whose size no stride explains."""
    before, after = unit.shapes[unit.input.name], unit.shapes[unit.output.name]
    if not unit.layers or len(before) != 3 or len(after) != 3 or min(after[1:]) < 2:
        return None
    stride = -(-before[1] // after[1])
    if any(-(-b // stride) != a for b, a in zip(before[1:], after[1:], strict=True)):
        return None
    kinds: list[ActivationKind] = [n.op.kind for n in unit.nodes if isinstance(n.op, Activation)]
    last = unit.output.op.kind if isinstance(unit.output.op, Activation) else None
    adds = any(isinstance(n.op, Add) and unit.input.name in n.inputs for n in unit.nodes)
    return Slot(label, before[0], before[1], before[2], after[0], stride, next(iter(kinds), "relu"), last, adds)


class OperatorsOf(TrellisSpace):
    """`parts` are the network's units, stacked they are the network; `offered` names operators (see `EVERY`).

    `precision` (such as "W8A8") is that of every layer; floating point if None. InputError for parts that do not fit,
    UsageError for an unknown name.
    """

    def __init__(
        self, parts: Sequence[Network], offered: Collection[str] = EVERY, precision: str | None = None
    ) -> None:
        if not parts:
            raise InputError("a network needs at least one unit to replace")
        for name in offered:
            if name not in EVERY:
                raise unknown_name("operator", name, EVERY)
        if precision is not None and precision not in PRECISIONS:
            raise unknown_name("precision", precision, PRECISIONS)
        shape = parts[0].shapes[parts[0].input.name]
        if len(shape) != 3:
            raise InputError(f"expected a network on images (channels, height, width), its input is {shape}")
        self.name, self.task = f"operators-of-{parts[0].name}-{len(parts)}", ""
        self.input_shape = (shape[0], shape[1], shape[2])
        self.parts = tuple(parts)
        self._bits = None if precision is None else PRECISIONS[precision]
        names = {n.name for p in parts for n in p.nodes}
        prefix = "op"
        while any(n.startswith(prefix) for n in names):
            prefix += "_"
        #: (l,) what each unit asks of its operators; None where it has its own alone.
        self.slots = tuple(slot_of(p, f"{prefix}{i}") for i, p in enumerate(parts))
        #: (l,) names of each unit's operators, "teacher" first, and their layers; None for an identity.
        self.operators: tuple[dict[str, Network | None], ...] = tuple(
            self._operators(i, frozenset(offered)) for i in range(len(parts))
        )
        if not any(len(o) > 1 for o in self.operators):
            raise UsageError(
                f"no unit of this network admits any of the operators ({', '.join(sorted(offered))[:200]}); offer more"
            )

    def _operators(self, i: int, offered: frozenset[str]) -> dict[str, Network | None]:
        part, slot = self.parts[i], self.slots[i]
        out: dict[str, Network | None] = {TEACHER: part}
        if slot is None:
            return out
        seen = {_shape_of(part)}
        for name in EVERY[1:]:
            if name not in offered:
                continue
            found = narrowed(part, NARROW[name]) if name in NARROW else self._built(part, slot, name)
            if name == "skip" and slot.same_shape:
                out[name] = None
            elif found is not None and _shape_of(found) not in seen:
                seen.add(_shape_of(found))
                out[name] = found
        return out

    def _built(self, part: Network, slot: Slot, name: str) -> Network | None:
        kind = KINDS[name]
        if not kind.admitted(slot):
            return None
        b = Builder(part.name, (slot.cin, slot.rows, slot.columns), input_name=part.input.name)
        b.block = part.output.block
        kind.build(b, slot)
        found = b.build()
        return found if found.shapes[found.output.name] == part.shapes[part.output.name] else None

    @property
    def choices(self) -> tuple[Choice, ...]:
        return tuple(Choice(f"u{i}", tuple(o)) for i, o in enumerate(self.operators))

    def fragment(self, key: Hashable) -> Network:
        assert isinstance(key, tuple)
        i, name = key
        found = self.operators[i][name]
        assert found is not None
        return found if self._bits is None else found.uniform_bits(*self._bits)

    def declare(self, into: Declaration) -> None:
        """States: the units done so far."""
        for i, operators in enumerate(self.operators):
            for o, (name, network) in enumerate(operators.items()):
                key = None if network is None else (i, name)
                features = (f"u{i}.op={name}", f"op={name}")
                into.edge(i, i + 1, {f"u{i}": o}, features, fragment=key, block=f"u{i}")


def _shape_of(network: Network) -> tuple[object, ...]:
    """What a network computes, without names: equal for operators that are the same."""
    position = {n.name: i for i, n in enumerate(network.nodes)}
    return tuple((_plain(n.op), tuple(position[i] for i in n.inputs)) for n in network.nodes)


def _plain(op: object) -> object:
    """A convolution with a bias is one with a norm."""
    from cofront.network import Conv2d

    return replace(op, bias=False, norm=True) if isinstance(op, Conv2d) and (op.bias or op.norm) else op
