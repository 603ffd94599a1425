"""Predictors that are small torch networks."""

import numpy as np
import pytest

pytest.importorskip("torch")

from cofront.errors import InputError
from cofront.predict.gcn import Gcn, chain, layout_of
from cofront.predict.mlp import Mlp
from cofront.space import load
from cofront.space.nasbench201 import NasBench201
from cofront.testing.predictors import PredictorConformance, one_hot_data


class QuickMlp(Mlp):
    epochs = 40


class QuickGcn(Gcn):
    epochs = 40


class TestMlp(PredictorConformance):
    make = QuickMlp
    space = NasBench201


class TestGcn(PredictorConformance):
    make = staticmethod(lambda: QuickGcn(chain((3,) * 8)))
    space = NasBench201
    least_spearman = 0.85
    most_rmse = 0.7


def test_graphs_of_spaces():
    cell = layout_of(load("nasbench201"))
    assert [len(c) for c in cell.columns] == [5] * 6
    # 0->1 feeds 1->2 and 1->3; nothing follows the edges into node 3
    assert np.flatnonzero(cell.arcs[0]).tolist() == [2, 4]
    assert not cell.arcs[3:].any()
    fbnet = layout_of(load("fbnet"))
    assert len(fbnet.columns) == 22 and {len(c) for c in fbnet.columns} == {12}  # an operator and a precision
    assert fbnet.arcs.sum() == 21


def test_a_graph_of_other_columns_is_named():
    x, y = one_hot_data(30)
    with pytest.raises(InputError, match="gcn: a graph over 24 columns is needed, it has 6"):
        Gcn(chain((3, 3))).fit(x, y)
    with pytest.raises(InputError, match="none was given"):
        Gcn().fit(x, y)
