"""The agent: its noise, its memory, that it learns, and that it goes on where it was."""

import json

import numpy as np
import pytest
import torch

from cofront.errors import InputError, UsageError
from cofront.search.policy.ddpg import Ddpg, DdpgRecipe
from cofront.search.policy.noise import truncated_normal
from cofront.search.policy.replay import Replay

SMALL = DdpgRecipe(hidden=(32, 32), actor_rate=1e-3, warmup=10, batch=32)


def episode(agent: Ddpg, number: int, wanted: np.ndarray) -> float:
    states = np.eye(len(wanted), agent.states)
    actions = np.array([agent.act(s, number) for s in states])
    reward = -float(((actions - wanted) ** 2).sum())
    agent.learn(states, actions, reward, number)
    return reward


def test_noise_stays_inside_and_has_the_distribution():
    rng = np.random.default_rng(0)
    drawn = np.array([truncated_normal(0.9, 0.5, rng) for _ in range(4000)])
    assert drawn.min() >= 0 and drawn.max() <= 1
    from scipy.stats import kstest, truncnorm

    assert kstest(drawn, truncnorm((0 - 0.9) / 0.5, (1 - 0.9) / 0.5, 0.9, 0.5).cdf).pvalue > 0.01
    assert truncated_normal(0.3, 0.0, rng) == 0.3
    assert truncated_normal(2.0, 1e-9, rng) == 1.0


def test_the_replay_forgets_the_oldest():
    replay = Replay(4, 2)
    for i in range(6):
        replay.add(np.full(2, i), i / 10, -i, np.full(2, i + 1), i == 5)
    assert sorted(replay.action[: replay.size].tolist()) == pytest.approx([0.2, 0.3, 0.4, 0.5])
    state, action, reward, after, last = replay.sample(4, np.random.default_rng(0))
    assert np.allclose(after, state + 1) and np.allclose(reward, -10 * action)
    assert last.sum() == 1


def test_the_agent_finds_what_is_rewarded():
    wanted = np.array([0.9, 0.1, 0.6])
    agent = Ddpg(3, 3, SMALL, seed=3)
    for number in range(100):
        episode(agent, number, wanted)
    found = np.array([agent.best(s) for s in np.eye(3)])
    start = np.array([Ddpg(3, 3, SMALL, seed=3).best(s) for s in np.eye(3)])
    assert ((found - wanted) ** 2).sum() < 0.5 * ((start - wanted) ** 2).sum()


def test_rewards_are_centred_and_targets_follow():
    agent = Ddpg(3, 3, SMALL, seed=0)
    before = {k: v.clone() for k, v in agent.actor_target.state_dict().items()}
    for number in range(12):  # the warm-up, its last episode, and one of updates
        episode(agent, number, np.full(3, 0.5))
        if number == 10:
            assert agent.average is None
            assert all(torch.equal(v, before[k]) for k, v in agent.actor_target.state_dict().items())
    assert agent.average is not None and agent.average < 0
    moved = [not torch.equal(v, before[k]) for k, v in agent.actor_target.state_dict().items()]
    assert all(moved)


def test_the_same_seed_and_a_restored_agent_go_the_same_way():
    wanted = np.array([0.2, 0.8])
    recipe = DdpgRecipe(hidden=(8, 8), warmup=3, batch=8)
    a, b, other = Ddpg(2, 2, recipe, seed=1), Ddpg(2, 2, recipe, seed=1), Ddpg(2, 2, recipe, seed=2)
    first = [[episode(x, n, wanted) for n in range(12)] for x in (a, b, other)]
    assert first[0] == first[1] != first[2]
    tensors, told = a.state()
    resumed = Ddpg(2, 2, recipe, seed=9)
    resumed.restore(tensors, json.loads(json.dumps(told)))
    assert [episode(a, n, wanted) for n in range(12, 20)] == [episode(resumed, n, wanted) for n in range(12, 20)]
    with pytest.raises(InputError, match="the state is not of this agent: another recipe"):
        Ddpg(2, 2, SMALL).restore(tensors, json.loads(json.dumps(told)))


def test_what_is_wrong_is_said():
    agent = Ddpg(2, 2, SMALL)
    with pytest.raises(UsageError, match=r"expected 2 steps of 2 numbers, got \(1, 2\)"):
        agent.learn(np.zeros((1, 2)), np.zeros(1), 0.0, 0)
    with pytest.raises(InputError, match="the reward of episode 4 is nan"):
        agent.learn(np.zeros((2, 2)), np.zeros(2), float("nan"), 4)
    with pytest.raises(UsageError, match="sizes are from 1"):
        DdpgRecipe(batch=0)
