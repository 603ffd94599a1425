"""`run` through the command line, on few images of noise with colours: every step, and what is refused."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from cofront.study import Study

pytest.importorskip("torch")


@pytest.fixture
def images(monkeypatch, tmp_path):
    """Ten classes, each with a brightness of its own."""
    rng = np.random.default_rng(0)
    y = np.arange(500) % 10
    x = rng.integers(0, 30, (500, 32, 32, 3), dtype=np.uint8) + (20 * y[:, None, None, None]).astype(np.uint8)
    np.savez("images.npz", x_train=x[:400], y_train=y[:400], x_test=x[400:], y_test=y[400:])
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("cofront.api.run.judging.RANDOM", 12)
    return Path("images.npz")


SHORT = ("--epochs", "2", "--train-epochs", "1")


def test_a_run_ends_in_a_network_and_is_not_done_again(as_json, cofront, images):
    ask = ("run", "fbnet", "--device", "zu3eg", "--task", images, "--target", "0.15ms", *SHORT, "-o", "out")
    found = as_json(*ask)
    assert found["kind"] == "run" and found["gap"] == 0 and not found["interrupted"]
    assert [n["role"] for n in found["networks"]] == ["most likely", "polished", "certified optimum"]
    assert all(n["latency_s"] <= 0.15e-3 + 1e-9 for n in found["networks"][1:])
    assert len(found["history"]) == 2 and len(found["layers"]) == 8
    assert np.allclose(np.array(found["history"][-1]["probabilities"]).sum(axis=1), 1)
    assert found["training"]["test_images"] == 100 and 0 <= found["training"]["test"] <= 1
    front = [p for p in found["points"] if p["kind"] == "front"]
    assert len(front) > 3 and all(a["predicted"] < b["predicted"] for a, b in itertools.pairwise(front))
    # what was polished is no better by the model than the certified optimum at the same limit
    assert found["networks"][1]["predicted"] <= found["networks"][2]["predicted"] + 1e-4
    # both files are of the network that was tested
    from safetensors.numpy import load_file

    from cofront import space
    from cofront.network.onnx_io.load import read_model
    from cofront.network.pytorch import to_torch
    from cofront.task.data import load_dataset
    from cofront.task.scratch import accuracy_of

    network = space.load(found["space"]).network(np.array(found["networks"][1]["point"]))
    net, tested = to_torch(network, load_file(found["files"]["weights"])), load_dataset(images)
    assert abs(accuracy_of(net, tested.x_test, tested.y_test) - found["training"]["test"]) < 0.02
    assert read_model(found["files"]["onnx"]).graph.initializer
    design = json.loads(Path("out/design.json").read_text())
    assert design["accelerator"] == "subgraph" and design["design"]["accuracy"] == found["training"]["test"]
    code, out, _ = cofront("estimate", "out/design.json")
    assert code == 0 and "design.json at W8A8 on zu3eg" in out
    with Study(Path("out/study.sqlite"), write=False) as study:
        assert [r.status for r in study.runs()] == ["done"]
    code, out, _ = cofront(*ask)
    assert code == 0 and "trained 1 epochs" in out and "gap 0" in out
    with Study(Path("out/study.sqlite"), write=False) as study:
        assert len(study.runs()) == 1
    assert "differentiable" in Path("out/report.html").read_text()


@pytest.mark.parametrize(
    ("system", "options"),
    [
        ("light-nas", ("--device", "zu3eg", "--target", "150us")),
        ("eh-dnas", ("--device", "zu3eg", "--space", "fbnet@cifar10-small")),
        ("nasa", ("--device", "45nm")),
    ],
)
def test_every_system_runs(as_json, images, system, options, monkeypatch):
    from dataclasses import replace

    from cofront.systems import presets as d

    known = d.SYSTEMS[system]
    monkeypatch.setitem(d.SYSTEMS, system, replace(known, small=replace(known.small, pretraining=5)))
    monkeypatch.setattr("cofront.systems.learnt.LABELS", (300, 50, 50))
    found = as_json("run", system, "--task", images, *SHORT, "--no-train", "-o", "out", *options)
    assert found["system"] == system and found["gap"] == 0 and found["training"] is None
    assert len(found["history"]) == 2 and found["networks"][0]["role"] == "most likely"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("fbnett", "--device", "zu3eg"), "no system named 'fbnett'; did you mean fbnet?"),
        (("fbnet", "--device", "zu3e"), "no device named 'zu3e'; did you mean zu3eg"),
        (
            ("fbnet", "--device", "zu3eg", "--target", "24"),
            "--target expects a time above 0 with its unit such as 24ms",
        ),
        (("fbnet", "--device", "zu3eg", "--target", "1us"), "below the fastest network of device 'zu3eg': choose one"),
        (
            ("light-nas", "--device", "zu3eg", "--target", "1s"),
            "above the slowest network of device 'zu3eg': choose one",
        ),
        (("fbnet", "--device", "zu3eg", "--column", "a"), "--column a is a column of a table"),
        (("nasa", "--device", "45nm", "--clock", "100MHz"), "--clock is for the subgraph accelerator"),
        (("light-nas", "--device", "zu3eg"), "light-nas searches for a target: give --target, from "),
        (("fbnet", "--device", "zu3eg", "--preset", "large"), "no preset named 'large'"),
        (("fbnet", "--device", "zu3eg", "--space", "fbnet"), "is for 1000 classes, the images have 10"),
        (("fbnet", "--device", "zu3eg", "--space", "nasbench201"), "is no chain of layers"),
        (("nasa", "--device", "zu3eg"), "has shifts or adders, which no accelerator on an FPGA has here"),
        (("fbnet", "--device", "nosuch.parquet"), "nosuch.parquet"),
    ],
)
def test_wrong_requests(refused, images, given, said):
    _, line = refused("run", *given, "--task", images)
    assert said in line
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("system", "more", "said"),
    [
        ("fbnet", ("--mean", "0.5", "--std", "0.5"), "--mean is for haq and lana, which start from a trained network"),
        ("fbnet", ("--weights", "a.safetensors"), "--weights is for haq and lana"),
        ("fbnet", ("--input-shape", "3x32x32"), "--input-shape is for haq and lana"),
        ("fbnet", ("--episodes", "5"), "--episodes is for haq, whose agent has them; leave it out"),
        ("fbnet", ("--epochs", "1"), "--epochs of the search of fbnet expects at least 2, got 1"),
        ("haq", ("--epochs", "1"), "--epochs is not for haq"),
        ("lana", ("--episodes", "5"), "--episodes is for haq"),
        ("haq", ("--mean", "grey", "--std", "1"), "--mean expects numbers"),
    ],
)
def test_options_of_other_systems(refused, system, more, said):
    own = ("--model", "net.onnx", "--target", "0.6x latency") if system in ("haq", "lana") else ()
    code, line = refused("run", system, "--device", "zu3eg", *own, *more)
    assert code == 2 and said in line


def test_haq_gets_what_says_which_network(cofront, monkeypatch):
    given = {}
    monkeypatch.setattr("cofront.cli.quantize.run", lambda model, budget, **more: given.update(more) or 0)
    words = ("--weights", "w.safetensors", "--input-shape", "3x8x8", "--mean", "0.4", "--std", "0.2")
    code, _, _ = cofront("run", "haq", "--model", "net", "--device", "d", "--target", "1ms", *words, "--episodes", "7")
    told = {k: given[k] for k in ("weights", "input_shape", "mean", "std", "episodes", "method")}
    assert code == 0 and told == {
        "weights": Path("w.safetensors"), "input_shape": "3x8x8", "mean": "0.4", "std": "0.2", "episodes": 7,
        "method": "haq",
    }  # fmt: skip


_WHOLE: list[dict[str, object]] = []


@pytest.mark.parametrize("stage", ["searching", "judging", "training"])
def test_it_goes_on_where_it_was_stopped(as_json, cofront, images, monkeypatch, stage):
    """A stop in any stage changes nothing in what comes out."""
    from cofront.api.run import judging as run_judging
    from cofront.api.run.scene import Scene
    from cofront.cli.progress import Interrupt

    monkeypatch.setattr(run_judging, "JUDGING_EVERY", 1)
    ask = ("run", "light-nas", "--device", "zu3eg", "--task", images, "--target", "150us", *SHORT)
    if not _WHOLE:  # the same for every stage
        _WHOLE.append(as_json(*ask, "-o", "whole"))
    (whole,) = _WHOLE
    seen = []
    say = Scene.say
    monkeypatch.setattr(Scene, "say", lambda self, now, detail: (seen.append(now), say(self, now, detail)))
    # the training tells of itself when an epoch is over: it is stopped in its first step
    before = {"training": "polishing"}.get(stage, stage)
    monkeypatch.setattr(Interrupt, "__call__", lambda self: before in seen)
    code, _, err = cofront(*ask, "-o", "parts")
    assert code == 130 and "goes on from parts" in err and seen[-1] in (before, stage)
    monkeypatch.setattr(Interrupt, "__call__", lambda self: False)
    parts = as_json(*ask, "-o", "parts")
    for key in ("history", "networks", "regret", "points"):
        assert parts[key] == whole[key]
    assert parts["training"]["test"] == whole["training"]["test"]


def test_another_wish_in_the_same_folder_is_another_run(as_json, images):
    """Targets, images and seeds have files of their own; what was finished keeps its weights."""
    ask = ("run", "fbnet", "--device", "zu3eg", "--task", images, *SHORT, "-o", "out", "--target")
    first, second = as_json(*ask, "0.15ms"), as_json(*ask, "0.029ms")
    assert first["history"] == second["history"]  # the target is not of FBNet's search
    assert first["networks"][1]["point"] != second["networks"][1]["point"]
    assert first["files"]["weights"] != second["files"]["weights"]
    again = as_json(*ask, "0.15ms")
    assert again["files"] == first["files"]
    other = np.load("images.npz")
    np.savez("others.npz", **{**other, "x_train": other["x_train"][::-1].copy()})
    light = ("run", "light-nas", "--device", "zu3eg", *SHORT, "--no-train", "-o", "light", "--target", "150us")
    found = [as_json(*light, "--seed", "4000000000", "--task", f"{name}.npz") for name in ("images", "others")]
    assert found[0]["history"] and found[0]["history"] != found[1]["history"]


def test_cells_are_searched_with_a_learnt_cost(as_json, images, monkeypatch):
    """FBNet's loss on DARTS's cells: their device has no gradient, so that a model of it is learnt, and told."""
    monkeypatch.setattr("cofront.systems.learnt.LABELS", (300, 50, 50))
    monkeypatch.setattr("cofront.api.run.judging.RANDOM_CELLS", 6)
    space = "darts@channels=4,cells=3,side=8"
    found = as_json("run", "fbnet", "--device", "zu9eg", "--space", space, "--task", images, *SHORT, "-o", "out")
    assert any("learnt throughput of 'zu9eg'" in n for n in found["notes"])
    assert found["gap"] is None and [n["role"] for n in found["networks"]] == ["most likely"]
    assert found["fitted"]["accelerator"] == "e2e_generic" and found["training"]["test"] is not None
