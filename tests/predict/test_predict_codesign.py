import numpy as np
import pytest

from cofront.errors import InputError, UsageError
from cofront.predict.additive import Additive
from cofront.predict.codesign import on_trellis, path_range
from cofront.predict.penalty import PrecisionPenalty, block_weights
from cofront.problem import CodesignProblem
from cofront.space import load
from cofront.space.ofa_mobilenetv3 import OfaMobileNetV3
from cofront.space.subgraph32 import Subgraph32
from cofront.testing.spaces import point_of, random_paths

SPACE = Subgraph32()


@pytest.fixture(scope="module")
def model():
    """A model of made-up accuracies: a saturating function of each network's features."""
    rng = np.random.default_rng(0)
    points = SPACE.sample(rng, 400)
    x = SPACE.features(points)
    effects = rng.normal(size=x.shape[1])
    y = 0.9 - 0.1 * np.exp(-0.05 * (x @ effects)) + 0.001 * rng.normal(size=400)
    return Additive.for_space(SPACE).fit(x, y).model


def problem(layered, accuracy):
    return CodesignProblem(layered.trellis, engines=(), budget=np.zeros(4, np.int64), clock_hz=1e8, **accuracy.fields())


def test_problem_predicts_what_the_model_predicts(model):
    layered = SPACE.layered()
    accuracy = on_trellis(model, layered.trellis)
    paths = random_paths(layered, np.random.default_rng(1), 60)
    points = np.array([point_of(SPACE, layered, p) for p in paths])
    scores = np.array([accuracy.edge_score[p].sum() for p in paths])
    predicted = model.predict(SPACE.features(points)).mean
    np.testing.assert_allclose(problem(layered, accuracy).accuracy(scores), predicted, atol=1e-6)
    low, high = path_range(layered.trellis, accuracy.edge_score)
    assert low <= scores.min() <= scores.max() <= high


def test_the_order_of_scores_is_the_order_of_accuracies(model):
    accuracy = on_trellis(model, SPACE.layered().trellis)
    low, high = path_range(SPACE.layered().trellis, accuracy.edge_score)
    predicted = problem(SPACE.layered(), accuracy).accuracy(np.linspace(low, high, 500).astype(np.int64))
    assert (np.diff(predicted) >= 0).all()
    assert predicted.max() == pytest.approx(model.observed[1])
    free = problem(SPACE.layered(), on_trellis(model, SPACE.layered().trellis, clip=False))
    assert free.accuracy(np.array(high)) > model.observed[1]


def test_models_of_other_spaces_are_refused(model):
    with pytest.raises(InputError, match="they come from different spaces"):
        on_trellis(model, OfaMobileNetV3().layered().trellis)


def test_penalty_of_the_deepest_network_is_as_stated(model):
    """All blocks at W4A4 at the best accuracy measured: exactly the stated loss, through the link."""
    penalty = PrecisionPenalty.parse("W4A8=1, W4A4=4")
    deepest = SPACE.canonical(np.array([2, *[2] * 6, *[0] * 9, *[2] * 9]))
    x = SPACE.features(deepest)
    lost = penalty.coefficients(SPACE, model.score_loss)
    assert (x @ lost)[0] == pytest.approx(-model.score_loss(0.04))
    assert SPACE.features(deepest * (np.arange(25) < 16)) @ lost == 0
    shallow = SPACE.canonical(np.array([2, *[2, 0] * 3, *[0] * 9, *[2] * 9]))
    assert 0 > (SPACE.features(shallow) @ lost)[0] > -model.score_loss(0.04)


def test_half_the_penalty_follows_the_weights():
    lost = PrecisionPenalty({"W4A8": 0.01}).coefficients(SPACE)
    weights = block_weights(SPACE)
    assert set(weights) == {f"s{s}b{b}" for s in (1, 2, 3) for b in (1, 2, 3)}
    # the heaviest first block of stage 1 is a full convolution 32 -> 64 and a projection, norms included
    assert weights["s1b1"] == 9 * 32 * 64 + 64 * 64 + 4 * 64
    index = {n: i for i, n in enumerate(SPACE.feature_names())}
    for block, weight in weights.items():
        share = 0.5 / 9 + 0.5 * weight / sum(weights.values())
        assert lost[index[f"{block}.bits=W4A8"]] == pytest.approx(-0.01 * share)
    assert np.count_nonzero(lost) == 9


def test_unmeasured_precisions_stay_out():
    space = OfaMobileNetV3()
    measured = space.precisions_of(np.array([[0, *[2] * 5, *[0] * 63]]))
    assert set(measured.values()) == {("W8A8",)}
    assert PrecisionPenalty({}).precisions(measured, space) == measured
    stated = PrecisionPenalty.parse("W4A4=4,head.W4A4=0.5").precisions(measured, space)
    assert stated["s1b1"] == stated["head"] == ("W8A8", "W4A4")
    assert stated["stem"] == ("W8A8",)
    assert space.layered(stated).trellis.n_paths() == (18**2 + 18**3 + 18**4) ** 5 * 2
    index = {n: i for i, n in enumerate(space.feature_names())}
    lost = PrecisionPenalty.parse("W4A4=4,head.W4A4=0.5").coefficients(space)
    assert lost[index["head.bits=W4A4"]] == -0.005
    assert lost[index["stem.bits=W4A4"]] == 0
    assert lost.sum() == pytest.approx(-0.045)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("W4A8", "precision penalty 'W4A8': expected e.g. W4A8=1.0"),
        ("W4A8=much", "precision penalty 'W4A8=much'"),
        ("W4A8=nan", "expected 0 to 100 points"),
        ("W4A8=-1", "expected 0 to 100 points"),
        ("W8A8=1", "a precision other than W8A8"),
        ("W3A3=1", "no precision named 'W3A3'; did you mean"),
        ("", "precision penalty ''"),
        ("W4A8=1,W4A8=2", "precision penalty 'W4A8=2': W4A8 is given twice"),
        ("head.W4A8=1,head.W4A8=2", "head.W4A8 is given twice"),
    ],
)
def test_bad_penalties(text, message):
    with pytest.raises(UsageError, match=message):
        PrecisionPenalty.parse(text)


def test_every_block_may_have_a_penalty_of_its_own():
    space = load("ofa_mobilenetv3")
    blocks = [f"s{s}b{p}" for s in range(1, 6) for p in range(1, 5)]
    lost = PrecisionPenalty.parse(",".join(f"{b}.W4A8=0.1" for b in blocks)).coefficients(space)
    assert lost.sum() == pytest.approx(-0.001 * len(blocks))


def test_contradictory_penalties():
    measured = {"s1b1": ("W8A8", "W4A8")}
    with pytest.raises(UsageError, match="W4A8 of block 's1b1' was measured: it cannot have a penalty too"):
        PrecisionPenalty({"W4A8": 0.01}).precisions(measured, SPACE)
    with pytest.raises(UsageError, match="no block named 'haed'"):
        PrecisionPenalty({}, {"haed": {"W4A4": 0.1}}).precisions({"head": ("W8A8",)}, SPACE)
