"""From an id to a running environment, and the line a user reads when that cannot be."""

from __future__ import annotations

import importlib.util
import sys

import gymnasium
import numpy as np
import pytest
import torch
from counting import Count

from agent_gym.envs import make
from agent_gym.envs.make import find_spec, make_env, make_single
from agent_gym.ground.errors import UserError


@pytest.mark.parametrize(
    ("env_id", "kwargs", "says"),
    [
        ("CartPol-v1", {}, "unknown environment 'CartPol-v1': did you mean CartPole-v1"),
        ("lunarlander-v2", {}, "did you mean LunarLander-v3"),
        ("gymnasium:CartPol-v1", {}, "did you mean gymnasium:CartPole-v1"),
        ("json:AgentGym/TikTakToe-v0", {}, "did you mean AgentGym/TicTacToe-v0"),  # which json does not register
        ("Stable_Baselines3-Dojo-v0", {}, "did you mean stable_baselines3:Stable_Baselines3-Dojo-v0"),
        ("NumPy-Dojo-v0", {}, "--env takes a registered"),  # numpy has no environments
        ("Qqqqq-v0", {}, "--env takes a registered Gymnasium id or package.module:Id-v0"),
        ("no_such_module:Id-v0", {}, "module 'no_such_module' cannot be imported"),
        ("counting:Nothing-v0", {}, "unknown environment 'counting:Nothing-v0'"),
        ("CartPole-v1", {"backend": "jax"}, "--backend takes one of auto, native, gymnasium"),
        ("CartPole-v1", {"num_envs": 0}, "--num-envs must be at least 1"),
        ("LunarLander-v3", {"backend": "native"}, "no native version.*these can: gymnasium, sync, async, envpool"),
        ("Counting/Plain-v0", {"backend": "envpool"}, "EnvPool has no environment.*these can: gymnasium, sync, async$"),
        ("CartPole-v1", {"env_kwargs": {"colour": 1}}, "no argument 'colour'.*it may hold sutton_barto_reward"),
        ("CartPole-v1", {"env_kwargs": {"colour": 1}, "backend": "native"}, "native version takes no --env-kwargs"),
        ("HalfCheetah-v5", {"env_kwargs": {"colour": 1}, "backend": "envpool"}, "no argument 'colour'"),
        ("FrozenLake-v1", {"env_kwargs": {"map_name": "5x5"}}, "could not be made with --env-kwargs"),
        ("Blackjack-v1", {"backend": "envpool"}, "EnvPool's Blackjack-v1 has the space.*--backend gymnasium"),
    ],
)
def test_bad_request_is_one_clear_line(env_id, kwargs, says):
    if importlib.util.find_spec("ale_py"):  # as it is where another test made an Atari game: UpNDown-v0 is in then
        gymnasium.register_envs(importlib.import_module("ale_py"))
    with pytest.raises(UserError, match=says) as caught:
        make_env(env_id, **{"num_envs": 2, **kwargs})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("env_id", "package", "modules", "extra"),
    [
        ("LunarLander-v3", "Box2D", "gymnasium.envs.box2d", "box2d"),
        ("Hopper-v5", "mujoco", "gymnasium.envs.mujoco", "mujoco"),
    ],
)
def test_missing_extra_names_the_install_line(monkeypatch, env_id, package, modules, extra):
    for name in [name for name in sys.modules if name.startswith((modules, f"{package}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # importing it now fails
    with pytest.raises(UserError, match=rf"pip install 'agent-gym\[{extra}\]'"):
        make_env(env_id, 2, backend="gymnasium")


@pytest.mark.parametrize(("env_id", "module"), [("ALE/Pong-v5", "ale_py"), ("LunarLander-v3", "envpool")])
def test_missing_atari_and_envpool(monkeypatch, env_id, module):
    find = make.importlib.util.find_spec
    monkeypatch.setattr(make.importlib.util, "find_spec", lambda name: None if name == module else find(name))
    extra = "atari" if module == "ale_py" else module
    with pytest.raises(UserError, match=rf"pip install 'agent-gym\[{extra}\]'"):
        make_env(env_id, 2, backend="envpool")
    if module == "envpool":
        env = make_env(env_id, 8)
        assert env.backend == "gymnasium" and "agent-gym[envpool]" in env.choice
        env.close()


@pytest.mark.parametrize(
    ("env_id", "kwargs", "backend"),
    [
        ("CartPole-v1", {}, "native"),
        ("CartPole-v1", {"sutton_barto_reward": True}, "gymnasium"),
        ("AgentGym/CartPoleNoVel-v1", {}, "native"),
        ("HalfCheetah-v5", {}, "envpool"),
        ("HalfCheetah-v5", {"ctrl_cost_weight": 0.2}, "gymnasium"),
        ("LunarLander-v3", {}, "envpool"),
        ("LunarLander-v3", {"continuous": True}, "gymnasium"),
        ("Pendulum-v1", {}, "native"),
        ("Pendulum-v1", {"g": 9.0}, "gymnasium"),
        ("AgentGym/Snake-v0", {}, "native"),
        ("counting:Counting/Plain-v0", {}, "gymnasium"),
    ],
)
def test_auto_choice(env_id, kwargs, backend):
    env = make_env(env_id, 8, env_kwargs=kwargs)
    assert env.backend == backend and env.choice and env.id == find_spec(env_id).id
    single = make_single(env_id, kwargs)
    assert env.action_space.shape == single.action_space.shape
    assert env.reset(0).shape == (8, *single.observation_space.shape)
    env.close()


@pytest.mark.parametrize("name", ["HalfCheetah", "Hopper", "InvertedPendulum", "Swimmer", "Walker2d"])
def test_envpools_mujoco_is_gymnasiums(name):
    """Both start from EnvPool's first state, which the observation tells but for the place on the plane."""
    mujoco = pytest.importorskip("mujoco")
    pool = make_env(f"{name}-v5", 1, backend="envpool")
    single = make_single(f"{name}-v5").unwrapped
    single.reset(seed=0)
    obs, model = pool.reset(0)[0].double().numpy(), single.model
    missing = model.nq + model.nv - len(obs)
    mujoco.mj_resetData(model, single.data)
    single.set_state(np.r_[np.zeros(missing), obs[: model.nq - missing]], obs[model.nq - missing :])
    rng = np.random.default_rng(0)
    for _ in range(8):
        action = rng.uniform(single.action_space.low, single.action_space.high).astype(np.float32)
        step = pool.step(torch.from_numpy(action)[None])
        theirs, reward, terminated, _, _ = single.step(action)
        np.testing.assert_allclose(step.final_obs[0], theirs, atol=1e-4, rtol=1e-4)
        assert step.reward.item() == pytest.approx(reward, abs=1e-3) and bool(step.terminated) == terminated
        if terminated:
            break
    pool.close()


def test_make_single_renders():
    env = make_single("AgentGym/PendulumNoVel-v1", {"g": 9.0}, render_mode="rgb_array")
    env.reset(seed=0)
    assert env.unwrapped.g == 9.0 and env.render().ndim == 3


def test_unsupported_spaces_are_named():
    unknown = type("Unknown", (gymnasium.Space,), {})((2,), float)
    odd = type("OddEnv", (Count,), {"observation_space": unknown})
    nested = type("NestedEnv", (Count,), {"action_space": gymnasium.spaces.Dict(a=gymnasium.spaces.Text(3))})
    for env_class, says in ((odd, "space .*Unknown"), (nested, r"part Text\(.* of the action space")):
        gymnasium.register(f"Counting/{env_class.__name__}-v0", entry_point=env_class, disable_env_checker=True)
        with pytest.raises(UserError, match=says):
            make_env(f"Counting/{env_class.__name__}-v0", 2)


def test_a_run_in_envpool_is_kept_with_gymnasiums_spaces():
    """EnvPool's own bounds are others: what a run keeps must fit Gymnasium's environment, where it is scored."""
    pytest.importorskip("envpool")
    env, single = make_env("LunarLander-v3", 2, backend="envpool"), make_single("LunarLander-v3")
    assert env.raw_spaces == (single.observation_space, single.action_space)
    env.close()
