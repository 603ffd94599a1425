"""`BitsOf`: one network with a precision for each of its blocks, so that bits and accelerator are found together.

HAO's inner problem [HAO21] for any network: its blocks, which an accelerator runs in one call, are given; what is
chosen is the precision of each. With the rise of the loss as the score, the exact joint search allocates bits and sizes
the accelerator at once.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

from cofront.errors import InputError, UsageError, unknown_name
from cofront.network import Network
from cofront.network.split import split
from cofront.space.base import PRECISIONS, Choice
from cofront.space.declare import Declaration, TrellisSpace


class BitsOf(TrellisSpace):
    """The precisions `offered` for each block of `network`, in its order; those of `wide` blocks stay at W8A8.

    A block is what `network.split` gives: it has a single input and output tensor. `wide` names blocks by label; the
    first and the last are wide by default, as in HAQ [HAQ19]. UsageError for unknown names or when nothing is left.
    """

    def __init__(
        self, network: Network, offered: Sequence[str] = tuple(PRECISIONS), wide: Collection[str] | None = None
    ) -> None:
        for name in offered:
            if name not in PRECISIONS:
                raise unknown_name("precision", name, PRECISIONS)
        shape = network.shapes[network.input.name]
        if len(shape) != 3:
            raise InputError(f"expected a network on images (channels, height, width), its input is {shape}")
        self.name, self.task = f"bits-of-{network.name}", ""
        self.input_shape = (shape[0], shape[1], shape[2])
        self.parts = tuple(split(network))
        self.blocks = tuple(p.name for p in self.parts)
        wide = {self.blocks[0], self.blocks[-1]} if wide is None else wide
        for label in wide:
            if label not in self.blocks:
                raise unknown_name("block", label, self.blocks)
        #: (l,) what each part may have; () where nothing is multiplied.
        self.offered = tuple(
            () if not p.layers else ("W8A8",) if p.name in wide else tuple(offered) for p in self.parts
        )
        if not any(len(o) > 1 for o in self.offered):
            raise UsageError(f"network '{network.name}' has no block whose precision can be chosen; offer more")

    @property
    def choices(self) -> tuple[Choice, ...]:
        named = zip(self.blocks, self.offered, strict=True)
        return tuple(Choice(f"{label}_bits", offered) for label, offered in named if len(offered) > 1)

    def fragment(self, key: Hashable) -> Network:
        assert isinstance(key, tuple)
        i, precision = key
        bits = PRECISIONS[precision]
        return self.parts[i].with_bits(lambda _: bits)

    def declare(self, into: Declaration) -> None:
        """States: the blocks done so far."""
        for i, (label, offered) in enumerate(zip(self.blocks, self.offered, strict=True)):
            for p, precision in enumerate(offered or ("W8A8",)):
                features = (f"{label}.bits={precision}",) if precision != "W8A8" else ()
                into.edge(
                    i, i + 1, {f"{label}_bits": p} if len(offered) > 1 else {}, features,
                    fragment=(i, precision), block=label, precision=precision if len(offered) > 1 else None,
                )  # fmt: skip
