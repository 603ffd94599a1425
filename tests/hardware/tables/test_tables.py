"""Measured tables and operator tables: reading, checking, and sums equal to the published ones."""

import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cofront.errors import InputError, UsageError
from cofront.hardware.tables import AdditiveDevice, operator_key, parse_column, read_additive, read_measured
from cofront.hardware.tables.hwnas import end_names, operator_name, read_fbnet_lookup
from cofront.hardware.tables.units import column_numbers
from cofront.network import Builder, Conv2d, Pool2d
from cofront.network.ops import Op
from cofront.network.zoo.fbnet import UNITS as PUBLISHED_FBNETS
from cofront.search.additive import additive_front
from cofront.space import load
from cofront.space.fbnet import SKIP, FBNet
from cofront.space.nasbench_macro import NasBenchMacro

DATA = Path(os.environ.get("COFRONT_DATA", "../shared/data"))


def table(name: str) -> Path:
    path = DATA / name
    if not path.exists():
        pytest.skip(f"no {path.name}")
    return path


def write(tmp_path: Path, columns: dict[str, list[object]], name: str = "t.json") -> Path:
    path = tmp_path / name
    path.write_text(json.dumps(columns))
    return path


@pytest.mark.parametrize(
    ("name", "kind", "scale", "device"),
    [
        ("lat_ms_pixel3", "latency", 1e-3, "pixel3"),
        ("lat_ms_titan_rtx_256", "latency", 1e-3, "titan_rtx_256"),
        ("latency_us", "latency", 1e-6, "device"),
        ("energy_mJ_fpga", "energy", 1e-3, "fpga"),
        ("latency_s_samsung_s7", "latency", 1.0, "samsung_s7"),
        ("latency (ms)", "latency", 1e-3, "device"),
    ],
)
def test_units_are_in_names(name, kind, scale, device):
    found = parse_column(name)
    assert (found.kind, found.scale, found.device) == (kind, scale, device)


def test_units_that_are_not():
    with pytest.raises(UsageError, match=r"column 'zcu102_latency_mean': its name says no unit; .* or give --unit"):
        parse_column("zcu102_latency_mean")
    assert parse_column("zcu102_latency_mean", "ms").scale == 1e-3
    with pytest.raises(UsageError, match="is energy by its name, but ms is a unit of latency"):
        parse_column("energy_fpga", "ms")
    with pytest.raises(UsageError, match="'latency_galaxy_s_ms': s, ms may each be its unit; say which with --unit"):
        parse_column("latency_galaxy_s_ms")
    found = parse_column("latency_galaxy_s_ms", "ms")
    assert (found.scale, found.device) == (1e-3, "galaxy_s")
    assert parse_column("lat_ms_board", "us").device == "board"
    with pytest.raises(UsageError, match="no unit named 'hours'"):
        parse_column("latency", "hours")


def macro_rows(n: int = 4) -> dict[str, list[object]]:
    return {"arch": ["00000000", "11111111", "22222222", "01201201"][:n]}


def test_a_measured_table_is_in_si_units(tmp_path):
    path = write(tmp_path, {**macro_rows(), "lat_ms_a": [1, 2, 3, 4.5], "energy_mJ_a": [1, None, 3, 4]})
    found = read_measured(path, NasBenchMacro(), ["lat_ms_a", "energy_mJ_a"])
    assert found.column("lat_ms_a").tolist() == pytest.approx([0.001, 0.002, 0.003, 0.0045])
    assert found.measured("energy_mJ_a").tolist() == [True, False, True, True]
    assert found.points[3, :8].tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    with pytest.raises(UsageError, match="no column named 'lat_ms_b'; did you mean lat_ms_a"):
        found.column("lat_ms_b")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, 2, float("nan"), 4], r"column 'lat_ms_a', row 2 .from 0.: expected a number, got nan; leave it empty"),
        (
            [1, 10**400, 3, 4],
            r"column 'lat_ms_a', row 1 .from 0.: expected a number, got an integer of hundreds of digits",
        ),
        ([1, float("inf"), 3, 4], r"column 'lat_ms_a', row 1 .from 0.: expected a number, got inf"),
        ([1, "x", 3, 4], r"column 'lat_ms_a', row 1 .from 0.: expected a number, got 'x'"),
        ([1, 2, 3, -1], r"column 'lat_ms_a', row 3 .from 0.: -1 is negative; .* --drop-negative"),
        ([None] * 4, "column 'lat_ms_a': no row has an entry"),
    ],
)
def test_bad_entries_are_named(tmp_path, values, message):
    path = write(tmp_path, {**macro_rows(), "lat_ms_a": values})
    with pytest.raises(InputError, match=message):
        read_measured(path, NasBenchMacro(), ["lat_ms_a"])


