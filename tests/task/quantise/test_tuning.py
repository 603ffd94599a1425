"""Fine-tuning through the rounding: it makes a setting better, and one that is stopped goes on to the same end."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from quantise_nets import learnable, module_of, patches  # noqa: E402

from cofront.errors import InputError, UsageError  # noqa: E402
from cofront.network import Network  # noqa: E402
from cofront.network.weights import Weights  # noqa: E402
from cofront.task.quantise import FineTuning, Schedule, Setting, fine_tune, to_integers  # noqa: E402
from cofront.task.quantise import tuning as tuning_module  # noqa: E402
from cofront.task.quantise.refine import refine  # noqa: E402


@pytest.fixture(scope="module")
def made() -> tuple[Network, Weights]:
    return learnable()


def test_training_lowers_the_divergence_from_the_floats(made: tuple[Network, Weights]) -> None:
    network, weights = made
    module = module_of(made, (2, 3))
    heard: list[float] = []
    how = Schedule(epochs=15, batch=32, rate=1e-3, step_rate=1e-3, mirrored=False)
    new = fine_tune(module.setting, network, weights, patches(128), None, how, lambda *p: heard.append(p[2]))
    assert np.mean(heard[-8:]) < 0.7 * np.mean(heard[:4])
    same = fine_tune(module.setting, network, weights, patches(128), None, how)
    assert all(torch.equal(new.layers[n].codes, same.layers[n].codes) for n in new.layers)
    labels = module_of(made, (8, 8)).logits(other := patches(400, seed=9)).argmax(1).numpy()
    assert len(set(labels)) == 5
    before = module.accuracy(other, labels)
    module.use(new)
    assert module.accuracy(other, labels) > before + 0.02
    integers = to_integers(new)
    assert (integers.run(other).argmax(1) == module.logits(other).argmax(1).numpy()).mean() > 0.98
    assert new.grid("expand.act").scale * new.grid("expand.act").high <= 6 + 1e-4


def test_labels_alone_can_teach(made: tuple[Network, Weights]) -> None:
    network, weights = made
    module = module_of(made, (3, 4))
    x = patches(128)
    labels = np.random.default_rng(0).integers(0, 5, 128)
    before = module.loss(x, labels)
    how = Schedule(epochs=6, batch=32, rate=3e-3, teacher=0.0, mirrored=False)
    module.use(fine_tune(module.setting, network, weights, x, labels, how))
    assert module.loss(x, labels) < before


def test_bad_input_is_one_line(made: tuple[Network, Weights]) -> None:
    network, weights = made
    setting = module_of(made, (4, 4)).setting
    with pytest.raises(InputError, match="labels go from 0 to 7; network 'n' has 5 classes"):
        fine_tune(setting, network, weights, patches(32), np.arange(32) % 8)
    with pytest.raises(UsageError, match="must be positive"):
        Schedule(epochs=0)
    with pytest.raises(UsageError, match="teacher's share is from 0 to 1, got 2"):
        Schedule(teacher=2)


X, Y = patches(80), np.arange(80) % 5
#: 13 steps, five to a pass: a pass does not end where the images do.
HOW = Schedule(epochs=2.5, batch=16, rate=2e-3, step_rate=1e-3)


@pytest.fixture(scope="module")
def settings(made: tuple[Network, Weights]) -> tuple[Setting, Setting]:
    """Plain integers, and refined ones, which a training begins with."""
    plain = module_of(made, (3, 4)).setting
    return plain, refine(plain, *made, X, "moments")


@pytest.fixture(scope="module")
def whole(made: tuple[Network, Weights], settings: tuple[Setting, Setting]) -> Setting:
    return fine_tune(settings[1], *made, X, Y, HOW)


def same(a: Setting, b: Setting) -> bool:
    layers = ((a.layers[n], b.layers[n]) for n in a.layers)
    alike = all(torch.equal(getattr(p, k), getattr(q, k)) for p, q in layers for k in ("codes", "scale", "bias"))
    return alike and a.stored == b.stored and a.read == b.read


@pytest.mark.parametrize("stops", [(0,), (1,), (5,), (4, 11), (13,)])
def test_a_stopped_training_goes_on_to_the_same_end(
    made: tuple[Network, Weights], settings: tuple[Setting, Setting], whole: Setting, tmp_path: Path,
    stops: tuple[int, ...],
) -> None:  # fmt: skip
    plain, begun = settings
    file = tmp_path / "t.safetensors"
    first = FineTuning(begun, *made, X, Y, HOW, file)
    assert not first.resume() and not file.exists()
    assert first.run(until_step=stops[0]) == (stops[0] == 13)
    for stop in (*stops[1:], None):
        # it knows from the file which integers it began with
        again = FineTuning(plain, *made, X, Y, HOW, file)
        assert (again.resume() and not again.finished) or stops == (13,)
        again.run(until_step=stop)
    assert again.finished and same(again.learned(), whole)


def test_a_request_to_stop_is_heard_after_every_step(
    made: tuple[Network, Weights], settings: tuple[Setting, Setting], whole: Setting, tmp_path: Path
) -> None:
    heard: list[int] = []
    first = FineTuning(settings[1], *made, X, Y, HOW, tmp_path / "t.safetensors")
    assert not first.run(lambda done, of, loss: heard.append(done), lambda: len(heard) == 6)
    assert heard == [1, 2, 3, 4, 5, 6] and not first.finished
    assert first.run() and same(first.learned(), whole)


def test_what_is_killed_goes_on_from_its_last_checkpoint(
    made: tuple[Network, Weights], settings: tuple[Setting, Setting], whole: Setting, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(tuning_module, "_SAVE_EVERY_S", 0.0)
    file = tmp_path / "t.safetensors"

    def killed(done: int, of: int, loss: float) -> None:
        if done == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        FineTuning(settings[1], *made, X, Y, HOW, file).run(killed)
    again = FineTuning(settings[1], *made, X, Y, HOW, file)
    assert again.resume() and again.position == 7
    assert again.run() and same(again.learned(), whole)


def test_a_checkpoint_of_something_else_is_refused(
    made: tuple[Network, Weights], settings: tuple[Setting, Setting], tmp_path: Path
) -> None:
    file = tmp_path / "t.safetensors"
    FineTuning(settings[1], *made, X, Y, HOW, file).run(until_step=1)
    network, weights = made
    other = {k: v * 1.5 for k, v in weights.items()}
    wide = module_of(made, (4, 4)).setting
    for setting, by, x, y, how in (
        (settings[1], weights, X, Y, Schedule(epochs=3)), (settings[1], other, X, Y, HOW),
        (settings[1], weights, X[::-1], Y, HOW), (settings[1], weights, X, Y[::-1], HOW),
        (settings[1], weights, X, None, HOW), (wide, weights, X, Y, HOW),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=r"is of another fine-tuning .* remove it or name another"):
            FineTuning(setting, network, by, x, y, how, file).resume()
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"is not a checkpoint of a fine-tuning \(.+\); remove it to begin anew$"):
        FineTuning(settings[1], *made, X, Y, HOW, file).resume()
    folder = tmp_path / "f.safetensors"
    folder.mkdir()
    with pytest.raises(InputError, match=r"cannot read the checkpoint '.*f\.safetensors': "):
        FineTuning(settings[1], *made, X, Y, HOW, folder).resume()


@pytest.mark.parametrize(
    ("batch", "what"), [(20, "the loss is nan in step 2 of 4"), (80, "out of range in step 1 of 1")]
)
def test_what_leaves_all_numbers_ends_in_one_line(
    made: tuple[Network, Weights], settings: tuple[Setting, Setting], tmp_path: Path, batch: int, what: str
) -> None:
    how = Schedule(step_rate=1e3, batch=batch)
    file = tmp_path / "t.safetensors"
    tuning = FineTuning(settings[1], *made, X, Y, how, file)
    tuning.save()
    kept = file.read_bytes()
    with pytest.raises(UsageError) as error:
        tuning.run()
    message = str(error.value)
    assert "fine-tuning 'n': " in message and f"{what}, at rates 0.0005 of weights and 1000 of steps" in message
    assert f"the checkpoint '{file}' is kept; take fewer epochs, or `--refine rounding` in place of training" in message
    assert "\n" not in message
    assert file.read_bytes() == kept
    with pytest.raises(UsageError, match="fine-tuning 'n'"):
        fine_tune(settings[1], *made, X, Y, how)
