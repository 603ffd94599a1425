"""What differs is named by image, layer, pixel and channel."""

from __future__ import annotations

import numpy as np
import pytest
from nets import accelerator, chain

from cofront import device
from cofront.rtl.compare import compare, written
from cofront.rtl.compiler import compile_program
from cofront.rtl.executor import execute
from cofront.rtl.standin import random_integers

PART = device.load("zu3eg")


@pytest.fixture(scope="module")
def case():
    net = chain(size=4).uniform_bits(8, 8)
    config = accelerator(pi=4, po=3, pc=4, depth=512, rows=3, line=512, most=64)
    quantized = random_integers(net, 1)
    program = compile_program(quantized, config, PART, bus_bits=64, mode="split")
    images = np.random.default_rng(1).integers(0, 256, (3, 4, 4, 5)).astype(np.uint8)
    memories = np.stack([program.memory(image) for image in images])
    for memory in memories:
        execute(program, config, memory)
    return quantized, program, images, memories


def test_equal_memories(case):
    quantized, program, images, memories = case
    result = compare(quantized, program, images, memories)
    assert (result.elements, result.differing, result.tensors, result.first) == (3 * 7, 0, 1, None)
    full = compare(quantized, program, images, memories, everything=True)
    # Every tensor in memory but what the host writes there.
    tensors = [t for name, t in program.tensors.items() if name != "input"]
    assert len(tensors) == len(program.tensors) - 1 >= 5
    assert written(program, quantized.tensors(images[:1])) == [t.name for t in tensors]
    assert full.differing == 0 and full.tensors == len(tensors)
    assert full.elements == 3 * sum(t.height * t.width * t.channels for t in tensors)


def test_the_first_difference_is_named(case):
    quantized, program, images, memories = case
    name = next(j.target for j in program.jobs if "expand" in j.layers)
    layout = program.tensors[name]
    wrong = memories.copy()
    at = layout.base + 2 * layout.row_bytes + layout.pixel_bytes + 7
    wrong[1, at] ^= 4
    result = compare(quantized, program, images, wrong, everything=True, numbers=[10, 11, 12])
    assert result.differing == 1 and result.first is not None
    d = result.first
    assert (d.image, d.layer, d.tensor, d.row, d.column, d.channel) == (11, "expand", name, 2, 1, 7)
    assert d.found == d.expected ^ 4
    job = program.jobs[d.descriptor]
    assert job.target == name and job.channels[0] <= 7 < job.channels[1]
    assert "image 11, layer 'expand'" in str(d) and "pixel (2, 1), channel 7" in str(d)
    # Only the result is compared otherwise, and it was not touched.
    assert compare(quantized, program, images, wrong).differing == 0
