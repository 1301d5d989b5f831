"""Agents by name. Importing an agent happens when it is asked for."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

import torch

from agents.config import AgentConfig, ConfigError
from nets.base import UnsupportedSpace
from nets.budget import parameter_budget
from nets.plain import all_finite, from_plain, reason, short

AGENTS = {
    "ppo": ("agents.ppo", "PPOConfig", "PPO"),
    "a2c": ("agents.ppo", "A2CConfig", "PPO"),
    "dqn": ("agents.dqn", "DQNConfig", "DQN"),
    "qrdqn": ("agents.dqn", "QRDQNConfig", "DQN"),
    "sac": ("agents.sac", "SACConfig", "SAC"),
    "td3": ("agents.td3", "TD3Config", "TD3"),
    "ddpg": ("agents.td3", "DDPGConfig", "TD3"),
    "sb3": ("agents.sb3", "SB3Config", "SB3"),
}


def config_class(name: str) -> type:
    """The configuration dataclass of agent `name`."""
    module, config, _ = AGENTS[name]
    return getattr(import_module(module), config)


def agent_class(name: str) -> type:
    """The agent class of agent `name`, built as agent_class(name)(config, env, device)."""
    module, _, agent = AGENTS[name]
    return getattr(import_module(module), agent)


def restore_config(name: Any, stored: Any) -> AgentConfig:
    """A configuration from its plain-data form, every value checked. Raises ConfigError."""
    if not isinstance(name, str) or name not in AGENTS:
        raise ConfigError(f"the run was made by {short(name)}, which is no agent here: expected {', '.join(AGENTS)}")
    try:
        config = from_plain(config_class(name), stored)
    except TypeError as error:
        raise ConfigError(f"the stored configuration does not fit {name} ({error}): it is of another version") from None
    return replace(config, encoder_from="")  # those weights, and what became of them, are in the checkpoint


def restore_agent(name: str, config: AgentConfig, env: Any, device: Any, weights: Any) -> Any:
    """The agent with the weights of a checkpoint, for acting in `env`. Raises ConfigError where they do not fit."""
    try:
        with parameter_budget(weights):
            agent = agent_class(name)(config, env, device)
        agent.model.load_state_dict(weights)
    except (ConfigError, UnsupportedSpace):
        raise
    except Exception as error:  # whatever a foreign file leads to
        raise ConfigError(f"the weights do not fit {name} in {config.env} as it is now: {reason(error)}") from error
    if not all_finite(list(agent.model.parameters())):
        raise ConfigError("the weights hold NaN or infinite numbers: use another checkpoint")
    return agent


def check_num_envs(config: AgentConfig, state: dict) -> None:
    """Refuse a configuration of other environments than the saved state `state` has. Raises ConfigError."""
    algorithm = state.get("algorithm")  # of Stable-Baselines3
    starts = algorithm.get("last_episode_starts") if isinstance(algorithm, dict) else state.get("reset")
    if not isinstance(starts, torch.Tensor) or starts.shape != (config.num_envs,):
        raise ConfigError(f"the checkpoint is not one of {config.num_envs:,} environments, as its configuration says")
