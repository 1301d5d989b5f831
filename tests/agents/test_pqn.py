"""PQN: the targets of Q(λ) by hand, its loss, masks, memory, exact resume, and learning."""

import copy
import dataclasses

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tiny_envs import Chain

from agent_gym.agents.pqn import PQN
from agent_gym.agents.settings.pqn import PQNConfig
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.make import make_env

SMALL = {"num_steps": 8, "hidden_sizes": (16,), "num_minibatches": 2, "recurrent_size": 8}


def make(env_id: str = "CartPole-v1", num_envs: int = 4, seed: int = 0, **settings) -> PQN:
    config = PQNConfig(num_envs=num_envs, seed=seed, **SMALL | settings)
    torch.manual_seed(seed)
    return PQN(config, make_env(env_id, num_envs, seed=seed, training=True))


class Script(gymnasium.Env):
    """Rewards 1, 2, 4 and the end: a real one or a cut. Of three actions the last is never allowed."""

    observation_space, action_space = spaces.Box(0.0, 4.0, (1,), np.float32), spaces.Discrete(3)

    def __init__(self, cut: bool) -> None:
        self.cut = cut

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        assert action < 2
        self.t += 1
        end = self.t == 3
        return np.full(1, self.t, np.float32), float(2 ** (self.t - 1)), end and not self.cut, end and self.cut, {}

    def action_masks(self):
        return np.array([True, True, False])


def test_targets_are_those_of_q_lambda_by_hand():
    """γ = 1/2, λ = 1/2, max Q = 10, 20, 30 at t = 0, 1, 2 and 40 where the cut episode ends.

    Terminated: R2 = 4; R1 = 2 + (4/2 + 30/2) / 2 = 10.5; R0 = 1 + (10.5/2 + 20/2) / 2 = 8.625.
    Cut: R2 = 4 + 40/2 = 24; R1 = 2 + (24/2 + 30/2) / 2 = 15.5; R0 = 1 + (15.5/2 + 20/2) / 2 = 9.875.
    """
    settings = {"num_envs": 2, "gamma": 0.5, "q_lambda": 0.5, "num_steps": 3, "hidden_sizes": (4,)}
    agent = PQN(PQNConfig(**settings), SyncEnv([Script(False), Script(True)], "Script-v0"))
    q_of = lambda obs: torch.cat((obs * 10 + 5, obs * 10 + 10, torch.full_like(obs, 1000.0)), -1)  # noqa: E731
    agent.policy.forward = lambda obs, state, reset: (q_of(obs), state)
    agent.begin()
    agent.collect()
    batch = agent._targets()
    assert batch["value"].T.tolist() == [[10.0, 20.0, 30.0]] * 2
    assert batch["returns"].T.tolist() == [[8.625, 10.5, 4.0], [9.875, 15.5, 24.0]]


def test_the_loss_is_half_the_squared_error_of_the_action_taken():
    agent = make()
    agent.begin()
    agent.collect()
    batch = agent._targets()
    q, _ = agent.network(batch["obs"], agent.first_state, batch["reset"])
    chosen = q.gather(-1, batch["action"].unsqueeze(-1)).squeeze(-1)
    loss, stats = agent.loss(batch, agent.first_state)
    torch.testing.assert_close(loss, 0.5 * torch.nn.functional.mse_loss(chosen, batch["returns"]))
    valid = torch.zeros_like(batch["returns"], dtype=torch.bool)
    valid[2, 1] = True
    loss, stats = agent.loss(batch | {"valid": valid}, agent.first_state)
    assert stats["q_mean"].item() == chosen[2, 1].item()
    assert loss.item() == pytest.approx(0.5 * (chosen[2, 1] - batch["returns"][2, 1]).item() ** 2)


@pytest.mark.parametrize("encoder", ["mlp", "lstm", "gru"])
def test_learning_sees_the_values_that_acting_saw(encoder):
    agent = make(encoder=encoder, num_steps=40)
    agent.begin()
    agent.collect()
    agent.collect()  # a second rollout starts in the middle of episodes, with memory
    assert agent.rollout["terminated"].any()
    batch = agent._targets()
    with torch.no_grad():
        q, _ = agent.network(batch["obs"], agent.first_state, batch["reset"])
    torch.testing.assert_close(q.amax(-1), batch["value"], atol=1e-5, rtol=1e-5)