def test_negative_entries_can_be_dropped(tmp_path):
    path = write(tmp_path, {**macro_rows(), "lat_ms_a": [1, 2, 3, -1]})
    found = read_measured(path, NasBenchMacro(), ["lat_ms_a"], drop_negative=True)
    assert found.measured("lat_ms_a").tolist() == [True, True, True, False]


def test_one_network_has_one_latency(tmp_path):
    twice = {"arch": [*macro_rows()["arch"], "11111111"]}
    path = write(
        tmp_path, {**twice, "lat_ms_a": [1, 2, 3, 4, 2.1], "lat_ms_b": [1, 2, 3, 4, 20], "lat_ms_c": [1, 2, 3, 4, None]}
    )
    assert len(read_measured(path, NasBenchMacro(), ["lat_ms_a", "lat_ms_c"])) == 5
    with pytest.raises(
        InputError, match=r"column 'lat_ms_b', rows 1 and 4 .from 0.: 2 and 20 for one and the same network; keep"
    ):
        read_measured(path, NasBenchMacro(), ["lat_ms_b"])


def test_missing_columns_are_named(tmp_path):
    path = write(tmp_path, {**macro_rows(), "lat_ms_pixel3": [1, 2, 3, 4]})
    with pytest.raises(UsageError, match=r"t\.json: no column named 'lat_ms_pixel2'; did you mean lat_ms_pixel3"):
        read_measured(path, NasBenchMacro(), ["lat_ms_pixel2"])
    bare = write(tmp_path, {"lat_ms_pixel3": [1, 2, 3, 4]}, "u.json")
    with pytest.raises(InputError, match=r"no column op1, op2, .* which space 'nasbench_macro' needs"):
        read_measured(bare, NasBenchMacro(), ["lat_ms_pixel3"])


def test_seconds_given_as_milliseconds_are_noticed(tmp_path):
    cells = ["|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|nor_conv_3x3~2|"] * 3
    path = write(tmp_path, {"arch": cells, "lat_ms_a": [0.005, 0.004, 0.006]})
    space = load("nasbench201")
    with pytest.raises(InputError, match=r"median of 5 us is 220 times less than the fastest .* --unit s; --any-mag"):
        read_measured(path, space, ["lat_ms_a"])
    assert read_measured(path, space, ["lat_ms_a"], unit="s").column("lat_ms_a")[0] == 0.005
    assert read_measured(path, space, ["lat_ms_a"], any_magnitude=True).column("lat_ms_a")[0] == 0.000005


# additive devices


def test_equal_keys_are_equal_work():
    layered = FBNet().layered(("W8A8",))
    keys = [operator_key(f) for f in layered.fragments]
    assert len(set(keys)) < len(keys)  # layers of one stage share their units
    same = [f for f, k in zip(layered.fragments, keys, strict=True) if k == keys[20]]
    assert len({(f.macs, f.params) for f in same}) == 1
    eight = NasBenchMacro().network(np.zeros(16, np.int64))
    assert operator_key(eight) != operator_key(eight.uniform_bits(4, 4))


def one(op: Op, size: tuple[int, int, int] = (4, 12, 12), bits: tuple[int, int] | None = (8, 8)) -> str:
    b = Builder("n", size)
    b.add(op)
    return operator_key(b.build().uniform_bits(*bits) if bits else b.build())


