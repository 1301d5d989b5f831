"""Agents by name. Importing an agent happens when it is asked for."""

from __future__ import annotations

from importlib import import_module

AGENTS = {
    "ppo": ("agents.ppo", "PPOConfig", "PPO"),
    "a2c": ("agents.ppo", "A2CConfig", "PPO"),
}


def config_class(name: str) -> type:
    """The configuration dataclass of agent `name`."""
    module, config, _ = AGENTS[name]
    return getattr(import_module(module), config)


def agent_class(name: str) -> type:
    """The agent class of agent `name`, built as agent_class(name)(config, env, device)."""
    module, _, agent = AGENTS[name]
    return getattr(import_module(module), agent)
