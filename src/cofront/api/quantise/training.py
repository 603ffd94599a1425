"""Fine-tuning of the chosen bits: the integers are refined, then trained through the rounding."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from cofront.study.provenance import digest, source_hash

if TYPE_CHECKING:
    from cofront.api.quantise.scene import Scene
    from cofront.task.quantise.setting import Setting


def tuned(scene: Scene, setting: Setting) -> Setting:
    """The setting after `epochs` over the training images, from integers that the calibration images chose.

    KeyboardInterrupt when it is to stop. Its state stays in the folder, by model, bits, images and schedule: the same
    training goes on from there, and one that is finished is not done again.
    """
    from cofront.api.quantise.scene import model_key
    from cofront.task.quantise.refine import refine
    from cofront.task.quantise.tuning import FineTuning, Schedule

    def layer(done: int, total: int) -> None:
        scene.say("refining", f"layer {done} of {total}")
        if scene.stop():
            raise KeyboardInterrupt

    def step(done: int, total: int, loss: float) -> None:
        if done % 20 == 0 or done == total:
            scene.say("training", f"step {done:,} of {total:,}, loss {loss:.3f}")

    network, weights, data = scene.network, scene.model.weights, scene.data
    schedule = Schedule(epochs=scene.request.epochs, seed=scene.request.seed)
    key = {
        "model": model_key(scene), "bits": {n.name: (n.weight_bits, n.in_bits) for n in setting.network.layers},
        "schedule": asdict(schedule), "images": data.fingerprint(), "calibration": scene.request.images,
        "source": source_hash(),
    }  # fmt: skip
    scene.folder.mkdir(parents=True, exist_ok=True)
    file = scene.folder / f"tuning-{digest(key)[:8]}.safetensors"
    tuning = FineTuning(setting, network, weights, data.x_train, data.y_train, schedule, file)
    if tuning.resume():
        scene.say("training", f"goes on at step {tuning.position:,} of {tuning.steps:,}")
    else:
        tuning.begin(refine(setting, network, weights, scene.calibration, "rounding", layer))
    if not tuning.run(step, scene.stop):
        raise KeyboardInterrupt
    return tuning.learned()
