"""The agent of [HAQ19]: deep deterministic policy gradient [DDPG15] for short episodes with one reward at the end.

Actions are numbers of 0 to 1. Every step of an episode gets the episode's reward; rewards of a batch are centred by a
moving average. Exploration draws from a normal distribution truncated to [0, 1] around the actor's action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cofront.errors import InputError, UsageError
from cofront.search.policy.noise import truncated_normal
from cofront.search.policy.replay import Replay


@dataclass(frozen=True)
class DdpgRecipe:
    """The published settings. `replay` is in episodes; `sigma` falls by `sigma_decay` an episode after the warm-up."""

    hidden: tuple[int, int] = (300, 300)
    actor_rate: float = 1e-4
    critic_rate: float = 1e-3
    discount: float = 1.0
    tau: float = 0.01
    batch: int = 64
    replay: int = 128
    warmup: int = 20
    sigma: float = 0.5
    sigma_decay: float = 0.99
    average_rate: float = 0.5

    def __post_init__(self) -> None:
        whole = (*self.hidden, self.batch, self.replay)
        if min(whole) < 1 or self.warmup < 0 or not 0 < self.tau <= 1 or not 0 < self.sigma_decay <= 1:
            raise UsageError(f"DDPG: sizes are from 1, tau and sigma_decay of 0 to 1, got {self}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Actor(nn.Module):
    """(n, s) states -> (n, 1) actions of 0 to 1."""

    def __init__(self, states: int, hidden: tuple[int, int], generator: torch.Generator) -> None:
        super().__init__()
        self.first, self.second = _linear(states, hidden[0], generator), _linear(hidden[0], hidden[1], generator)
        self.last = _linear(hidden[1], 1, generator)

    def forward(self, state: Tensor) -> Tensor:
        inner = torch.relu(self.second(torch.relu(self.first(state))))
        return torch.sigmoid(self.last(inner))


class Critic(nn.Module):
    """(n, s) states and (n, 1) actions -> (n, 1) values: the embeddings of both are added."""

    def __init__(self, states: int, hidden: tuple[int, int], generator: torch.Generator) -> None:
        super().__init__()
        self.of_state, self.of_action = _linear(states, hidden[0], generator), _linear(1, hidden[0], generator)
        self.second, self.last = _linear(hidden[0], hidden[1], generator), _linear(hidden[1], 1, generator)

    def forward(self, state: Tensor, action: Tensor) -> Tensor:
        inner = torch.relu(self.of_state(state) + self.of_action(action))
        out: Tensor = self.last(torch.relu(self.second(inner)))
        return out


class Ddpg:
    """The agent for states of `states` numbers and episodes of `steps` steps; one seed, one course of learning."""

    def __init__(self, states: int, steps: int, recipe: DdpgRecipe | None = None, seed: int = 0) -> None:
        self.recipe = recipe = recipe or DdpgRecipe()
        self.states, self.steps = states, steps
        self.generator = torch.Generator().manual_seed(seed)
        self.rng = np.random.default_rng((seed, 1))
        self.actor, self.critic = (c(states, recipe.hidden, self.generator) for c in (Actor, Critic))
        self.actor_target, self.critic_target = (c(states, recipe.hidden, self.generator) for c in (Actor, Critic))
        self.actor_target.load_state_dict(self.actor.state_dict())
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.actor_adam = torch.optim.Adam(self.actor.parameters(), lr=recipe.actor_rate)
        self.critic_adam = torch.optim.Adam(self.critic.parameters(), lr=recipe.critic_rate)
        self.replay = Replay(recipe.replay * steps, states)
        self.average: float | None = None

    def act(self, state: np.ndarray[Any, Any], episode: int) -> float:
        """An action for state (s,): uniform in the warm-up, then the actor's with noise that shrinks by episodes."""
        if episode < self.recipe.warmup:
            return float(self.rng.random())
        sigma = self.recipe.sigma * self.recipe.sigma_decay ** (episode - self.recipe.warmup)
        return truncated_normal(self.best(state), sigma, self.rng)

    def best(self, state: np.ndarray[Any, Any]) -> float:
        """The actor's action without noise."""
        with torch.no_grad():
            return float(self.actor(torch.as_tensor(np.asarray(state), dtype=torch.float32)[None])[0, 0])

    def learn(self, states: np.ndarray[Any, Any], actions: np.ndarray[Any, Any], reward: float, episode: int) -> None:
        """An episode's states (t, s) and actions (t,) into the replay, then, after the warm-up, an update per step."""
        if len(states) != self.steps or states.shape[1:] != (self.states,) or len(actions) != self.steps:
            raise UsageError(f"DDPG: expected {self.steps} steps of {self.states} numbers, got {states.shape}")
        if not np.isfinite(reward):
            raise InputError(f"DDPG: the reward of episode {episode} is {reward}, not a number")
        for t in range(self.steps):
            after = states[min(t + 1, self.steps - 1)]
            self.replay.add(states[t], float(actions[t]), reward, after, t == self.steps - 1)
            if episode > self.recipe.warmup:
                self._update()

    def _update(self) -> None:
        recipe = self.recipe
        state, action, reward, after, last = self.replay.sample(recipe.batch, self.rng)
        mean = float(reward.mean())
        self.average = mean if self.average is None else self.average + recipe.average_rate * (mean - self.average)
        s, a, n = (torch.from_numpy(x) for x in (state, action[:, None], after))
        centred = torch.from_numpy(reward - np.float32(self.average))[:, None]
        with torch.no_grad():
            on = torch.from_numpy(1.0 - last.astype(np.float32))[:, None]
            target = centred + recipe.discount * on * self.critic_target(n, self.actor_target(n))
        self.critic_adam.zero_grad()
        nn.functional.mse_loss(self.critic(s, a), target).backward()  # type: ignore[no-untyped-call]
        self.critic_adam.step()
        self.actor_adam.zero_grad()
        (-self.critic(s, self.actor(s)).mean()).backward()
        self.actor_adam.step()
        with torch.no_grad():
            for slow, fast in ((self.actor_target, self.actor), (self.critic_target, self.critic)):
                for p, q in zip(slow.parameters(), fast.parameters(), strict=True):
                    p.lerp_(q, recipe.tau)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on: tensors, and what is JSON."""
        tensors = {f"replay.{k}": torch.from_numpy(v.copy()) for k, v in self.replay.arrays().items()}
        for name in _NETS:
            tensors |= {f"{name}.{k}": v.detach().clone() for k, v in getattr(self, name).state_dict().items()}
        for name in _ADAMS:
            for i, kept in getattr(self, name).state_dict()["state"].items():
                tensors |= {f"{name}.{i}.{k}": torch.as_tensor(v).clone() for k, v in kept.items()}
        told = {"average": self.average, "rng": self.rng.bit_generator.state, "next": self.replay.next,
                "size": self.replay.size, "recipe": self.recipe.to_dict()}  # fmt: skip
        return tensors, told

    def restore(self, tensors: Mapping[str, Tensor], told: Mapping[str, Any]) -> None:
        """What `state` gave; InputError when it is of another agent."""
        try:
            if told["recipe"] != {**self.recipe.to_dict(), "hidden": list(self.recipe.hidden)}:
                raise ValueError("another recipe")
            for name in _NETS:
                prefix = f"{name}."
                own = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
                getattr(self, name).load_state_dict(own)
            for name in _ADAMS:
                self._restore_adam(name, tensors)
            self.replay.restore({k.removeprefix("replay."): v.numpy() for k, v in tensors.items() if "replay." in k})
            self.replay.next, self.replay.size = int(told["next"]), int(told["size"])
            self.average = None if told["average"] is None else float(told["average"])
            self.rng.bit_generator.state = told["rng"]
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise InputError(f"DDPG: the state is not of this agent: {error}") from None

    def _restore_adam(self, name: str, tensors: Mapping[str, Tensor]) -> None:
        adam: torch.optim.Adam = getattr(self, name)
        data = adam.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"{name}."):
                _, i, field = key.split(".")
                state.setdefault(int(i), {})[field] = value
        data["state"] = state
        adam.load_state_dict(data)


_NETS = ("actor", "critic", "actor_target", "critic_target")
_ADAMS = ("actor_adam", "critic_adam")


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A layer with PyTorch's usual start, uniform in 1 / sqrt(inputs), from our generator."""
    layer = nn.Linear(inputs, outputs)
    with torch.no_grad():
        for p in layer.parameters():
            p.uniform_(-(inputs**-0.5), inputs**-0.5, generator=generator)
    return layer
