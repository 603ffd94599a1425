import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest

from cofront.study import documents
from cofront.study.documents import KINDS, SearchDocument, json_schemas

VERBS = (
    "search", "fit", "estimate", "train", "evaluate", "export", "report", "zoo", "devices", "spaces",
    "evaluate-predictor", "pareto",
)  # fmt: skip
ROOT = Path(__file__).parents[2]

LIGHT = """
import sys, time
start = time.process_time()
from cofront.cli.main import run
code = run({arguments!r})
used = time.process_time() - start
heavy = [m for m in {banned!r} if m in sys.modules]
print("|", code, heavy, used)
"""


HEAVY = ("torch", "numba", "ortools", "plotly", "pandas", "sklearn", "onnx", "scipy", "pymoo", "pyarrow")


def probe(*arguments, banned=HEAVY):
    """(exit code, heavy modules imported, CPU seconds) of one command in a process of its own."""
    script = LIGHT.format(arguments=list(arguments), banned=list(banned))
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    code, rest = out.rsplit("| ", 1)[1].split(" ", 1)
    heavy, used = rest.rsplit(" ", 1)
    return int(code), heavy, float(used)


@pytest.mark.parametrize("arguments", [("--help",), ("search", "--help"), ("--version",), ("fit", "mobilnet", "--fps")])
def test_help_is_quick_and_imports_nothing_heavy(arguments):
    runs = [probe(*arguments, banned=(*HEAVY, "numpy", "rich", "msgspec")) for _ in range(3)]
    assert runs[0][1] == "[]"
    assert min(used for *_, used in runs) < 0.6  # .3 s with the start of Python, on a core of one's own


@pytest.mark.parametrize("arguments", [("search", "--device", "zu3e"), ("search", "--space", "subgraph33"),
                                       ("fit", "mobilenetv2", "--device", "zu3e")])  # fmt: skip
def test_a_wrong_name_is_told_before_anything_heavy_is_imported(arguments):
    code, heavy, _ = probe(*arguments, banned=HEAVY)
    assert (code, heavy) == (2, "[]")


def test_missing_images_are_told_before_anything_heavy_is_imported(tmp_path):
    design = {"kind": "design", "schema": 1, "accelerator": "subgraph", "device": "zu3eg", "clock_hz": 2.5e8,
              "space": "subgraph32", "design": {"accuracy": 0.8, "latency_s": 1e-3, "fps": 1e3, "cycles": 250000,
              "resources": {}, "config": {}, "point": [0] * 25}}  # fmt: skip
    (tmp_path / "design.json").write_text(json.dumps(design))
    for verb in ("evaluate", "train", "build"):
        code, heavy, _ = probe(verb, str(tmp_path / "design.json"), "--data", "nowhere", banned=HEAVY)
        assert (code, heavy) == (2, "[]"), verb


def test_estimate_is_quick_and_imports_nothing_heavy():
    code, heavy, _ = probe("estimate", "mobilenetv2", "--json", banned=(*HEAVY, "numpy", "rich"))
    assert (code, heavy) == (0, "[]")
    assert min(probe("estimate", "mobilenetv2", "--json")[2] for _ in range(3)) < 1.0  # .5 s of an idle machine


def test_help_names_every_verb_and_every_verb_has_help_with_an_example(cofront):
    code, out, _ = cofront("--help")
    assert code == 0 and all(f"  {verb} " in out for verb in VERBS) and "cofront search --device zu3eg" in out
    assert cofront() == (0, out, "")
    for verb in VERBS:
        code, text, _ = cofront(verb, "--help")
        assert code == 0 and "--json" in text and "--seed" in text
        assert "Example" in text and f"$ cofront {verb}" in text, text


def test_lists(as_json, cofront):
    zoo = as_json("zoo")
    assert isinstance(zoo, list) and {"mobilenetv2", "resnet50"} <= {n["name"] for n in zoo}
    for n in zoo:
        assert n["macs"] > 10**8 and n["params"] > 10**6 and n["schema"] == 1 and n["kind"] == "network"
    devices = as_json("devices")
    assert {d["name"]: d["resources"]["dsp"] for d in devices}["zu3eg"] == 360
    spaces = {s["name"]: s for s in as_json("spaces")}
    assert spaces["tiny"]["points"] == 81 and spaces["tiny"]["precisions"] == ["W8A8", "W4A8", "W4A4"]
    for verb, word in (("zoo", "mobilenetv2"), ("devices", "zu3eg"), ("spaces", "subgraph32")):
        code, out, _ = cofront(verb)
        assert code == 0 and word in out and "\x1b" not in out and "│" not in out  # a pipe gets plain text


