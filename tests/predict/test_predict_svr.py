from cofront.predict.svr import Svr
from cofront.space.subgraph32 import Subgraph32
from cofront.testing.predictors import PredictorConformance


class TestSvr(PredictorConformance):
    make = Svr
    space = Subgraph32
