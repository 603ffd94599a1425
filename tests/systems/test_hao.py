import numpy as np
import pytest

from cofront.device import load as load_device
from cofront.errors import UsageError
from cofront.hardware.subgraph import codesign_problem, config_of, cost
from cofront.hardware.subgraph.grid import Grid
from cofront.search.exact.fit import fit
from cofront.space import load as load_space
from cofront.systems.hao import Hao, HaoSettings
from cofront.systems.hao_bits import by_score, sensitivity

SMALL = Grid("small", (8, 16), (8, 16), (1,), (8, 16), (3, 9), (512, 1024), (512,), (1.0,))
SETTINGS = HaoSettings(proposals=12, batch=3, caps=2, initial=24, per_round=1)


@pytest.fixture(scope="module")
def instance():
    space, device = load_space("subgraph32"), load_device("zu3eg")
    rng = np.random.default_rng(0)
    layered = space.layered()
    weights = rng.normal(size=layered.trellis.n_features) * 0.003
    problem = codesign_problem(layered, device, layered.trellis.scores(weights), grid=SMALL)
    penalty = {None: 0.0, "W8A8": 0.01, "W4A8": 0.3, "W4A4": 1.0}
    sensitivity = np.array([penalty[e.precision] for e in space.declaration.edges])
    return space, device, problem, sensitivity, lambda points: 0.8 + space.features(points) @ weights


@pytest.fixture(scope="module")
def run(instance):
    space, _, problem, sensitivity, measure = instance
    hao = Hao(space, problem, sensitivity, measure, SETTINGS)
    return hao, hao.run()


def test_every_design_is_measured_fits_and_is_recosted_to_the_same_cycles(instance, run):
    space, device, problem, _, measure = instance
    hao, front = run
    assert front.designs
    for d in front.designs:
        point = np.array(d.point)
        assert d.accuracy == pytest.approx(float(measure(point[None])[0]))
        candidate = hao.state.candidates[d.point]
        engine = problem.engines[candidate.engine]
        again = cost(space.network(point), config_of(problem, engine, candidate.chosen), device)
        assert again.cycles == d.cycles
        assert all(again.resources[k] <= v for k, v in zip(problem.resource_names, problem.budget, strict=True))
    cycles = [d.cycles for d in front.designs]
    accuracy = [d.accuracy for d in front.designs]
    assert cycles == sorted(cycles)
    assert accuracy == sorted(accuracy)


def test_bits_within_a_loose_cap_are_the_least_sensitive_ones(instance):
    space, _, problem, sensitivity, measure = instance
    hao = Hao(space, problem, sensitivity, measure, SETTINGS)
    arch = np.zeros(len(hao.free), dtype=np.int64)
    loose = [c for c in hao._design(arch, np.array([10**9])) if problem.engines[c.engine].name in ("E88", "DUAL")]
    assert loose
    assert all(c.point[b] == 0 for c in loose for b in hao.bits)


def test_the_accelerator_of_a_uniform_precision_is_the_proven_best(instance):
    space, _, problem, sensitivity, measure = instance
    hao = Hao(space, problem, sensitivity, measure, SETTINGS)
    found = list(hao._design(np.zeros(len(hao.free), dtype=np.int64), np.array([10**9])))
    wide = [c for c in found if all(c.point[b] == 0 for b in hao.bits)]  # all at W8A8, also what was solved for
    path = space.declaration.walk(np.array(wide[0].point)[None])[0]
    assert min(c.cycles for c in wide) == fit(problem.select(path[path >= 0])).cycles


def test_same_seed_same_front(instance, run):
    space, _, problem, sensitivity, measure = instance
    again = Hao(space, problem, sensitivity, measure, SETTINGS).run()
    assert [(d.point, d.cycles) for d in again.designs] == [(d.point, d.cycles) for d in run[1].designs]


def test_a_space_with_fewer_precisions_keeps_to_them(instance):
    space, device, _, _, measure = instance
    layered = space.layered(("W8A8", "W4A8"))
    problem = codesign_problem(layered, device, np.zeros(layered.trellis.n_edges, dtype=np.int64), grid=SMALL)
    hao = Hao(space, problem, np.zeros(layered.trellis.n_edges), measure, SETTINGS)
    found = list(hao._design(np.zeros(len(hao.free), dtype=np.int64), np.array([10**9])))
    assert found
    assert all(c.point[b] < 2 for c in found for b in hao.bits)


def test_a_problem_that_leaves_states_out_has_the_same_edges_under_other_numbers(instance):
    space, device, _, _, measure = instance
    layered = space.layered({"s1b2": (), "s1b3": ()})  # stage 1 has depth 1: the states behind its second block go
    assert layered.trellis.n_nodes < len(space.declaration.nodes)
    problem = codesign_problem(layered, device, np.zeros(layered.trellis.n_edges, dtype=np.int64), grid=SMALL)
    hao = Hao(space, problem, np.zeros(layered.trellis.n_edges), measure, SETTINGS)
    kept = np.flatnonzero(hao._edge >= 0)
    assert sorted(hao._edge[kept]) == list(range(layered.trellis.n_edges))
    features = [space.declaration.edges[i].features for i in kept]
    trellis, names = layered.trellis, space.feature_names()
    assert features == [
        tuple(names[f] for f in trellis.features[trellis.feature_ptr[i] : trellis.feature_ptr[i + 1]])
        for i in hao._edge[kept]
    ]
    assert list(hao._design(np.zeros(len(hao.free), dtype=np.int64), np.array([10**9])))


def test_sensitivities_must_match_the_edges(instance):
    space, _, problem, sensitivity, measure = instance
    with pytest.raises(UsageError, match="one sensitivity per trellis edge"):
        Hao(space, problem, sensitivity[:-1], measure)


def test_the_shipped_sensitivities_are_of_the_shipped_weights(instance):
    space, _, problem, _, _ = instance
    found = sensitivity(space, problem)
    assert found.source.startswith("Hessian traces and quantisation errors of the supernet's weights")
    precision = np.array([e.precision or "" for e in space.declaration.edges])
    wide, narrow, narrowest = (found.edges[precision == p] for p in ("W8A8", "W4A8", "W4A4"))
    assert (wide < narrow).all() and (narrow < narrowest).all()  # parallel edges are declared in this order
    assert (found.edges[precision == ""] == 0).all()


def test_without_weights_the_models_own_losses_stand_in(instance):
    space, _, problem, _, _ = instance
    found = by_score(space, problem, "because")
    assert found.source == "the accuracy model's own loss, not a Hessian: because"
    assert (found.edges >= 0).all() and (found.edges == 0).any()
    blocks = np.array([e.precision is not None for e in space.declaration.edges])
    best = found.edges[blocks].reshape(-1, 3).min(axis=1)  # three parallel edges, one a precision
    assert (best == 0).all()


def test_the_tree_decides_stage_by_stage_and_the_resolution_last(instance):
    space, _, problem, sensitivity, measure = instance
    names = [space.choices[v].name for v in Hao(space, problem, sensitivity, measure, SETTINGS).free]
    assert names[-1] == "resolution" and not [n for n in names if n.endswith("_bits")]
    assert names.index("b1_op") < names.index("b4_op") < names.index("b7_op")
