"""`quantize` through the command line, on a small trained network: every step, and what is refused."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cofront.network import Builder
from cofront.network.onnx_io import to_onnx

torch = pytest.importorskip("torch")


def network(act="relu", classes=4):
    b = Builder("net", (3, 12, 12))
    for name, width, stride in (("a", 8, 2), ("b", 16, 1), ("c", 12, 1)):
        b.block = name
        b.conv(width, 3, stride, act=act, norm=False, bias=True, name=name)
    b.block = "head"
    b.classifier(classes)
    return b.build()


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    """A folder with images of four classes and a network that was trained on them, as an ONNX file."""
    from cofront.network.pytorch import fold_batchnorm, to_torch

    folder = tmp_path_factory.mktemp("learnt")
    rng = np.random.default_rng(0)
    y = np.arange(600) % 4
    pattern = rng.integers(0, 256, (4, 12, 12, 3))
    x = np.clip(0.6 * pattern[y] + rng.normal(50, 50, (600, 12, 12, 3)), 0, 255).astype(np.uint8)
    np.savez(folder / "images.npz", x_train=x[:440], y_train=y[:440], x_test=x[440:], y_test=y[440:])
    net = to_torch(network(), rng=rng)
    images = torch.from_numpy((x[:440].transpose(0, 3, 1, 2).astype(np.float32) - 128) / 64)
    sgd = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(net(images), torch.from_numpy(y[:440]))
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    (folder / "net.onnx").write_bytes(to_onnx(network(), fold_batchnorm(net)).SerializeToString())
    return folder


@pytest.fixture
def ask(learnt, monkeypatch, tmp_path):
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "cache"))

    def words(*more, budget="0.5x size"):
        return (
            "quantize",
            learnt / "net.onnx",
            "--calib",
            learnt / "images.npz",
            "--images",
            "64",
            "--budget",
            budget,
            *more,
        )

    return words


def test_bits_within_the_size_and_the_integers_of_the_network(as_json, cofront, ask, learnt):
    found = as_json(*ask("-o", "out"))
    assert found["kind"] == "quantised" and found["status"] == "optimal" and found["gap"] == 0
    (budget,) = found["budgets"]
    assert budget["taken"] <= budget["limit"] == pytest.approx(0.5 * budget["at_8_bits"])
    assert sum(n["weights"] * n["weight_bits"] / 8 for n in found["layers"]) == pytest.approx(budget["taken"])
    ends = (found["layers"][0], found["layers"][-1])
    assert all((n["weight_bits"], n["act_bits"]) == (8, 8) for n in ends)
    assert any(n["weight_bits"] < 8 for n in found["layers"])
    # all of them on the same images, to be compared
    assert len({a["images"] for a in found["accuracies"] if a["part"] == "validation"}) == 1
    said = {(a["what"], a["part"]): a["accuracy"] for a in found["accuracies"]}
    assert said["floating point", "validation"] > 0.9 and said["the integers", "test"] > 0.7
    # the integers in the files are those that were tested
    from cofront.task.data import load_dataset
    from cofront.task.integer import QuantizedNetwork

    data = load_dataset(learnt / "images.npz")
    integers = QuantizedNetwork.load(found["files"]["integers"])
    assert integers.accuracy(data.x_test, data.y_test) == said["the integers", "test"]
    from cofront.network.onnx_io import import_onnx

    read = import_onnx(found["files"]["qonnx"]).network
    assert [n.weight_bits for n in read.layers] == [n["weight_bits"] for n in found["layers"]]
    # the same question is not worked at again, another budget takes the sensitivities that are there
    again = as_json(*ask("-o", "out"))
    assert again["seconds"] == found["seconds"]
    other = as_json(*ask("-o", "out", budget="0.4x size"))
    assert other["seconds"]["sensitivity"] < found["seconds"]["sensitivity"]
    assert other["rise"] >= found["rise"]
    assert Path("out/report.html").exists()


def test_on_an_fpga_part_bits_and_accelerator_are_found_together(as_json, cofront, ask):
    found = as_json(*ask("--device", "zu3eg", "-o", "out", "--sensitivity", "fisher", budget="1x latency"))
    assert found["gap"] == 0 and found["accelerator"]["config"]["engine"]
    assert {(n["weight_bits"], n["act_bits"]) for n in found["layers"]} <= {(8, 8), (4, 8), (4, 4)}
    assert found["budgets"][0]["taken"] <= found["budgets"][0]["limit"]
    front = [p for p in found["points"] if p["kind"] == "front"]
    uniform = {p["label"]: p for p in found["points"] if p["kind"] == "uniform"}
    # no uniform allocation lies below the front
    for p in uniform.values():
        as_fast = [q for q in front if q["costs"]["latency"] <= p["costs"]["latency"]]
        assert min(q["rise"] for q in as_fast) <= p["rise"] + 1e-6
    design = json.loads(Path("out/design.json").read_text())
    assert design["device"] == "zu3eg" and design["design"]["cycles"] > 0
    code, out, _ = cofront("estimate", "out/design.json")
    assert code == 0 and "zu3eg" in out
    code, out, _ = cofront("build", "out/design.json", "--weights", "out/integers.safetensors", "-o", "built")
    assert code == 0 and Path("built").is_dir()
    # the latency of its program is known without building it
    assert found["accelerator"]["can_be_built"]
    cycles = json.loads(Path("built/manifest.json").read_text())["expected"]["scheduled_cycles"]
    assert found["accelerator"]["scheduled_s"] == pytest.approx(cycles / design["clock_hz"])
    code, out, _ = cofront(*ask("--device", "zu3eg", "-o", "out", "--sensitivity", "fisher", budget="1x latency"))
    assert "latency by the schedule of its program: " in out and "next: cofront build out/design.json" in out

    from cofront.api.networks import design_network, read_design
    from cofront.api.quantise.buildable import outlook
    from cofront.rtl.standin import random_integers

    document = read_design(Path("out/design.json"))
    integers = random_integers(design_network(document))
    asked = found["accelerator"]["scheduled_s"] / 1.02
    late = outlook(document, integers, asked)
    assert late.builds and "2 % over the budget" in late.notes[-1] and "; ask for " in late.notes[-1]
    assert not any("over the budget" in note for note in outlook(document, integers, asked * 1.03).notes)
    # what the program refuses is said, in the words of `build`
    first = integers.layers["b"]
    loud = replace(integers, layers={**integers.layers, "b": replace(first, bias=first.bias + 2**30)})
    refused = outlook(document, loud, 1.0)
    assert not refused.builds and refused.scheduled_s is None
    assert refused.notes[-1].startswith("`cofront build` would refuse this design: layer 'b'")


def test_what_cannot_be_built_is_said_before_calibration_and_not_handed_on(cofront, ask):
    from cofront.network.weights import random_weights

    b = Builder("pooled", (3, 12, 12))
    for name in ("a", "b"):
        b.block = name
        b.conv(8, 3, 1, act="relu", norm=False, bias=True, name=name)
        b.pool("max", 2, 2)
    b.block = "head"
    b.classifier(4)
    net = b.build()
    Path("pooled.onnx").write_bytes(to_onnx(net, random_weights(net, np.random.default_rng(0))).SerializeToString())
    more = ("-d", "zu3eg", "--refine", "none", "--sensitivity", "fisher", "-o", "out")
    words = ("quantize", "pooled.onnx", *ask(*more, budget="1x latency")[2:])
    code, out, err = cofront(*words)
    text = "can be costed, not built yet: "
    assert code == 0 and text in err and f"note: {text}" in out
    assert "design: out/design.json" in out and "next:" not in out and "by the schedule" not in out
    code, _, err = cofront(*words[:-1], "other", "--budget", "0.001us")
    assert code == 1 and text in err


@pytest.mark.parametrize(
    ("more", "budget", "code", "text"),
    [
        ((), "0.1x size", 1, "infeasible"),
        ((), "12ms", 2, "nothing is known here: known is size; give --device"),
        ((), "half", 2, "--budget expects"),
        (("--device", "zu3"), "0.5x latency", 2, "zu3"),
        (("--device", "zu3eg"), "0.5x size", 2, "on an FPGA part --budget limits the latency alone"),
        (("--method", "magic"), "0.5x size", 2, "method"),
        (("--sensitivity", "guess"), "0.5x size", 2, "sensitivity"),
        (("--refine", "more"), "0.5x size", 2, "refinement"),
        (("--weight-bits", "2-9"), "0.5x size", 2, "widths from 1 to 8"),
        (("--act-bits", "x"), "0.5x size", 2, "expects widths such as 2-8"),
        (("--images", "3"), "0.5x size", 2, "16"),
        (("--weight-bits", "2-4", "-d", "zu3eg"), "1x latency", 2, "--weight-bits 2,3: an FPGA part has 4 and 8 bits"),
        (("--act-bits", "6", "-d", "zu3eg"), "1x latency", 2, "--act-bits 6: an FPGA part has 4 and 8 bits alone"),
        (("--mean", "0.5,0.5", "--std", "1"), "0.5x size", 2, "--mean expects one number, or one for each of 3"),
        (("--mean", "0", "--std", "1,1"), "0.5x size", 2, "--std expects one number, or one for each of 3"),
        (("--epochs", "2"), "0.5x size", 2, "--epochs is for --refine train"),
        (("--episodes", "2"), "0.5x size", 2, "--episodes is for --method haq"),
        (("--mean", "0.5"), "0.9x size", 2, "--mean goes with --std"),
        (("-d", "bismoedge", "--method", "haq"), "0.5x latency", 2, "no device named 'bismoedge'"),
        (("--fix", "b"), "0.9x size", 2, "--fix expects LAYER=W4A8, got 'b'"),
        (("--fix", "d*=W4A8"), "0.9x size", 2, "no layer is called 'd*'; there are a, b, c"),
        (("--fix", "b=W1A8"), "0.9x size", 2, "here weights have 2, 3, 4, 5, 6, 7, 8 bits and activations 8"),
        (("--fix", "a=W8A4", "-d", "bismo-edge"), "0.9x size", 2, "layer 'a' reads pixels, which have 8 bits"),
        (("--fix", "b=W4A4", "-d", "zu3eg"), "0.9x latency", 2, "on an FPGA part layers can only be held at W8A8"),
        (("--fix", "b=W4A8", "--method", "haq"), "0.9x size", 2, "with --method haq layers can only be held at W8A8"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(cofront, ask, more, budget, code, text):
    got, out, err = cofront(*ask(*more, budget=budget))
    assert got == code and text in (err or out) and "Traceback" not in err
    assert len(err.strip().splitlines()) <= 2 or code == 1


def test_models_that_do_not_fit_the_images_or_have_no_integers_are_refused(cofront, ask, learnt):
    from cofront.network.weights import random_weights

    rng = np.random.default_rng(0)
    for name, net in (("five", network(classes=5)), ("swish", network(act="hswish"))):
        Path(f"{name}.onnx").write_bytes(to_onnx(net, random_weights(net, rng)).SerializeToString())
    words = ask()
    code, _, err = cofront("quantize", "five.onnx", *words[2:])
    assert code == 2 and "has 5 outputs, the images have 4 classes" in err
    code, _, err = cofront("quantize", "swish.onnx", *words[2:])
    assert code == 1 and "operators without integers" in err and "--keep-float" in err
    code, out, _ = cofront("quantize", "swish.onnx", *words[2:], "--keep-float", "-o", "kept", "--refine", "none")
    assert code == 0 and "in floating point" in out and Path("kept/weights.safetensors").exists()


def test_what_only_looks_like_a_model_is_named(cofront, ask):
    from cofront.network import weights
    from cofront.network.onnx_io import to_integer_onnx
    from cofront.network.weights import random_weights
    from cofront.rtl.standin import random_integers

    net = network().with_bits(lambda _: (8, 8))
    Path("integers.onnx").write_bytes(to_integer_onnx(random_integers(net)).SerializeToString())
    weights.save(Path("net.safetensors"), random_weights(net, np.random.default_rng(0)), {"network": "net"})
    for name, text in (
        ("integers.onnx", "is in integers already"),
        ("net.safetensors", "holds weights (or integers) alone"),
    ):
        code, _, err = cofront("quantize", name, *ask()[2:])
        assert code == 2 and text in err and len(err.strip().splitlines()) == 1
    Path("broken.onnx").write_bytes(b"none")
    code, _, err = cofront("quantize", "broken.onnx", *ask()[2:])
    assert code == 1 and "is not an ONNX model" in err


def test_images_of_another_size_are_resized_and_it_is_said(cofront, ask, learnt):
    with np.load(learnt / "images.npz") as z:
        large = {k: np.pad(v, ((0, 0), (0, 2), (0, 4), (0, 0))) if v.ndim == 4 else v for k, v in z.items()}
    np.savez("large.npz", **large)
    words = [w if w != learnt / "images.npz" else Path("large.npz") for w in ask("--refine", "none", "-o", "out")]
    code, out, err = cofront(*words)
    text = "note: images of 14x16 are resized to 12x12, which the network reads"
    assert code == 0 and text in out and text in err
    code, out, err = cofront(*ask(budget="1B"))
    assert code == 1 and "resized" not in out + err


def test_on_a_bit_serial_accelerator_layers_have_their_own_bits(as_json, ask):
    found = as_json(*ask("--device", "bismo-edge", "--refine", "none", "-o", "out", budget="0.5x latency,0.9x energy"))
    assert found["status"] == "optimal" and {b["quantity"] for b in found["budgets"]} == {"latency", "energy"}
    assert all(b["taken"] <= b["limit"] * (1 + 1e-9) for b in found["budgets"])
    for unit in found["units"]:
        assert unit["costs"]["latency"] <= unit["at_8_bits"]["latency"]
    one = [as_json(*ask("--device", "bismo-edge", "--refine", "none", "--method", method, "-o", "out",
                        budget="0.5x latency")) for method in ("exact", "greedy", "evolution")]  # fmt: skip
    assert one[0]["gap"] == 0
    for other in one[1:]:  # as far from the exact optimum as they say
        assert other["status"] == "heuristic" and other["gap"] == pytest.approx(
            other["rise"] - one[0]["rise"], abs=1e-12
        )


def test_layers_that_are_fixed_keep_their_bits(as_json, cofront, ask):
    free = as_json(*ask("-o", "free", budget="0.5x size"))
    bits = {n["name"]: n["weight_bits"] for n in free["layers"]}
    assert bits["b"] < 8
    held = as_json(*ask("--fix", "*=W3A8", "--fix", "b=W8A8", "--fix", "a=W4A8", "-o", "held", budget="0.9x size"))
    assert [(n["weight_bits"], n["act_bits"]) for n in held["layers"]] == [(4, 8), (8, 8), (3, 8), (8, 8)]
    assert held["status"] == "optimal"
    low = as_json(*ask("-d", "bismo-edge", "--fix", "b=W2A2", "-o", "low", budget="0.6x latency"))
    dearest = max(p["costs"]["latency"] for p in low["points"] if p["kind"] == "front")
    for p in low["points"]:  # uniform ones, too, have the layer as it is held
        assert p["costs"]["latency"] <= dearest * (1 + 1e-9) or p["kind"] == "front"
    code, out, _ = cofront(*ask("--fix", "b=W8A8", "--fix", "c=W8A8", "-o", "none", budget="0.5x size"))
    assert code == 1 and "infeasible: the least size is" in out


def test_large_networks_are_sensed_by_curvature():
    from cofront.api.quantise.sensing import model_for
    from cofront.network import zoo

    both = (2, 3, 4, 5, 6, 7, 8), (2, 3, 4, 5, 6, 7, 8)
    assert model_for(network(), 256, both) == "divergence"
    assert model_for(zoo.load("resnet18"), 256, both) == "hessian"
    assert model_for(zoo.load("resnet18"), 64, ((4, 8), (8,))) == "divergence"


def test_a_table_of_latencies_is_a_device(as_json, cofront, ask):
    table = np.arange(1, 9)[:, None] * np.arange(1, 9)[None, :] * np.ones((4, 1, 1))
    np.save("table.npy", table)
    found = as_json(*ask("--device", "table.npy", "--refine", "none", "-o", "out", budget="0.6x latency"))
    assert found["budgets"][0]["at_8_bits"] == 4 * 64 and found["budgets"][0]["taken"] <= 0.6 * 4 * 64
    np.save("small.npy", table[:2])
    code, _, err = cofront(*ask("--device", "small.npy", budget="0.6x latency"))
    assert code == 1 and "expected latencies (4, 8, 8)" in err


def test_haq_is_a_method_that_the_exact_allocation_bounds(as_json, cofront, ask):
    more = ("--refine", "none", "--method", "haq", "--episodes", "25", "-o", "out")
    found = as_json(*ask(*more))
    assert found["status"] == "heuristic" and found["rise"] >= found["bound"] - 1e-12
    assert found["budgets"][0]["taken"] <= found["budgets"][0]["limit"]
    assert all((n["weight_bits"], n["act_bits"]) == (8, 8) for n in (found["layers"][0], found["layers"][-1]))
    code, _, err = cofront(*ask(*more, "--weight-bits", "2,8"))
    assert code == 2 and "all widths up to 8" in err


def test_run_haq_is_quantize_with_the_agent(cofront, learnt, monkeypatch, tmp_path):
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("cofront.cli.run_models.PRESETS", {"small": (3, "few")})
    words = ("run", "haq", "--model", learnt / "net.onnx", "--device", "bismo-edge", "--task", learnt / "images.npz")
    code, out, err = cofront(*words, "--target", "0.7x latency", "-o", "out")
    assert code == 0 and "bits by haq allocation" in out and Path("out/integers.safetensors").exists(), err
    for more, text in (
        ((), "give --model"),
        (("--target", "0.7x latency", "--space", "fbnet"), "--space is not for haq"),
        (("--target", "0.7x latency", "--preset", "big"), "preset"),
    ):
        code, _, err = cofront(*words, *more)
        assert code == 2 and text in err
    code, _, err = cofront("run", "fbnet", "--device", "zu3eg", "--model", "x.onnx")
    assert code == 2 and "--model is for haq and lana" in err


def test_a_budget_that_is_asked_again_gets_its_own_files(as_json, cofront, ask):
    first = as_json(*ask("-o", "out", "--refine", "none"))
    as_json(*ask("-o", "out", "--refine", "none", budget="0.35x size"))
    again = as_json(*ask("-o", "out", "--refine", "none"))
    from cofront.task.integer import QuantizedNetwork

    integers = QuantizedNetwork.load(again["files"]["integers"])
    assert [integers.layers[n["name"]].weight_bits for n in first["layers"]] == [
        n["weight_bits"] for n in first["layers"]
    ]
    elsewhere = as_json(*ask("-o", "other", "--study", "out/study.sqlite", "--refine", "none"))
    assert Path("other/integers.safetensors").exists() and elsewhere["layers"] == first["layers"]


def test_other_test_images_are_tested_anew(as_json, ask, learnt):
    with np.load(learnt / "images.npz") as z:
        arrays = dict(z)
    np.savez("images.npz", **arrays)
    words = [w if w != learnt / "images.npz" else Path("images.npz") for w in ask("-o", "out", "--refine", "none")]
    before = as_json(*words)
    np.savez("images.npz", **{**arrays, "y_test": (arrays["y_test"] + 1) % 4})
    after = as_json(*words)
    tests = [[a["accuracy"] for a in d["accuracies"] if a["part"] == "test"] for d in (before, after)]
    assert min(tests[0]) > 0.9 and max(tests[1]) < 0.2


@pytest.mark.parametrize(
    ("device", "budget"),
    [("bismo-edge", "1us"), ("bismo-edge", "0.01x latency"), ("bitfusion", "1nJ"), (None, "10B"), (None, "0.01x size")],
)
def test_the_least_that_is_named_is_enough_and_nothing_less(as_json, cofront, ask, device, budget):
    more = ("--refine", "none", "--sensitivity", "fisher", *(("--device", device) if device else ()))
    code, out, err = cofront(*ask(*more, budget=budget))
    (line,) = out.splitlines()
    said = re.fullmatch(r"infeasible: the least (\w+) is (.+), the budget (.+); give at least (.+)", line)
    assert code == 1 and said and "calibrating" not in err and not list(Path().glob("**/sensitivity-*.json"))
    for words in {said[4], said[2] if "x " not in budget else said[4]}:
        assert as_json(*ask(*more, budget=words))["status"] == "optimal"
    if "x " in budget:
        share, _, name = said[4].partition("x ")
        assert cofront(*ask(*more, budget=f"{float(share) * 0.98}x {name}"))[0] == 1


@given(st.sampled_from(["latency", "energy", "size"]), st.floats(1e-8, 1e8), st.floats(1.0, 1e6))
@example("latency", 1234569.8630808236, 15625.0)
def test_figures_of_a_shortage_are_enough_and_close(quantity, value, times):
    from cofront.api.budgets import Budget, parse_budgets
    from cofront.api.quantise.shortage import enough, least_and_asked, short

    (budget,) = parse_budgets(enough(quantity, value))
    assert budget.quantity == quantity and value <= budget.limit <= value * 1.002
    now = value * times
    words = short(Budget(quantity, share=1e-12), value, 1e-12 * now, now).remedy.removeprefix("give at least ")
    (budget,) = parse_budgets(words)
    assert budget.share and value <= budget.of(now) <= value * 1.02
    shown, asked = least_and_asked(quantity, value, value * (1 - 1e-9))
    assert shown != asked and parse_budgets(shown)[0].limit >= value


def test_limits_that_are_met_alone_but_not_together_are_found_before_calibration(cofront, ask):
    np.save("table.npy", np.ones((4, 8, 8)) * np.arange(9, 1, -1)[:, None])  # more bits are faster
    code, out, err = cofront(*ask("--device", "table.npy", budget="1x latency,0.9x size"))
    assert code == 1 and "no allocation keeps all limits together" in out and "calibrating" not in err
    assert not list(Path().glob("**/sensitivity-*.json"))


def test_only_size_limited_leaves_activations_alone(as_json, ask):
    found = as_json(*ask("--sensitivity", "loss", "--refine", "none", "-o", "out", budget="0.9x size"))
    assert {n["act_bits"] for n in found["layers"]} == {8} and all(n["rise"] >= 0 for n in found["layers"])


def test_what_would_be_refused_is_refused_before_calibration(cofront, ask):
    for more, budget, text in (
        (("--device", "nosuch"), "0.5x latency", "bit-serial accelerators: bismo-edge"),
        (("--device", "zu3eg", "--method", "haq"), "0.5x latency", "on an FPGA part it is exact"),
        (("--clock", "100MHz"), "0.5x size", "--clock is for the subgraph accelerator"),
    ):
        code, _, err = cofront(*ask(*more, budget=budget))
        assert code == 2 and text in err and "calibrating" not in err


def test_integers_of_a_large_network_are_compared_on_the_images_that_they_are_had_of(as_json, ask, monkeypatch):
    from cofront.api.quantise import files

    monkeypatch.setattr(files, "TESTED_MACS", 9.5 * network().macs)
    found = as_json(*ask("-o", "out", "--refine", "none", "--sensitivity", "fisher"))
    few = {a["what"]: a["accuracy"] for a in found["accuracies"] if (a["part"], a["images"]) == ("validation", 9)}
    assert set(few) == {"floating point", "the simulation", "the integers"}
    assert few["the simulation"] == few["the integers"]
    assert {a["what"] for a in found["accuracies"] if a["part"] == "test"} == {"floating point", "the integers"}


@pytest.mark.parametrize(
    ("stage", "detail", "kept"),
    [
        ("calibrating", "", ()),
        ("sensing", "", ()),  # within the first batch
        ("validating", "W8A8", ("sensitivity-*.json",)),
        ("testing", "the integers on test images", ("sensitivity-*.json", "integers.safetensors")),
    ],
)
def test_a_stop_is_obeyed_at_once(cofront, ask, monkeypatch, stage, detail, kept):
    from cofront.api.quantise import judging
    from cofront.api.quantise.scene import Scene
    from cofront.cli.progress import Interrupt

    said, say, last = [], Scene.say, []
    monkeypatch.setattr(judging, "IMAGES", 40)

    def heard(self, at, words=""):
        said.append((at, words))
        if at == stage and words.startswith(detail):
            last.append(len(said))
        say(self, at, words)

    monkeypatch.setattr(Scene, "say", heard)
    monkeypatch.setattr(Interrupt, "__call__", lambda self: bool(last))
    code, _, err = cofront(*ask("-o", "out", "--sensitivity", "hessian", "--refine", "none"))
    assert code == 130 and err.strip().endswith("cofront: interrupted")
    assert len(said) <= last[0] + 1
    assert stage != "sensing" or not any(words.startswith("image") for at, words in said if at == stage)
    assert said[-1][1].startswith(detail) and all(list(Path("out").glob(name)) for name in kept)
    if stage == "testing":
        assert said[-1] == ("testing", "the integers on test images, image 0 of 160")


def test_a_training_that_is_stopped_goes_on_with_the_same_command(as_json, cofront, ask, monkeypatch):
    from cofront.api.quantise.scene import Scene
    from cofront.cli.progress import Interrupt
    from cofront.task.quantise import refine
    from cofront.task.quantise.tuning import FineTuning

    words = ask("--refine", "train", "--epochs", "4")
    whole = as_json(*words, "-o", "whole")
    step, taken = FineTuning._step, []
    monkeypatch.setattr(FineTuning, "_step", lambda self: (taken.append(self.position), step(self))[1])
    monkeypatch.setattr(Interrupt, "__call__", lambda self: len(taken) == 11)
    code, _, _ = cofront(*words, "-o", "parts")
    assert code == 130 and taken == list(range(11))
    (file,) = Path("parts").glob("tuning-*.safetensors")
    assert not Path("parts/integers.safetensors").exists()
    monkeypatch.setattr(Interrupt, "__call__", lambda self: False)
    said, say = [], Scene.say
    monkeypatch.setattr(Scene, "say", lambda self, *of: (said.append(of), say(self, *of)))
    with monkeypatch.context() as patch:
        patch.setattr(refine, "refine", None)  # integers are not chosen again
        parts = as_json(*words, "-o", "parts")
    assert taken == list(range(25)) and ("training", "goes on at step 11 of 25") in said
    assert {k: parts[k] for k in ("layers", "accuracies")} == {k: whole[k] for k in ("layers", "accuracies")}
    from safetensors.numpy import load_file

    one, other = (load_file(f"{folder}/integers.safetensors") for folder in ("whole", "parts"))
    assert one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)
    # more epochs are another training, in a file of its own
    as_json(*words[:-1], "1", "-o", "parts")
    assert len(list(Path("parts").glob("tuning-*.safetensors"))) == 2 and file.exists()


def test_a_training_out_of_all_numbers_is_one_line(cofront, ask, monkeypatch):
    from cofront.task.quantise import tuning

    monkeypatch.setattr(tuning.FineTuning, "_loss", lambda self, some: torch.tensor(np.nan))
    code, _, err = cofront(*ask("--refine", "train", "-o", "out"))
    assert code == 2 and "fine-tuning 'net': the loss is nan in step 1 of" in err
    assert "take fewer epochs, or `--refine rounding`" in err
    assert len(err.strip().splitlines()) == 1 and not Path("out/integers.safetensors").exists()


def test_files_of_others_and_inputs_are_not_overwritten(cofront, ask, learnt):
    Path("out").mkdir()
    Path("out/integers.onnx").write_bytes(b"mine")
    code, _, err = cofront(*ask("-o", "out"))
    assert code == 2 and "integers.onnx" in err and Path("out/integers.onnx").read_bytes() == b"mine"
    Path("here").mkdir()
    Path("here/integers.onnx").write_bytes((learnt / "net.onnx").read_bytes())
    code, _, err = cofront("quantize", "here/integers.onnx", *ask()[2:], "-o", "here")
    assert code == 2 and "would be overwritten" in err
