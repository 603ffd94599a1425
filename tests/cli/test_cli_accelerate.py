"""`accelerate` through the command line, on a small network and noise with colours: every step, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from cofront.hardware.tables import operator_key
from cofront.measure.models import as_float
from cofront.network import Builder
from cofront.network.onnx_io import import_onnx, to_onnx
from cofront.network.weights import load, random_weights
from cofront.space.operators_of import OperatorsOf, units_of
from cofront.study import Study
from cofront.study.report import report_data

pytest.importorskip("torch")

OFFERED = "skip,narrow0.5,conv1"
SHORT = ("--candidates", OFFERED, "--epochs", "1", "--images", "60")


def network():
    b = Builder("net", (3, 12, 12))
    b.conv(8, 3, 2, act="relu", bias=True, norm=False, name="a")
    b.conv(16, 3, act="relu", bias=True, norm=False, name="b")
    b.conv(12, 1, act="relu", bias=True, norm=False, name="c")
    b.classifier(4)
    return b.build()


@pytest.fixture
def model(monkeypatch, tmp_path):
    """An ONNX file, images of four classes, and a table in which an operator takes as long as it has work."""
    rng = np.random.default_rng(0)
    net = network()
    Path("net.onnx").write_bytes(to_onnx(net, random_weights(net, rng)).SerializeToString())
    y = np.arange(280) % 4
    x = rng.integers(0, 120, (280, 12, 12, 3), dtype=np.uint8)
    x[np.arange(280), :, :, y % 3] += (50 + 25 * y[:, None, None]).astype(np.uint8)
    np.savez("images.npz", x_train=x[:220], y_train=y[:220], x_test=x[220:], y_test=y[220:])
    monkeypatch.setenv("COFRONT_CACHE", str(tmp_path / "cache"))
    read = import_onnx("net.onnx").network
    space = OperatorsOf(units_of(read), ("teacher", *OFFERED.split(",")))
    rows = {
        operator_key(as_float(f)): f.macs * 1e-6 + 1e-5 for o in space.operators for f in o.values() if f is not None
    }
    Path("table.csv").write_text("operator,latency_s\n" + "".join(f"{k},{v!r}\n" for k, v in rows.items()))
    return "net.onnx"


def ask(model, *more, budget="0.6x latency", device="table.csv"):
    return ("accelerate", model, "--device", device, "--budget", budget, "--data", "images.npz", *SHORT, *more)


def test_a_model_becomes_faster_and_is_not_done_again(as_json, cofront, model):
    found = as_json(*ask(model, "-o", "out"))
    assert found["kind"] == "accelerate" and not found["interrupted"]
    best = found["solutions"][found["chosen"]]
    assert best["latency_s"] <= found["limit_s"] == pytest.approx(0.6 * found["before_s"])
    assert best["loss"] == min(s["loss"] for s in found["solutions"])
    assert found["solutions"][0]["predicted"] == min(s["predicted"] for s in found["solutions"])
    for unit in found["units"]:
        assert unit["names"][0] == "teacher" and unit["change"][0] == unit["error"][0] == 0
    xs, ys = ([p[k] for p in found["front"]] for k in ("latency_s", "predicted"))
    assert xs == sorted(xs) and ys == sorted(ys, reverse=True) and xs[-1] <= found["before_s"] * (1 + 1e-9)
    at_limit = [y for x, y in zip(xs, ys, strict=True) if x <= found["limit_s"]]
    assert at_limit[-1] == pytest.approx(found["solutions"][0]["predicted"], abs=0.05)
    import xml.etree.ElementTree as ET

    assert len(ET.parse(found["files"]["picture"]).findall(".//{*}circle")) == len(found["solutions"]) + 1
    saved = sum(u["saved_s"] for u in found["units"])
    assert saved == pytest.approx(found["before_s"] - best["latency_s"])
    assert found["training"]["epochs"] == 1 and found["training"]["test_images"] == 60
    assert found["macs"][1] < found["macs"][0]
    # both files hold the network that was tested
    from cofront.network.pytorch import to_torch
    from cofront.task.data import load_dataset
    from cofront.task.distil.student import judge

    written = import_onnx(found["files"]["onnx"])
    weights = load(found["files"]["weights"])
    assert set(weights) == set(written.weights)
    data = load_dataset(Path("images.npz"))
    again = judge(to_torch(written.network, written.weights), data.x_test, data.y_test).accuracy
    assert again == pytest.approx(found["training"]["test"], abs=0.02)
    assert json.loads(Path("out/accelerate.json").read_text()) == found
    assert found["roofline"] is None and found["roofline_note"].startswith("no roofline: a table of latencies")
    # the same question is not worked at again; the study keeps it, and the report shows it
    made = made_at("*.safetensors") | made_at("*.onnx")
    code, out, _ = cofront(*ask(model, "-o", "out"))
    assert code == 0 and "solutions swapped in" in out and "after 1 epoch of fine-tuning" in out
    assert made == {
        p.name: p.stat().st_mtime_ns for p in Path("out").iterdir() if p.suffix in (".safetensors", ".onnx")
    }
    assert json.loads(Path("out/accelerate.json").read_text()) == found
    kept, _ = entries("out/study.sqlite")
    assert [e["units"] for e in kept] == [found["units"]]
    assert (found["study"], found["report"]) == ("out/study.sqlite", "out/report.html")
    assert "Cheaper operators in " in Path("out/report.html").read_text()
    # a file that is gone is made again, from the stages in the folder
    scores = made_at("scores-*.json")
    Path("out/accelerated.onnx").unlink()
    again = as_json(*ask(model, "-o", "out"))
    assert Path("out/accelerated.onnx").is_file() and again["units"] == found["units"]
    assert scores == made_at("scores-*.json")


def made_at(pattern):
    """When the files were written."""
    return {p.name: p.stat().st_mtime_ns for p in Path("out").glob(pattern)}


def entries(study):
    """What the report shows of a study's accelerated networks, and its title."""
    with Study(Path(study), write=False) as opened:
        data = report_data(opened)
    return data["accelerated"]["entries"], data["title"]


