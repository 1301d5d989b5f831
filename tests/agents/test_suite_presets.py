"""PPO's settings for the native environments fit the environments and the flags."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium import spaces

from agent_gym.agents import agent_class, config_class
from agent_gym.agents.presets import find, table
from agent_gym.envs.make import make_env
from agent_gym.envs.native.core import NATIVE

PRESETS = table("ppo")["env"]


def test_every_native_environment_has_a_preset():
    assert set(PRESETS) >= {core for core in NATIVE if core != "Hover-v0" and NATIVE[core].game is None}


@pytest.mark.parametrize("env_id", sorted(NATIVE.keys() & PRESETS.keys()))
def test_settings_are_flags_and_one_update_works(env_id):
    config = replace(config_class("ppo")(), env=env_id, **PRESETS[env_id])
    assert config.num_envs * config.num_steps * 20 <= max(config.total_steps, 100_000), "too few updates"
    config = replace(config, num_envs=8, num_steps=8, num_minibatches=2, num_epochs=1)
    agent = agent_class("ppo")(config, make_env(env_id, 8), "cpu")
    agent.begin()
    agent.collect()
    stats = agent.update()
    assert agent.steps == 64 and 0.0 < float(stats["entropy"].abs()) < 10.0
    memory = env_id.endswith("NoVel-v1") or env_id in ("AgentGym/TMaze-v0", "AgentGym/RepeatPrevious-v0")
    assert not memory or agent.state_dim > 0


CODES, VECTOR = spaces.Box(0, 255, (7, 7, 3), np.uint8), spaces.Box(-1, 1, (8,))
PICTURE = spaces.Box(0, 255, (84, 84, 3), np.uint8)


@pytest.mark.parametrize(
    ("space", "cells", "kind"),
    [
        (CODES, "auto", "codes"),
        (spaces.Dict({"image": CODES, "direction": spaces.Discrete(4)}), "auto", "codes"),
        (CODES, "brightness", "discrete"),
        (VECTOR, "auto", "discrete"),
        (PICTURE, "auto", "discrete"),
    ],
)
def test_defaults_by_kind_of_observation(space, cells, kind):
    label, settings = find("ppo", "Some/Maze-v0", lambda: (space, spaces.Discrete(3)), cells)
    assert settings == table("ppo")[kind]
    assert label == "defaults for discrete actions" + " and grids of codes" * (kind == "codes")


def test_a_preset_of_another_version_is_named_and_not_taken():
    label, settings = find("ppo", "gymnasium:HalfCheetah-v4", lambda: (VECTOR, VECTOR))
    assert label == "defaults for continuous control (HalfCheetah-v5 has a preset)"
    assert settings == table("ppo")["continuous"]
    assert find("ppo", "HalfCheetah-v5", lambda: None)[0] == "preset for HalfCheetah-v5"
    assert "has a preset" not in find("ppo", "HalfCheetah2-v5", lambda: (VECTOR, VECTOR))[0]


MUJOCO = ("Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum", "InvertedPendulum")
MUJOCO += ("Pusher", "Reacher", "Swimmer", "Walker2d")
BOX2D = ("LunarLanderContinuous-v3", "BipedalWalker-v3", "BipedalWalkerHardcore-v3", "CarRacing-v3")


@pytest.mark.parametrize("name", ["ppo", "sac", "td3", "ddpg"])
def test_every_environment_of_mujoco_and_box2d_has_settings(name):
    known = table(name)
    for env_id in [*(f"{body}-v5" for body in MUJOCO), *BOX2D]:
        kind = "env" if env_id in known.get("env", {}) else "published"
        label, settings = find(name, env_id, lambda: None)
        says = f"preset for {env_id}" if kind == "env" else f"published settings for {env_id}, not tuned here"
        assert label == says and settings == known[kind][env_id]
        config = config_class(name)(env=env_id, **settings)
        if name == "ppo":
            assert config.num_envs * config.num_steps % config.num_minibatches == 0
    assert not known.get("env", {}).keys() & known["published"].keys()
    assert "Ant-v5 has a preset" in find(name, "Ant-v4", lambda: (VECTOR, VECTOR))[0]