def test_fit_is_proven_and_says_what_limits_it(as_json, cofront):
    found = as_json("fit", "resnet18", "--device", "zu3eg", "--precision", "W4A4", "--budget", "dsp=100")
    assert {"status", "latency_s", "bound_s", "fps", "resources", "config", "solve_s", "schema"} <= set(found)
    assert found["status"] == "optimal" and found["bound_s"] == found["latency_s"] == pytest.approx(1 / found["fps"])
    assert found["resources"]["dsp"] <= 100 and found["budget"]["dsp"] == 100
    assert sum(c["cycles"] for c in found["calls"]) == found["cycles"]
    code, out, _ = cofront("fit", "resnet18", "--precision", "W4A4", "--budget", "dsp=100")
    assert code == 0 and "proven optimal among" in out and "limited by: " in out
    Path("fit.json").write_text(json.dumps(found))
    again = as_json("estimate", "resnet18", "--precision", "W4A4", "--config", "fit.json")
    assert (again["cycles"], again["resources"], again["fits"]) == (found["cycles"], found["resources"], True)


def test_fit_without_a_solution_is_a_result(cofront):
    code, out, err = cofront("fit", "resnet18", "--fps", "1e6", "--json")
    found = json.loads(out)
    assert code == 1 and found["status"] == "infeasible" and found["latency_s"] is None and found["config"] is None
    assert found["infeasible"][0]["limit"] == "latency" and found["infeasible"][0]["remedy"]
    assert "cofront: infeasible: nothing fits resnet18 at W8A8 on zu3eg" in err
    code, out, err = cofront("fit", "resnet18", "--budget", "bram36=2")
    assert code == 1 and "bram36: " in err and "2 bram36 available; a budget of" in err


def test_what_is_said_when_nothing_fits_can_be_done(as_json, cofront):
    """The frame rate named is had, just above it nothing is; what the part does not have is not called a budget."""
    code, _, err = cofront("fit", "fbnet-a", "--fps", "100000")
    assert code == 1 and "asked for 10 us; ask for at most" in err and "with any resources: " in err
    fps = float(re.search(r"ask for at most ([0-9,.]+) fps, the most within the budget", err)[1].replace(",", ""))
    assert as_json("fit", "fbnet-a", "--fps", str(fps))["status"] == "optimal"
    code, _, err = cofront("fit", "fbnet-a", "--fps", str(1.01 * fps))
    assert code == 1 and "more than zu3eg has (360); take a larger part (zu7ev has 1,728 dsp) or fewer bits, or" in err
    assert "a budget of" not in err
    best = as_json("fit", "fbnet-a", "--precision", "W4A4")["fps"]
    code, _, err = cofront("fit", "fbnet-a", "--precision", "W4A4", "--fps", str(1.01 * best))
    assert code == 1 and "more than zu3eg has" in err and "fewer bits" not in err


def test_an_accelerator_that_does_not_fit_is_exit_code_1(as_json, cofront):
    best = as_json("fit", "fbnet-a", "--device", "zu9eg", "--save", "large.json")
    assert best["resources"]["dsp"] > 360
    found = as_json("estimate", "large.json")
    assert found["fits"] and found["device"] == "zu9eg"
    for more in ((), ("--json",)):
        code, out, err = cofront("estimate", "large.json", "--device", "zu3eg", *more)
        assert code == 1 and "infeasible: this accelerator for large.json does not fit zu3eg" in err
        assert f"dsp: {best['resources']['dsp']:,} dsp needed, 360 dsp available" in err and out
    found = as_json("estimate", "large.json", "--device", "zu3eg", code=1)
    assert not found["fits"] and found["infeasible"][0]["limit"] == "dsp"
    clocked = as_json("estimate", "resnet50", "--device", "zu3eg", "--clock", "100MHz")
    assert clocked["clock_hz"] == 100e6 and clocked["macs"] == 4089184256 and clocked["fits"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("fit", "mobilenetv22"), 2, "no network named 'mobilenetv22'; did you mean"),
        (("fit", "no/such/file.onnx"), 2, "there is no file 'no/such/file.onnx'; expected an ONNX model"),
        (("fit", "no/such/thing"), 2, "'no/such/thing' is not a file; expected an ONNX file, a design file or a"),
        (("fit", "."), 2, "'.' is not a file"),
        (("fit", "resnet18", "--device", "zu3"), 2, "no device named 'zu3'; did you mean"),
        (
            ("fit", "resnet18", "--device", "none.toml"),
            2,
            "there is no file 'none.toml'; expected a device file, or a name",
        ),
        (("fit", "resnet18", "--precision", "W2A2"), 2, "precision W2A2 is not supported by any engine; known: W8A8"),
        (("fit", "resnet18", "--precision", "int8"), 2, "no precision named 'int8'"),
        (("fit", "resnet18", "--precision", "W8A8,W4A8"), 2, "one precision for all layers is expected, such as W4A8"),
        (("fit", "resnet18", "--objective", "fps"), 2, "the highest frame rate is that of the least latency"),
        (("fit", "resnet18", "--objective", "speed"), 2, "no objective named 'speed'"),
        (("fit", "resnet18", "--method", "magic"), 2, "no method named 'magic'"),
        (("fit", "resnet18", "--budget", "dsp=0"), 2, "--budget dsp must be a whole number of at least 1, got 0"),
        (("fit", "resnet18", "--budget", "dsp=1.5"), 2, "whole number of at least 1, got 1.5"),
        (("fit", "resnet18", "--budget", "dsp=nan"), 2, "--budget expects NAME=NUMBER such as dsp=200, got 'dsp=nan'"),
        (
            ("fit", "resnet18", "--budget", "dsp=99999"),
            2,
            "--budget dsp=99999: zu3eg has 360 dsp; give at most 360, or",
        ),
        (("fit", "resnet18", "--fps", "inf"), 2, "--fps must be a positive number, got inf"),
        (("fit", "resnet18", "--clock", "fast"), 2, "--clock expects a positive frequency such as 250MHz, got 'fast'"),
        (("fit", "resnet18", "--save", "."), 2, "--save . is a folder; expected a file to write, such as design.json"),
        (("export", "none.json", "--out", __file__), 2, "is a file; expected a folder to write to"),
        (("fit", "resnet18", "--budget", "DSP=361"), 2, "--budget dsp=361: zu3eg has 360 dsp"),
        (("fit",), 2, "Missing argument 'NETWORK'; see cofront fit --help"),
        (("estimate", "resnet18", "--config", "none.json"), 2, "there is no file 'none.json'"),
        (
            ("report", "none.sqlite"),
            2,
            "there is no file 'none.sqlite'; expected a study, as `cofront search` writes it",
        ),
        (("report",), 2, "no study under runs/; name one"),
        (("export", "none.json"), 2, "there is no file 'none.json'; expected a design file, as `cofront search`,"),
        (("build", "resnet18"), 2, "there is no file 'resnet18'; expected a design file"),
        (("train", "my.onnx"), 2, "'my.onnx' is an ONNX file, expected a design file; `cofront fit my.onnx --save des"),
        (("dance",), 2, "No such command 'dance'"),
    ],
)
def test_requests_that_cannot_be_are_refused_in_one_line(refused, arguments, code, message):
    got, line = refused(*arguments)
    assert got == code and message in line, line


