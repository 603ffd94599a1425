"""The files of a quantised network: integers, ONNX and QONNX, a design on an FPGA part; and what the integers reach."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from cofront import __version__
from cofront.api.quantise.buildable import outlook
from cofront.api.quantise.judging import Accuracy, floating, judged
from cofront.study.documents import Design, DesignDocument, QuantAccuracy, clean
from cofront.study.provenance import file_hash, write_atomic

if TYPE_CHECKING:
    from cofront.api.quantise.choosing import Chosen
    from cofront.api.quantise.scene import Scene
    from cofront.network import Network
    from cofront.task.integer import QuantizedNetwork
    from cofront.task.quantise.setting import Setting

#: Multiply-accumulates that validating or testing integers may take; fewer images are taken of a larger network.
TESTED_MACS = 2e12
#: Every file that may be written.
WRITTEN = ("integers.safetensors", "model.qonnx.onnx", "integers.onnx", "weights.safetensors", "design.json")


def write_files(scene: Scene, setting: Setting, chosen: Chosen) -> tuple[dict[str, str], list[QuantAccuracy]]:
    """Files by what they are, and the accuracy of the integers on validation and, once, on test images.

    Validation images are those of all other accuracies; where a network is so large that fewer of them are taken, the
    floating point and the simulation, which computes what the integers do, are told of these too.

    Where something stays in floating point, there are no integers: the simulation is tested, and the real weights are
    written.
    """
    from cofront.task.quantise.simulate import Simulator

    scene.folder.mkdir(parents=True, exist_ok=True)
    simulator = Simulator(setting.network)
    simulator.use(setting)
    if scene.floating:
        accuracy, name = simulator.accuracy, "the simulation"
        files = _real_weights(scene, setting)
    else:
        from cofront.task.quantise.convert import to_integers

        scene.say("writing the integers")
        integers = to_integers(setting, {"from": scene.model.label})
        accuracy, name = integers.accuracy, "the integers"
        files = _integers(scene, integers, chosen)
    most = max(1, int(TESTED_MACS / max(scene.network.macs, 1)))
    real, every = floating(scene), len(scene.check()[1])
    kinds: dict[str, dict[str, Accuracy]] = {
        "validation": {name: accuracy},
        "test": {"floating point": real, name: accuracy},
    }
    if most < every:  # what the integers are to be compared with, on the images that they can be had of
        kinds["validation"] = {"floating point": real, "the simulation": simulator.accuracy, name: accuracy}
    said = []
    for part, (x, y) in {"validation": scene.check(min(most, every)), "test": scene.tests(most)}.items():
        for what, of in kinds[part].items():
            right = judged(scene, "testing", f"{what} on {part} images", of, x, y)
            said.append(QuantAccuracy(what=what, part=part, accuracy=right, images=len(y)))
    return files, said


def _integers(scene: Scene, integers: QuantizedNetwork, chosen: Chosen) -> dict[str, str]:
    from cofront.network.onnx_io import quantisation_of, to_integer_onnx, to_qonnx

    folder, network = scene.folder, integers.network
    paths = {"integers": folder / "integers.safetensors", "qonnx": folder / "model.qonnx.onnx"}
    integers.save(paths["integers"])
    write_atomic(paths["qonnx"], to_qonnx(network, quantisation_of(integers)).SerializeToString())
    paths["onnx"] = folder / "integers.onnx"
    write_atomic(paths["onnx"], to_integer_onnx(integers).SerializeToString())
    if chosen.point is not None and chosen.point.design is not None:
        paths["design"] = folder / "design.json"
        document = _design(scene, chosen, network, paths["qonnx"], paths["design"])
        scene.say("scheduling the program")
        scene.outlook = outlook(document, integers, chosen.limits["latency"])
        scene.notes += [note for note in scene.outlook.notes if note not in scene.notes]
    return {name: str(path) for name, path in paths.items()}


def _design(scene: Scene, chosen: Chosen, network: Network, source: Path, path: Path) -> DesignDocument:
    """The network and the accelerator that was found with its bits, written as a design file."""
    from cofront.api.networks import block_precisions, design_text
    from cofront.api.parts import device_file

    assert chosen.point is not None and chosen.point.design is not None
    found, request = chosen.point.design, scene.request
    design = Design(
        accuracy=None, latency_s=found.latency_s, fps=found.fps, cycles=found.cycles, resources=clean(found.resources),
        config=clean(found.config), macs=network.macs, params=network.params, precisions=block_precisions(network),
    )  # fmt: skip
    document = DesignDocument(
        device=str(request.device), device_file=device_file(str(request.device)), design=design,
        clock_hz=chosen.accelerator["clock_hz"], network=str(source.resolve()), network_sha256=file_hash(source),
        provenance={"model": request.model, "sensitivity": scene.sensitivity, "budget": request.budget},
    )  # fmt: skip
    write_atomic(path, design_text(document, path.parent))
    return document


def _real_weights(scene: Scene, setting: Setting) -> dict[str, str]:
    """The weights that the integers stand for as real numbers, a bias for each layer, and the tensors' grids."""
    import numpy as np

    from cofront.network import weights

    values = {}
    for name, layer in setting.layers.items():
        values[f"{name}.weight"] = layer.real().numpy()
        values[f"{name}.bias"] = layer.bias.numpy().astype(np.float32)
    told = {
        "bits": {name: layer.bits for name, layer in setting.layers.items()},
        **{
            what: {name: [grid.scale, grid.bits, grid.signed] for name, grid in grids.items()}
            for what, grids in (("stored", setting.stored), ("read", setting.read))
        },
    }
    path = scene.folder / "weights.safetensors"
    about = {"network": scene.network.name, "cofront": __version__, "grids": json.dumps(told)}
    weights.save(path, values, about)
    return {"weights": str(path)}
