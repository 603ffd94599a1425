import numpy as np
import pytest

from cofront.errors import InputError, UsageError, unknown_name
from cofront.front import Design, Front
from cofront.problem import INFEASIBLE, CodesignProblem, Engine, KernelTable, Trellis


def i64(*values):
    return np.array(values, dtype=np.int64)


def trellis():
    # 0 -> 1 by two parallel edges, 1 -> 2 by one, and a skip 0 -> 2
    return Trellis(
        3, i64(0, 0, 1, 0), i64(1, 1, 2, 2), i64(0, 1, 2, 3, 3), i64(0, 1, 2), i64(0, 1, 2, 2, 3), i64(0, 1, 2),
        (((0, 0),), ((0, 1),), (), ((1, 1),)), 3, 3,
    )  # fmt: skip


def test_paths_are_counted_exactly_and_scores_are_integers():
    t = trellis()
    assert t.n_paths() == 3
    assert t.scores(np.array([0.1, 0.2, 0.3])).tolist() == [100000, 200000, 0, 300000]


def test_edges_must_go_forward():
    with pytest.raises(InputError, match="from a smaller to a larger"):
        Trellis(2, i64(1), i64(0), i64(0, 0), i64(), i64(0, 0), i64(), ((),), 0, 0)


def test_every_edge_has_a_score():
    alone = Trellis.single(i64(2, 2, 0), 3)
    assert alone.n_edges == 1 and alone.n_paths() == 1 and alone.rows.tolist() == [2, 2, 0]
    assert CodesignProblem(alone, i64(0), (), i64(), 1e8).edge_score.tolist() == [0]
    with pytest.raises(UsageError, match="edge_score has 2 entries, the space's trellis 1 edges"):
        CodesignProblem(alone, i64(0, 0), (), i64(), 1e8)


def kernel(cycles, head, tail, solo, dsp):
    n = len(cycles)
    as2d = lambda v: np.array(v, dtype=np.int64).reshape(n, -1)  # noqa: E731
    return KernelTable(
        "k", ("p",), i64(*range(n)).reshape(n, 1), as2d(dsp), as2d(cycles), as2d(head), as2d(tail), as2d(solo)
    )


def test_row_latency_is_the_documented_formula():
    a = kernel([[100], [50]], [[5], [3]], [[0], [0]], [[120], [70]], [[1], [2]])
    b = kernel([[80], [INFEASIBLE]], [[0], [0]], [[7], [4]], [[90], [60]], [[3], [1]])
    e = Engine("e", (a, b), i64(10), i64(20), i64(1))
    assert e.row_latency((0, 0)).tolist() == [max(100 + 7, 5 + 80, 10) + 20]
    assert e.row_latency((1, 1)).tolist() == [70 + 60]  # cannot be fused: one after the other
    assert e.resources((1, 0)).tolist() == [1 + 2 + 3]
    assert e.n_configs == 4


def test_front_answers_the_questions_people_ask():
    designs = tuple(
        Design(a, t, int(t * 1e6), {}, {}) for t, a in [(1e-4, 0.7), (2e-4, 0.85), (4e-4, 0.88), (8e-4, 0.9)]
    )
    front = Front(designs, 0.0, 10, 0.1)
    assert front.best(max_latency_s=5e-4).accuracy == 0.88
    assert front.best(min_accuracy=0.89).latency_s == 8e-4
    assert front.best(max_latency_s=5e-5) is None
    assert front.knee().accuracy == 0.85
    assert front.hypervolume(1e-3, 0.6) == pytest.approx(9e-4 * 0.1 + 8e-4 * 0.15 + 6e-4 * 0.03 + 2e-4 * 0.02)


def test_an_unknown_name_gets_the_nearest_ones():
    assert "did you mean zu3eg?" in str(unknown_name("device", "ZU3GE", ["zu3eg", "xc7z020"]))


def test_select_keeps_rows_and_features_of_some_edges():
    part = trellis().select(i64(2, 1))
    assert part.n_nodes == 3
    assert part.n_paths() == 1
    assert part.rows.tolist() == [1, 2]
    assert part.scores(np.array([0.1, 0.2, 0.3])).tolist() == [200000, 0]
    assert trellis().select(i64(3)).n_nodes == 2