def test_unequal_work_has_unequal_keys():
    same = [Conv2d(4, (3, 3), padding=(1, 1, 1, 1), norm=norm) for norm in (False, True)]
    assert len({one(op) for op in same}) == 1
    convs = [
        Conv2d(4, (3, 3), padding=(1, 1, 1, 1)), Conv2d(4, (3, 3)), Conv2d(4, (3, 3), padding=(1, 1, 0, 0)),
        Conv2d(4, (3, 3), padding=(1, 1, 1, 1), dilation=(2, 2)), Conv2d(4, (3, 3), (2, 1), (1, 1, 1, 1)),
        Conv2d(4, (3, 3), padding=(1, 1, 1, 1), dilation=(2, 1)), Conv2d(4, (3, 3), (1, 2), (1, 1, 1, 1)),
        Conv2d(4, (3, 1), padding=(1, 1, 1, 1)), Conv2d(4, (3, 1), padding=(1, 0, 1, 0)), Conv2d(4, (1, 3)),
        Conv2d(4, (3, 3), (2, 2), (1, 1, 1, 1)), Conv2d(4, (3, 3), padding=(1, 1, 1, 1), groups=2),
    ]  # fmt: skip
    assert len({one(op) for op in convs}) == len(convs)
    pools = [
        Pool2d("max", (3, 3), (2, 2)), Pool2d("max", (3, 2), (2, 2)), Pool2d("max", (3, 3), (2, 1)),
        Pool2d("max", (3, 3), (2, 2), (1, 1, 0, 0)), Pool2d("max", (3, 3), (2, 2), (1, 0, 1, 0)),
        Pool2d("max", (3, 3), (2, 2), ceil_mode=True), Pool2d("avg", (3, 3), (2, 2), (1, 1, 1, 1)),
        Pool2d("avg", (3, 3), (2, 2), (1, 1, 1, 1), count_include_pad=False),
    ]  # fmt: skip
    assert len({one(op) for op in pools}) == len(pools)
    widths = [None, (8, 8), (4, 8), (4, 4), (8, 4)]
    assert len({one(convs[0], bits=b) for b in widths}) == len(widths)


def macro_device(tmp_path: Path) -> tuple[AdditiveDevice, dict[str, float]]:
    keys = sorted({operator_key(f) for f in NasBenchMacro().layered(("W8A8",)).fragments})
    cost = {k: 3.0 + i for i, k in enumerate(keys)}
    return read_additive(write(tmp_path, {"operator": [*keys, ""], "latency_us": [*cost.values(), 7.0]})), cost


def test_operator_tables_add_up(tmp_path):
    space = NasBenchMacro()
    device, cost = macro_device(tmp_path)
    layered = space.layered(("W8A8",))
    edge, base = device.edge_cost(space, layered)
    by_network = {n.name: 1e3 * cost[operator_key(n)] for n in layered.fragments if n.name in ("stem", "head")}
    assert base == 7000
    assert edge[0] == by_network["stem"]
    front = additive_front(layered.trellis, edge, 0 * edge, lambda s: 1.0 + s, constant=base, n_choices=16)
    cheapest = front.designs[0]
    path = space.declaration.walk(np.array([cheapest.point]))[0]
    keys = [space.declaration.edges[e].fragment for e in path if e >= 0]
    total = 7 + sum(cost[operator_key(space.fragment(k))] for k in keys if k is not None)
    assert cheapest.latency_s == pytest.approx(1e-6 * total)
    assert device.of_points(space, np.array([cheapest.point]))[0] == pytest.approx(1e-6 * total)


def test_an_operator_that_is_missing_is_named():
    space = NasBenchMacro()
    with pytest.raises(InputError, match=r"device 'x' has no operator '3x32x32\|conv32k3\|relu6' \(stem\); measure"):
        AdditiveDevice("x", {"other": 1.0}).edge_cost(space, space.layered(("W8A8",)))


@pytest.mark.parametrize("seed", range(3))
def test_the_front_is_that_of_brute_force(seed):
    """All 3^8 networks of NAS-Bench-Macro under random costs per operator, some of them negative."""
    space, rng = NasBenchMacro(), np.random.default_rng(seed)
    names = [f"l{n}.op={o}" for n in range(1, 9) for o in space.ops]
    device = AdditiveDevice("x", {n: 1e-9 * rng.integers(-3, 30) for n in names}, by="feature", base_s=2e-7)
    gain = {n: int(rng.integers(0, 20)) for n in names}
    layered = space.layered(("W8A8",))
    cost, base = device.edge_cost(space, layered)
    coefficients = np.array([gain.get(n, 0) for n in space.feature_names()], float)
    front = additive_front(
        layered.trellis, cost, layered.trellis.scores(coefficients, 1.0), lambda s: s / 1e3, constant=base, n_choices=16
    )
    points = np.zeros((3**8, 16), np.int64)
    points[:, :8] = np.stack(np.meshgrid(*[np.arange(3)] * 8, indexing="ij"), -1).reshape(-1, 8)
    latency = np.rint(device.of_points(space, points) * 1e9).astype(int)
    score = (space.features(points) @ coefficients).astype(int)
    best, expected = -1, []
    for i in np.lexsort((-score, latency)):
        if score[i] > best:
            expected.append((int(latency[i]), int(score[i])))
            best = int(score[i])
    assert [(d.cycles, round(d.accuracy * 1e3)) for d in front.designs] == expected
    assert front.gap == 0 and front.status == "optimal" and front.n_designs == 3**8
    found = np.array([d.point for d in front.designs])
    assert np.array_equal(np.rint(device.of_points(space, found) * 1e9).astype(int), [d.cycles for d in front.designs])
    limited = additive_front(
        layered.trellis, cost, 0 * cost, lambda s: 1.0 + s, constant=base, limit=(expected[0][0] - 1) * 1e-9
    )
    assert limited.designs == () and limited.status == "infeasible"


