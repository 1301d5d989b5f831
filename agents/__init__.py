"""Agents by name. Importing an agent happens when it is asked for; its settings come without torch."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from agent_gym.ground.errors import UserError, nearest
from agent_gym.ground.foreign import foreign_class


class Entry(NamedTuple):
    """Where an agent lives."""

    module: str
    agent: str
    settings_module: str
    settings: str


def _own(module: str, agent: str, settings: str) -> Entry:
    name = module.rpartition(".")[2]
    return Entry(f"agent_gym.agents.{module}", agent, f"agent_gym.agents.settings.{name}", settings)


AGENTS = {
    "ppo": _own("ppo", "PPO", "PPOConfig"),
    "a2c": _own("ppo", "PPO", "A2CConfig"),
    "pqn": _own("pqn", "PQN", "PQNConfig"),
    "dqn": _own("dqn", "DQN", "DQNConfig"),
    "qrdqn": _own("dqn", "DQN", "QRDQNConfig"),
    "sac": _own("sac", "SAC", "SACConfig"),
    "tqc": _own("sac", "SAC", "TQCConfig"),
    "crossq": _own("sac", "SAC", "CrossQConfig"),
    "simba": _own("sac", "SAC", "SimbaConfig"),
    "td3": _own("td3", "TD3", "TD3Config"),
    "ddpg": _own("td3", "TD3", "DDPGConfig"),
    "bc": _own("offline.bc", "BC", "BCConfig"),
    "dagger": _own("offline.bc", "DAgger", "DAggerConfig"),
    "iql": _own("offline.iql", "IQL", "IQLConfig"),
    "cql": _own("sac", "SAC", "CQLConfig"),
    "td3bc": _own("td3", "TD3", "TD3BCConfig"),
    "alphazero": _own("alphazero", "AlphaZero", "AlphaZeroConfig"),
    "sb3": Entry("agent_gym.agents.sb3.agent", "SB3", "agent_gym.agents.sb3.config", "SB3Config"),
}


def config_class(name: str) -> type:
    """The settings of agent `name`, a frozen dataclass: AgentConfig or a subclass. Raises UserError."""
    if ":" in name:
        return agent_class(name).config_class
    return getattr(import_module(_entry(name).settings_module), AGENTS[name].settings)


def agent_class(name: str) -> type:
    """The class of agent `name`, or of module:Class, built as agent_class(name)(config, env, device).

    Raises UserError.
    """
    if ":" in name:
        return foreign_class(name, "config_class", "an agent (a subclass of agent_gym.agents.agent.Agent)")
    return getattr(import_module(_entry(name).module), AGENTS[name].agent)


def _entry(name: str) -> Entry:
    if name not in AGENTS:
        raise UserError(
            f"{name!r} is no agent: expected one of {', '.join(AGENTS)}, or module:Class{nearest(name, AGENTS)}"
        )
    return AGENTS[name]


def others_for(action_space: object, name: str) -> list[str]:
    """The agents of ours beside `name` that take an action space."""
    return [other for other in AGENTS if other != name and isinstance(action_space, agent_class(other).action_spaces)]
