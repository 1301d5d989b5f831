"""The comparison with Stable-Baselines3: matched settings, its statistics, and a whole small run of it."""

import inspect
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent_gym.agents import config_class
from agent_gym.agents.sb3.algorithms import algorithm_class, make_algorithm
from agent_gym.agents.sb3.presets import zoo_preset
from agent_gym.envs.make import make_single
from agent_gym.ground.errors import UserError
from benchmarks import compare
from benchmarks.matching import SB3_DEFAULTS, algo_for, defaults, matched

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("env_id", ["CartPole-v1", "LunarLander-v3", "Pendulum-v1", "Acrobot-v1", "Unknown-v0"])
def test_matched_settings_build_the_same_ppo(env_id):
    real = "CartPole-v1" if env_id == "Unknown-v0" else env_id
    zoo = zoo_preset("PPO", env_id)[1]
    single = make_single(real)
    native_settings, sb3_settings, _ = matched("ppo", "", zoo, single.action_space)
    native = config_class("ppo")(env=real, **native_settings)
    venv = make_vec_env(real, sb3_settings.get("n_envs", 1))
    sb3 = make_algorithm("PPO", venv, sb3_settings, 0, "cpu")
    assert (native.num_envs, native.num_steps, native.num_epochs) == (sb3.n_envs, sb3.n_steps, sb3.n_epochs)
    assert native.num_minibatches == math.ceil(sb3.n_envs * sb3.n_steps / sb3.batch_size)
    assert (native.gamma, native.gae_lambda, native.entropy_coef) == (sb3.gamma, sb3.gae_lambda, sb3.ent_coef)
    assert (native.value_coef, native.max_grad_norm) == (sb3.vf_coef, sb3.max_grad_norm)
    assert native.normalize_advantage == sb3.normalize_advantage
    assert native.normalize_obs == (sb3.get_vec_normalize_env() is not None)
    for left in (1.0, 0.25):
        for value, schedule, theirs in (
            (native.learning_rate, native.schedule, sb3.lr_schedule),
            (native.clip_coef, native.clip_schedule, sb3.clip_range),
        ):
            assert value * (left if schedule == "linear" else 1.0) == pytest.approx(theirs(left))
    assert native.eps == sb3.policy.optimizer.param_groups[0]["eps"]
    widths = [layer.out_features for layer in sb3.policy.mlp_extractor.policy_net if hasattr(layer, "out_features")]
    assert list(native.hidden_sizes) == widths
    if hasattr(sb3.policy, "log_std"):
        half_range = (single.action_space.high - single.action_space.low)[0] / 2
        assert math.exp(native.log_std_init) * half_range == pytest.approx(sb3.policy.log_std.exp()[0].mean().item())
        assert native.sde_every == (sb3.sde_sample_freq if sb3.use_sde else 0)


OFF_POLICY = [
    *(("dqn", env_id, "{}") for env_id in ("CartPole-v1", "Acrobot-v1", "MountainCar-v0", "LunarLander-v3")),
    *(("qrdqn", env_id, "{}") for env_id in ("CartPole-v1", "LunarLander-v3")),
    *(("sac", env_id, "{}") for env_id in ("Pendulum-v1", "MountainCarContinuous-v0", "HalfCheetah-v5")),
    *((agent, env_id, "{}") for agent in ("td3", "ddpg") for env_id in ("Pendulum-v1", "MountainCarContinuous-v0")),
    *((agent, "", '{"learning_rate": "lin_0.001"}') for agent in ("dqn", "qrdqn", "sac", "td3", "ddpg")),
]


