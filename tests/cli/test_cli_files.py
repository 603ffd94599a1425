"""Files that a user names: what cofront wrote comes back; anything else is one line."""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cofront.cli.main import run
from cofront.network import Builder
from cofront.network.onnx_io import read_onnx, write_onnx
from cofront.network.weights import random_weights


@pytest.fixture
def onnx_file():
    b = Builder("own", (3, 16, 16))
    b.conv(8, 3, 2, act="relu")
    b.depthwise(3, act="relu")
    b.conv(16, 1)
    b.classifier(4)
    network = b.build()
    write_onnx(network, random_weights(network, np.random.default_rng(0)), "own.onnx")
    return Path("own.onnx")


def test_a_users_onnx_file_is_estimated_fitted_saved_and_exported(as_json, cofront, onnx_file):
    found = as_json("estimate", onnx_file, "--precision", "W4A4")
    assert (found["network"], found["precision"]) == ("own.onnx", "W4A4") and found["macs"] > 10_000
    best = as_json("fit", onnx_file, "--precision", "W4A4", "--save", "sub/design.json")
    assert best["status"] == "optimal" and best["latency_s"] <= found["latency_s"]
    again = as_json("estimate", "sub/design.json")
    assert (again["cycles"], again["precision"]) == (best["cycles"], "W4A4")
    assert as_json("fit", "sub/design.json")["cycles"] == best["cycles"]
    done = as_json("export", "sub/design.json", "--out", "sub", "--format", "onnx,qonnx,weights,accelerator")
    assert done["left_out"] == [] and set(done["files"]) == {"onnx", "qonnx", "weights", "accelerator"}
    before, after = (read_onnx(p)[1] for p in (onnx_file, done["files"]["onnx"]))
    assert all(np.array_equal(before[k], after[k]) for k in before)  # the user's own weights
    assert as_json("estimate", done["files"]["qonnx"])["precision"] == "W4A4"  # which the QONNX file states


def test_a_design_of_the_front_is_rebuilt_from_its_file(as_json, table):
    search = as_json("search", "--space", "tiny", "--grid", "tiny", "--accuracy-table", table(), "--out", "o")
    chosen = search["front"][search["chosen"]]
    found = as_json("estimate", "o/design.json")
    assert (found["cycles"], found["resources"]) == (chosen["cycles"], chosen["resources"])
    # the configuration alone, of any of our documents
    assert as_json("estimate", "o/design.json", "--config", "o/accelerator.json")["cycles"] == chosen["cycles"]


def test_dynamic_shapes_and_foreign_operators_are_named(refused, as_json, onnx_file):
    model = onnx.load(onnx_file)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(model, "dynamic.onnx")
    code, line = refused("estimate", "dynamic.onnx")
    assert code == 1 and "height" in line
    assert refused("estimate", "dynamic.onnx", "--input-shape", "3xhuge")[0] == 2
    assert as_json("estimate", "dynamic.onnx", "--input-shape", "3x16x16") == (
        as_json("estimate", onnx_file) | {"network": "dynamic.onnx"}
    )
    model = onnx.load(onnx_file)
    model.graph.node[0].op_type = "Einsum"
    onnx.save(model, "foreign.onnx")
    code, line = refused("fit", "foreign.onnx")
    assert code == 1 and "Einsum" in line
    Path("broken.onnx").write_bytes(onnx_file.read_bytes()[:200])
    assert refused("fit", "broken.onnx")[0] == 1


def test_the_input_shape_of_a_published_network_is_honoured_and_kept(as_json, refused, cofront):
    whole, small = as_json("estimate", "fbnet-a"), as_json("estimate", "fbnet-a", "--input-shape", "3x96x96")
    assert small["macs"] < 0.25 * whole["macs"] and small["params"] == whole["params"]
    assert (
        "input 3x96x96" in small["notes"]
        and as_json("estimate", "fbnet-a", "--input-shape", "3x224x224")["macs"] == (whole["macs"])
    )
    best = as_json("fit", "fbnet-a", "--input-shape", "3x96x96", "--save", "d.json")
    again = as_json("estimate", "d.json")
    assert (again["macs"], again["cycles"]) == (small["macs"], best["cycles"])
    for shape in ("224", "3x224", "1x224x224", "3x224x225"):
        code, line = refused("estimate", "fbnet-a", "--input-shape", shape)
        side = shape.rpartition("x")[2]
        assert code == 2 and f"takes square images of three channels; write 3x{side}x{side}" in line
    assert refused("estimate", "d.json", "--input-shape", "3x224x224")[0] == 2
    assert as_json("estimate", "d.json", "--input-shape", "3x96x96")["macs"] == small["macs"]