def test_bad_operator_tables(tmp_path):
    with pytest.raises(InputError, match="no column 'operator' or 'feature'; it has name, latency_ms"):
        read_additive(write(tmp_path, {"name": ["a"], "latency_ms": [1]}))
    with pytest.raises(InputError, match=r"row 1 .from 0.: 'a' is given twice"):
        read_additive(write(tmp_path, {"feature": ["a", "a"], "latency_ms": [1, 2]}))
    with pytest.raises(InputError, match=r"row 1 .from 0.: no entry for 'b'"):
        read_additive(write(tmp_path, {"feature": ["a", "b"], "latency_ms": [1, None]}))
    with pytest.raises(InputError, match=r"expected one column of latency such as latency_ms, found several"):
        read_additive(write(tmp_path, {"feature": ["a"], "latency_ms": [1], "latency_us": [1]}))
    with pytest.raises(UsageError, match="has no energy column"):
        AdditiveDevice("x", {"a": 1.0}, by="feature").costs("energy")
    with pytest.raises(UsageError, match=r"no feature of space 'nasbench_macro' named 'l1.op=mb3'; did you mean"):
        AdditiveDevice("x", {"l1.op=mb3": 1.0}, by="feature").of_points(NasBenchMacro(), np.zeros((1, 16), np.int64))


def test_costs_beyond_belief_are_refused(tmp_path):
    for column, unit in (("latency_s", "s"), ("energy_J", "J")):
        values = {"latency_s": [1.0, 1.0], column: [1.0, 1e15]}
        with pytest.raises(InputError, match=rf"t\.json: device 't': 'b' is 1e\+15 {unit}, at most 1,000 are read"):
            read_additive(write(tmp_path, {"feature": ["a", "b"], **values}))
    with pytest.raises(InputError, match="what every network costs is inf s"):
        AdditiveDevice("x", {}, base_s=float("inf"))
    space = NasBenchMacro()
    names = [f"l{n}.op={o}" for n in range(1, 9) for o in space.ops]
    cost, base = AdditiveDevice("x", dict.fromkeys(names, 1e3), by="feature", base_s=1e3).edge_cost(
        space, space.layered(("W8A8",))
    )
    assert cost.min() >= 0 and int(cost.astype(object).sum()) + base < 2**62


def test_lost_rows_are_no_free_operators():
    space = NasBenchMacro()
    names = [f"l{n}.op={o}" for n in range(1, 9) for o in space.ops]
    points = np.zeros((1, 16), np.int64)
    whole = AdditiveDevice("x", dict.fromkeys(names, 1e-3), by="feature")
    assert whole.of_points(space, points) == pytest.approx(8e-3)
    some = {n: 1e-3 for n in names if n.startswith("l1")}
    assert AdditiveDevice("x", some, by="feature").of_points(space, points) == pytest.approx(1e-3)
    lost = AdditiveDevice("x", {n: 1e-3 for n in names if n != "l3.op=mb6_k5"}, by="feature")
    with pytest.raises(InputError, match=r"no row for l3\.op=mb6_k5, but for other options of 'l3\.op'; give"):
        lost.of_points(space, points)


