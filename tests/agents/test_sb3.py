"""Stable-Baselines3 under our loop: what its own learn() gives, exact resume, memory, masks, our encoders."""

import json
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from agent_gym.agents.sb3.agent import SB3, Bridge, EncoderExtractor, make_policy
from agent_gym.agents.sb3.algorithms import algorithm_class, make_algorithm
from agent_gym.agents.sb3.config import SB3Config
from agent_gym.agents.sb3.presets import zoo_preset
from agent_gym.envs.adapters.arrays import env_seeds
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.settings import EncoderSettings
from agent_gym.storage.tensor_file import read, write

ROOT = Path(__file__).parents[2]
NARROW = {"net_arch": [8]}
ON_POLICY = {"n_steps": 16, "batch_size": 16, "policy_kwargs": NARROW}
OFF_POLICY = {"learning_starts": 24, "batch_size": 8, "buffer_size": 500, "policy_kwargs": NARROW}
CASES = {  # algorithm: (environment, settings)
    "PPO": ("CartPole-v1", ON_POLICY | {"normalize": True, "learning_rate": "lin_0.01", "clip_range": "lin_0.2"}),
    "A2C": ("Pendulum-v1", {"n_steps": 8, "policy_kwargs": NARROW, "use_sde": True, "normalize": True}),
    "TRPO": ("CartPole-v1", ON_POLICY),
    "RecurrentPPO": ("CartPole-v1", ON_POLICY | {"policy_kwargs": {"lstm_hidden_size": 8, "net_arch": [8]}}),
    "DQN": ("CartPole-v1", OFF_POLICY | {"train_freq": 4, "gradient_steps": -1, "target_update_interval": 8}),
    "QRDQN": ("CartPole-v1", OFF_POLICY),
    "SAC": ("Pendulum-v1", OFF_POLICY | {"normalize": True}),
    "TD3": ("Pendulum-v1", OFF_POLICY | {"noise_type": "ornstein-uhlenbeck", "noise_std": 0.2}),
    "DDPG": ("Pendulum-v1", OFF_POLICY | {"noise_type": "normal", "noise_std": 0.2}),
    "TQC": ("Pendulum-v1", OFF_POLICY),
    "CrossQ": ("Pendulum-v1", OFF_POLICY),
    "ARS": ("CartPole-v1", {"n_delta": 2, "policy": "LinearPolicy"}),
}


def make_agent(algo: str, env_id: str, settings: dict, *, num_envs=2, backend="sync", total_steps=96, seed=3, **flags):
    config = SB3Config(
        algo=algo,
        env=env_id,
        num_envs=num_envs,
        total_steps=total_steps,
        seed=seed,
        algo_kwargs=json.dumps(settings),
        **flags,
    )
    return SB3(config, make_env(env_id, num_envs, backend=backend, seed=seed))


def advance(agent: SB3, steps: int) -> None:
    while agent.steps < steps:
        agent.collect()
        agent.update()


def weights(agent: SB3) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in agent.algorithm.policy.parameters()])


@pytest.mark.parametrize("algo", CASES)
def test_a_checkpoint_holds_the_whole_state(algo, tmp_path):
    env_id, settings = CASES[algo]
    agent = make_agent(algo, env_id, settings)
    agent.begin()
    advance(agent, 32)
    agent.settle()
    write(tmp_path / "last.pt", agent.state_dict())
    assert read(tmp_path / "last.pt")["algorithm"].keys() == agent.state_dict()["algorithm"].keys()


@pytest.mark.parametrize("algo", CASES)
def test_our_loop_learns_the_same_weights_as_learn(algo):
    env_id, settings = CASES[algo]
    agent = make_agent(algo, env_id, settings)
    agent.begin()
    advance(agent, 96)

    venv = DummyVecEnv([lambda: gymnasium.make(env_id)] * 2)
    plain = make_algorithm(algo, venv, settings, 3, "cpu")
    first = int(np.random.SeedSequence((3, 0, 0)).generate_state(1)[0])
    venv._seeds = env_seeds(first, 2)
    if algo == "ARS":
        # It resets for every candidate, each time from a new seed in the bridge: give it the same ones.
        resets = iter(range(1, 1000))
        original = venv.reset

        def reset():
            obs = original()
            seed = int(np.random.SeedSequence((3, 0, next(resets))).generate_state(1)[0])
            venv._seeds = env_seeds(seed, 2)
            return obs

        venv.reset = reset
    plain.learn(96)
    assert plain.num_timesteps == agent.steps
    expected = torch.cat([p.detach().flatten() for p in plain.policy.parameters()])
    torch.testing.assert_close(weights(agent), expected)