def test_without_fine_tuning(as_json, model):
    found = as_json(*ask(model, "--no-finetune", "--study", "mine.sqlite", budget="0.9x latency"))
    assert found["training"]["epochs"] == 0 and Path("runs/accelerate-net/accelerated.onnx").is_file()
    assert found["study"] == "mine.sqlite" and len(entries("mine.sqlite")[0]) == 1
    assert not Path("runs/accelerate-net/study.sqlite").exists()


@pytest.mark.parametrize("stage", ["reading", "pricing", "beginning operators", "scoring single swaps", "testing"])
def test_a_stop_is_obeyed_in_every_stage(as_json, model, monkeypatch, stage):
    from cofront.api.accelerate.scene import Acceleration
    from cofront.cli.progress import Interrupt

    seen = []
    say = Acceleration.say
    monkeypatch.setattr(Acceleration, "say", lambda self, now, *more: (seen.append(now), say(self, now, *more)))
    monkeypatch.setattr(Interrupt, "__call__", lambda self: seen[-1].startswith(stage))
    device = "zu3eg" if stage == "pricing" else "table.csv"
    stopped = as_json(*ask(model, "-o", "out", device=device, budget="0.9x latency"), code=130)
    assert stopped["interrupted"] and seen[-1].startswith(stage)


def test_run_lana_is_accelerate_with_its_lists(cofront, model, monkeypatch):
    monkeypatch.setattr("cofront.cli.run_models.PRESETS", {"small": (1, OFFERED)})
    words = ("--model", model, "--device", "table.csv", "--task", "images.npz", "--mean", "0.5", "--std", "0.25")
    code, out, err = cofront("run", "lana", *words, "--target", "0.6x latency", "--epochs", "1", "-o", "out")
    assert code == 0 and "after 1 epoch of fine-tuning" in out, err
    assert "its normalisation was moved into the first layer: what is written takes (pixel - 128) / 64" in out


def test_a_stopped_run_goes_on(as_json, model, monkeypatch):
    from cofront.task.distil.layerwise import Layerwise

    def halfway(self):
        return self.position >= 1

    true = Layerwise.run
    monkeypatch.setattr(Layerwise, "run", lambda self, told, stop: true(self, told, lambda: halfway(self)))
    stopped = as_json(*ask(model, "-o", "out"), code=130)
    assert stopped["interrupted"] and stopped["units"] == [] and stopped["limit_s"] > 0
    assert not Path("out/accelerate.json").exists()
    (kept,), title = entries("out/study.sqlite")
    assert kept["interrupted"] and kept["status"] == "interrupted" and title == "net.onnx accelerated on table"
    assert "stopped before operators were chosen" in Path("out/report.html").read_text()
    monkeypatch.setattr(Layerwise, "run", true)
    assert not as_json(*ask(model, "-o", "out"))["interrupted"]
    (kept,), _ = entries("out/study.sqlite")  # the one that went on from it
    assert kept["status"] == "done" and kept["id"] == 2


