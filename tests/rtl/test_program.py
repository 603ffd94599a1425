"""The compiler against the integer model: what memory holds after a run in NumPy is what `tensors` computes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, reject, settings
from hypothesis import strategies as st
from nets import accelerator, chain

from cofront import device
from cofront.errors import InputError, UnsupportedError, UsageError
from cofront.hardware.subgraph import lower
from cofront.network import Builder, Flatten, Linear
from cofront.rtl import compiler
from cofront.rtl.compiler import compile_program
from cofront.rtl.descriptor import FIELDS, SIZE_BYTES, decode, encode
from cofront.rtl.executor import execute
from cofront.rtl.jobs import Planner, _pixels
from cofront.rtl.layout import TensorLayout
from cofront.rtl.program import Program
from cofront.rtl.standin import random_integers
from cofront.space.base import PRECISIONS
from cofront.space.subgraph32 import Subgraph32
from cofront.task.fusing import without_integers
from cofront.task.integer import QuantizedNetwork

PART = device.load("zu3eg")


def check(quantized: QuantizedNetwork, program: Program, config: Any, image: np.ndarray) -> None:
    """Every tensor in memory after a run is that of the integer model."""
    memory = program.memory(image)
    execute(program, config, memory)
    expected = quantized.tensors(image[None])
    compared = 0
    for name, layout in program.tensors.items():
        if name not in expected:
            continue
        want = expected[name][0]
        np.testing.assert_array_equal(layout.unpack(memory).reshape(want.shape), want, err_msg=name)
        compared += 1
    assert compared >= 2
    np.testing.assert_array_equal(program.logits(memory), quantized.run(image[None])[0])


def point(rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.integers(len(c.options)) for c in Subgraph32().choices])


@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(st.integers(0, 10**6), st.sampled_from(["E88", "DUAL"]), st.sampled_from(["auto", "split"]), st.booleans())
def test_subgraph32_random_points(seed: int, engine: str, mode: Any, small: bool) -> None:
    rng = np.random.default_rng(seed)
    net = Subgraph32().network(point(rng))
    quantized = random_integers(net, seed)
    pick = lambda *a: int(rng.choice(a))  # noqa: E731
    depth, line = (pick(512, 1024), pick(500, 1000, 2000)) if small else (1 << 16, 1 << 16)
    sizes = {
        "pi": pick(8, 12, 16),
        "po": pick(4, 12, 16, 24),
        "pc": pick(4, 6, 16),
        "taps": (pick(1, 3), pick(1, 3, 9)),
    }
    config = accelerator(engine, depth=depth, line=line, **sizes)
    try:
        program = compile_program(quantized, config, PART, bus_bits=pick(64, 128, 256), mode=mode, acc_bits=32)
    except InputError as e:
        if "cannot run on this accelerator" not in str(e):
            raise
        reject()  # buffers too small for a layer: no program, which is what the planner says, too
    image = rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)
    check(quantized, program, config, image)
    assert Program.from_dict(program.to_dict(), program.image) == program
    if small and engine == "E88":
        assert program.descriptors >= len(program.tensors) - 1  # a call each, or more: tiles and stripes


def test_modes_are_what_they_say() -> None:
    net = Subgraph32().network(np.zeros(len(Subgraph32().choices), int))
    quantized = random_integers(net, 0)
    config = accelerator(depth=1 << 16, line=1 << 16, pi=8, po=8)
    fused = compile_program(quantized, config, PART, mode="fused", acc_bits=32)
    split = compile_program(quantized, config, PART, mode="split", acc_bits=32)
    assert any(len(j.kernels) == 3 for j in fused.jobs)
    assert all(len(j.kernels) <= 1 for j in split.jobs)
    assert len(split.tensors) > len(fused.tensors)


@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.generate))
@given(st.data())
def test_odd_sizes_tiles_and_stripes(data: st.DataObject) -> None:
    pick = lambda *a: data.draw(st.sampled_from(a))  # noqa: E731
    net = chain(
        kernel=pick(1, 3, 5, 7),
        stride=pick(1, 2),
        size=pick(4, 5, 9),
        cin=pick(5, 20, 300),
        wide=pick(9, 33, 300),
        cout=pick(5, 17, 20),
        depthwise=pick(True, False),
    )
    precision, engine = pick(*PRECISIONS), pick("E88", "E48", "DUAL")
    if engine == "E48":
        precision = "W4A8" if precision == "W8A8" else precision
    bits = PRECISIONS[precision]
    outer = (4, 8) if engine == "E48" else (8, 8)
    net = net.with_bits(lambda n: bits if n.block == "b" else outer)
    quantized = random_integers(net, data.draw(st.integers(0, 999)))
    config = accelerator(
        engine,
        pi=pick(1, 3, 4),
        po=pick(1, 2, 5),
        pc=pick(2, 3, 8),
        taps=(pick(1, 3), pick(1, 3, 9)),
        rows=7,
        depth=pick(512, 4096),
        line=pick(60, 150, 1000, 10000),
    )
    bus_bits, mode = pick(64, 128, 512), pick("auto", "split")
    try:
        program = compile_program(quantized, config, PART, bus_bits=bus_bits, mode=mode, acc_bits=32)
    except InputError as error:
        # a window wider than the map leaves no stripe that is narrower than the map, and the row may not fit
        if not any(why in str(error) for why in ("cannot run", "in any tiling", "words of a row")):
            raise
        return
    side = net.shapes[net.input.name][1]
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (side, side, net.shapes[net.input.name][0])).astype(np.uint8)
    check(quantized, program, config, image)


def classifier(cin: int, classes: int) -> QuantizedNetwork:
    """A linear layer alone, 8 x 8 bits."""
    b = Builder("linear", (cin, 1, 1))
    b.add(Flatten())
    b.add(Linear(classes))
    return random_integers(b.build().uniform_bits(8, 8), 1)


@pytest.mark.parametrize("depth", [512, 2048])
def test_logits_in_tiles_of_dual(depth: int) -> None:
    """Single runs compute half the lanes of a group of logits: tiles of an odd number of units would split groups."""
    quantized = classifier(300, 1000)
    config = accelerator("DUAL", pi=4, po=4, depth=depth, pw=False)
    program = compile_program(quantized, config, PART, acc_bits=32)
    tiles = [j.channels for j in program.jobs]
    assert depth // 2 // 75 % 2 == 1 and len(tiles) > 2
    assert all(first % 8 == 0 for first, _ in tiles) and tiles[-1][1] == 1000
    check(quantized, program, config, np.random.default_rng(0).integers(0, 256, (1, 1, 300)).astype(np.uint8))


def test_logits_of_dual_that_no_tile_holds_are_refused() -> None:
    config = accelerator("DUAL", pi=4, po=4, depth=512, pw=False)
    assert config.conv.weight_depth // 2 // 200 == 1
    with pytest.raises(InputError, match="cannot run on this accelerator"):
        compile_program(classifier(800, 20), config, PART, acc_bits=32)
    whole = classifier(800, 4)  # one tile: nothing is split
    program = compile_program(whole, config, PART, acc_bits=32)
    check(whole, program, config, np.random.default_rng(0).integers(0, 256, (1, 1, 800)).astype(np.uint8))


@pytest.mark.parametrize("line", [1000, 100, 60])
def test_strided_pointwise_layers_run_where_rows_are_held(line: int) -> None:
    """The pixels that they leave out are read all the same: on conv, in stripes of its line buffer, never on pw."""
    b = Builder("strided", (20, 9, 9))
    source = b.last
    one = b.conv(48, 1, act="relu")
    b.sum(b.conv(24, 1, 2, src=one), b.conv(24, 1, 2, src=source))
    b.classifier(7)
    quantized = random_integers(b.build().uniform_bits(8, 8), 3)
    config = accelerator("E88", pi=4, po=4, taps=(1, 1), rows=3, line=line)
    program = compile_program(quantized, config, PART, bus_bits=64, acc_bits=32)
    check(quantized, program, config, np.random.default_rng(1).integers(0, 256, (9, 9, 20)).astype(np.uint8))


@pytest.mark.parametrize("bits", [(8, 8), (4, 4)])
def test_residual_blocks_end_in_a_relu(bits: tuple[int, int]) -> None:
    """As ResNets have them: relu(x + f(x)), the shortcut strided or the block's input itself."""
    b = Builder("residual", (8, 8, 8))
    for stride in (1, 2):
        source = b.last
        b.conv(12 if stride == 2 else 8, 3, stride, act="relu")
        body = b.conv(12 if stride == 2 else 8, 3)
        b.act("relu", b.sum(body, b.conv(12, 1, 2, src=source) if stride == 2 else source))
    b.classifier(5)
    net = b.build()
    assert without_integers(net) == ()
    quantized = random_integers(net.with_bits(lambda n: bits if n.name.startswith("conv") else (8, 8)), 2)
    assert sum(layer.residual is not None for layer in quantized.layers.values()) == 2
    config = accelerator("DUAL", pi=4, po=4, taps=(1, 1), rows=3, line=512)
    program = compile_program(quantized, config, PART, bus_bits=64, acc_bits=32)
    check(quantized, program, config, np.random.default_rng(1).integers(0, 256, (8, 8, 8)).astype(np.uint8))