def test_every_printed_document_follows_its_schema(as_json, table):
    samples = {
        "estimate": [as_json("estimate", "fbnet-a")],
        "fit": [as_json("fit", "fbnet-a", "--time-limit", "1000")],
        "search": [as_json("search", "--space", "tiny", "--grid", "tiny", "--accuracy-table", table(), "--out", "o")],
        "report": [as_json("report", "o/study.sqlite", "--out", "r.html")],
        "export": [as_json("export", "o/design.json", "--out", "e")],
        "design": [json.loads(Path("o/design.json").read_text())],
        "accelerator": [json.loads(Path("e/accelerator.json").read_text())],
        "network": as_json("zoo"),
        "device": as_json("devices"),
        "space": as_json("spaces"),
    }
    by_kind = {str(kind.__struct_config__.tag): kind for kind in KINDS}
    schemas = json_schemas()
    for kind, found in samples.items():
        for document in found:
            assert document["kind"] == kind
            read = documents.read_document(document, by_kind[kind], "here")
            assert json.loads(documents.to_json(read)) == document  # there and back without loss
            jsonschema.validate(document, schemas[kind])


def test_docs_schema_is_up_to_date():
    folder = ROOT / "docs" / "schema"
    for tag, schema in json_schemas().items():
        text = (folder / f"{tag}.schema.json").read_text(encoding="utf-8")
        assert json.loads(text) == schema, (
            f"{tag} changed; python -c 'from pathlib import Path; from cofront.study.documents import write_schemas; "
            'write_schemas(Path("docs/schema"))\''
        )
    assert len(list(folder.glob("*.schema.json"))) == len(KINDS)


def test_counts_beyond_64_bits_survive():
    document = SearchDocument(
        status="optimal", space="s", device="d", precisions=[], clock_hz=1e8, method="exact", grid="coarse", budget={},
        front=[], gap=0.0, designs=3 * 10**39 + 7, solve_s=1.0,
    )  # fmt: skip
    text = documents.to_json(document)
    assert documents.from_json(text, SearchDocument, "x").designs == 3 * 10**39 + 7
    assert documents.to_json(msgspec.structs.replace(document, solve_s=float("nan"))).count("NaN") == 0


def test_a_closed_pipe_and_a_full_disk_are_no_tracebacks():
    command = f"{sys.executable} -m cofront zoo"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command} | true"], capture_output=True, text=True)
    assert done.stderr == "" and done.returncode in (0, 141)
    if Path("/dev/full").exists():
        done = subprocess.run(["bash", "-c", f"{command} > /dev/full"], capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr == "cofront: output: No space left on device\n"


def test_a_terminal_gets_a_table_unless_it_asks_for_none(monkeypatch, cofront):
    monkeypatch.setattr("cofront.cli.output.sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "│" in cofront("devices")[1] or "┃" in cofront("devices")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "│" not in cofront("devices")[1]


def test_an_interrupt_before_anything_was_found_is_one_line(monkeypatch, cofront):
    def stop():
        raise KeyboardInterrupt

    monkeypatch.setattr("cofront.api.zoo", stop)
    assert cofront("zoo") == (130, "", "cofront: interrupted\n")