def test_refusals(refused, model):
    code, text = refused(*ask(model, budget="0.01x latency"))
    assert code == 2 and "the fastest network of these operators takes" in text and "x latency" in text
    assert "expects '0.6x latency' or '12ms', got '3mJ'" in refused(*ask(model, budget="3mJ"))[1]
    for given, near in (
        ("convs", "did you mean conv"),
        ("skip,ib3e22", "did you mean ib3e2"),
        ("zzz", "there are skip"),
    ):
        _, text = refused(*ask(model, "--candidates", given))
        assert near in text and "few, some, all are lists of them" in text and len(text) < 250
    assert "is a network without trained weights" in refused(*ask("mobilenet_v2"))[1]
    assert "there is no file 'other.onnx'" in refused(*ask("other.onnx"))[1]
    assert "no such file or folder" in refused(*ask(model, "--data", "none"))[1]
    for device, near in (("bismo-edge", "(gx1150, "), ("zu3e", "(zu3eg"), ("45nm", "(gx1150, ")):
        code, text = refused(*ask("other.onnx", device=device))
        assert code == 2 and f"--device {device}: operators are priced on host, ssh://" in text and near in text
    assert "is a column of a table" in refused(*ask(model, "--column", "latency_s", device="host"))[1]
    b = Builder("five", (3, 12, 12))
    b.conv(8, 3, name="a")
    b.classifier(5)
    five = b.build()
    weights = random_weights(five, np.random.default_rng(0))
    Path("five.onnx").write_bytes(to_onnx(five, weights).SerializeToString())
    assert "gives (5,), the images have 4 classes" in refused(*ask("five.onnx"))[1]
    assert "has no operator" in refused(*ask(model, "--candidates", "ib3e1"))[1]
    Path("accelerate.json").write_text("{}")
    assert "was not written by cofront" in refused(*ask(model, "-o", "."))[1]
    Path("mine").mkdir()
    Path("mine/accelerate.svg").write_text("<svg/>")
    assert "accelerate.svg would be replaced and was not written by" in refused(*ask(model, "-o", "mine"))[1]
    assert not Path("runs").exists()  # what was refused leaves nothing behind
    Path("here").mkdir()
    Path("here/accelerated.onnx").write_bytes(Path(model).read_bytes())
    assert "would be overwritten" in refused(*ask("here/accelerated.onnx", "-o", "here"))[1]


def test_too_few_images_are_refused_at_once(cofront, refused, model, monkeypatch):
    """With the least number that the message names it runs to the end."""
    z = dict(np.load("images.npz"))

    def of(n):
        np.savez("images.npz", **{**z, "x_train": z["x_train"][:n], "y_train": z["y_train"][:n]})

    of(12)
    priced = []
    with monkeypatch.context() as patched:
        patched.setattr("cofront.api.accelerate.scene.priced_operators", lambda *_, **__: priced.append(1))
        code, line = refused(*ask(model))
    assert code == 2 and not priced
    assert "12 training images are too few" in line and "give 15 at least" in line and "--no-finetune" in line
    for n, more in ((15, ()), (6, ("--no-finetune",))):
        of(n)
        code, out, err = cofront(*ask(model, *more, "-o", f"out{n}"))
        assert code == 0 and "images alone, which says little" in out, err


def test_on_an_fpga_operators_are_priced_by_its_accelerator(as_json, model):
    found = as_json(*ask(model, "--no-finetune", device="zu3eg", budget="0.9x latency"))
    assert "at W8A8" in found["latency_note"] and found["measured"] is None
    assert found["solutions"][0]["latency_s"] <= found["limit_s"]
    assert all(s is not None for u in found["units"] for s in u["seconds"])
    assert not any("not built yet" in n for n in found["notes"])
    before, after = found["roofline"]["before"], found["roofline"]["after"]
    taken = found["solutions"][found["chosen"]]
    assert (before["latency_s"], after["latency_s"]) == (found["before_s"], taken["latency_s"])
    units = {u["name"]: u for u in found["units"] if len(u["names"]) > 1}
    for side, own in ((before, lambda u: 0), (after, lambda u: u["names"].index(u["chosen"]))):
        for p in side["points"]:
            if p["name"] in units:
                u = units[p["name"]]
                assert p["seconds"] == pytest.approx(u["seconds"][own(u)])


def test_on_an_fpga_what_cannot_be_built_is_said(as_json, cofront, model):
    b = Builder("swish", (3, 12, 12))
    b.conv(8, 3, 2, act="relu", bias=True, norm=False, name="a")
    b.conv(16, 3, act="hswish", bias=True, norm=False, name="b")
    b.classifier(4)
    net = b.build()
    Path("swish.onnx").write_bytes(to_onnx(net, random_weights(net, np.random.default_rng(0))).SerializeToString())
    words = ask("swish.onnx", "--no-finetune", device="zu3eg", budget="1x latency")
    found = as_json(*words, "--candidates", "conv1")
    (note, *others) = (n for n in found["notes"] if "can be costed, not built yet: " in n)
    assert note.startswith(("the network as it is: ", "both networks: ")) and "'b.act' (hswish)" in note, note
    assert "`cofront build` has convolutions" in note
    if not note.startswith("both"):
        assert others[0].startswith("the chosen network: can be costed")
    assert f"note: {note}" in cofront(*words, "--candidates", "conv1")[1]


def test_what_holds_for_both_networks_is_said_once():
    from cofront.api.accelerate.pricing import with_chosen

    notes = ["read", "the network as it is: a", "the network as it is: b"]
    assert with_chosen(notes, ["b", "c"]) == [
        "read", "the network as it is: a", "both networks: b", "the chosen network: c",
    ]  # fmt: skip
    assert with_chosen(["read"], []) == ["read"]
