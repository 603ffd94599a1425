"""HAQ as published [HAQ19]: an agent that walks through the layers and says the bits of each, under a budget wall.

One episode sets all bits; what exceeds the budget is taken away by the wall; the reward is a tenth of the change of
accuracy in percent points. `evaluate(bits) -> accuracy` quantises, may fine-tune, and measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from cofront.checkpoint import need_same, read_checkpoint, write_checkpoint
from cofront.errors import UsageError
from cofront.systems.claims import Claim

if TYPE_CHECKING:
    from cofront.network import Network
    from cofront.search.policy.ddpg import Ddpg, DdpgRecipe

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Mode = Literal["linear", "kmeans"]

#: Least and most bits: [HAQ19]'s for each mode.
RANGE: dict[Mode, tuple[int, int]] = {"linear": (2, 8), "kmeans": (1, 8)}
#: An input that is not quantised.
FLOAT_INPUT = -1
REWARD = 0.1


def features(network: Network) -> FloatArray:
    """(l, 8) of each layer: depthwise, inputs, outputs, stride, kernel, weights, input area, index: unscaled."""
    from cofront.network import Convolution

    out = []
    for i, node in enumerate(network.layers):
        (shape,) = network.in_shapes(node)[:1]
        weights = float(np.prod(node.op.weight_shape(network.in_shapes(node)) or (0,)))
        if isinstance(node.op, Convolution):
            op = node.op
            depthwise = float(op.groups == shape[0] and op.groups > 1)
            row = [depthwise, shape[0], op.out_channels, op.stride[0], op.kernel[0], weights, shape[1] * shape[2], i]
        else:
            row = [0.0, shape[0], network.shapes[node.name][0], 0.0, 1.0, weights, 1.0, i]
        out.append(row)
    return np.array(out, float)


@dataclass(frozen=True)
class Episode:
    """One episode: bits after the wall (l, 2) or (l,), their cost, accuracy (fraction) and reward; the best so far."""

    number: int
    bits: tuple[Any, ...]
    cost: float
    accuracy: float
    reward: float
    best_reward: float


@dataclass(frozen=True)
class HaqFound:
    """The best episode, and all of them. `stopped`: ended before the last one was due."""

    best: Episode
    history: tuple[Episode, ...]
    stopped: bool

    @property
    def bits(self) -> IntArray:
        return np.array(self.best.bits, np.int64)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class HaqSearch:
    """One search. `layers` (l, 8) as `features` gives them; `cost(bits)` of (l, 2) "linear" or (l,) "kmeans" bits.

    `limit` is in the cost's unit. `pinned` layers keep the bits of `start` (all most bits by default): the published
    linear search pins the first (8, input not quantised) and last (8, 8). `accuracy` is the reference (fraction).
    """

    layers: FloatArray
    cost: Callable[[IntArray], float]
    evaluate: Callable[[IntArray], float]
    limit: float
    accuracy: float
    mode: Mode = "linear"
    bits_range: tuple[int, int] | None = None
    pinned: tuple[int, ...] = ()
    start: IntArray | None = None
    episodes: int = 600
    recipe: DdpgRecipe | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.mode not in RANGE:
            raise UsageError(f"HAQ: mode is linear or kmeans, got '{self.mode}'")
        if np.ndim(self.layers) != 2 or not len(self.layers):
            raise UsageError(f"HAQ: expected features of shape (layers, 8), got {np.shape(self.layers)}")
        low, high = self.range
        if not 1 <= low <= high:
            raise UsageError(f"HAQ: expected bits from 1, the fewest first, got {low} to {high}")
        if self.episodes < 1:
            raise UsageError(f"HAQ: expected at least 1 episode, got {self.episodes}")
        least = float(self.cost(self.least()))
        if least > self.limit:
            raise UsageError(
                f"HAQ: the limit {self.limit:.6g} is below the cost of the fewest bits: allow at least {least:.6g}"
            )

    @property
    def range(self) -> tuple[int, int]:
        return self.bits_range or RANGE[self.mode]

    @property
    def _shape(self) -> tuple[int, ...]:
        return (len(self.layers), 2) if self.mode == "linear" else (len(self.layers),)

    def most(self) -> IntArray:
        """`start`, or the most bits everywhere."""
        return np.full(self._shape, self.range[1], np.int64) if self.start is None else np.array(self.start, np.int64)

    def least(self) -> IntArray:
        """The fewest bits of every layer that is not pinned."""
        out = self.most()
        free = np.setdiff1d(np.arange(len(self.layers)), self.pinned)
        out[free] = self.range[0]
        return out

    def states(self) -> FloatArray:
        """(steps, 10) states without the previous action: each number scaled to 0 to 1 over the steps.

        The previous action is as the agent gave it, .5 before the first: ours.
        """
        l = len(self.layers)
        steps = 2 if self.mode == "linear" else 1
        rows = np.repeat(np.asarray(self.layers, float), steps, axis=0)
        flag = np.tile([1.0, 0.0], l)[:, None] if steps == 2 else np.zeros((l, 1))
        table = np.concatenate([rows, np.zeros((len(rows), 1)), flag], axis=1)
        low, high = table.min(axis=0), table.max(axis=0)
        return np.asarray((table - low) / np.where(high > low, high - low, 1.0), float)

    def of_actions(self, actions: FloatArray) -> IntArray:
        """Bits of actions (steps,) of 0 to 1: equal shares of the interval for each number of bits."""
        low, high = self.range
        bits = np.clip(np.rint((high - low + 1) * actions + low - 0.5), low, high).astype(np.int64).reshape(self._shape)
        if self.pinned:
            bits[list(self.pinned)] = self.most()[list(self.pinned)]
        return bits

    def wall(self, bits: IntArray) -> IntArray:
        """The bits within the limit: `budget_wall`."""
        return budget_wall(bits, self.cost, self.limit, self.range[0], self.pinned)

    def run(
        self,
        file: Path | None = None,
        on_progress: Callable[[Episode], None] | None = None,
        should_stop: Callable[[], bool] | None = None,
        every: int = 10,
    ) -> HaqFound:
        """All episodes; goes on from the checkpoint `file`, which is written each `every` episodes and at the end."""
        from cofront.search.policy.ddpg import Ddpg

        table = self.states()
        agent = Ddpg(table.shape[1], len(table), self.recipe, self.seed)
        history = _load(file, self, agent) if file is not None and file.exists() else []
        stopped = False
        for number in range(len(history), self.episodes):
            if should_stop is not None and should_stop():
                stopped = True
                break
            history.append(self._episode(agent, table, number, history))
            if on_progress is not None:
                on_progress(history[-1])
            if file is not None and (number + 1) % every == 0:
                _save(file, self, agent, history)
        if not history:  # stopped before the first: there is nothing to go on from
            raise KeyboardInterrupt
        if file is not None:
            _save(file, self, agent, history)
        return HaqFound(max(history, key=lambda e: e.reward), tuple(history), stopped)

    def _episode(self, agent: Ddpg, table: FloatArray, number: int, history: Sequence[Episode]) -> Episode:
        states, actions = table.copy(), np.zeros(len(table))
        for t in range(len(table)):
            states[t, 8] = actions[t - 1] if t else 0.5  # the previous action
            actions[t] = agent.act(states[t], number)
        bits = self.wall(self.of_actions(actions))
        accuracy = float(self.evaluate(bits))
        reward = REWARD * 100 * (accuracy - self.accuracy)
        agent.learn(states, actions, reward, number)
        best = max([reward, *(e.reward for e in history[-1:])], default=reward)
        best = max(best, history[-1].best_reward) if history else best
        return Episode(number, _tuples(bits), float(self.cost(bits)), accuracy, reward, best)


def budget_wall(
    bits: IntArray, cost: Callable[[IntArray], float], limit: float, least: int, pinned: Sequence[int] = ()
) -> IntArray:
    """Bits within the limit, or the fewest: sweeps from the last layer to the first take one bit at a time.

    In each layer the input's bit goes first, then the weight's; the cost is asked after each. Pinned layers stay.
    """
    out = np.array(bits, np.int64)
    flat = out.reshape(len(out), -1)  # a view
    free = [i for i in reversed(range(len(out))) if i not in pinned]
    while cost(out) > limit and any((flat[i] > least).any() for i in free):
        for i in free:
            for k in reversed(range(flat.shape[1])):
                if flat[i, k] > least:
                    flat[i, k] -= 1
                    if cost(out) <= limit:
                        return out
    return out


def random_policies(search: HaqSearch, episodes: int, seed: int = 0) -> HaqFound:
    """The same number of episodes with uniform actions and the same wall: what the agent has to beat."""
    rng = np.random.default_rng((seed, 2))
    history: list[Episode] = []
    for number in range(episodes):
        bits = search.wall(search.of_actions(rng.random(int(np.prod(search._shape)))))
        accuracy = float(search.evaluate(bits))
        reward = REWARD * 100 * (accuracy - search.accuracy)
        best = max(reward, history[-1].best_reward) if history else reward
        history.append(Episode(number, _tuples(bits), float(search.cost(bits)), accuracy, reward, best))
    return HaqFound(max(history, key=lambda e: e.reward), tuple(history), False)


def claim_wall(ratios: dict[float, float]) -> list[Claim]:
    """The wall's outputs from all 8 bits on HAQ's table, beside the figures that the released table gives."""
    known = {0.6: ".5920", 0.4: ".3985"}
    return [
        Claim(f"wall from 8 bits at {r:g}", known[r], f"{v:.4f}"[1:], "HAQ19 table", "derived")
        for r, v in ratios.items()
        if r in known
    ]


def _tuples(bits: IntArray) -> tuple[Any, ...]:
    return tuple(tuple(r) if isinstance(r, list) else r for r in bits.tolist())


def _key(search: HaqSearch) -> dict[str, Any]:
    return {
        "limit": search.limit, "accuracy": search.accuracy, "mode": search.mode, "range": list(search.range),
        "pinned": list(search.pinned), "seed": search.seed, "layers": np.asarray(search.layers).tolist(),
        "start": search.most().tolist(),
    }  # fmt: skip


def _save(file: Path, search: HaqSearch, agent: Ddpg, history: Sequence[Episode]) -> None:
    tensors, told = agent.state()
    meta = {"search": _key(search), "agent": told, "history": [asdict(e) for e in history]}
    write_checkpoint(file, tensors, meta)


def _load(file: Path, search: HaqSearch, agent: Ddpg) -> list[Episode]:
    tensors, meta = read_checkpoint(file, "a HAQ search", ("search", "agent", "history"))
    need_same(file, meta["search"], _key(search), "search", "layers, limit, bits or seed")
    agent.restore(tensors, meta["agent"])
    return [replace(Episode(**e), bits=_tuples(np.array(e["bits"]))) for e in meta["history"]]