@pytest.mark.parametrize("agent, env_id, more", OFF_POLICY)
def test_matched_settings_build_the_same_off_policy_agent(agent, env_id, more):
    """Without an environment's id: Stable-Baselines3's defaults."""
    algo = algo_for(agent, "")
    zoo = zoo_preset(algo, env_id)[1] if env_id else defaults(algo, 3000)
    env_id = env_id or ("CartPole-v1" if "dqn" in agent else "Pendulum-v1")
    native, settings, notes = matched(agent, "", zoo | json.loads(more), make_single(env_id).action_space)
    native = config_class(agent)(env=env_id, **native)
    sb3 = make_algorithm(algo, make_vec_env(env_id, settings.get("n_envs", 1)), settings, 0, "cpu")
    updates = sb3.train_freq.frequency * sb3.n_envs if sb3.gradient_steps == -1 else sb3.gradient_steps
    assert native.utd == updates / (sb3.train_freq.frequency * sb3.n_envs)
    assert (native.num_envs, native.train_every) == (sb3.n_envs, sb3.train_freq.frequency)
    assert native.buffer_size == sb3.replay_buffer.buffer_size * sb3.n_envs
    assert (native.batch_size, native.learning_starts) == (sb3.batch_size, sb3.learning_starts)
    assert (native.gamma, native.n_step, native.tau) == (sb3.gamma, sb3.n_steps, sb3.tau)
    for left in (1.0, 0.25):
        rate = native.learning_rate * (left if native.schedule == "linear" else 1.0)
        assert rate == pytest.approx(sb3.lr_schedule(left))
    actor = getattr(sb3.policy, "actor", None)
    network = actor or getattr(sb3.policy, "quantile_net", None) or sb3.policy.q_net
    assert list(native.hidden_sizes) == network.net_arch and network.activation_fn is torch.nn.ReLU
    if algo in ("DQN", "QRDQN"):
        assert not native.double and not native.dueling and native.target_every == sb3.target_update_interval
        assert native.max_grad_norm == (sb3.max_grad_norm or 0.0)
        assert native.quantiles == getattr(sb3, "n_quantiles", 0)
        schedule = (sb3.exploration_initial_eps, sb3.exploration_fraction, sb3.exploration_final_eps)
        assert (native.exploration_initial, native.exploration_fraction, native.exploration_final) == schedule
    elif algo == "SAC":
        fixed = 0.0 if sb3.log_ent_coef is not None else sb3.ent_coef_tensor.item()
        assert native.alpha == pytest.approx(fixed)
        if sb3.log_ent_coef is not None:
            assert native.initial_alpha == pytest.approx(sb3.log_ent_coef.exp().item())
        assert any("use_sde" in note for note in notes) == sb3.use_sde
    else:
        noise = sb3.action_noise
        assert any("noise_type" in note for note in notes) == isinstance(noise, OrnsteinUhlenbeckActionNoise)
        assert native.exploration_noise == (noise._sigma[0] if isinstance(noise, NormalActionNoise) else 0.0)
        assert native.policy_delay == sb3.policy_delay and native.critics == len(sb3.critic.q_networks)
        smoothing = min(sb3.target_policy_noise, sb3.target_noise_clip)  # DDPG clips it to nothing
        assert native.target_noise == (smoothing and sb3.target_policy_noise)
        assert native.target_noise_clip == (sb3.target_noise_clip or native.target_noise_clip)


@pytest.mark.parametrize("algo", sorted(SB3_DEFAULTS))
def test_defaults_are_those_of_the_library(algo):
    parameters = inspect.signature(algorithm_class(algo)).parameters
    ours = SB3_DEFAULTS[algo].items() - {("n_envs", 1)}
    there = {name: parameters[name].default for name, _ in ours if name in parameters}
    assert {name: value for name, value in ours if name in parameters} == there
    assert {name for name, _ in ours} - set(parameters) <= ({"n_epochs", "batch_size", "clip_range"})


def test_what_ours_has_not_is_refused():
    space = make_single("Pendulum-v1").action_space
    for settings in ({"train_freq": [1, "episode"]}, {"policy_kwargs": {"net_arch": {"pi": [64], "qf": [256]}}}):
        with pytest.raises(UserError, match="train_freq|net_arch"):
            matched("sac", "", {"n_timesteps": 1000} | settings, space)


