"""PPO's loss against Stable-Baselines3, its minibatches, its memory, and that it learns."""

import dataclasses

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO as SB3PPO
from stable_baselines3.common.env_util import make_vec_env

from agent_gym.agents import agent_class
from agent_gym.agents.buffers.returns import standardize
from agent_gym.agents.buffers.rollout import Rollout, minibatches
from agent_gym.agents.networks import ActorCritic
from agent_gym.agents.ppo import PPO, Coefficients, ppo_loss, ratio_stats
from agent_gym.agents.settings.ppo import A2CConfig, PPOConfig
from agent_gym.envs.make import make_env
from agent_gym.nets.settings import EncoderSettings

OBS = spaces.Box(-np.inf, np.inf, (4,), np.float32)


def copy_weights(policy: ActorCritic, sb3) -> None:
    """The same numbers in Stable-Baselines3's MlpPolicy, layer by layer."""
    ours = list(policy.encoder.parameters()) + list(policy.critic_encoder.parameters())
    theirs = list(sb3.mlp_extractor.policy_net.parameters())
    theirs += list(sb3.mlp_extractor.value_net.parameters())
    ours += [policy.head.linear.weight, policy.head.linear.bias]
    ours += [policy.value_head.linear.weight, policy.value_head.linear.bias]
    theirs += [sb3.action_net.weight, sb3.action_net.bias, sb3.value_net.weight, sb3.value_net.bias]
    for a, b in zip(ours, theirs, strict=True):
        b.data.copy_(a.data)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
