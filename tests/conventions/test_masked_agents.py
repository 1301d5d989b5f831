"""Agents that are told which actions are allowed: never another one, the losses, resume, memory."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from handing_over import hand_over
from masked_envs import MET, WAYS
from sb3_contrib import MaskablePPO

from agent_gym import DQN as DQNFace
from agent_gym.agents import agent_class, config_class
from agent_gym.agents.networks import ActorCritic
from agent_gym.agents.off_policy.critic import ranked
from agent_gym.agents.ppo import Coefficients, ppo_loss
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError
from agent_gym.training.evaluation import play

SMALL = {"hidden_sizes": (16,), "seed": 1, "total_steps": 10_000}
OFF = {"learning_starts": 100, "buffer_size": 2000, "batch_size": 8, "sequence_length": 4, "burn_in": 2}
AGENTS = {
    "ppo": {"num_steps": 16, "num_envs": 4},
    "a2c": {"num_envs": 4},
    "dqn": OFF | {"num_envs": 4, "train_every": 4, "n_step": 2},
    "qrdqn": OFF | {"num_envs": 4, "train_every": 4, "quantiles": 5},
    "sac": OFF | {"num_envs": 4, "train_every": 4, "utd": 0.2},
}


def make_agent(name: str, env, **settings):
    return agent_class(name)(config_class(name)(**SMALL | AGENTS[name] | settings), env)


def learn(agent, steps: int) -> None:
    while agent.steps < steps:
        agent.collect()
        agent.update()


@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
@pytest.mark.parametrize("name", AGENTS)
def test_no_forbidden_action_is_taken(name, encoder):
    """AgentGym/FollowSuit ends an episode by a forbidden action, and by nothing else before its 32 steps."""
    env = make_env("AgentGym/FollowSuit-v0", 4)
    agent = make_agent(name, env, encoder=encoder)
    agent.begin()
    learn(agent, 320)
    assert agent.window.shape[1] and (agent.window[1] == 32).all()
    score = play(agent.policy, env, 8, seed=5, explore=True)
    assert (score.lengths == 32).all() and (score.returns >= 0).all()


def test_images_go_with_masks():
    class Screen(WAYS["info"]):
        def __init__(self):
            super().__init__()
            self.observation_space = spaces.Box(0, 255, (16, 16, 1), np.uint8)

        def _obs(self):
            return np.full((16, 16, 1), 50 * self.place, np.uint8)

    for name in ("ppo", "dqn"):
        MET.clear()
        agent = make_agent(name, SyncEnv([Screen() for _ in range(4)], "Screen"), encoder="cnn")
        agent.begin()
        learn(agent, 200)
        assert not MET


@pytest.mark.parametrize("name", ["ppo", "dqn"])
@pytest.mark.parametrize("space", [spaces.MultiDiscrete([5, 3]), spaces.MultiBinary(5)], ids=["many", "bits"])
def test_choices_and_bits_are_masked(name, space):
    if name == "dqn" and isinstance(space, spaces.MultiBinary):
        return
    MET.clear()
    agent = make_agent(name, SyncEnv([WAYS["info"](space) for _ in range(4)], "Doors"))
    agent.begin()
    learn(agent, 240)
    assert not MET


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("encoder", ["mlp", "gru"])
def test_a_masked_agent_goes_on_exactly(name, encoder, tmp_path):
    def made():
        env = SyncEnv([WAYS["info"]() for _ in range(4)], "Doors")
        env.keep_record()
        return make_agent(name, env, encoder=encoder)

    agent, again = made(), made()
    agent.begin()
    learn(agent, 160)
    agent.settle()
    hand_over(agent, again, tmp_path / "state.pt")
    for part in (agent, again):
        learn(part, 288)
    for a, b in zip(agent.policy.parameters(), again.policy.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_loss_is_that_of_maskable_ppo():
    """sb3-contrib 2.9's MaskablePPO.train, its loss written out on its own evaluate_actions."""
    from sb3_contrib.common.envs import InvalidActionEnvDiscrete

    theirs = MaskablePPO("MlpPolicy", InvalidActionEnvDiscrete(dim=8, n_invalid_actions=5), seed=0, device="cpu")
    count, config = 64, config_class("ppo")(encoder="mlp", share_encoder="no", entropy_coef=0.01)
    space = theirs.env.observation_space
    ours = ActorCritic(space, spaces.Discrete(8), config, shared=False)
    policy = theirs.policy
    with torch.no_grad():
        for mine, their in (
            (ours.encoder, [*policy.mlp_extractor.policy_net.parameters()]),
            (ours.critic_encoder, [*policy.mlp_extractor.value_net.parameters()]),
            (ours.head, [*policy.action_net.parameters()]),
            (ours.value_head, [*policy.value_net.parameters()]),
        ):
            for a, b in zip(mine.parameters(), their, strict=True):
                a.copy_(b)
    drawn = torch.Generator().manual_seed(0)
    obs = torch.randint(8, (count,), generator=drawn)
    mask = torch.rand(count, 8, generator=drawn) < 0.4
    mask[:, 3] = True
    action = ranked(torch.rand(count, generator=drawn), mask)
    old, advantage, returns = (torch.randn(count, generator=drawn) for _ in range(3))
    batch = {"obs": obs, "mask": mask, "action": action, "log_prob": 0.3 * old - 1.0, "value": old}
    batch |= {"advantage": advantage, "returns": returns, "reset": torch.zeros(count, dtype=torch.bool)}
    batch = {name: part.unsqueeze(0) for name, part in batch.items()}
    loss, stats = ppo_loss(ours, batch, torch.zeros(count, 0), config, Coefficients(config))

    values, log_prob, entropy = policy.evaluate_actions(obs, action, action_masks=mask)
    ratio = torch.exp(log_prob - batch["log_prob"][0])
    policy_loss = -torch.min(advantage * ratio, advantage * torch.clamp(ratio, 0.8, 1.2)).mean()
    expected = policy_loss - 0.01 * entropy.mean() + 0.5 * torch.nn.functional.mse_loss(returns, values.flatten())
    assert loss.item() == pytest.approx(expected.item(), abs=1e-5)
    assert stats["entropy"].item() == pytest.approx(entropy.mean().item(), abs=1e-5)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.head.linear.weight.grad, policy.action_net.weight.grad, atol=1e-6, rtol=1e-4)


