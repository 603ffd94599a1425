import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cofront.errors import CofrontError, InputError, UsageError
from cofront.predict.tables import read_table
from cofront.space.ofa_mobilenetv3 import OfaMobileNetV3
from cofront.space.subgraph32 import Subgraph32

DATA = Path(os.environ.get("COFRONT_DATA", "../shared/data"))
SPACE = Subgraph32()
POINTS = SPACE.sample(np.random.default_rng(0), 12)


def columns(**more):
    numbers = {c.name: POINTS[:, j].tolist() for j, c in enumerate(SPACE.choices)}
    return {**numbers, "val_accuracy": np.linspace(0.6, 0.9, 12).tolist(), **more}


def write(path: Path, data: dict) -> Path:
    if path.suffix == ".parquet":
        pq.write_table(pa.table(data), path)
    elif path.suffix == ".json":
        path.write_text(json.dumps(data))
    else:
        rows = [",".join(data), *(",".join(str(c[i]) for c in data.values()) for i in range(12))]
        path.write_text("\n".join(rows))
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".json"])
def test_three_formats(tmp_path, suffix):
    table = read_table(write(tmp_path / f"t{suffix}", columns(n_val=[5000] * 12)), SPACE)
    assert np.array_equal(table.points, POINTS)
    np.testing.assert_allclose(table.accuracy, np.linspace(0.6, 0.9, 12))
    assert (table.n_val, table.column, table.space) == (5000, "val_accuracy", SPACE)


def test_json_of_records_with_values(tmp_path):
    data = columns()
    rows = [{**SPACE.describe(p), "accuracy": 100 * a} for p, a in zip(POINTS, data["val_accuracy"], strict=True)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows))
    table = read_table(path, SPACE)
    assert np.array_equal(table.points, POINTS)
    np.testing.assert_allclose(table.accuracy, data["val_accuracy"])  # percent -> fraction


def test_what_was_measured(tmp_path):
    data = columns()
    for b in range(1, 10):
        data.pop(f"b{b}_bits")
    data["resolution"] = [1] * 12
    table = read_table(write(tmp_path / "t.parquet", data), SPACE)
    assert set(table.precisions.values()) == {("W8A8",)}
    assert {"resolution=24", "resolution=32"} <= set(table.unmeasured())
    assert "resolution=28" not in table.unmeasured()


def test_named_accuracy_column(tmp_path):
    path = write(tmp_path / "t.csv", columns(mine=[0.5] * 12))
    assert set(read_table(path, SPACE, "mine").accuracy) == {0.5}
    assert read_table(path, SPACE).column == "val_accuracy"
    with pytest.raises(UsageError, match="no accuracy column 'yours'; the file has the columns resolution, s1_width"):
        read_table(path, SPACE, "yours")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"val_accuracy": [0.5] * 11 + [float("nan")]},
            "column 'val_accuracy', row 11 .from 0.: expected a number, got 'nan'",
        ),
        ({"val_accuracy": ["high"] * 12}, "column 'val_accuracy', row 0 .from 0.: expected a number, got 'high'"),
        ({"val_accuracy": [0.5] * 11 + [None]}, "row 11 .from 0.: expected a number, got an empty cell"),
        ({"val_accuracy": [0.5] * 11 + [-0.1]}, "row 11 .from 0.: -0.1 is neither a fraction nor a percentage"),
        ({"val_accuracy": [101.0] * 12}, "row 0 .from 0.: 101 is neither a fraction nor a percentage"),
        (
            {"val_accuracy": [0.5, 71.0] * 6},
            "0.5 in row 0 .from 0. looks like a fraction, 71 in row 1 .from 0. like a percentage",
        ),
        ({"b3_op": [9] * 12}, "column 'b3_op', row 0 .from 0.: 9 is outside space 'subgraph32'"),
        ({"n_val": [0] * 12}, "column 'n_val': expected numbers of images, got 0"),
        ({"n_val": [1.5] * 12}, "column 'n_val': expected numbers of images"),
    ],
)
def test_bad_values_are_named(tmp_path, change, message):
    with pytest.raises(InputError, match=message) as caught:
        read_table(write(tmp_path / "t.parquet", columns(**change)), SPACE)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.parquet", b"", "cannot be read as parquet"),
        ("t.parquet", b"PAR1 and then nothing PAR1", "cannot be read as parquet"),
        ("t.csv", b"", "no accuracy column .* no columns"),
        ("t.csv", b"resolution,accuracy\n", "has no rows"),
        ("t.csv", b"resolution,accuracy\n1,0.5,7\n", "line 2 has 3 fields, the header 2"),
        ("t.csv", b"accuracy,accuracy\n1,2\n", "two columns have the same name"),
        ("t.csv", b'accuracy\n"unclosed', "line 2: unexpected end of data"),
        ("t.csv", b"accuracy\n\xff\xfe", "cannot be read as csv"),
        ("t.csv", b"accuracy\n0.5\n", "no column resolution, s1_width, .* which space 'subgraph32' needs"),
        ("t.json", b"{", "cannot be read as json"),
        ("t.json", b"[1, 2]", "expected a list of objects, or an object of lists"),
        ("t.json", b'{"accuracy": 1}', "expected a list of objects, or an object of lists"),
        ("t.json", b'{"accuracy": [1, 2], "n_val": [1]}', r"different lengths, \[1, 2\]"),
        ("t.json", b"[" * 100_000, "cannot be read as json"),
        ("t.json", b'[{"foo": 1}]', "the file has the columns foo; name one with --accuracy-column"),
        ("t.xlsx", b"", "expected a table ending in .parquet, .csv, .json"),
        (None, b"", "no such file"),
    ],
)
def test_bad_files_are_one_line(tmp_path, name, content, message):
    path = tmp_path / (name or "gone.csv")
    if name:
        path.write_bytes(content)
    with pytest.raises(CofrontError, match=message) as caught:
        read_table(path, SPACE)
    assert "\n" not in str(caught.value)


