"""Agents by name. Importing an agent happens when it is asked for."""

from __future__ import annotations

from importlib import import_module

AGENTS = {
    "ppo": ("agent_gym.agents.ppo", "PPOConfig", "PPO"),
    "a2c": ("agent_gym.agents.ppo", "A2CConfig", "PPO"),
    "dqn": ("agent_gym.agents.dqn", "DQNConfig", "DQN"),
    "qrdqn": ("agent_gym.agents.dqn", "QRDQNConfig", "DQN"),
    "sac": ("agent_gym.agents.sac", "SACConfig", "SAC"),
    "td3": ("agent_gym.agents.td3", "TD3Config", "TD3"),
    "ddpg": ("agent_gym.agents.td3", "DDPGConfig", "TD3"),
    "sb3": ("agent_gym.agents.sb3.agent", "SB3Config", "SB3"),
}


def config_class(name: str) -> type:
    """The configuration dataclass of agent `name`."""
    module, config, _ = AGENTS[name]
    return getattr(import_module(module), config)


def agent_class(name: str) -> type:
    """The agent class of agent `name`, built as agent_class(name)(config, env, device)."""
    module, _, agent = AGENTS[name]
    return getattr(import_module(module), agent)
