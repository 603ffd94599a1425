"""What operators begin with, and the solution of their last layer."""

import numpy as np
import pytest
import torch
from distil_helpers import network

from cofront.network import Builder
from cofront.network.pytorch import to_torch
from cofront.network.weights import random_weights
from cofront.space.narrowed import narrowed
from cofront.space.operators_of import EVERY, OperatorsOf, units_of
from cofront.task.distil.least_squares import before_activation, solve_last
from cofront.task.distil.start import begin, estimate, settle
from cofront.task.distil.units import Teacher, inputs_of


def mse(module, x, goal):
    with torch.no_grad():
        return float((module.eval()(x) - goal).square().mean())


def test_a_unit_without_its_silent_channels_is_the_same(teacher, images):
    """Channels that the next layer does not read are the ones that go."""
    x = teacher.features(inputs_of(teacher.network, images[0]))
    from copy import deepcopy

    unit = deepcopy(teacher.modules[2])
    silent = [1, 2, 5, 7, 8, 11, 20, 23]
    with torch.no_grad():
        unit.layer("b.project").weight[:, silent] = 0
        expected = unit(x[2])
    begun = begin(unit, narrowed(teacher.parts[2], 2 / 3), "narrow")
    assert begun.taught and begun.module.layer("b.conv").weight.shape[0] == 16
    assert mse(begun.module, x[2], expected) < 1e-10
    random = begin(unit, narrowed(teacher.parts[2], 2 / 3), "narrow", inherit=False)
    settle(random, x[2], expected)
    assert not random.taught and mse(random.module, x[2], expected) > 0.1 * float(expected.var())


@pytest.mark.parametrize("name", ["rank3r0.5", "rows3r1"])
def test_low_rank_begins_at_the_largest_singular_values(name, images):
    b = Builder("one", (3, 12, 12))
    b.conv(16, 3, act="relu", name="c")
    b.conv(16, 3, act="relu", name="d")
    b.classifier(4)
    net = b.build()
    rng = np.random.default_rng(0)
    weights = random_weights(net, rng)
    # of rank 8 as a matrix, and of rank 4 * 4 as a product of columns and rows
    weights["d.weight"] = np.einsum("or,rikl->oikl", rng.normal(size=(16, 4)), rng.normal(size=(4, 16, 3, 3)))
    if name.startswith("rows"):
        columns, rows = rng.normal(size=(16, 16, 3)), rng.normal(size=(16, 16, 3))
        weights["d.weight"] = np.einsum("rik,orl->oikl", columns, rows)
    weights["d.weight"] = weights["d.weight"].astype(np.float32)
    teacher = Teacher(units_of(net), weights, images[0])
    space = OperatorsOf(teacher.parts, (name,))
    before = teacher.features(inputs_of(net, images[0][:40]))
    begun = begin(teacher.modules[1], space.operators[1][name], name)
    assert begun.taught
    assert mse(begun.module, before[1], before[2]) < 1e-6 * float(before[2].square().mean())


def test_random_weights_are_of_seed_place_and_name_alone(teacher):
    space = OperatorsOf(teacher.parts, ("dws3", "conv1"))
    draw = [
        begin(teacher.modules[2], space.operators[2]["dws3"], "dws3", s, p).module for s, p in ((0, 2), (0, 2), (1, 2))
    ]
    first, again, other = (m.layer("op2.dw").weight for m in draw)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_settled_operators_have_the_scale_of_what_they_learn(teacher, images):
    space = OperatorsOf(teacher.parts, ("conv3",))
    before = teacher.features(inputs_of(teacher.network, images[0]))
    begun = begin(teacher.modules[1], space.operators[1]["conv3"], "conv3", place=1)
    settle(begun, before[1], before[2])
    given = begun.module(before[1])
    assert torch.allclose(given.mean((0, 2, 3)), before[2].mean((0, 2, 3)), atol=0.05)
    assert torch.allclose(given.std((0, 2, 3)), before[2].std((0, 2, 3)), rtol=0.1, atol=0.01)


@pytest.mark.parametrize("last", [None, "relu"])
def test_every_operator_is_solved_or_left(last, images):
    """The error falls, or the operator has no last convolution; `last`: units may end in an activation."""
    net = network(last=last)
    teacher = Teacher(units_of(net), random_weights(net, np.random.default_rng(0)), images[0])
    space = OperatorsOf(teacher.parts, EVERY[::3])
    before = teacher.features(inputs_of(net, images[0][:100]))
    plain = before_activation(teacher.modules[2])
    solved = 0
    for name, operator in space.operators[2].items():
        if operator is None or name == "teacher":
            continue
        begun = begin(teacher.modules[2], operator, name, place=2)
        settle(begun, before[2], before[3])
        was = mse(begun.module, before[2], before[3])
        if solve_last(begun.module, plain, before[2].split(50)):
            solved += 1
            assert mse(begun.module, before[2], before[3]) < max(0.9 * was, 1e-4), name
    assert solved > 25


def test_the_solution_is_the_best_there_is(teacher, images):
    """A 1 x 1 convolution: the same as NumPy's least squares on all positions."""
    space = OperatorsOf(teacher.parts, ("conv1",))
    before = teacher.features(inputs_of(teacher.network, images[0][:60]))
    begun = begin(teacher.modules[1], space.operators[1]["conv1"], "conv1", place=1)
    estimate(begun.module, before[1])
    assert solve_last(begun.module, teacher.modules[1], before[1].split(20))
    x = before[1][:, :, ::2, ::2].permute(0, 2, 3, 1).flatten(0, 2).numpy()
    y = before[2].permute(0, 2, 3, 1).flatten(0, 2).numpy()
    x1 = np.column_stack([x, np.ones(len(x))])
    rest = np.linalg.lstsq(x1, y, rcond=None)[1].sum() / y.size
    assert mse(begun.module, before[1], before[2]) == pytest.approx(rest, rel=1e-3)


def test_what_ends_otherwise_is_left_alone():
    b = Builder("gap", (8, 6, 6))
    b.pool("avg", 3, 1, 1)
    module = to_torch(b.build())
    assert not solve_last(module, module, [torch.zeros(2, 8, 6, 6)])