def test_a_design_of_a_file_with_dynamic_sizes_remembers_them(as_json, refused, onnx_file):
    model = onnx.load(onnx_file)
    for axis, name in ((2, "height"), (3, "width")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    onnx.save(model, "dynamic.onnx")
    best = as_json("fit", "dynamic.onnx", "--input-shape", "3x16x16", "--save", "d.json")
    assert as_json("estimate", "d.json")["cycles"] == best["cycles"]
    found = as_json("export", "d.json", "--out", "e")
    assert set(found["files"]) == {"accelerator", "onnx", "qonnx", "weights"}
    code, line = refused("estimate", "dynamic.onnx", "--input-shape", "16")
    assert code == 1 and line.endswith("which 16 does not fit; write 3x16x16 for example")
    code, line = refused("estimate", "dynamic.onnx")
    assert code == 1 and "give the input shape (--input-shape 3x224x224)" in line


def test_a_fit_never_replaces_what_its_network_is_read_from(as_json, refused, onnx_file):
    before = Path(onnx_file).read_bytes()
    code, line = refused("fit", onnx_file, "--save", onnx_file)
    assert code == 2 and line.endswith("the network is read from that file; choose another")
    assert Path(onnx_file).read_bytes() == before
    as_json("fit", onnx_file, "--save", "a.json")
    as_json("fit", "a.json", "--precision", "W4A4", "--budget", "dsp=40", "--save", "a.json")
    best = as_json("fit", "a.json", "--save", "a.json")
    again = as_json("estimate", "a.json")
    assert (again["cycles"], again["precision"]) == (best["cycles"], "W4A4")
    assert json.loads(Path("a.json").read_text())["network"] == "own.onnx"


def test_a_saved_fit_says_where_and_what_comes_next(cofront, onnx_file):
    code, out, _ = cofront("fit", onnx_file, "--save", "my design.json")
    assert code == 0 and out.endswith(
        "  design       my design.json\n"
        "next: cofront estimate 'my design.json' --calls\n"
        "      cofront build 'my design.json' -o built\n"
    )
    assert "next" not in cofront("fit", onnx_file)[1]


def test_a_design_keeps_its_networks_place_beside_it_and_its_hash(as_json, refused, onnx_file):
    Path("p/nets").mkdir(parents=True)
    onnx_file.rename("p/nets/own.onnx")
    best = as_json("fit", "p/nets/own.onnx", "--save", "p/runs/d.json")
    kept = json.loads(Path("p/runs/d.json").read_text())
    assert kept["network"] == "../nets/own.onnx" and str(Path.cwd()) not in json.dumps(kept)
    assert kept["network_sha256"] == hashlib.sha256(Path("p/nets/own.onnx").read_bytes()).hexdigest()
    Path("p").rename("q")
    Path("link.json").symlink_to("q/runs/d.json")
    for name in ("q/runs/d.json", "link.json"):
        assert as_json("estimate", name)["cycles"] == best["cycles"]
    as_json("export", "q/runs/d.json", "--out", "e", "--format", "design")
    assert json.loads(Path("e/design.json").read_text()) == {**kept, "network": "../q/nets/own.onnx"}
    older = {k: v for k, v in kept.items() if k != "network_sha256"}  # as designs were before there was a hash
    Path("older.json").write_text(json.dumps({**older, "network": str(Path("q/nets/own.onnx").resolve())}))
    assert as_json("estimate", "older.json")["cycles"] == best["cycles"]
    as_json("fit", "older.json", "--save", "renewed.json")
    assert json.loads(Path("renewed.json").read_text())["network_sha256"] == kept["network_sha256"]

    model = onnx.load("q/nets/own.onnx")
    model.doc_string = "another"
    onnx.save(model, "q/nets/own.onnx")
    for verb in ("estimate", "export", "fit", "build"):
        code, line = refused(verb, "q/runs/d.json")
        assert code == 1 and "own.onnx' is not the network that the design was made for (another SHA-256)" in line
    Path("q/nets/own.onnx").unlink()
    code, line = refused("estimate", "q/runs/d.json")
    assert (
        code == 2 and "there is no file '" in line and "expected the network of the design, whose file names it" in line
    )


def test_an_export_never_replaces_what_its_network_is_read_from(as_json, refused, onnx_file):
    own = Path(onnx_file).read_bytes()
    Path("network.onnx").write_bytes(own)
    as_json("fit", "network.onnx", "--save", "mine.json")
    for formats in ((), ("--format", "accelerator,onnx")):
        code, line = refused("export", "mine.json", "--out", ".", *formats)
        assert code == 2 and line.endswith("the network is read from 'network.onnx'; choose another folder")
        assert Path("network.onnx").read_bytes() == own
    as_json("export", "mine.json", "--out", "e")
    as_json("export", "mine.json", "--out", ".", "--format", "accelerator")
    assert Path("network.onnx").read_bytes() == own


def test_a_design_of_a_space_fitted_at_another_precision_stays_readable(as_json, refused, table):
    good_design(as_json, table)
    design = Path("o/design.json")
    as_json("fit", design, "--save", "same.json")
    assert json.loads(Path("same.json").read_text())["space"] == "tiny"
    own = as_json("estimate", design)["precision"]
    other = next(p for p in ("W4A4", "W8A8") if p != own)
    best = as_json("fit", design, "--precision", other, "--save", "other.json")
    again = as_json("estimate", "other.json")
    assert (again["cycles"], again["precision"], again["fits"]) == (best["cycles"], other, True)
    for source in (design, "other.json"):  # the second is read from the first
        before = design.read_bytes()
        code, line = refused("fit", source, "--precision", other, "--save", design)
        assert code == 2 and "the network is read from that file" in line and design.read_bytes() == before


def good_design(as_json, table):
    as_json("search", "--space", "tiny", "--grid", "tiny", "--accuracy-table", table(), "--out", "o")
    return json.loads(Path("o/design.json").read_text())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d.clear(), "not a cofront document; expected a 'design'"),
        (lambda d: d.update(kind="fit"), "a cofront document of kind 'fit', expected 'design'"),
        (lambda d: d.update(schema=2), "schema version 2, this cofront reads 1"),
        (lambda d: d.pop("device"), "Object missing required field `device`"),
        (lambda d: d.update(clock_hz="fast"), "Expected `float`, got `str` - at `$.clock_hz`"),
        (lambda d: d.update(space="nowhere"), "no space named 'nowhere'"),
        (lambda d: d.update(device="nothing"), "no device named 'nothing'"),
        (lambda d: d["design"].update(point=[9, 9, 9, 9], choices={}), "space 'tiny' has no point [9, 9, 9, 9]"),
        (lambda d: d["design"].update(point=[], choices={"b1_width": 8}), "no column"),
        (lambda d: d["design"].update(point=[2**70], choices={}), "space 'tiny' has no point"),
        (lambda d: d["design"]["config"].pop("dw"), "accelerator: dw missing"),
        (lambda d: d["design"]["config"].update(engine="E99"), "engine must be one of"),
        (lambda d: d["design"]["config"]["conv"].update(pi=-1), "kernel 'conv': pi must be a whole number"),
    ],
)
def test_damaged_designs_are_refused_in_one_line(as_json, table, refused, damage, message):
    design = good_design(as_json, table)
    damage(design)
    Path("bad.json").write_text(json.dumps(design))
    code, line = refused("estimate", "bad.json")
    assert code in (1, 2) and message in line, line
    assert refused("export", "bad.json", "--out", "x")[0] in (1, 2)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def quiet_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_design_file_gives_a_traceback(quiet_folder, capfd, data):
    """Random JSON, random bytes, and a good design with one thing changed anywhere in it."""
    path = quiet_folder / "fuzz.json"
    good = {
        "kind": "design", "schema": 1, "cofront": "0", "device": "zu3eg", "clock_hz": 2.5e8, "space": "tiny",
        "network": "", "precision": "", "provenance": {},
        "design": {
            "accuracy": 0.7, "latency_s": 1.0, "fps": 1.0, "cycles": 1, "resources": {}, "point": [0, 0, 0, 0],
            "choices": {"b1_width": 8, "b1_bits": "W8A8", "b2_width": 8, "b2_bits": "W8A8"},
            "config": {
                "engine": "E88", "clock_hz": 2.5e8,
                **{k: dict.fromkeys(("po", "pi", "taps", "dsp", "rows", "line_elements", "in_elements"), 1)
                   | {"weight_depth": 512, "out_elements": 64} for k in ("conv", "dw", "pw")},
            },
        },
    }  # fmt: skip
    kind = data.draw(st.sampled_from(["bytes", "json", "changed"]))
    if kind == "bytes":
        path.write_bytes(data.draw(st.binary(max_size=200)))
    elif kind == "json":
        path.write_text(json.dumps(data.draw(JSON)))
    else:
        part = good
        while True:
            key = data.draw(st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part))))
            deeper = isinstance(part[key], dict | list) and part[key] and data.draw(st.booleans())
            if not deeper:
                part[key] = data.draw(JSON)
                break
            part = part[key]
        path.write_text(json.dumps(good))
    for verb in (("estimate", path), ("export", path, "--out", quiet_folder / "out", "--format", "accelerator")):
        capfd.readouterr()
        code = run([str(a) for a in verb])
        err = capfd.readouterr().err
        assert code in (0, 1, 2) and "Traceback" not in err and "internal error" not in err, err
        assert code == 0 or err.count("\n") == 1 or (code == 1 and "infeasible: this accelerator" in err), err


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=4)), min_size=1, max_size=6))
def test_no_onnx_file_gives_a_traceback(quiet_folder, capfd, onnx_file, changes):
    raw = bytearray(onnx_file.read_bytes())
    for where, data in changes:
        i = int(where * (len(raw) - len(data)))
        raw[i : i + len(data)] = data
    path = quiet_folder / "fuzz.onnx"
    path.write_bytes(bytes(raw))
    capfd.readouterr()
    code = run(["estimate", str(path)])
    err = capfd.readouterr().err
    assert code in (0, 1, 2) and "Traceback" not in err and "internal error" not in err, err


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=120) | st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6))).map(
    lambda rows: "b1_width,accuracy\n" + "\n".join(map(",".join, rows))))  # fmt: skip
def test_no_table_gives_a_traceback(quiet_folder, capfd, text):
    path = quiet_folder / "fuzz.csv"
    path.write_text(text)
    capfd.readouterr()
    code = run(
        ["search", "--space", "tiny", "--grid", "tiny", "--accuracy-table", str(path), "--out", str(quiet_folder)]
    )
    err = capfd.readouterr().err
    assert code in (1, 2) and err.count("\n") == 1 and "internal error" not in err, err


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=300)), min_size=1, max_size=6))
def test_no_study_gives_a_traceback(quiet_folder, capfd, changes):
    sys.path.insert(0, str(Path(__file__).parents[1] / "study"))
    import synthetic

    good = quiet_folder / "good.sqlite"
    if not good.exists():
        synthetic.fill(good, 12)
    raw = bytearray(good.read_bytes())
    for where, data in changes:
        i = int(where * (len(raw) - len(data)))
        raw[i : i + len(data)] = data
    path = quiet_folder / "bad.sqlite"
    path.write_bytes(bytes(raw))
    capfd.readouterr()
    code = run(["report", str(path), "--out", str(quiet_folder / "r.html")])
    err = capfd.readouterr().err
    assert code in (0, 1) and "Traceback" not in err and "internal error" not in err, err
