"""How alike devices are: what is slower on one is slower on the other, the "monotonicity" of latency [OneProxy21]."""

from __future__ import annotations

import numpy as np

from cofront.predict.base import FloatArray


def rank_matrix(latency_s: FloatArray) -> FloatArray:
    """(m, m) Spearman's rank correlations of the columns of (n, m) latencies, by the rows that both devices measured.

    NaN where fewer than two rows are, or where one of the two has one and the same latency for all.
    """
    from scipy.stats import rankdata

    known = np.isfinite(latency_s)
    out = np.eye(latency_s.shape[1])
    ranks = rankdata(latency_s, axis=0) if known.all() else None
    for i in range(len(out)):
        for j in range(i):
            if ranks is None:
                both = known[:, i] & known[:, j]
                a, b = (rankdata(latency_s[both, k]) for k in (i, j))
            else:
                a, b = ranks[:, i], ranks[:, j]
            varied = len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0
            out[i, j] = out[j, i] = np.corrcoef(a, b)[0, 1] if varied else np.nan
    return out


def by_likeness(matrix: FloatArray) -> list[int]:
    """An order of the devices in which those that are alike are neighbours (average linkage)."""
    from scipy.cluster.hierarchy import leaves_list, linkage, optimal_leaf_ordering

    if len(matrix) < 3:
        return list(range(len(matrix)))
    apart = (1.0 - np.nan_to_num(matrix, nan=-1.0))[np.triu_indices(len(matrix), 1)]
    apart = np.maximum(apart, 0.0)
    return [int(i) for i in leaves_list(optimal_leaf_ordering(linkage(apart, "average"), apart))]