def test_speed_alone(tmp_path, capsys):
    out = tmp_path / "out"
    flags = ["--settings", "defaults", "--speed", "--seeds", "1", "--total-steps", "300", "--out", str(out)]
    assert compare.main(["dqn", "--env", "CartPole-v1", *flags]) == 0
    report = json.loads((out / "compare.json").read_text())
    sides = report["sides"]
    assert sides["native"]["parameters"] == sides["sb3"]["parameters"] and sides["native"]["final_return"] is None
    (ours,), (theirs,) = report["runs"]["native"], report["runs"]["sb3"]
    assert report["times_faster"]["max"] == pytest.approx(theirs["seconds"] / ours["seconds"])
    assert "final return" not in capsys.readouterr().out


def test_counterparts():
    assert algo_for("ppo", "") == "PPO" and algo_for("ppo", "lstm") == "RecurrentPPO" and algo_for("sac", "") == "SAC"


def test_interval_of_one_seed_is_that_of_the_mean():
    returns = np.random.default_rng(1).normal(100.0, 20.0, size=400)
    result = compare.hierarchical_interval([returns])
    lo, hi = result["ci95"]
    expected = 2 * 1.96 * returns.std() / math.sqrt(400)
    assert hi - lo == pytest.approx(expected, rel=0.1) and lo < result["mean"] < hi


def test_interval_spans_the_seeds_where_they_differ():
    lo, hi = compare.hierarchical_interval([np.full(50, value) for value in (0.0, 10.0, 20.0)])["ci95"]
    assert lo < 4.0 and hi > 16.0


def test_a_whole_comparison(tmp_path, capsys):
    out = tmp_path / "out"
    flags = ["--seeds", "1", "--total-steps", "1024", "--eval-every", "512", "--eval-episodes", "2"]
    flags += ["--final-episodes", "4", "--threshold", "5", "--out", str(out)]
    assert compare.main(["ppo", "--env", "CartPole-v1", *flags]) == 0
    report = json.loads((out / "compare.json").read_text())
    sides = report["sides"]
    assert sides["native"]["parameters"] == sides["sb3"]["parameters"]
    for side in ("native", "sb3"):
        run = report["runs"][side][0]
        assert run["steps"] == 1024 and len(run["final_returns"]) == 4
        steps, seconds, score = run["points"][0]
        assert run["reached"] == [steps, seconds] and score >= 5 and steps == 512 and 0 < seconds < run["seconds"]
        events = EventAccumulator(str(out / f"{side}-0")).Reload()
        tags = {"eval/episode_return", "rollout/episode_return", "train/approx_kl", "time/steps_per_second"}
        assert tags <= set(events.Tags()["scalars"])
    shown = capsys.readouterr().out
    assert "seconds to 5" in shown and "peak memory" in shown


BAD = {
    "no native agent": (["sb3"], "no native agent"),
    "unknown environment": (["ppo", "--env", "CartPol-v1"], "CartPole-v1"),
    "unknown field": (["ppo", "--native-flags", '{"num_env": 2}'], "num_env"),
    "bad json": (["ppo", "--sb3-kwargs", "{"], "sb3-kwargs"),
    "no seeds": (["ppo", "--seeds", "0"], "--seeds"),
    "speed to a score": (["ppo", "--speed", "--threshold", "5"], "--criterion training"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case, tmp_path, capsys):
    flags, pattern = BAD[case]
    assert compare.main([*flags, "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and re.search(pattern, lines[0]), lines
    assert not (tmp_path / "out").exists()


def test_the_documented_example_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it saves a model
    text = (ROOT / "docs" / "sb3.md").read_text()
    for code in re.findall(r"```python\n(.*?)```", text, flags=re.S):
        exec(compile(code, "docs/sb3.md", "exec"), {})
    assert "MLPEncoder" in capsys.readouterr().out