@pytest.mark.parametrize("clip_value_coef", [0.0, 0.1])
def test_loss_agrees_with_stable_baselines3(env_id, clip_value_coef):
    torch.manual_seed(0)
    clip, entropy_coef, value_coef, size = torch.tensor(0.2), 0.01, 0.5, 64
    sb3 = SB3PPO("MlpPolicy", make_vec_env(env_id, 1), device="cpu").policy
    policy = ActorCritic(sb3.observation_space, sb3.action_space, EncoderSettings(), shared=False)
    copy_weights(policy, sb3)
    obs = torch.randn(size, *sb3.observation_space.shape)
    action = torch.randint(2, (size,)) if env_id == "CartPole-v1" else torch.randn(size, 1)
    old_value, advantage, returns = torch.randn(3, size)
    value, log_prob, entropy = sb3.evaluate_actions(obs, action)
    old_log_prob = log_prob.detach() + 0.3 * torch.randn(size)

    # stable_baselines3/ppo/ppo.py, train(): the lines between evaluate_actions and the optimizer step.
    scaled = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
    ratio = torch.exp(log_prob - old_log_prob)
    policy_loss = -torch.min(scaled * ratio, scaled * torch.clamp(ratio, 1 - clip, 1 + clip)).mean()
    value = value.flatten()
    if clip_value_coef:
        value = old_value + torch.clamp(value - old_value, -clip_value_coef, clip_value_coef)
    value_loss = torch.nn.functional.mse_loss(returns, value)
    expected = policy_loss + entropy_coef * -torch.mean(entropy) + value_coef * value_loss
    kl = torch.mean((ratio - 1) - (log_prob - old_log_prob))
    clip_fraction = torch.mean((torch.abs(ratio - 1) > clip).float())

    fields = {"obs": obs, "action": action, "log_prob": old_log_prob, "value": old_value, "returns": returns}
    batch = {name: x.unsqueeze(0) for name, x in fields.items()}
    batch |= {"reset": torch.zeros(1, size, dtype=torch.bool), "advantage": standardize(advantage).unsqueeze(0)}
    config = PPOConfig(entropy_coef=entropy_coef, value_coef=value_coef, clip_value_coef=clip_value_coef)
    numbers = Coefficients(config)
    numbers.clip_coef.copy_(clip)
    loss, stats = ppo_loss(policy, batch, torch.zeros(size, 0), config, numbers)
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    extra = ratio_stats(stats["log_ratio"], clip)
    torch.testing.assert_close(extra["approx_kl"], kl.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(extra["clip_fraction"], clip_fraction.detach())

    loss.backward()
    expected.backward()
    torch.testing.assert_close(policy.head.linear.weight.grad, sb3.action_net.weight.grad, atol=1e-5, rtol=0)
    first = next(policy.critic_encoder.parameters()).grad
    torch.testing.assert_close(first, next(sb3.mlp_extractor.value_net.parameters()).grad, atol=1e-5, rtol=0)


def test_invalid_steps_do_not_count():
    torch.manual_seed(0)
    policy = ActorCritic(OBS, spaces.Discrete(2), EncoderSettings(), shared=False)
    batch = {
        "obs": torch.randn(1, 8, 4),
        "reset": torch.zeros(1, 8, dtype=torch.bool),
        "action": torch.randint(2, (1, 8)),
        **{name: torch.randn(1, 8) for name in ("log_prob", "value", "advantage", "returns")},
    }
    valid = torch.tensor([[True, False, True, True, False, True, True, False]])
    kept = {name: x[valid].unsqueeze(0) for name, x in batch.items()}
    loss, _ = ppo_loss(policy, batch | {"valid": valid}, torch.zeros(8, 0), PPOConfig(), Coefficients(PPOConfig()))
    expected, _ = ppo_loss(policy, kept, torch.zeros(5, 0), PPOConfig(), Coefficients(PPOConfig()))
    torch.testing.assert_close(loss, expected)


def test_steps_are_said_to_be_valid_at_some_times_alone():
    """As by environments that wait for each other now and then: where all are, nothing changes."""
    found = []
    for at in ((), (3, 4, 9, 17, 18)):
        torch.manual_seed(0)
        config = PPOConfig(num_envs=2, num_steps=8, num_epochs=2, num_minibatches=2, hidden_sizes=(8,))
        agent = PPO(config, make_env("CartPole-v1", 2, seed=1))
        number, step = iter(range(1000)), agent.env.step

        def says(action, at=at, number=number, step=step):
            told = step(action)
            return told._replace(valid=torch.ones(2, dtype=torch.bool)) if next(number) in at else told

        agent.env.step = says
        agent.begin()
        for _ in range(4):
            agent.collect()
            agent.update()
        found.append(torch.cat([p.flatten() for p in agent.policy.parameters()]))
    assert torch.equal(*found)


def test_minibatches_cover_each_step_once_and_keep_sequences_whole():
    steps, envs = 6, 4
    index = torch.arange(steps * envs).view(steps, envs)
    rollout = Rollout(steps, envs, "cpu")
    for t in range(steps):
        rollout.add(t, index=index[t], tree={"a": index[t].float()})
    generator = torch.Generator().manual_seed(0)
    batch = {"index": rollout["index"], "tree": rollout["tree"]}

    seen = [mini for mini, _ in minibatches(batch, torch.zeros(envs, 0), 5, generator)]
    assert [m["index"].shape[0] for m in seen] == [1] * 5
    assert sorted(torch.cat([m["index"].flatten() for m in seen]).tolist()) == list(range(steps * envs))
    for mini in seen:
        torch.testing.assert_close(mini["tree"]["a"], mini["index"].float())

    state = torch.arange(envs).float().unsqueeze(1)
    whole = list(minibatches(batch, state, 2, generator))
    for mini, start in whole:
        assert mini["index"].shape == (steps, 2)
        torch.testing.assert_close(mini["index"][0].float(), start[:, 0])
        assert (mini["index"].diff(dim=0) == envs).all()
    assert sorted(torch.cat([m["index"][0] for m, _ in whole]).tolist()) == list(range(envs))


@pytest.mark.parametrize("encoder", ["mlp", "lstm", "gru", "transformer"])
def test_first_epoch_reproduces_the_rollout(encoder):
    """Before any step, the loss sees the very log-probabilities and values that acting saw: ratio 1 everywhere."""
    config = PPOConfig(num_envs=6, num_steps=40, encoder=encoder, hidden_sizes=(16,), recurrent_size=8)
    env = make_env("CartPole-v1", 6, backend="native")
    torch.manual_seed(0)
    agent = PPO(config, env)
    agent.begin()
    agent.collect()
    agent.collect()  # a second rollout starts in the middle of episodes, with memory
    assert agent.rollout["terminated"].any()
    batch = agent._targets()
    with torch.no_grad():
        for minibatch, state in minibatches(batch, agent.first_state, 2, agent.generator):
            _, value, _ = agent.network(minibatch["obs"], state, minibatch["reset"])
            torch.testing.assert_close(value, minibatch["value"], atol=1e-5, rtol=1e-5)
            _, stats = agent.loss(minibatch, state)
            torch.testing.assert_close(stats["log_ratio"], torch.zeros_like(stats["log_ratio"]), atol=1e-5, rtol=0)


def test_truncation_bootstraps_from_the_true_successor():
    config = PPOConfig(num_envs=2, num_steps=520, hidden_sizes=(8,))
    agent = PPO(config, make_env("Pendulum-v1", 2, backend="sync"))
    agent.begin()
    agent.collect()
    truncated = agent.rollout["truncated"]
    assert truncated.sum() == 2 * (520 // 200) and not agent.rollout["terminated"].any()
    ends = truncated[:, 0].nonzero().flatten()
    batch = agent._targets()
    value, final_value = batch["value"], agent.rollout["final_value"]
    # The obs after an end belongs to the next episode, so its value must differ from the one bootstrapped from.
    assert (final_value[ends, 0] != value[ends + 1, 0]).all()
    t = int(ends[0])
    delta = agent.rollout["reward"][t] + config.gamma * final_value[t] - value[t]
    torch.testing.assert_close(batch["advantage"][t], delta)


@pytest.mark.parametrize("config", [PPOConfig(), A2CConfig(gamma=0.98, learning_rate=3e-3)], ids=["ppo", "a2c"])
def test_learns_cartpole(config):
    """A tiny budget lifts the return far above the 22 of a random policy."""
    total = 24_000
    extra = {"learning_rate": 3e-3, "num_steps": 32, "num_epochs": 4} if type(config) is PPOConfig else {}
    config = dataclasses.replace(config, num_envs=32, total_steps=total, seed=1, **extra)
    torch.manual_seed(config.seed)
    agent = agent_class("ppo")(config, make_env("CartPole-v1", 32, backend="native", seed=1))
    agent.begin()
    while agent.steps < total:
        scalars = agent.collect()
        agent.update()
    assert scalars["rollout/episode_return"] > 60


@pytest.mark.parametrize("encoder", ["mlp", "lstm"])
def test_a_restored_agent_goes_on_bit_for_bit(encoder):
    config = PPOConfig(
        num_envs=8, num_steps=16, encoder=encoder, hidden_sizes=(16,), normalize_obs=True, normalize_returns=True
    )

    def fresh(seed: int) -> PPO:
        torch.manual_seed(seed)
        return PPO(config, make_env("CartPole-v1", 8, backend="native", seed=seed))

    def go_on(agent: PPO) -> torch.Tensor:
        for _ in range(3):
            agent.collect()
            agent.update()
        return agent.learner.parameters.detach().clone()

    first = fresh(0)
    first.begin()
    go_on(first)
    state = {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in first.state_dict().items()}
    state["model"] = {k: v.clone() for k, v in state["model"].items()}
    import copy

    state = copy.deepcopy(state)
    expected = go_on(first)
    second = fresh(1)
    second.load_state_dict(state)
    assert torch.equal(go_on(second), expected)
    assert second.steps == first.steps and torch.equal(second.window, first.window)


def test_values_in_extras_are_in_units_of_reward():
    """Against the statistics by hand: value over scale, plus offset; the learner keeps the network's own."""
    config = PPOConfig(env="Pendulum-v1", num_envs=4, num_steps=32, encoder="gru", normalize_returns=True)
    agent = PPO(config, make_env("Pendulum-v1", 4), "cpu")
    agent.begin()
    agent.collect()
    agent.update()
    here = (agent.obs, agent.state, agent.reset, None)
    _, _, extras = agent.policy.act_and_value(*here, torch.Generator().manual_seed(0))
    learned, stats = agent.policy.value(*here[:3]), agent.policy.return_stats
    assert abs(float(stats.scale) - 1.0) > 0.1
    expected = learned / stats.scale + stats.offset.float()
    torch.testing.assert_close(extras["value"], expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(extras["value"], agent.policy.inspect(*here)["value"])
    agent.collect()
    torch.testing.assert_close(agent.rollout["value"][0], learned)
    assert "learned_value" not in agent.rollout.fields