@pytest.mark.parametrize("algo", CASES)
def test_saved_state_goes_on_exactly(algo, tmp_path):
    env_id, settings = CASES[algo]
    backend = "native" if env_id == "CartPole-v1" else "sync"
    agent = make_agent(algo, env_id, settings, backend=backend, total_steps=160)
    if backend == "sync":
        agent.env.keep_record()
    agent.begin()
    advance(agent, 64)
    agent.settle()
    torch.save(agent.state_dict(), tmp_path / "state.pt")
    advance(agent, 160)

    resumed = make_agent(algo, env_id, settings, backend=backend, total_steps=160)
    if backend == "sync":
        resumed.env.keep_record()
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.steps >= 64
    advance(resumed, 160)
    assert resumed.steps == agent.steps
    assert torch.equal(weights(resumed), weights(agent))
    assert torch.equal(resumed.window, agent.window)


def test_bridge_steps_like_dummy_vec_env():
    env_id, count = "CartPole-v1", 3
    bridge = Bridge(SyncEnv([gymnasium.make(env_id, max_episode_steps=12) for _ in range(count)]), 5)
    venv = DummyVecEnv([lambda: gymnasium.make(env_id, max_episode_steps=12)] * count)
    venv._seeds = env_seeds(int(np.random.SeedSequence((5, 0, 0)).generate_state(1)[0]), count)
    np.testing.assert_array_equal(bridge.reset(), venv.reset())
    ends, cut = 0, 0
    rng = np.random.default_rng(0)
    for _ in range(60):
        action = rng.integers(2, size=count)
        (obs, reward, done, infos), expected = bridge.step(action), venv.step(action)
        np.testing.assert_array_equal(obs, expected[0])
        np.testing.assert_array_equal(reward, expected[1])
        np.testing.assert_array_equal(done, expected[2])
        for b in np.flatnonzero(done):
            np.testing.assert_array_equal(infos[b]["terminal_observation"], expected[3][b]["terminal_observation"])
            assert infos[b]["TimeLimit.truncated"] == expected[3][b]["TimeLimit.truncated"]
            ends, cut = ends + 1, cut + infos[b]["TimeLimit.truncated"]
    returns, lengths = bridge.take_finished()
    assert len(returns) == ends > cut > 0
    assert torch.equal(returns, lengths) and lengths.max() == 12


def test_bridge_reads_sets_and_calls_what_single_environments_have():
    bridge = Bridge(SyncEnv([gymnasium.make("CartPole-v1") for _ in range(3)]), 0)
    venv = DummyVecEnv([lambda: gymnasium.make("CartPole-v1")] * 3)
    for each in (bridge, venv):
        each.set_attr("gravity", 3.0)
        each.set_attr("gravity", 5.0, indices=[0, 2])
    for indices in (None, 1, [2, 0]):
        assert bridge.get_attr("gravity", indices) == venv.get_attr("gravity", indices)
        has = [each.env_method("has_wrapper_attr", "gravity", indices=indices) for each in (bridge, venv)]
        assert has[0] == has[1]
    with pytest.raises(AttributeError, match="absent"):
        bridge.set_attr("absent", 1)


SPACES = {
    "vector": spaces.Box(-1.0, 1.0, (3,)),
    "image": spaces.Box(0, 255, (40, 40, 3), np.uint8),
    "little image": spaces.Box(0, 255, (3, 8, 8), np.uint8),
    "discrete": spaces.Discrete(5),
    "multi-discrete": spaces.MultiDiscrete([3, 4]),
    "multi-binary": spaces.MultiBinary(4),
    "dict": spaces.Dict({"a": spaces.Box(-1.0, 1.0, (3,)), "b": spaces.Discrete(4)}),
}


@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("normalize_images", [True, False])
def test_extractor_gives_the_features_of_the_encoder(name, normalize_images):
    space = SPACES[name]
    space.seed(0)
    torch.manual_seed(0)
    encoder = make_encoder(space, EncoderSettings(hidden_sizes=(7,), cells="brightness"))
    extractor = EncoderExtractor(space, normalize_images, hidden_sizes=(7,))
    extractor.encoder.load_state_dict(encoder.state_dict())

    def batch(samples):
        if isinstance(samples[0], dict):
            return {key: batch([sample[key] for sample in samples]) for key in samples[0]}
        return torch.from_numpy(np.stack(samples))

    obs = batch([space.sample() for _ in range(6)])
    unsqueezed = {key: part.unsqueeze(0) for key, part in obs.items()} if isinstance(obs, dict) else obs.unsqueeze(0)
    expected, _ = encoder(unsqueezed, torch.zeros(6, 0), torch.zeros(1, 6, dtype=torch.bool))
    buffered = obs.unsqueeze(1) if name == "discrete" else obs  # as a rollout buffer holds it
    for given in (obs, buffered):
        features = extractor(preprocess_obs(given, space, normalize_images))
        assert features.shape == (6, extractor.features_dim)
        torch.testing.assert_close(features, expected[0])