def test_what_has_no_integers_is_named() -> None:
    b = Builder("more", (8, 8, 8))
    b.conv(8, 3, act="hswish")
    b.pool("max", 2, 2)
    a = b.act("relu")
    b.sum(a, b.conv(8, 3, act="relu", src=a))
    b.squeeze_excite(4)
    b.classifier(5)
    found = without_integers(b.build())
    assert [words.split("(")[1] for words in found] == [
        "hswish)", "Pool2d)", "relu)", "Add)", "hsigmoid)", "Mul)",
    ]  # fmt: skip


def test_stripes_happen() -> None:
    net = chain(depthwise=False, size=9, cin=400).uniform_bits(8, 8)
    config = accelerator(line=2000, pi=4, po=4, depth=1 << 16)
    program = compile_program(random_integers(net, 3), config, PART, acc_bits=32)
    assert sum("expand" in j.layers for j in program.jobs) > 2


def test_averages_that_sums_cannot_hold_are_refused() -> None:
    for height in (257, 258):
        b = Builder("wide", (2, height, 256))
        b.conv(2, 1, name="layer")
        b.classifier(2)
        quantized = random_integers(b.build().uniform_bits(8, 8), 0)
        if height == 257:
            compile_program(quantized, accelerator(), PART)
            pools = {"classifier.pool": replace(quantized.pools["classifier.pool"], shift=45)}
            with pytest.raises(
                InputError, match=r"'classifier\.pool' shifts its average by 45; the engine .* at most 44"
            ):
                compile_program(replace(quantized, pools=pools), accelerator(), PART)
            continue
        with pytest.raises(
            InputError, match=r"'classifier\.pool' averages 66048 pixels; sums of the engine hold 65793"
        ):
            compile_program(quantized, accelerator(), PART)


