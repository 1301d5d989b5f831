"""Agents by name. Importing an agent happens when it is asked for."""

from __future__ import annotations

from importlib import import_module

from agents.config import AgentConfig, ConfigError

AGENTS = {
    "ppo": ("agents.ppo", "PPOConfig", "PPO"),
    "a2c": ("agents.ppo", "A2CConfig", "PPO"),
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


def restore_config(name: str, stored: dict) -> AgentConfig:
    """A configuration from its plain-data form. Raises ConfigError."""
    if name not in AGENTS:
        raise ConfigError(f"the run was made by {name!r}, which is no agent here: expected {', '.join(AGENTS)}")
    stored = stored | {"encoder_from": ""}  # those weights, and what became of them, are in the checkpoint
    try:
        return config_class(name)(**{k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()})
    except TypeError as error:
        raise ConfigError(f"the stored configuration does not fit {name} ({error}): it is of another version") from None