def test_a_policy_does_not_initialise_the_extractor_again():
    kwargs = {"features_extractor_class": EncoderExtractor, "features_extractor_kwargs": {"orthogonal": False}}
    torch.manual_seed(0)
    reference = make_encoder(spaces.Box(-1.0, 1.0, (4,)), EncoderSettings(orthogonal=False))
    model = PPO("MlpPolicy", "CartPole-v1", seed=0, policy_kwargs=kwargs, device="cpu")
    ours = model.policy.features_extractor.encoder.state_dict()
    assert ours.keys() == reference.state_dict().keys()
    weight = ours["mlp.0.weight"]  # orthogonal columns of one length are what SB3 would have made of it
    gram = weight.T @ weight
    assert not torch.allclose(gram, gram.diagonal().mean() * torch.eye(4), atol=1e-3)


@pytest.mark.parametrize("encoder", ["lstm", "gru"])
def test_extractor_refuses_memory(encoder):
    with pytest.raises(UserError, match="memory"):
        EncoderExtractor(SPACES["vector"], encoder=encoder)


def test_our_encoder_serves_as_its_extractor():
    agent = make_agent("PPO", "CartPole-v1", ON_POLICY, encoder="mlp", hidden_sizes=(16, 16))
    assert isinstance(agent.algorithm.policy.features_extractor, EncoderExtractor)
    assert agent.algorithm.policy.features_extractor.features_dim == 16
    agent.begin()
    before = agent.algorithm.policy.features_extractor.encoder.mlp[0].weight.clone()
    advance(agent, 64)
    assert not torch.equal(before, agent.algorithm.policy.features_extractor.encoder.mlp[0].weight)


def test_memory_in_act_is_that_of_the_recurrent_policy():
    agent = make_agent("RecurrentPPO", "CartPole-v1", CASES["RecurrentPPO"][1], num_envs=3)
    rng = np.random.default_rng(0)
    state, memory = agent.policy.initial_state(3), None
    for t in range(8):
        obs = rng.normal(size=(3, 4)).astype(np.float32)
        start = np.array([t == 0, t in (0, 3), t in (0, 5)])
        action, state, _ = agent.policy.act(torch.from_numpy(obs), state, torch.from_numpy(start), explore=False)
        expected, memory = agent.algorithm.policy.predict(obs, memory, start, deterministic=True)
        np.testing.assert_array_equal(action, expected)
        np.testing.assert_allclose(state.view(3, 2, 1, 8)[:, 0, 0], memory[0][0])
        np.testing.assert_allclose(state.view(3, 2, 1, 8)[:, 1, 0], memory[1][0])


class Choosy(gymnasium.Env):
    """One of four actions is allowed, another each step; an action that is not allowed raises."""

    observation_space, action_space = spaces.Box(0.0, 1.0, (1,)), spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def action_masks(self):
        return np.arange(4) == self.t % 4

    def step(self, action):
        if action != self.t % 4:
            raise ValueError("not allowed")
        self.t += 1
        return np.zeros(1, np.float32), 1.0, False, self.t == 10, {}


def test_masks_hold_in_training_and_in_evaluation():
    config = SB3Config(algo="MaskablePPO", num_envs=2, algo_kwargs=json.dumps(ON_POLICY), total_steps=64)
    agent = SB3(config, SyncEnv([Choosy(), Choosy()]))
    agent.begin()
    advance(agent, 64)
    from agent_gym.training.evaluation import play

    other = SyncEnv([Choosy() for _ in range(3)])
    assert (play(agent.policy, other, 6, seed=0, explore=True).returns == 10.0).all()


