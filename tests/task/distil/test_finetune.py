"""Training a student by the teacher's answers."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from cofront.errors import UsageError
from cofront.network.pytorch import to_torch
from cofront.task.data import Dataset
from cofront.task.distil.finetune import Guidance, Taught
from cofront.task.scratch import Schedule, predictions


@pytest.fixture
def data(images):
    x, y = images
    return Dataset(x[:200], y[:200], x[200:250], y[200:250], x[250:], y[250:], tuple("abcd"))


def make(net, weights, data, file=None, share=1.0, epochs=4):
    guidance = Guidance(share, 2.0)
    start = to_torch(net, rng=np.random.default_rng(5))
    schedule = Schedule(epochs=epochs, batch=20, rate=0.05, cutout=0, smoothing=0.0)
    return Taught(start, (net, weights), data, schedule, file, guidance=guidance)


def test_the_loss_is_what_it_says():
    g = torch.Generator().manual_seed(0)
    a, t = torch.randn(6, 4, generator=g), torch.randn(6, 4, generator=g)
    y = torch.tensor([0, 1, 2, 3, 0, 1])
    assert Guidance(0.0).loss(a, t, y) == pytest.approx(float(F.cross_entropy(a, y)), rel=1e-6)
    soft = Guidance(1.0, 2.0)
    assert float(soft.loss(t, t, y)) == pytest.approx(0.0, abs=1e-6)
    p, q = (t / 2).softmax(1), (a / 2).softmax(1)
    expected = 4 * float((p * (p.log() - q.log())).sum(1).mean())
    assert float(soft.loss(a, t, y)) == pytest.approx(expected, rel=1e-5)
    mixed = Guidance(0.25, 2.0).loss(a, t, y)
    assert float(mixed) == pytest.approx(0.25 * expected + 0.75 * float(F.cross_entropy(a, y)), rel=1e-5)


def test_a_student_comes_to_answer_as_its_teacher(net, weights, data):
    training = make(net, weights, data, epochs=3)
    wanted = predictions(to_torch(net, weights), data.x_val).log_softmax(1)

    def off():
        given = predictions(training.net, data.x_val).log_softmax(1)
        return float(F.kl_div(given, wanted, log_target=True, reduction="batchmean"))

    before = off()
    training.run()
    assert off() < 0.7 * before


def test_it_goes_on_from_a_checkpoint_of_the_same_guidance_alone(net, weights, data, tmp_path):
    file = tmp_path / "student.safetensors"
    whole = make(net, weights, data, epochs=1)
    whole.run()
    first = make(net, weights, data, file, epochs=1)
    first.run(until_step=4)
    again = make(net, weights, data, file, epochs=1)
    assert again.resume() and again.position == 4
    again.run()
    for key, value in whole.net.state_dict().items():
        assert torch.allclose(again.net.state_dict()[key].float(), value.float(), atol=1e-5), key
    with pytest.raises(UsageError, match="of another training"):
        make(net, weights, data, file, share=0.5, epochs=1).resume()


@pytest.mark.parametrize("wrong", [{"share": 1.5}, {"temperature": 0.0}])
def test_guidance_is_checked(wrong):
    with pytest.raises(UsageError, match="a share of 0 to 1 and a temperature above 0"):
        Guidance(**wrong)
