"""Operators learn from the teacher's units; single swaps; networks of what was learnt."""

import numpy as np
import pytest
import torch

from cofront.errors import InputError, UsageError
from cofront.space.operators_of import OperatorsOf
from cofront.task.distil.layerwise import Layerwise, Lesson
from cofront.task.distil.scores import single_swaps
from cofront.task.distil.student import judge, re_estimate, student, swapped

OFFERED = ("teacher", "skip", "narrow0.5", "conv1", "dws3", "ib3e2se")
LESSON = Lesson(epochs=3, batch=32, rate=3e-3, solve=96)


def make(teacher, images, lesson=LESSON, file=None, offered=OFFERED):
    space = OperatorsOf(teacher.parts, offered)
    return Layerwise(teacher, space.operators, images[0][:192], images[0][192:], lesson, file)


@pytest.fixture(scope="module")
def learnt(teacher, images):
    found = make(teacher, images)
    assert found.run()
    return found


def test_the_teachers_operator_has_no_error_and_all_others_learn(learnt):
    after = learnt.errors()
    for (i, name), error in after.items():
        if name == "teacher":
            assert error == 0 == learnt.before[i, name]
        elif learnt.operators[i][name] is None:
            assert error == learnt.before[i, name]
        else:
            assert error < learnt.before[i, name], (i, name)
    trained = [after[k] / learnt.before[k] for k in learnt.modules]
    assert np.median(trained) < 0.5


def test_steps_learn_what_the_solution_alone_does_not(teacher, images, learnt):
    alone = make(teacher, images)
    alone._solve()
    solved, after = alone.errors(), learnt.errors()
    assert np.mean([after[k] < solved[k] for k in alone.modules]) > 0.6


def test_an_operator_learns_the_same_whoever_is_beside_it(teacher, images):
    offered = ("dws3",), ("dws3", "conv3", "conv1")
    few, many = (make(teacher, images, Lesson(1, 32, solve=64), offered=o) for o in offered)
    few.run()
    many.run()
    assert few.errors()[1, "dws3"] == pytest.approx(many.errors()[1, "dws3"], rel=1e-4)


def test_it_stops_between_any_two_operators(teacher, images, tmp_path):
    """In the errors before, in what is solved before and behind the steps: what goes on from it ends the same."""
    lesson, offered = Lesson(1, 64, solve=64), ("skip", "conv1", "dws3")
    asked = []
    whole = make(teacher, images, lesson, offered=offered)
    assert whole.run(should_stop=lambda: bool(asked.append(1)))
    count = len(whole.modules)
    measured = sum(len(o) for o in whole.operators)
    assert len(asked) == measured + count + whole.steps + count
    end = whole.errors()
    for at in (1, measured + 2, len(asked)):
        file = tmp_path / f"{at}.safetensors"
        left = [at]

        def stop(left=left):
            left[0] -= 1
            return left[0] < 1

        first = make(teacher, images, lesson, file, offered)
        assert not first.run(should_stop=stop) and left == [0] and not first.solved
        again = make(teacher, images, lesson, file, offered)
        assert again.resume() == (at == len(asked))
        for one in (first, again):
            assert one.run() and one.solved
            for key, error in end.items():
                assert one.errors()[key] == pytest.approx(error, rel=1e-3, abs=1e-6), (at, key)
    assert whole.errors(should_stop=lambda: True) is None


def test_what_is_called_before_an_operator_ends_the_making(teacher, images):
    begun = []

    def third(count):
        begun.append(count)
        if count == 2:
            raise KeyboardInterrupt

    space = OperatorsOf(teacher.parts, OFFERED)
    with pytest.raises(KeyboardInterrupt):
        Layerwise(teacher, space.operators, images[0][:192], images[0][192:], LESSON, on_begin=third)
    assert begun == [0, 1, 2]


def test_a_stopped_distillation_goes_on_to_the_same_end(teacher, images, tmp_path):
    whole = make(teacher, images, Lesson(2, 32, solve=64))
    whole.run()
    file = tmp_path / "learnt.safetensors"
    first = make(teacher, images, Lesson(2, 32, solve=64), file)
    assert not first.run(should_stop=lambda: first.position >= 5)
    again = make(teacher, images, Lesson(2, 32, solve=64), file)
    assert again.resume() and again.position == 5
    assert again.run()
    for key, error in whole.errors().items():
        assert again.errors()[key] == pytest.approx(error, rel=1e-3, abs=1e-6), key
    done = make(teacher, images, Lesson(2, 32, solve=64), file)
    assert done.resume() and done.position == done.steps and done.before == again.before
    with pytest.raises(UsageError, match="is of another distillation"):
        make(teacher, images, Lesson(1, 32), file).resume()
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match="is not a checkpoint of a distillation"):
        make(teacher, images, Lesson(2, 32), file).resume()


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch": 1}, {"rate": 0.0}])
def test_lessons_are_checked(wrong):
    with pytest.raises(UsageError, match="expected at least 1 epoch, batches of 2 and a rate above 0"):
        Lesson(**wrong)


def test_single_swaps_are_what_whole_networks_say(learnt, images):
    """The suffix from kept activations gives the loss of the network with that operator."""
    x, y = images[0][192:], images[1][192:]
    scores = single_swaps(learnt, x, y)
    names = ["teacher"] * len(learnt.operators)
    assert scores.teacher == pytest.approx(swapped(learnt, names, x, y, None).loss, rel=1e-5)
    for i, operators in enumerate(learnt.operators):
        assert scores.change[i, 0] == 0
        assert np.isnan(scores.change[i, len(operators) :]).all()
        for o, name in enumerate(operators):
            one = [name if j == i else "teacher" for j in range(len(names))]
            true = swapped(learnt, one, x, y, None).loss
            assert scores.teacher + scores.change[i, o] == pytest.approx(true, rel=1e-4)


def test_swaps_stop_when_asked_and_check_labels(learnt, images):
    assert single_swaps(learnt, *images, should_stop=lambda: True) is None
    with pytest.raises(InputError, match=r"labels are 0 to 3 for this network, got 0 to 7"):
        single_swaps(learnt, images[0][:8], np.arange(8))
    with pytest.raises(InputError, match="as many labels as images"):
        single_swaps(learnt, images[0], images[1][:5])


def test_the_teacher_put_together_is_the_teacher(learnt, images):
    module = student(learnt, ["teacher"] * 4)
    assert module.network.nodes == learnt.teacher.network.nodes
    plain = judge(module, *images)
    re_estimate(module, images[0])
    assert judge(module, *images).loss == pytest.approx(plain.loss, abs=0.02)


def test_norms_are_re_estimated_as_means_over_batches(learnt, images):
    """In eval mode the first norm then sees what it saw in training, on average."""
    module = student(learnt, ["skip", "dws3", "skip", "teacher"])
    re_estimate(module, images[0][:256])
    norm = module.layer("op0.project").norm
    from cofront.task.distil.units import inputs_of

    with torch.no_grad():
        seen = module.layer("op0.project").convolved(inputs_of(module.network, images[0][:256]))
    assert torch.allclose(norm.running_mean, seen.mean((0, 2, 3)), atol=1e-4)
    assert norm.momentum == pytest.approx(0.1)
    assert "b.conv" not in module.network.by_name