def test_the_unit_of_a_whole_device_is_doubted():
    space = FBNet()
    names = [n for n in space.feature_names() if n.startswith("l") and ".op=" in n]
    layered = space.layered(("W8A8",))
    for cost, message in (
        (1.0, "22 s is .* times more than the slowest"),
        (1e-7, "2.2 us is .* less than the fastest"),
    ):
        with pytest.raises(InputError, match=f"device 'x': its median of {message} known device; check the unit"):
            AdditiveDevice("x", dict.fromkeys(names, cost), by="feature").edge_cost(space, layered)
    AdditiveDevice("x", dict.fromkeys(names, 1.0), by="feature", any_magnitude=True).edge_cost(space, layered)
    AdditiveDevice("x", dict.fromkeys(names, 1e-3), by="feature").edge_cost(space, layered)
    keys = {operator_key(f) for f in layered.fragments}  # of W8A8 alone
    AdditiveDevice("x", dict.fromkeys(keys, 1e-3)).edge_cost(space, layered)
    with pytest.raises(InputError, match="more than the slowest known device; check the unit"):
        AdditiveDevice("x", dict.fromkeys(keys, 1.0)).edge_cost(space, layered)


#: Sums over stem, 22 units, head, pool and classifier in ms, for FBNet-A, B and C (shared/facts/fbnet.md).
SUMS = {
    "edgegpu": (17.02, 18.59, 19.82),
    "eyeriss": (21.98, 23.96, 26.07),
    "fpga": (68.97, 83.45, 110.84),
    "raspi4": (107.46, 139.56, 165.76),
}


@pytest.mark.parametrize("device", SUMS)
def test_fbnet_lookup_sums(device):
    space, path = FBNet(), table("fbnet_op_lookup.json")
    names = {"31": 0, "31g": 1, "33": 2, "36": 3, "51": 4, "51g": 5, "53": 6, "56": 7, "-": SKIP}
    points = np.zeros((3, len(space.sizes)), np.int64)
    for row, name in zip(points, "abc", strict=True):
        row[:22] = [names[u] for u in PUBLISHED_FBNETS[name].split()]
    latency = read_fbnet_lookup(path, device, space).of_points(space, points)
    assert latency * 1e3 == pytest.approx(SUMS[device], abs=0.006)


@pytest.mark.parametrize("device", ["eyeriss", "fpga"])
def test_the_fbnet_tables_columns_are_sums_of_operators(device):
    space = load("fbnet@cifar100")
    found = read_measured(table("fbnet_space.parquet"), space, [f"lat_ms_{device}"])
    lookup = read_fbnet_lookup(table("fbnet_op_lookup.json"), device, space)
    ours, theirs = lookup.of_points(space, found.points), found.column(f"lat_ms_{device}")
    offset = np.median(theirs - ours)
    assert np.abs(theirs - ours - offset).max() < 2e-6 + 1e-5 * theirs.max()


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, -1, "x", None, True])
def test_bad_fbnet_lookups(tmp_path, value):
    space = FBNet()
    names = [operator_name(p, o) for p in space.places for o in range(len(space.ops))]
    row = dict.fromkeys([*names, *end_names(space)], 1.0) | {names[5]: value}
    path = write(tmp_path, {"fbnet_fpga_latency": row})
    with pytest.raises(InputError, match=rf"t\.json: fbnet_fpga_latency: .*{names[5]}"):
        read_fbnet_lookup(path, "fpga", space)


numbers = st.one_of(st.integers(), st.integers(-(10**500), 10**500), st.floats(), st.text(max_size=5), st.none())


@given(st.lists(numbers, min_size=1, max_size=4), st.sampled_from(["latency_ms", "energy_nJ"]))
@settings(max_examples=60, deadline=None)
def test_any_entry_is_a_cost_or_refused(tmp_path_factory, values, column):
    """Operator and feature tables, and columns of measurements."""
    keys = [str(i) for i in range(len(values))]
    path = write(tmp_path_factory.mktemp("fuzz"), {"feature": keys, "latency_us": [1] * len(keys), column: values})
    for read in (
        lambda: read_additive(path, latency="latency_us" if column == "energy_nJ" else column),
        lambda: column_numbers(column, values),
    ):
        with suppress(InputError):
            read()


def test_unknown_devices_are_near_misses(tmp_path):
    with pytest.raises(UsageError, match="no device of the FBNet table named 'raspi'; did you mean raspi4"):
        read_fbnet_lookup(tmp_path / "x.json", "raspi", FBNet())
