"""What is proven: an upper bound on the score at every cost, from the boxes that are still open.

A dropped box, or an accelerator whose paths are done, cannot improve the front in the windows where it was dropped. So
in window w a design with cost <= T (T in w) has at most the score

    max( F(T), floor((L_w + lam_w * T) / alpha_w) ),    L_w = greatest bound among what is open in w.

Integers throughout; with nothing open the bound is the front itself and the gap is 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cofront.search.exact.joint.incumbent import Candidate
from cofront.search.exact.joint.lagrange import NEG
from cofront.search.exact.joint.windows import ENDLESS

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Certificate:
    """`gap`: no design with cost <= T has a score above F(T) + gap, for every T from the first point of the front on.

    `least_cost`: no design costs less (equal to the first point's cost when that is proven least). `bound` lists
    (T, score): designs with cost <= T have at most that score; after the last T it holds for all.
    """

    gap: int
    least_cost: int
    bound: tuple[tuple[int, int], ...]


def whole_bound(designs: Sequence[Candidate], complete: bool, max_score: int, score_range: int) -> Certificate:
    """The certificate when the front is proven, or when there is no front to speak of."""
    if not complete:
        return Certificate(score_range, 0, ((ENDLESS, max_score),))
    ends = [*(d.cost - 1 for d in designs[1:]), ENDLESS]
    least = designs[0].cost if designs else ENDLESS
    return Certificate(0, least, tuple((t, d.score) for t, d in zip(ends[: len(designs)], designs, strict=True)))


def certify(
    cost: I64, score: I64, windows: tuple[I64, I64, I64, I64, I64], max_score: int, min_score: int | None, max_cost: int
) -> Certificate:
    """Bound of what is open. `windows`: alpha, lam, low, high and the greatest open bound of each (NEG: none).

    `cost`, `score` is the whole front known, limits aside; `max_score` bounds every design whatever it runs on.
    """
    wanted = [j for j in range(len(cost)) if (min_score is None or score[j] >= min_score) and cost[j] <= max_cost]
    first = wanted[0]
    gap, least = 0, int(cost[first])
    steps: dict[int, int] = {}
    ends = [*(int(c) - 1 for c in cost[1:]), ENDLESS]
    for a, m, lo, hi, best in zip(*(x.ravel().tolist() for x in windows), strict=True):
        if hi < lo:
            continue
        is_open = best > NEG
        if a == 0:
            if is_open and first == 0:
                least = min(least, -(best // m))
            elif is_open:
                least = 0
            continue
        j = max(int(np.searchsorted(cost, lo, side="right")) - 1, 0)
        while j < len(cost) and cost[j] <= hi:
            t = min(hi, ends[j])
            reach = max_score if t >= ENDLESS and m > 0 else min((best + m * t) // a, max_score)
            if j < first:  # below the minimal score
                if is_open and min_score is not None and reach >= min_score:
                    least = min(least, max(-((best - a * min_score) // m), 0) if m else 0)
            else:
                top = int(score[j])
                if is_open:
                    gap = max(gap, reach - top)
                    top = max(top, reach)
                steps[t] = max(steps.get(t, top), top)
            j += 1
    bound: list[tuple[int, int]] = []
    running = -(1 << 62)
    for t in sorted(steps):
        running = max(running, steps[t])
        if bound and bound[-1][1] == running:
            bound[-1] = (t, running)
        else:
            bound.append((t, running))
    return Certificate(gap, least, tuple(bound))