def test_dqn_bootstraps_from_allowed_actions_alone():
    agent = make_agent("dqn", make_env("AgentGym/FollowSuit-v0", 1), num_envs=1, n_step=1, dueling=False)
    with torch.no_grad():  # the values do not depend on the state: 0, 1, …, 11
        for part in (agent.network, agent.target.module):
            part.head.weight.zero_()
            part.head.bias.copy_(torch.arange(12.0))
    mask = torch.zeros(1, 2, 12, dtype=torch.bool)
    mask[0, 0, [2, 5]] = mask[0, 1, 7] = True
    batch = {"obs": torch.zeros(1, 2, dtype=torch.int64), "next_obs": torch.zeros(1, 2, dtype=torch.int64)}
    batch |= {"action": torch.tensor([[1, 1]]), "reward": torch.ones(1, 2), "discount": torch.full((1, 2), 0.5)}
    _, stats = agent.loss(batch | {"mask": mask, "next_mask": mask})
    assert stats["td_error"][0].tolist() == pytest.approx([1 - (1 + 0.5 * 5), 1 - (1 + 0.5 * 7)])


def test_ranked_draws_allowed_ones_alike():
    allowed = torch.tensor([[True, False, True, True, False]]).expand(30_000, 5)
    drawn = ranked(torch.rand(30_000, generator=torch.Generator().manual_seed(0)), allowed)
    share = drawn.bincount(minlength=5) / 30_000
    assert share.tolist() == pytest.approx([1 / 3, 0, 1 / 3, 1 / 3, 0], abs=0.02)
    assert ranked(torch.ones(30_000), allowed).unique().tolist() == [3]  # a number rounded up to 1


def test_predict_takes_masks_as_sb3_contrib_does(tmp_path):
    small = {"total_steps": 150, "learning_starts": 100, "utd": 0.1, "hidden_sizes": (8,), "eval_episodes": 2}
    agent = DQNFace(WAYS["obs"], quiet=True, **small)
    agent.learn(run_dir=tmp_path / "run")
    env = WAYS["obs"]()
    obs, _ = env.reset(seed=0)
    for _ in range(7):
        action, _ = agent.predict(obs)
        assert env.takes(action)
        obs = env.step(action)[0]
    only = np.eye(5, dtype=np.int8)
    plain = {"observation": obs["observation"]}
    assert [int(agent.predict(plain, action_masks=only[k])[0]) for k in range(5)] == list(range(5))
    batch = {"observation": np.zeros((5, 5), np.float32)}
    assert agent.predict(batch, action_masks=only)[0].tolist() == list(range(5))
    with pytest.raises(UserError, match="allows no action"):
        agent.predict(plain, action_masks=np.zeros(5, np.int8))
    with pytest.raises(UserError, match="3 entries"):
        agent.predict(plain, action_masks=np.ones(3, np.int8))
    with pytest.raises(UserError, match="for 2 observations: expected 5"):
        agent.predict(batch, action_masks=only[:2])


def test_forbidden_bars_look_forbidden():
    from agent_gym.viewing.bars import rows_of

    probs = {"probs": np.array([0.5, 0.5, 0.0]), "allowed": np.array([True, True, False])}
    rows = rows_of(probs, np.array(0), ["left", "right", "up"], gymnasium.spaces.Discrete(3))
    assert [row.allowed for row in rows] == [True, True, False] and rows[2].text == "no"
    many = {"q": np.arange(8.0).reshape(2, 4), "allowed": np.array([1, 1, 1, 0, 1, 0])}
    rows = rows_of(many, np.array([2, 1]), [], spaces.MultiDiscrete([4, 2]))
    assert [row.allowed for row in rows] == [True, True, True, False, True, False]
    assert [row.chosen for row in rows] == [False, False, True, False, False, True]
