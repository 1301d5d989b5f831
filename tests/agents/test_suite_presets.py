"""PPO's settings for the native environments fit the environments and the flags."""

from dataclasses import replace

import pytest

from agent_gym.agents import agent_class, config_class
from agent_gym.agents.presets import table
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
