"""Fine-tuning of the chosen bits: the integers are refined, then trained through the rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cofront.api.quantise.scene import Scene
    from cofront.task.quantise.setting import Setting


def tuned(scene: Scene, setting: Setting) -> Setting:
    """The setting after `epochs` over the training images, from integers that the calibration images chose.

    KeyboardInterrupt when it is to stop: nothing of it is kept.
    """
    from cofront.task.quantise.learn import Schedule, fine_tune
    from cofront.task.quantise.refine import refine

    def layer(done: int, total: int) -> None:
        scene.say("refining", f"layer {done} of {total}")
        if scene.stop():
            raise KeyboardInterrupt

    def step(done: int, total: int, loss: float) -> None:
        if done % 20 == 0 or done == total:
            scene.say("training", f"step {done:,} of {total:,}, loss {loss:.3f}")
        if scene.stop():
            raise KeyboardInterrupt

    network, weights = scene.network, scene.model.weights
    begun = refine(setting, network, weights, scene.calibration, "rounding", layer)
    schedule = Schedule(epochs=scene.request.epochs, seed=scene.request.seed)
    return fine_tune(begun, network, weights, scene.data.x_train, scene.data.y_train, schedule, step)
