"""Post-training quantisation of a CIFAR-10 network, by width, calibration rule and refinement -> quantise.json.

The network is the widest of `subgraph32` with full 3 x 3 convolutions of half the width, with the weights that ship,
folded. Stem and classifier keep 8 bits. Every cell is judged on validation images; the best of a width is judged once
on test images. `--step` says what is done: "grid" (rules x refinements), "tune" (training from the best), "test".
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from record import made, read, say, write
from torch.nn.functional import cross_entropy

from cofront.task.data import load_dataset
from cofront.task.folded import float_inputs, folded
from cofront.task.quantise import QuantModule, Rules, Schedule, Setting, fine_tune, to_integers
from cofront.task.quantise.observe import observe, watched
from cofront.task.quantise.refine import refine

POINT = [2] + [2, 2] * 3 + [4] * 9 + [0] * 9
WIDTHS = {"W8A8": (8, 8), "W4A8": (4, 8), "W4A4": (4, 4), "W3A4": (3, 4), "W2A4": (2, 4)}
RULES = ("max", "percentile", "mse", "kl")
REFINED = ("nearest", "moments", "rounding")
#: Refinement costs more than all else, so it is done for two of the rules.
TO_REFINE = ("percentile", "mse")
CALIBRATION, IMAGES = 256, 128
VALIDATION = 1000
#: Test images; those of the integers, which NumPy computes slowly: of each width, and of eight bits.
TEST, WHOLE, WHOLE_EIGHT = 2000, 300, 1000
OUT = Path(__file__).with_suffix(".json")


class Bench:
    def __init__(self, tuned_on: int) -> None:
        self.data = load_dataset()
        self.network, self.weights = folded(np.array(POINT), self.data.x_train)
        self.ranges = observe(self.network, self.weights, self.data.x_train[:CALIBRATION])
        self.val = self.data.x_val[:VALIDATION], self.data.y_val[:VALIDATION]
        self.tuned_on = tuned_on
        self.found: dict[str, Any] = read(OUT)

    def keep(self, **more: Any) -> None:
        self.found |= more
        self.found["made"] = made("torch", "numpy", seed=0, point=POINT, calibration=CALIBRATION, refined_on=IMAGES)
        write(OUT, self.found)

    def floating(self, x: Any, y: Any) -> float:
        module = watched(self.network, self.weights)
        side = self.network.shapes[self.network.input.name][1]
        with torch.inference_mode():
            parts = [module(float_inputs(x[i : i + 250], side)).argmax(1) for i in range(0, len(x), 250)]
        return float((torch.cat(parts).numpy() == y).mean())

    def setting(self, module: QuantModule, width: str, refined: str) -> Setting:
        setting = module.set_bits({n.name: WIDTHS[width] for n in self.network.layers[1:-1]})
        if refined == "nearest":
            return setting
        return refine(setting, self.network, self.weights, self.data.x_train[:IMAGES], refined)

    def judge(self, module: QuantModule, setting: Setting) -> dict[str, float]:
        module.use(setting)
        x, y = self.val
        logits, labels = module.logits(x), torch.from_numpy(y)
        right = float((logits.argmax(1) == labels).float().mean())
        return {"val": round(right, 4), "loss": round(float(cross_entropy(logits, labels)), 4)}

    def grid(self) -> None:
        if "float_val" not in self.found:
            self.keep(float_val=self.floating(*self.val), validation_images=VALIDATION)
        cells = self.found.get("cells", {})
        for width in WIDTHS:
            for rule in RULES:
                module = QuantModule(self.network, self.weights, self.ranges, Rules(rule, rule))
                for refined in REFINED if rule in TO_REFINE else REFINED[:1]:
                    name = f"{width} {rule} {refined}"
                    if name in cells:
                        continue
                    begun = time.perf_counter()
                    setting = self.setting(module, width, refined)
                    cells[name] = {"seconds": round(time.perf_counter() - begun, 1), **self.judge(module, setting)}
                    say(f"{name}: {cells[name]}")
                    self.keep(cells=cells)

    def best(self, width: str) -> tuple[str, str]:
        """Rule and refinement of least validation loss among those of most accuracy within a quarter point."""
        own = {k: v for k, v in self.found["cells"].items() if k.startswith(f"{width} ")}
        top = max(v["val"] for v in own.values())
        name = min((k for k, v in own.items() if v["val"] >= top - 0.0025), key=lambda k: own[k]["loss"])
        return name.split()[1], name.split()[2]

    def tuned(self, width: str, rule: str, refined: str) -> tuple[QuantModule, Setting]:
        module = QuantModule(self.network, self.weights, self.ranges, Rules(rule, rule))
        setting = self.setting(module, width, refined)
        x, y = self.data.x_train[: self.tuned_on], self.data.y_train[: self.tuned_on]
        return module, fine_tune(setting, self.network, self.weights, x, y, Schedule(seed=0))

    def tune(self) -> None:
        done = self.found.get("fine_tuned", {})
        for width in reversed(WIDTHS):
            if width in done:
                continue
            rule = self.best(width)[0]
            rule = rule if rule in TO_REFINE else TO_REFINE[0]
            begun = time.perf_counter()
            module, setting = self.tuned(width, rule, "rounding")
            seconds = round(time.perf_counter() - begun, 1)
            done[width] = {"rule": rule, "images": self.tuned_on, "seconds": seconds, **self.judge(module, setting)}
            say(f"{width} fine-tuned: {done[width]}")
            self.keep(fine_tuned=done)

    def test(self) -> None:
        x, y = self.data.x_test[:TEST], self.data.y_test[:TEST]
        if "float_test" not in self.found:
            self.keep(float_test=self.floating(x, y), test_images=TEST)
        done = self.found.get("tested", {})
        for width in WIDTHS:
            if width in done:
                continue
            rule, refined = self.best(width)
            own = self.found["cells"][f"{width} {rule} {refined}"]["val"]
            tuned = self.found.get("fine_tuned", {}).get(width)
            if tuned and tuned["val"] > own:
                module, setting = self.tuned(width, tuned["rule"], "rounding")
                name = f"{tuned['rule']} fine-tuned"
            else:
                module = QuantModule(self.network, self.weights, self.ranges, Rules(rule, rule))
                setting, name = self.setting(module, width, refined), f"{rule} {refined}"
            module.use(setting)
            integers = to_integers(setting)
            some = WHOLE_EIGHT if width == "W8A8" else WHOLE
            whole = integers.run(x[:some]).argmax(1)
            simulated = module.logits(x).argmax(1).numpy()
            done[width] = {
                "chosen": name,
                "val": max(own, tuned["val"] if tuned else 0),
                "test": float((simulated == y).mean()),
                "integers": {
                    "images": some,
                    "test": float((whole == y[:some]).mean()),
                    "agree": float((whole == simulated[:some]).mean()),
                },
            }
            say(f"{width}: {done[width]}")
            self.keep(tested=done)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--step", nargs="+", choices=("grid", "tune", "test"), default=["grid", "tune", "test"])
    parser.add_argument("--tuned-on", type=int, default=2000, help="training images of the fine-tuning")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(args.tuned_on)
    for step in args.step:
        getattr(bench, step)()


if __name__ == "__main__":
    main()