def test_best_model_brings_the_normaliser_along(tmp_path):
    agent = make_agent("PPO", "CartPole-v1", CASES["PPO"][1])
    agent.begin()
    advance(agent, 96)
    torch.save(agent.model.state_dict(), tmp_path / "best.pt")
    fresh = make_agent("PPO", "CartPole-v1", CASES["PPO"][1], seed=9)
    fresh.model.load_state_dict(torch.load(tmp_path / "best.pt", weights_only=True))
    assert isinstance(fresh.normalizer, VecNormalize)
    np.testing.assert_array_equal(fresh.normalizer.obs_rms.mean, agent.normalizer.obs_rms.mean)
    np.testing.assert_array_equal(fresh.normalizer.obs_rms.var, agent.normalizer.obs_rms.var)
    assert torch.equal(weights(fresh), weights(agent))


def test_scalars_come_under_our_names():
    agent = make_agent("PPO", "CartPole-v1", ON_POLICY)
    agent.begin()
    tags = agent.collect()
    stats = agent.update()
    assert {"rollout/episode_return", "rollout/episode_length"} >= tags.keys()
    expected = {"loss", "policy_loss", "value_loss", "entropy", "approx_kl", "clip_fraction", "explained_variance"}
    assert stats.keys() == expected | {"learning_rate"}
    assert 0.0 < stats["entropy"] <= np.log(2) + 1e-6


def test_presets_are_the_zoos():
    # Figures of the Zoo's hyperparams/*.yml at commit 22e3ff2.
    label, ppo = SB3Config.preset("sb3", "LunarLander-v3", None, {"algo": "PPO"})
    assert ppo["num_envs"] == 16 and ppo["total_steps"] == 1_000_000 and "LunarLander-v3" in label
    assert json.loads(ppo["zoo_kwargs"]) == {
        "n_steps": 1024,
        "batch_size": 64,
        "gae_lambda": 0.98,
        "gamma": 0.999,
        "n_epochs": 4,
        "ent_coef": 0.01,
    }
    cheetah = zoo_preset("PPO", "HalfCheetah-v5")[1]
    assert cheetah["learning_rate"] == 2.0633e-05 and cheetah["policy_kwargs"]["net_arch"]["pi"] == [256, 256]
    no_vel = zoo_preset("RecurrentPPO", "AgentGym/CartPoleNoVel-v1")[1]
    assert no_vel["policy_kwargs"]["lstm_hidden_size"] == 64 and no_vel["normalize"] is True
    assert zoo_preset("SAC", "Some/Unknown-v0")[1] == {"n_timesteps": 1_000_000}
    assert zoo_preset("TD3", "my.module:Pendulum-v1")[1]["noise_std"] == 0.1


def test_every_preset_builds_its_algorithm():
    from agent_gym.agents.sb3.presets import ALGORITHMS, CONTRIB, zoo

    image = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    for algo, table in ((algo, zoo(algo)) for algo in ALGORITHMS + CONTRIB):
        discrete = algo in ("DQN", "QRDQN", "MaskablePPO")
        for env_id, settings in table.items():
            atari = env_id == "atari"
            action = spaces.Discrete(3) if atari or discrete else spaces.Box(-1.0, 1.0, (2,))
            obs = image if atari else spaces.Box(-1.0, 1.0, (3,))

            class Empty(gymnasium.Env):
                observation_space, action_space = obs, action

            small = {"buffer_size": 100} if algo in ("DQN", "QRDQN", "SAC", "TQC", "CrossQ", "TD3", "DDPG") else {}
            if "net_arch" in (wide := settings.get("policy_kwargs", {})) and max(np.ravel([*_widths(wide)])) > 500:
                continue  # CrossQ's 2048 units take seconds
            if atari and algo not in ("PPO",):
                continue  # one large CNN is enough
            make_algorithm(algo, DummyVecEnv([Empty]), settings | small, 0, "cpu")


def _widths(policy_kwargs: dict):
    widths = policy_kwargs["net_arch"]
    return sum(widths.values(), []) if isinstance(widths, dict) else widths


def test_contrib_missing_names_the_install_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "sb3_contrib", None)
    with pytest.raises(UserError, match=r"pip install 'agent-gym\[sb3-contrib\]'"):
        algorithm_class("TQC")


@pytest.mark.parametrize("in_dict", [False, True])
def test_images_too_small_for_its_network_are_refused_in_a_line(in_dict):
    space = spaces.Box(0, 255, (7, 7, 3), np.uint8)
    space = spaces.Dict({"image": space}) if in_dict else space
    with pytest.raises(UserError, match="wants 36 pixels a side, and .*; --encoder cnn or mlp puts ours in its place"):
        make_policy(space, spaces.Discrete(3), SB3Config(algo="PPO"))
    assert make_policy(space, spaces.Discrete(3), SB3Config(algo="PPO", encoder="mlp")).network is not None
