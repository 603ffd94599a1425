"""Files in the folder of a search or export: ours are replaced, others never; the unchanged are not made again."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cofront.api.ours import as_written, check_our_file, hashes, is_ours
from cofront.errors import UsageError
from cofront.rtl.folder import build_at
from cofront.rtl.gantt import draw

TINY = ("search", "--space", "tiny", "--grid", "tiny", "--out", "out", "--accuracy-table")


def test_a_file_that_a_search_never_writes_is_in_nobodys_way(cofront, refused, table):
    """A space without a supernet has no trained integers, so files of their names are left alone."""
    Path("out").mkdir()
    own = {"weights.safetensors": b"mine", "network.integer.onnx": b"mine, too"}
    for name, raw in own.items():
        (Path("out") / name).write_bytes(raw)
    for more in ((), (), ("--accuracy", "0.72"), ("--evaluations", "50", "--method", "random")):
        code, out, _ = cofront(*TINY, table(), *more)
        assert code == 0 and "no supernet of space 'tiny'" in out and "stay" not in out
        assert {name: (Path("out") / name).read_bytes() for name in own} == own
    assert Path("out/network.onnx").is_file()
    code, line = refused("search", "--method", "random", "--evaluations", "50", "--out", "out")
    assert code == 2 and "out/network.integer.onnx, out/weights.safetensors would be replaced" in line


@pytest.mark.parametrize("name", ["design.json", "network.onnx", "report.html"])
def test_what_is_not_ours_is_never_replaced(cofront, refused, table, name):
    path = Path("out") / name
    path.parent.mkdir()
    path.write_text('{"mine": 1}')
    before = path.read_bytes()
    code, line = refused(*TINY, table())
    assert code == 2 and f"{path} would be replaced and was not written by cofront; move it, or choose" in line
    assert path.read_bytes() == before and [p.name for p in Path("out").iterdir()] == [name]
    path.unlink()
    assert cofront(*TINY, table())[0] == 0
    assert cofront(*TINY, table(), "--accuracy", "0.72")[0] == 0  # ours are replaced
    if name not in ("design.json", "report.html"):
        path.write_bytes(before)
        code, line = refused("export", "out/design.json", "--out", "out")
        assert code == 2 and str(path) in line and path.read_bytes() == before


@pytest.mark.parametrize("name", ["mine", "mine.json", "mine.html"])
def test_a_report_or_a_fit_replaces_no_file_of_others(cofront, refused, table, name):
    cofront(*TINY, table())
    own = '{"uses": "cofront", "kind": "note"}'
    Path(name).write_text(own)
    for option, command in (("--out", ("report", "out")), ("--save", ("fit", "out/design.json"))):
        code, line = refused(*command, option, name)
        assert code == 2 and line == (
            f"{option} {name} would be replaced and was not written by cofront; move it, or choose another name"
        )
        assert Path(name).read_text() == own
    Path(name).unlink()
    for _ in range(2):  # ours are replaced, whatever they are called
        assert cofront("report", "out", "--out", f"report-{name}")[0] == 0
        assert cofront("fit", "out/design.json", "--save", f"design-{name}")[0] == 0


def test_a_report_beside_a_study_replaces_no_file_of_others(cofront, refused, table):
    cofront(*TINY, table())
    Path("out/report.html").write_text("mine")
    code, line = refused("report", "out")
    assert code == 2 and "out/report.html would be replaced" in line and Path("out/report.html").read_text() == "mine"


def test_nothing_is_written_into_a_build_folder(cofront, refused, table, tmp_path):
    """`verify` would refuse it afterwards."""
    cofront(*TINY, table())
    (Path("built") / "rtl").mkdir(parents=True)
    keys = ("format", "device", "config", "bus_bits", "expected", "memory", "digest")
    Path("built/manifest.json").write_text(json.dumps({**dict.fromkeys(keys, 0), "files": {}}))
    Path("built/design.json").write_bytes(Path("out/design.json").read_bytes())
    before = {p: p.stat().st_mtime_ns for p in Path("built").rglob("*")}
    for option, command, target in (
        ("--out", (*TINY[:-3], "--accuracy-table", table()), "built"),
        ("--save", ("fit", "fbnet-a"), "built/design.json"),
        ("--save", ("fit", "fbnet-a"), "built/rtl/new.json"),
        ("--out", ("export", "out/design.json"), "built"),
        ("--out", ("report", "out"), "built/report.html"),
    ):
        assert refused(*command, option, target) == (
            2,
            f"{option} {target}: '{tmp_path / 'built'}' is a build folder, which holds what `cofront build` wrote "
            "alone; choose another place",
        )
    assert {p: p.stat().st_mtime_ns for p in Path("built").rglob("*")} == before
    for damaged in ("[]", "{", '{"files": []}'):  # what cannot be read protects nothing
        Path("built/manifest.json").write_text(damaged)
        assert build_at(Path("built")) is None


def test_a_chart_replaces_charts_and_a_waveform_waveforms_alone(cofront, table):
    cofront(*TINY, table())
    draw({"calls": []}, "a network", Path("chart.html"))
    ports = "".join(
        f"  $var wire 32 {i} {name} [31:0] $end\n" for i, name in enumerate(("m_axi_araddr", "s_axi_awaddr"))
    )
    Path("own.vcd").write_text(f"$version Generated by VerilatedVcd $end\n $scope module TOP $end\n{ports}")
    Path("other.vcd").write_text("$version Generated by VerilatedVcd $end\n $scope module TOP $end\n")
    Path("README.md").write_text(f"cofront\n{ports}")
    files = ("chart.html", "out/report.html", "own.vcd", "other.vcd", "README.md")
    assert [name for name in files if is_ours(Path(name), "chart")] == ["chart.html"]
    assert [name for name in files if is_ours(Path(name), ".vcd")] == ["own.vcd"]
    assert is_ours(Path("chart.html")) and is_ours(Path("own.vcd")) and not is_ours(Path("other.vcd"))
    with pytest.raises(
        UsageError, match=r"^--gantt out/report\.html would be replaced and is not a chart of cofront; mo"
    ):
        check_our_file(Path("out/report.html"), "chart", "--gantt", "a chart")
    with pytest.raises(UsageError, match=r"^--vcd out is a folder; expected a file to write$"):
        check_our_file(Path("out"), ".vcd", "--vcd")


def test_a_file_that_names_cofront_is_not_ours_by_that(onnx_of, tmp_path):
    """Words, keys and tensors of that name stand in the files of others, too."""
    kinds = {"kind": "design", "schema": 1, "cofront": "0"}
    foreign = {
        "notes.json": {"uses": "cofront", "kind": "note", "cofront": "0", "schema": 1},
        "nested.json": {"mine": kinds, "kind": ["design"]},
        "list.json": [kinds],
        "bare.json": {"kind": "design", "cofront": "0"},
    }
    for name, content in foreign.items():
        (tmp_path / name).write_text(json.dumps(content))
    (tmp_path / "cut.json").write_text(json.dumps(kinds)[:-1])
    (tmp_path / "blog.html").write_text("<!doctype html><title>cofront</title><p>I like cofront.")
    onnx_of("tool", "cofront", tmp_path / "tool.onnx")
    onnx_of("", "cofront", tmp_path / "nobody.onnx")
    (tmp_path / "text.onnx").write_text("cofront " * 20)
    (tmp_path / "empty.onnx").write_bytes(b"")
    (tmp_path / "ones.onnx").write_bytes(b"\xff" * 70_000)
    (tmp_path / "odd.safetensors").write_bytes(b"\xff" * 20)
    save_file({"cofront": np.ones(3, np.float32)}, tmp_path / "tensor.safetensors")
    save_file({"a": np.ones(3, np.float32)}, tmp_path / "value.safetensors", {"for": '"cofront"', "network": "n"})
    assert [p.name for p in sorted(tmp_path.iterdir()) if is_ours(p)] == []

    (tmp_path / "mine.json").write_text(json.dumps({"padding": "x" * 100_000, **kinds}))
    (tmp_path / "old.html").write_text('<style>x</style><p class="brand">cofront <span id="version"></span></p>')
    onnx_of("cofront", "x", tmp_path / "mine.onnx")
    many = {f"layer{i}" * 10: np.ones(1, np.float32) for i in range(2000)}
    save_file(many, tmp_path / "mine.safetensors", {"network": "n"})
    ours = [p.name for p in sorted(tmp_path.iterdir()) if is_ours(p)]
    assert ours == ["mine.json", "mine.onnx", "mine.safetensors", "old.html"]


@pytest.fixture
def onnx_of():
    """Writes an ONNX file with a producer and a word in its graph."""

    def write(producer, word, path):
        from onnx import TensorProto, helper

        shape = helper.make_tensor_value_info(word, TensorProto.FLOAT, [1])
        graph = helper.make_graph([helper.make_node("Relu", [word], ["y"])], word, [shape], [])
        path.write_bytes(helper.make_model(graph, producer_name=producer, doc_string=word).SerializeToString())

    return write


def test_an_export_replaces_no_weights_of_others(cofront, refused, table):
    cofront(*TINY, table())
    path = Path("out/weights.safetensors")
    save_file({"mine": np.ones(3, np.float32)}, path, {"framework": "pt"})
    before = path.read_bytes()
    code, line = refused("export", "out/design.json", "--out", "out")
    assert code == 2 and str(path) in line and path.read_bytes() == before


def test_everything_that_a_search_writes_is_known_as_ours(cofront, table):
    cofront(*TINY, table())
    written = {p.name for p in Path("out").iterdir()} - {"study.sqlite"}
    assert written >= {"design.json", "accelerator.json", "network.onnx", "network.qonnx.onnx", "report.html"}
    assert all(is_ours(Path("out") / name) for name in written)


def test_the_same_search_again_makes_no_file_again(cofront, table, monkeypatch):
    import cofront.cli.writing as writing

    calls = []
    real = writing.export_design
    monkeypatch.setattr(writing, "export_design", lambda *a, **k: calls.append(1) or real(*a, **k))
    command = (*TINY, table())
    first = cofront(*command)
    assert cofront(*command)[1] == first[1] and len(calls) == 1
    Path("out/network.onnx").unlink()
    assert cofront(*command)[0] == 0 and len(calls) == 2 and Path("out/network.onnx").exists()
    Path("out/design.json").write_text(Path("out/design.json").read_text() + "\n")
    assert cofront(*command)[0] == 0 and len(calls) == 3
    assert cofront(*command, "--accuracy", "0.72")[0] == 0 and len(calls) == 4
    assert cofront(*command)[0] == 0 and len(calls) == 5  # another design was there meanwhile
    assert cofront(*command)[0] == 0 and len(calls) == 5


def test_what_was_left_out_is_tried_again_once_its_cause_is_gone(cofront, table, monkeypatch):
    """The user installs what was missing and gives the same command again."""
    from cofront.api import weights
    from cofront.errors import MissingDependencyError
    from cofront.network.weights import random_weights

    made = []

    def absent(design, network, images):
        raise MissingDependencyError("taking them from the supernet needs the package 'torch'")

    def present(design, network, images):
        made.append(1)
        return weights.Trained(random_weights(network, np.random.default_rng(5)), np.zeros((1, 3, 16, 16), np.float32))

    command = (*TINY, table())
    monkeypatch.setattr(weights, "_of_supernet", absent)
    code, out, _ = cofront(*command)
    random = Path("out/network.onnx").read_bytes()
    assert code == 0 and "left out: trained weights: taking them from the supernet needs the package 'torch'" in out
    monkeypatch.setattr(weights, "_of_supernet", present)
    code, out, err = cofront(*command)
    assert code == 0 and "finished before" in err and "left out" not in out and len(made) == 1
    assert "out/weights.safetensors" in out and Path("out/network.onnx").read_bytes() != random
    assert cofront(*command)[1] == out and len(made) == 1


def test_written_files_are_compared_by_what_is_in_them(tmp_path):
    (tmp_path / "a").write_text("1")
    kept = hashes({"a": str(tmp_path / "a")})
    assert as_written(kept) and not as_written({})
    (tmp_path / "a").write_text("2")
    assert not as_written(kept)
    (tmp_path / "a").unlink()
    assert not as_written(kept)


def test_known_devices_are_listed_and_the_nearest_named(cofront, as_json, refused):
    listed = {d["space"]: d["names"] for d in as_json("devices", "--known")}
    assert "pixel3" in listed["nasbench201"] and "fbnet" in listed
    assert "nasbench201: " in cofront("devices", "--known")[1]
    code, line = refused("predict", "nasbench201:3,2,1,0,3,2", "--device", "pixl3")
    assert code == 2 and "no known device 'pixl3', nor a table" in line and "did you mean pixel" in line
    assert line.endswith("`cofront devices --known` lists them")
    assert "did you mean" not in refused("predict", "mobilenetv2", "--device", "qqqqqqqq")[1]
    assert "give SPACE:0,1,... or --space" in refused("predict", "mobilenetv2", "--device", "pixel3")[1]
    code, line = refused("search", "--space", "nasbench201", "--device", "pixle3")
    assert code == 2 and line.startswith("no device named 'pixle3'; did you mean pixel3")
    code, line = refused("search", "--space", "nasbench201", "--device", "nosuch.parquet")
    assert code == 2 and "there is no file 'nosuch.parquet'; expected a table" in line


def test_evaluating_a_design_that_is_not_of_the_trained_space_says_what_to_do(refused):
    design = {"kind": "design", "schema": 1, "accelerator": "subgraph", "device": "zu3eg", "clock_hz": 2.5e8,
              "network": "mobilenetv2", "design": {"accuracy": None, "latency_s": 1e-3, "fps": 1e3, "cycles": 250000,
              "resources": {}, "config": {}}}  # fmt: skip
    Path("d.json").write_text(json.dumps(design))
    code, line = refused("evaluate", "d.json")
    assert code == 1 and "write its network with `cofront export d.json`" in line
