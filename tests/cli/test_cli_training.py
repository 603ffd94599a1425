"""`train` and `evaluate` through the command line, on a supernet that was never trained and noise for images."""

import json
from pathlib import Path

import numpy as np
import pytest

from cofront.api.weights import Trained
from cofront.study.documents import Design, DesignDocument, to_json

pytest.importorskip("torch")


@pytest.fixture
def design():
    from cofront import space
    from cofront.device import load
    from cofront.hardware.subgraph import lower
    from cofront.hardware.subgraph.estimate import default_config

    found = space.load("subgraph32")
    point = [0] * len(found.sizes)
    network = found.network(np.array(point))
    config = default_config(lower(network), load("zu3eg"))
    choices = found.describe(np.array(point))
    part = Design(
        accuracy=0.81, latency_s=1e-3, fps=1e3, cycles=1, resources={}, config=config.to_dict(), point=point,
        choices=choices,
    )  # fmt: skip
    document = DesignDocument(device="zu3eg", clock_hz=config.clock_hz, design=part, space="subgraph32")
    Path("design.json").write_text(to_json(document))
    return Path("design.json")


@pytest.fixture
def data(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 32, 32, 3), dtype=np.uint8), np.arange(60) % 10
    np.savez("data.npz", x_train=x, y_train=y, x_test=x[:20], y_test=y[:20])
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "cache"))
    return Path("data.npz")


@pytest.fixture
def weights():
    from cofront.task.release import save_supernet
    from cofront.task.supernet import Supernet

    save_supernet(Supernet(), Path("weights.safetensors"), {})
    return Path("weights.safetensors")


def test_evaluate_tests_the_quantised_network_and_the_integers(as_json, cofront, design, data, weights):
    command = ("evaluate", design, "--data", data, "--weights", weights, "--out", "e")
    found = as_json(*command)
    assert found["images"] == 20 and found["predicted"] == 0.81
    assert set(found["accuracies"]) == {"pytorch", "integer", "agreement"}
    assert all(0 <= v <= 1 for v in found["accuracies"].values()) and Path(found["files"]["integer"]).is_file()
    code, out, _ = cofront(*command)
    assert code == 0 and "predicted          81.00 %" in out and "integers" in out


def test_the_next_step_of_evaluate_takes_the_same_images(cofront, design, data, monkeypatch):
    from cofront.api import training
    from cofront.study.documents import AccuracyDocument

    found = AccuracyDocument(
        verb="evaluate", design="", task="cifar10", images=20, predicted=0.789999, seconds=1.0, files={}, note="n",
        accuracies={"pytorch": 0.799999, "integer": 0.8, "agreement": 0.999999},
    )  # fmt: skip
    monkeypatch.setattr(training, "evaluate", lambda *_, **__: found)
    lines = cofront("evaluate", design, "--data", "my data.npz")[1].splitlines()
    assert lines[-1].startswith("next: cofront train design.json --data 'my data.npz'  (")
    # accuracies are never rounded up
    assert [line.split()[-2] for line in lines[:4]] == ["78.99", "79.99", "80.00", "99.99"]
    for seed in (10, 2):
        tuned = training.default_folder(design, seed) / "finetuned.safetensors"
        tuned.parent.mkdir()
        tuned.write_bytes(b"")
    last = cofront("evaluate", design, "--data", "my data.npz")[1].splitlines()[-1]
    assert f"evaluate design.json --data 'my data.npz' --weights {tuned}" in last and "seed2/" in last
    assert "--data" not in cofront("evaluate", design)[1].splitlines()[-1]


def test_train_fine_tunes_resumes_and_keeps_standard_output_clean(as_json, design, data, weights):
    command = ("train", design, "--data", data, "--weights", weights, "--minutes", "0.004", "--out", "t")
    found = as_json(*command)
    assert found["verb"] == "train" and found["images"] == 20 and Path(found["files"]["weights"]).is_file()
    again = as_json(*command)  # the time box is used up: only the test is repeated
    assert again["accuracies"] == found["accuracies"]


