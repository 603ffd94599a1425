"""The derived network of a run: trained from the start, tested once, written."""

from __future__ import annotations

from dataclasses import replace

import msgspec

from cofront.api.run.scene import Scene
from cofront.errors import CofrontError
from cofront.rights import written_whole
from cofront.study.documents import RunDocument, RunTraining
from cofront.study.provenance import write_atomic


def trained(scene: Scene, document: RunDocument, epochs: int | None) -> RunDocument:
    """Trains the network that was taken from the start, for `epochs` (None: the preset's), tests it, writes it."""
    import numpy as np
    from safetensors.numpy import save_file

    from cofront.network.pytorch import fold_batchnorm
    from cofront.task.scratch import ScratchTraining, accuracy_of

    assert document.chosen is not None
    point = np.array(document.networks[document.chosen].point)
    network = scene.space.network(point)
    schedule = replace(scene.preset.derived, seed=scene.request.seed)
    if epochs is not None:
        schedule = replace(schedule, epochs=epochs)
    training = ScratchTraining(network, scene.data, schedule, scene.derived_file("training", point, schedule))
    training.resume()
    training.run(
        lambda log: scene.say(
            "training", f"epoch {log.epoch + 1} of {schedule.epochs}: validation {100 * log.accuracy:.2f} %"
        ),
        scene.going("training", lambda: (training.position, training.steps)),
    )
    done = RunTraining(
        epochs=schedule.epochs, images=len(scene.data.x_train), seconds=training.seconds,
        loss=[h.loss for h in training.history], validation=[h.accuracy for h in training.history],
    )  # fmt: skip
    if training.share < 1:
        return msgspec.structs.replace(document, training=done, interrupted=True)
    done = msgspec.structs.replace(
        done, test=accuracy_of(training.net, scene.data.x_test, scene.data.y_test), test_images=len(scene.data.y_test)
    )
    files, weights = {}, fold_batchnorm(training.net)
    path = scene.derived_file("derived", point, schedule)
    with written_whole(path) as part:
        save_file(weights, part, {"cofront": "weights", "network": network.name})
    files["weights"] = str(path)
    try:
        from cofront.network.onnx_io import to_onnx

        onnx = path.with_suffix(".onnx")
        write_atomic(onnx, to_onnx(network, weights).SerializeToString())
        files["onnx"] = str(onnx)
    except CofrontError as error:  # of shifts and adders, or without the package: the weights are written all the same
        document = msgspec.structs.replace(document, notes=[*document.notes, f"no ONNX file: {error}"])
    return msgspec.structs.replace(document, training=done, files=files)