def wide_block(height: int, width: int, cin: int) -> QuantizedNetwork:
    """conv, dw and pw on a large map, in one call."""
    b = Builder("wide", (cin, height, width))
    b.block = "b"
    b.conv(9, 1, act="relu", name="expand")
    b.depthwise(3, act="relu", name="dw")
    b.conv(5, 1, name="project")
    return random_integers(b.build().uniform_bits(8, 8), 0)


def test_pixels_beyond_16_bits_fit_a_fused_call() -> None:
    """A pointwise layer needs a pixel of its line buffer, not a row of the map."""
    quantized = wide_block(256, 256, 30)
    config = accelerator(pi=1, po=4, line=2600, most=64)
    program = compile_program(quantized, config, PART, mode="fused", acc_bits=32)
    assert [job.kernels for job in program.jobs] == [("conv", "dw", "pw")]
    d = decode(program.image[:SIZE_BYTES])
    assert (d["conv_in_width"], d["conv_in_height"], d["dw_in_width"]) == (2, 32768, 256)
    assert 256 * d["conv_in_beats"] > 2662  # what the rows of the map would take, and what there is
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 30)).astype(np.uint8)
    memory = program.memory(image)
    execute(program, config, memory)
    want = quantized.tensors(image[None])["project"][0]
    np.testing.assert_array_equal(program.tensors["project"].unpack(memory), want)


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [(3, 5, (15, 1)), (256, 256, (32768, 2)), (65537, 1, (65537, 1)), (997, 991, (997, 991)), (512, 384, (49152, 4))],
)
def test_pixels_are_as_narrow_as_can_be(height: int, width: int, expected: tuple[int, int]) -> None:
    g = _pixels(height, width)
    assert (g.in_height, g.in_width) == (g.out_height, g.out_width) == expected