def test_without_images_the_reason_says_what_can_be_done(as_json, refused, design, monkeypatch):
    monkeypatch.delenv("COFRONT_DATA", raising=False)
    missing = "CIFAR-10 was not found ({}): name it with --data, or set COFRONT_DATA to the folder that holds cifar10/"
    assert refused("evaluate", design) == (2, missing.format("COFRONT_DATA is not set"))
    monkeypatch.setenv("COFRONT_DATA", "elsewhere")
    assert refused("train", design) == (2, missing.format("no folder 'elsewhere/cifar10'"))
    done = as_json("export", design, "--out", "e")
    reason = "batch norm and scales are set on training images: " + missing.format("no folder 'elsewhere/cifar10'")
    random = "the ONNX files hold random weights (seed 0): right in structure, useless for inference"
    assert done["left_out"] == [f"trained weights: {reason}; {random}"]
    for verb in ("evaluate", "train", "export"):
        assert refused(verb, design, "--data", "nowhere") == (2, "--data nowhere: no such file or folder")


def test_export_and_search_take_images_for_trained_weights(as_json, refused, design, data, monkeypatch):
    done = as_json("export", design, "--out", "e", "--data", data, "--format", "weights,integer")
    assert done["left_out"] == [] and set(done["files"]) == {"weights", "integer"}
    assert refused("search", "--data", "nowhere", "--out", "o") == (2, "--data nowhere: no such file or folder")
    code, line = refused("search", "--space", "ofa_mobilenetv3", "--data", data, "--out", "o")
    assert code == 2 and line.endswith("space 'ofa_mobilenetv3' has none here, leave --data out")
    assert not Path("o").exists()
    Path("text.npz").write_text("no archive")
    code, line = refused("export", design, "--data", "text.npz", "--out", "x")  # asked for: no random ones instead
    assert code == 1 and "text.npz" in line
    quick = ("--method", "random", "--evaluations", "50")
    done = as_json("search", *quick, "--data", data, "--out", "o")
    assert done["left_out"] == [] and Path("o/weights.safetensors").is_file()
    none = Trained({}, np.zeros(0, np.float32), "no images are at hand")
    monkeypatch.setattr("cofront.api.exporting.trained_weights", lambda *_: none)
    before = {p.name: p.read_bytes() for p in Path("o").glob("network*")}
    done = as_json("search", *quick, "--out", "o")  # the same design without images: what was trained stays
    assert done["left_out"] == ["trained weights: no images are at hand; those of the same design that are here stay"]
    assert before == {p.name: p.read_bytes() for p in Path("o").glob("network*")} and "weights" in done["files"]


def test_another_design_in_the_same_file_is_trained_anew(as_json, refused, design, data, weights):
    command = ("train", design, "--data", data, "--weights", weights, "--minutes", "0.004")
    first = as_json(*command)
    text = json.loads(design.read_text())
    text["design"]["point"][0] = 1
    design.write_text(json.dumps(text))
    second, third = as_json(*command), as_json(*command, "--seed", "7")
    folders = [str(Path(f["files"]["weights"]).parent) for f in (first, second, third)]
    assert len(set(folders)) == 3 and all(f.startswith("design-trained-") for f in folders)
    assert "seed 7" in third["note"]
    code, line = refused(*command, "--seed", "7", "--out", folders[0])
    assert code == 2 and "is of another training (point" in line and "seed 0, not 7" in line


def test_what_cannot_be_trained_is_refused_in_one_line(refused, design, data):
    text = json.loads(design.read_text())
    text["space"] = "ofa_mobilenetv3"
    Path("other.json").write_text(json.dumps(text))
    code, line = refused("train", "other.json")
    assert code == 1 and "training works for designs of space 'subgraph32', 'other.json' is one of" in line
    code, line = refused("train")
    assert code == 2 and "name a DESIGN to fine-tune" in line
    code, line = refused("train", design, "--supernet")
    assert code == 2 and "not both" in line
    code, line = refused("train", design, "--minutes", "0")
    assert code == 2 and "--minutes must be a positive number" in line
    code, line = refused("evaluate", design, "--images", "train")
    assert code == 2 and "no set of images named 'train'" in line
    code, line = refused("evaluate", design, "--weights", "none.safetensors")
    assert code == 2 and "there is no file 'none.safetensors'; expected weights of the supernet" in line
    Path("bad.safetensors").write_bytes(b"nothing")
    code, line = refused("evaluate", design, "--data", data, "--weights", "bad.safetensors")
    assert code == 1 and "bad.safetensors does not hold the weights" in line
