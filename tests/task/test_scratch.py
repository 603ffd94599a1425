"""Batches and training from the start: reproducible, resumable, and honest about images that do not fit."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cofront.errors import UsageError
from cofront.network import Builder
from cofront.task.batches import ImageBatches
from cofront.task.data import Dataset
from cofront.task.scratch import Schedule, ScratchTraining, accuracy_of


def images(n, seed=0, side=16, classes=4):
    """Images whose class is the colour that is bright, the last one none: no flip changes it."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 120, (n, side, side, 3), dtype=np.uint8)
    y = rng.integers(0, classes, n)
    for i, c in enumerate(y):
        if c < 3:
            x[i, :, :, c] += 60
    return x, y.astype(np.int64)


@pytest.fixture(scope="module")
def data():
    return Dataset(*images(512, 1), *images(128, 2), *images(128, 3), ("a", "b", "c", "d"))


def network(classes=4, channels=3, side=16):
    b = Builder("small", (channels, side, side))
    b.conv(16, 3, 2, act="relu", name="stem")
    b.conv(32, 3, 2, act="relu", name="middle")
    b.conv(32, 3, 2, act="relu", name="last")
    b.classifier(classes)
    return b.build()


def test_a_batch_is_a_function_of_epoch_and_number():
    x, y = images(100)
    a, b = (ImageBatches(x, y, 16, seed=3) for _ in range(2))
    a(0, 2), a(1, 0)
    assert all(torch.equal(s, t) for s, t in zip(a(0, 1), b(0, 1), strict=True))
    assert not torch.equal(a(0, 1)[0], a(1, 1)[0])
    assert len(a) == 6
    seen = torch.cat([b(0, i)[1] for i in range(6)])
    order = torch.randperm(100, generator=torch.Generator().manual_seed(3 << 32))[:96]
    assert torch.equal(seen, torch.from_numpy(y)[order])


def test_plain_images_are_as_they_are():
    x, y = images(5)
    got, labels = ImageBatches(x, y, 2).plain(1, 9)
    assert got.shape == (4, 3, 16, 16) and torch.equal(labels, torch.from_numpy(y[1:]))
    assert torch.allclose(got, (torch.from_numpy(x[1:]).permute(0, 3, 1, 2).float() - 128) / 64, atol=0.02)


def test_too_few_images_are_refused():
    x, y = images(5)
    with pytest.raises(UsageError, match=r"at least one batch of 8 .* got 5 images and 5 labels"):
        ImageBatches(x, y, 8)


def test_training_learns(data):
    training = ScratchTraining(network(), data, Schedule(epochs=6, batch=64, cutout=0))
    heard = []
    training.run(heard.append)
    assert [h.epoch for h in heard] == list(range(6)) and training.share == 1
    assert heard[-1].loss < heard[0].loss
    assert accuracy_of(training.net, data.x_test, data.y_test) > 0.9


def test_training_goes_on_where_it_was_stopped(data, tmp_path):
    schedule = Schedule(epochs=2, batch=64, seed=5)
    whole = ScratchTraining(network(), data, schedule)
    whole.run()
    file = tmp_path / "training.safetensors"
    first = ScratchTraining(network(), data, schedule, file)
    first.run(until_step=5)
    second = ScratchTraining(network(), data, schedule, file)
    assert second.resume() and second.position == 5
    second.run()
    assert second.history == whole.history
    for a, b in zip(whole.net.state_dict().values(), second.net.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    other = ScratchTraining(network(), data, replace(schedule, rate=0.2), file)
    with pytest.raises(UsageError, match="is of another training"):
        other.resume()


def test_a_stop_is_heard_and_saved(data, tmp_path):
    training = ScratchTraining(network(), data, Schedule(epochs=2, batch=64), tmp_path / "t.safetensors")
    training.run(should_stop=lambda: training.position == 3)
    assert training.position == 3 and (tmp_path / "t.safetensors").exists()


@pytest.mark.parametrize(
    ("made", "said"),
    [(network(classes=10), "10 outputs, the images have 4 classes"), (network(channels=1), "channels")],
)
def test_networks_that_do_not_match_are_refused(data, made, said):
    with pytest.raises(UsageError, match=said):
        ScratchTraining(made, data)


def test_nothing_to_train_is_refused():
    with pytest.raises(UsageError, match="at least 1 epoch"):
        Schedule(epochs=0)
