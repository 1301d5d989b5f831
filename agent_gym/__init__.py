"""Reinforcement-learning agents on Gymnasium environments, and supervised tasks, on one library of networks."""

from pathlib import Path

_beside = Path(__file__).parent.parent
if (_beside / "pyproject.toml").exists():  # a checkout: the other rooms lie beside this one instead of in it
    __path__.append(str(_beside))
