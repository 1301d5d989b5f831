"""Reinforcement-learning agents on Gymnasium environments, and supervised tasks, on one library of networks.

    from agent_gym import PPO, load

    agent = PPO("CartPole-v1", seed=1).learn(50_000)
    action, state = agent.predict(obs)

Importing it costs little: what a name stands for is imported when the name is used.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

_beside = Path(__file__).parent.parent
if (_beside / "pyproject.toml").exists():  # a checkout: the other rooms lie beside this one instead of in it
    __path__.append(str(_beside))

_HOMES = {
    **dict.fromkeys(("PPO", "A2C", "DQN", "QRDQN", "SAC", "TD3", "DDPG", "AlphaZero", "SB3", "load"), "algorithms"),
    **dict.fromkeys(("PQN", "TQC", "CrossQ", "Simba"), "algorithms"),
    **dict.fromkeys(("BC", "DAgger", "IQL", "CQL", "TD3BC"), "algorithms"),
    "Agent": "agent",
    **dict.fromkeys(("check", "evaluate", "make_env"), "functions"),
    **dict.fromkeys(("Model", "Adam", "AdamW", "SGD", "RMSprop"), "model"),
    "History": "history",
    **dict.fromkeys(("TabularClassifier", "TabularRegressor"), "tabular"),
    "fit": "fitting",
    "autolog": "autologging",
    **dict.fromkeys(("sweep", "train_seeds"), "many.face"),
    "UserError": "ground.errors",
}
__all__ = [*sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