def test_only_allowed_actions_are_taken_drawn_and_valued():
    agent = make("AgentGym/TicTacToe-v0", encoder="mlp", num_envs=16, exploration_initial=1.0)
    agent.begin()
    counts = torch.zeros(9)
    for _ in range(30):
        agent.collect()
        taken = agent.rollout["mask"].gather(-1, agent.rollout["action"].unsqueeze(-1))
        assert taken.all()
        counts += torch.bincount(agent.rollout["action"].flatten(), minlength=9)
        batch = agent._targets()
        with torch.no_grad():
            q, _ = agent.network(batch["obs"], agent.first_state, batch["reset"])
        torch.testing.assert_close(
            agent.network.allowed(q, batch["mask"]).amax(-1), batch["value"], atol=1e-5, rtol=1e-5
        )
        agent.update()
    assert counts.min() > 0.5 * counts.max()
    mask = torch.tensor([[False, True, False, True, False, False, False, False, False]]).repeat(4000, 1)
    obs = agent.obs[:1].expand(4000, *agent.obs.shape[1:])
    drawn = {"explore": True, "generator": agent.generator, "epsilon": 1.0}
    action, _, _ = agent.policy.act(obs, torch.zeros(4000, 0), torch.ones(4000, dtype=torch.bool), mask, **drawn)
    share = torch.bincount(action, minlength=9) / 4000
    assert share[1] + share[3] == 1.0 and abs(share[1] - 0.5) < 0.04
    greedy, _, _ = agent.policy.act(obs, torch.zeros(4000, 0), torch.ones(4000, dtype=torch.bool), mask)
    assert mask.gather(1, greedy.unsqueeze(1)).all() and len(greedy.unique()) == 1


@pytest.mark.parametrize("encoder", ["mlp", "gru"])
def test_a_restored_agent_goes_on_bit_for_bit_from_the_middle_of_a_rollout(encoder):
    settings = {"encoder": encoder, "normalize_obs": True, "normalize_returns": True, "total_steps": 1000}

    def go_on(agent: PQN) -> torch.Tensor:
        for _ in range(3):
            agent.collect()
            agent.update()
        return agent.learner.parameters.detach().clone()

    first = make(seed=1, **settings)
    first.begin()
    go_on(first)
    stops = iter([False] * 3 + [True])
    first.interrupted = lambda: next(stops)
    assert first.collect() is None and first.filled == 3
    first.interrupted = lambda: False
    state = copy.deepcopy(first.state_dict())
    expected = go_on(first)
    second = make(seed=2, **settings)
    second.load_state_dict(state)
    assert torch.equal(go_on(second), expected) and second.steps == first.steps


def test_it_learns_the_exact_values_of_a_chain():
    """Ten steps in Chain: far right pays most, and its value from place 3 with γ = 0 is 1, of left 0.1."""
    config = PQNConfig(num_envs=8, num_steps=16, gamma=0.0, total_steps=6000, learning_rate=5e-3, hidden_sizes=(16,))
    config = dataclasses.replace(config, exploration_final=1.0)
    torch.manual_seed(0)
    agent = PQN(config, SyncEnv([Chain() for _ in range(8)], "Chain-v0"))
    agent.begin()
    while agent.steps < config.total_steps:
        agent.collect()
        agent.update()
    q, _ = agent.policy(torch.arange(4), torch.zeros(4, 0), torch.ones(4, dtype=torch.bool))
    expected = torch.tensor([[0.1, 0.0], [0.1, 0.0], [0.1, 0.0], [0.1, 1.0]])
    torch.testing.assert_close(q.detach(), expected, atol=0.05, rtol=0)


def test_it_learns_cartpole():
    settings = {"num_steps": 32, "num_epochs": 4, "learning_rate": 2e-3, "q_lambda": 0.9, "hidden_sizes": (64, 64)}
    settings |= {"total_steps": 20_000, "num_minibatches": 4, "normalize_obs": True, "normalize_returns": True}
    agent = make(num_envs=32, seed=1, **settings)
    agent.begin()
    while agent.steps < 20_000:
        scalars = agent.collect()
        agent.update()
    assert scalars["rollout/episode_return"] > 80
