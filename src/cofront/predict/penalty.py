"""What a precision costs in accuracy where nobody measured it: stated by the user, spread over the blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from cofront.errors import UsageError, unknown_name
from cofront.predict.base import FloatArray
from cofront.space import PRECISIONS, Space

#: The precision that needs no penalty: a table that says nothing of precision is taken to be measured at it.
BASE_PRECISION = "W8A8"


@dataclass(frozen=True)
class PrecisionPenalty:
    """Accuracy lost (a fraction) when every block of the deepest network uses a precision; our own model.

    Half of it is spread equally over the blocks, half by the weights a block can have at most; a network with fewer
    blocks loses less in proportion. It acts on the score, inside the link: the loss is as stated at the best accuracy
    measured, and more where accuracy is lower and the link steeper. `ends` gives single blocks, such as the stem or
    the head, losses of their own; a space's ends stay at W8A8 without them.
    """

    loss: Mapping[str, float]
    ends: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for losses in (self.loss, *self.ends.values()):
            for name, value in losses.items():
                if name not in PRECISIONS:
                    raise unknown_name("precision", name, PRECISIONS)
                if name == BASE_PRECISION or not 0 <= value < 1:
                    raise UsageError(
                        f"precision penalty {name}={100 * value:g}: expected 0 to 100 points for a precision other "
                        f"than {BASE_PRECISION}"
                    )

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "W4A8=1.0,W4A4=4.0" in points; "head.W4A4=0.5" for a single block."""
        loss: dict[str, float] = {}
        ends: dict[str, dict[str, float]] = {}
        for part in text.split(","):
            key, equals, value = part.partition("=")
            block, dot, name = key.strip().rpartition(".")
            try:
                points = float(value)
            except ValueError:
                equals = ""
            if not equals or not name:
                raise UsageError(f"precision penalty '{part.strip()}': expected e.g. W4A8=1.0,W4A4=4.0,head.W4A4=0.5")
            losses = ends.setdefault(block, {}) if dot else loss
            if name in losses:
                raise UsageError(f"precision penalty '{part.strip()}': {key.strip()} is given twice")
            losses[name] = points / 100
        return cls(loss, ends)

    def precisions(self, measured: Mapping[str, tuple[str, ...]], space: Space) -> dict[str, tuple[str, ...]]:
        """Block -> precisions to search over: those measured and those with a penalty."""
        for block in self.ends:
            if block not in measured:
                raise unknown_name("block", block, measured)
        out = {}
        for block, known in measured.items():
            stated = tuple(self._losses(block, space)) if known else ()  # a block never measured stays out
            both = [p for p in stated if p in known]
            if both:
                raise UsageError(f"precision {both[0]} of block '{block}' was measured: it cannot have a penalty too")
            out[block] = (*known, *stated)
        return out

    def coefficients(self, space: Space, score_loss: Callable[[float], float] = float) -> FloatArray:
        """(f,) to add to the coefficients of an additive model on the features of `space`.

        `score_loss` turns accuracy lost into score lost (`AdditiveModel.score_loss`).
        """
        index = {name: i for i, name in enumerate(space.feature_names())}
        weights = block_weights(space)
        spread = [b for b in weights if b not in self.ends and b not in space.ends]
        total = sum(weights[b] for b in spread)
        out = np.zeros(len(index))
        for block in weights:
            share = 0.5 / len(spread) + 0.5 * weights[block] / total if block in spread else 1.0
            for name, loss in self._losses(block, space).items():
                feature = f"{block}.bits={name}"
                if feature in index:
                    out[index[feature]] = -score_loss(loss) * share
        return out

    def _losses(self, block: str, space: Space) -> Mapping[str, float]:
        return self.ends.get(block, {} if block in space.ends else self.loss)


def block_weights(space: Space) -> dict[str, int]:
    """The most weights that each block with a choice of precision can have."""
    most: dict[str, int] = {}
    choosable = {name.partition(".bits=")[0] for name in space.feature_names() if ".bits=" in name}
    for fragment in space.layered((BASE_PRECISION,)).fragments:
        block = fragment.output.block
        if block in choosable:
            most[block] = max(most.get(block, 0), fragment.params)
    return most