def test_one_network_has_one_accuracy(tmp_path):
    def twice(accuracy):
        data = columns()
        return {k: [*v, v[3]] for k, v in data.items()} | {"val_accuracy": [*data["val_accuracy"], accuracy]}

    near = columns()["val_accuracy"][3] + 0.01
    assert len(read_table(write(tmp_path / "t.json", twice(near)), SPACE).accuracy) == 13  # another seed
    with pytest.raises(
        InputError, match=r"rows 3 and 12 .from 0.: 0\.6818 and 0\.2 for one and the same network; keep one row"
    ):
        read_table(write(tmp_path / "t.json", twice(0.2)), SPACE)


def test_foreign_tables_of_the_shared_data():
    for name in ("nasbench201.parquet", "accel_nasbench.parquet", "nasbench_macro_cifar10.json"):
        if (DATA / name).exists():
            with pytest.raises(InputError, match=name):
                read_table(DATA / name, SPACE)
    path = DATA / "ofa_mobilenetv3_imagenet.parquet"
    if not path.exists():
        pytest.skip(f"no {path.name}")
    with pytest.raises(InputError, match="which space 'subgraph32' needs"):
        read_table(path, SPACE)
    table = read_table(path, OfaMobileNetV3())
    assert (table.column, table.n_val, table.space.name) == ("imagenet_top1", None, "ofa_mobilenetv3")
    assert 0.70 < table.accuracy.min() < table.accuracy.max() < 0.78
    assert table.unmeasured() == ()


def read_or_one_line(path):
    """The table, or None when the reader refused it in one line."""
    message = ""
    try:
        return read_table(path, SPACE)
    except CofrontError as error:
        message = str(error)
    assert message.strip()
    assert "\n" not in message
    return None


FUZZ = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@given(st.data())
@FUZZ
def test_fuzzed_parquet(tmp_path, data):
    path = tmp_path / "t.parquet"
    raw = bytearray(write(path, columns()).read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        where = data.draw(st.integers(0, len(raw) - 1))
        raw[where] = data.draw(st.integers(0, 255))
    cut = data.draw(st.one_of(st.just(len(raw)), st.integers(0, len(raw))))
    path.write_bytes(bytes(raw[:cut]))
    table = read_or_one_line(path)
    assert table is None or table.points.shape == (len(table.accuracy), 25)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["accuracy", "resolution", "kernel", "depth", "n_val", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(JSON, st.sampled_from([SPACE, OfaMobileNetV3()]))
@FUZZ
def test_fuzzed_json(tmp_path, data, space):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(data))
    with pytest.raises(CofrontError) as caught:  # never enough columns to be a table
        read_table(path, space)
    assert "\n" not in str(caught.value)


VALUE = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)
)


@given(st.dictionaries(st.sampled_from([c.name for c in SPACE.choices] + ["val_accuracy", "n_val"]), VALUE, min_size=1))
@FUZZ
def test_fuzzed_values(tmp_path, change):
    path = tmp_path / "t.json"
    data = columns(n_val=[100] * 12)
    for name, value in change.items():
        data[name] = [value, *data[name][1:]]
    path.write_text(json.dumps(data))
    table = read_or_one_line(path)
    if table is not None:
        assert np.isfinite(table.accuracy).all()
        assert (table.points == SPACE.canonical(table.points)).all()


@given(st.binary(max_size=60) | st.text(alphabet='accuracy,resolution\n"\r0.5 \x00', max_size=60).map(str.encode))
@FUZZ
def test_fuzzed_csv(tmp_path, raw):
    path = tmp_path / "t.csv"
    path.write_bytes(raw)
    with pytest.raises(CofrontError) as caught:
        read_table(path, SPACE)
    assert "\n" not in str(caught.value)


def test_rows_of_a_csv_file_are_named_by_their_lines(tmp_path):
    """As an editor shows them, with empty lines and with entries of several lines."""
    rows = columns(val_accuracy=[0.5] * 11 + [""], remark=['"two\nlines"', *["x"] * 11])
    path = write(tmp_path / "t.csv", rows)
    text = path.read_text().replace("x\n", "x\n\n", 1)
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_table(path, SPACE)
    last = len(text.splitlines())
    assert str(caught.value) == f"{path}: column 'val_accuracy', line {last}: expected a number, got an empty cell"
    path = write(tmp_path / "u.csv", columns(val_accuracy=[0.5, 71.0] * 6))
    with pytest.raises(InputError, match=r"0\.5 in line 2 looks like a fraction, 71 in line 3 like a percentage"):
        read_table(path, SPACE)
