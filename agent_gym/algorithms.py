"""The agents by name, and those that were saved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent_gym.agent import Agent
from agent_gym.composing.saved import open_saved
from agent_gym.composing.sources import name_of


class PPO(Agent):
    """Proximal policy optimisation (Schulman et al. 2017)."""

    name = "ppo"


class A2C(Agent):
    """Advantage actor-critic (Mnih et al. 2016)."""

    name = "a2c"


class PQN(Agent):
    """Q(λ) on rollouts, without replay buffer or target network (Gallici et al. 2025)."""

    name = "pqn"


class DQN(Agent):
    """Deep Q-learning (Mnih et al. 2015), double and dueling."""

    name = "dqn"


class QRDQN(Agent):
    """Deep Q-learning of the return's distribution (Dabney et al. 2018)."""

    name = "qrdqn"


class SAC(Agent):
    """Soft actor-critic (Haarnoja et al. 2018)."""

    name = "sac"


class TQC(Agent):
    """SAC with truncated quantile critics (Kuznetsov et al. 2020)."""

    name = "tqc"


class CrossQ(Agent):
    """SAC without target networks, by batch renormalisation (Bhatt et al. 2024)."""

    name = "crossq"


class Simba(Agent):
    """SAC with residual networks on normalised features (SimBa, Lee et al. 2025)."""

    name = "simba"


class TD3(Agent):
    """Twin delayed DDPG (Fujimoto et al. 2018)."""

    name = "td3"


class DDPG(Agent):
    """Deep deterministic policy gradient (Lillicrap et al. 2016)."""

    name = "ddpg"


class AlphaZero(Agent):
    """Self-play with tree search (Silver et al. 2017): AlphaZero("AgentGym/ConnectFour-v0")."""

    name = "alphazero"


class BC(Agent):
    """Behaviour cloning of a data set: BC(data="minari:pole/expert-v0")."""

    name = "bc"


class DAgger(Agent):
    """Dataset aggregation (Ross et al. 2011): DAgger(teacher="runs/pole")."""

    name = "dagger"


class IQL(Agent):
    """Implicit Q-learning from a data set (Kostrikov et al. 2022)."""

    name = "iql"


class CQL(Agent):
    """Conservative Q-learning from a data set (Kumar et al. 2020)."""

    name = "cql"


class TD3BC(Agent):
    """TD3 from a data set, close to its actions (Fujimoto and Gu 2021)."""

    name = "td3bc"


class SB3(Agent):
    """An algorithm of Stable-Baselines3: SB3("CartPole-v1", algo="PPO", algo_kwargs={"gamma": 0.98})."""

    name = "sb3"


def class_of(name: str) -> type[Agent]:
    """The class for an agent of ours, or for module:Class."""
    found = {cls.name: cls for cls in Agent.__subclasses__() if hasattr(cls, "name")}
    return found.get(name) or type(name.rpartition(":")[2], (Agent,), {"name": name, "__doc__": f"The agent {name}."})


def load(path: str | Path, env: Any = None, checkpoint: str = "best", device: str = "cpu") -> Agent:
    """The agent in a run directory or in a file that `save` wrote; it acts at once, and learns on.

    Needs no environment to act. `env`: the environment to score or learn in where it is not one that an id names.
    `learn` goes on with a run directory exactly where it stopped, and with a file from its weights.
    """
    path = Path(path)
    saved = open_saved(path, checkpoint, device)
    cls = class_of(saved.name)
    agent = cls.__new__(cls)
    config = saved.config if env is None or isinstance(env, str) else replace(saved.config, env=name_of(env))
    agent.config = replace(config, env=env) if isinstance(env, str) else config
    agent.config = agent.config if path.is_dir() else replace(agent.config, run_dir="")
    agent._given = None if env is None or isinstance(env, str) else env
    agent._notes, agent.result = [f"settings: those of {path}"], None
    agent.run_dir = path if path.is_dir() else None
    agent._hold(saved._replace(config=agent.config))
    if agent.run_dir is not None and (path / "result.json").exists():
        agent.result = _result(path / "result.json")
    return agent


def _result(path: Path) -> dict | None:
    try:
        result = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) and isinstance(result.get("total_steps"), int) else None