def test_stripes_of_a_large_map_that_is_read_pixel_by_pixel() -> None:
    """997 x 991 pixels have no narrower shape: where a row does not fit, stripes are of the map."""
    b = Builder("wide", (7, 997, 991))
    b.conv(2, 1, name="layer")
    b.classifier(2)
    quantized = random_integers(b.build().uniform_bits(8, 8), 0)
    config = accelerator(pi=1, po=4, line=3000, rows=3, most=64, pw=False)
    planner = Planner(quantized, config, PART, 16)
    form = planner.format("conv", lower(quantized.network, 16)[0].stages[0])
    call = lower(quantized.network, 16)[0]
    jobs = list(planner._by_itself(call, quantized.network.by_name["layer"], call.stages[0], form))
    columns = form.design.line_words // 7
    assert len(jobs) == -(-991 // columns) > 1
    assert sum(j.columns for j in jobs) == 991
    assert all(j.columns == j.steps[0].geometry.in_width and j.steps[0].geometry.in_height == 997 for j in jobs)


def test_counts_beyond_the_engine_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    quantized = random_integers(chain().uniform_bits(8, 8), 0)
    monkeypatch.setattr(compiler, "MAX_DESCRIPTORS", 2)
    with pytest.raises(InputError, match=r"the program has \d runs, the engine counts 2: take larger weight memories"):
        compile_program(quantized, accelerator(), PART, mode="split")


def test_shifts_of_logits_leave_room_for_their_bytes() -> None:
    quantized = random_integers(chain().uniform_bits(8, 8), 0)
    for shift in (39, 40):
        last = replace(quantized.layers["classifier"], shift=shift)
        shifted = replace(quantized, layers={**quantized.layers, "classifier": last})
        if shift == 39:
            compile_program(shifted, accelerator(), PART)
            continue
        with pytest.raises(InputError, match=r"kernel '(conv|pw)' shifts by at most 39, not by 40"):
            compile_program(shifted, accelerator(), PART)


def test_memory_beyond_32_bits_is_one_line() -> None:
    b = Builder("huge", (2, 8192, 8192))
    b.conv(2, 1, name="layer")
    quantized = random_integers(b.build().uniform_bits(8, 8), 0)
    with pytest.raises(InputError, match=r"the program needs \d{10} bytes of memory; addresses have 32 bits"):
        compile_program(quantized, accelerator(), PART, bus_bits=512)


def test_long_tensors_are_read_row_by_row() -> None:
    """Runs of words are counted in 24 bits."""
    layout = TensorLayout("x", 0, 4096, 4096, 4, 8)
    quantized = random_integers(chain().uniform_bits(8, 8), 0)
    pattern = compiler._Compiler(quantized, 8, 32, []).pattern("in", layout, 0, 4, 0, 4096)
    assert (pattern["in_run"], pattern["in_columns"], pattern["in_rows"]) == (4096, 1, 4096)
    with pytest.raises(InputError, match="in_run = 16777216 does not fit 24 unsigned bits"):
        encode({"in_run": 1 << 24})


def test_descriptor_round_trip() -> None:
    rng = np.random.default_rng(0)
    values = {}
    for name, f in FIELDS.items():
        low = -(1 << (f.bits - 1)) if f.signed else 0
        values[name] = int(rng.integers(low, low + (1 << f.bits)))
    blob = encode(values)
    assert len(blob) == SIZE_BYTES
    assert decode(blob) == values
    with pytest.raises(InputError, match=r"in_skip = 256 does not fit 8 unsigned bits"):
        encode({"in_skip": 256})


def test_errors() -> None:
    net = chain().uniform_bits(8, 8)
    quantized = random_integers(net, 0)
    with pytest.raises(UsageError, match="64, 128, 256, 512 bits"):
        compile_program(quantized, accelerator(), PART, bus_bits=100)
    with pytest.raises(InputError, match="cannot run on this accelerator"):
        compile_program(quantized, accelerator("E44"), PART)
    big = replace(quantized.layers["project"], bias=np.full(5, 2**30, np.int32))
    wide = replace(quantized, layers={**quantized.layers, "project": big})
    with pytest.raises(InputError, match=r"'project': sums may reach .* build the engine with wider ones"):
        compile_program(wide, accelerator(), PART)
    inner = replace(quantized.layers["dw"], read=quantized.layers["dw"].read or _rescale())
    odd = replace(quantized, layers={**quantized.layers, "dw": inner})
    with pytest.raises(UnsupportedError, match="'dw' adds or rescales inside a call"):
        compile_program(odd, accelerator(), PART, mode="fused", acc_bits=32)


def _rescale() -> Any:
    from cofront.task.integer import Rescale

    return Rescale(1 << 10, 14, 0, 0, 4)
