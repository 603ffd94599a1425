"""Operators that a table lacks, by their work: seconds per unit of it, and by what factor that is off.

The factor is measured: each kind of operator of the table is left out in turn, predicted from the others, and compared.
Without kinds to leave out it is what is usual between machines' tables, and stated as such.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from cofront.predict.base import FloatArray
from cofront.space.work import WORK

#: The factor that is assumed where a table has fewer than two kinds of operators: a guess.
GUESS = 4.0
#: Share of the operators left out that lie within the factor.
LEVEL = 0.95
#: A prediction of nothing is off by no more than that.
_MOST = 100.0


def kind_of(key: str) -> str:
    """The kind of an operator: its layers' types, kernels and strides, without sizes and channels."""
    _, *words = key.split("|")
    return "|".join(re.sub(r"@[\d.]+$", "", re.sub(r"(?<=conv)\d+(?=k)|(?<=linear)\d+|g\d+", "", w)) for w in words)


def work_rates(work: Mapping[str, Any]) -> tuple[FloatArray | None, float | None]:
    """(w,) seconds per unit of each total of work, not negative, of least relative error; and the factor within which
    95 % of operators of another kind lie, None where no kind can be left out. `work`: columns by name, "seconds" and
    "operator" keys; may be empty.
    """
    if not work:
        return None, None
    rows, seconds = np.column_stack([work[name] for name in WORK]), np.asarray(work["seconds"], float)
    kept = seconds > 0
    if not kept.any():
        return None, None
    rows, seconds = rows[kept], seconds[kept]
    kinds = np.array([kind_of(key) for key in np.asarray(work["operator"])[kept]])
    return _fit(rows, seconds), _factor(rows, seconds, kinds)


def _fit(rows: FloatArray, seconds: FloatArray) -> FloatArray:
    from scipy.optimize import nnls

    return np.asarray(nnls(rows / seconds[:, None], np.ones(len(seconds)))[0], float)


def _factor(rows: FloatArray, seconds: FloatArray, kinds: Any) -> float | None:
    """At least 1; None for fewer than two kinds. Each kind counts alike, and a kind by its operators' quantile: they
    are off together.
    """
    names = sorted(set(kinds.tolist()))
    if len(names) < 2:
        return None
    off = np.empty(len(seconds))
    for name in names:
        mine = kinds == name
        said = np.maximum(rows[mine] @ _fit(rows[~mine], seconds[~mine]), seconds[mine] / _MOST)
        off[mine] = np.abs(np.log(said / seconds[mine]))
    worst = np.array([np.quantile(off[kinds == name], LEVEL) for name in names])
    # the upper end of few kinds: the next one may be worse than all of them by as much as they differ
    few = 1 + 1 / np.sqrt(len(names))
    return float(min(np.exp(np.quantile(worst, LEVEL) * few), _MOST))
