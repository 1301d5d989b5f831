"""What benchmarks.faults trains: problems that are learned within seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets


class Problem(NamedTuple):
    """Something that is learned when nothing is wrong."""

    name: str
    half: str
    """Thresholds are chosen on the problems of half A and reported on those of half B."""
    who: str
    """Agent or task."""
    settings: dict[str, Any]


def _agent(name: str, half: str, who: str, env: str, steps: int, **settings: Any) -> Problem:
    return Problem(name, half, who, {"env": env, "total_steps": steps, "eval_episodes": 20} | settings)


SMALL_OFF = {
    **{"hidden_sizes": (32, 32), "batch_size": 64, "utd": 0.5, "learning_rate": 3e-3},
    **{"num_envs": 8, "learning_starts": 200},
}
SMALL_LSTM = {
    **{"encoder": "lstm", "hidden_sizes": (32,), "recurrent_size": 32, "num_envs": 32, "num_steps": 30},
    **{"learning_rate": 3e-3, "num_minibatches": 4, "num_epochs": 4},
}
PROBLEMS = {
    p.name: p
    for p in (
        _agent("ppo-cartpole", "A", "ppo", "CartPole-v1", 40_000),
        _agent("ppo-reach", "B", "ppo", "Faults/Reach-v0", 30_000, learning_rate=2e-3, num_envs=32, num_steps=32),
        _agent("dqn-cartpole", "A", "dqn", "CartPole-v1", 12_000, hidden_sizes=(64, 64)),
        _agent(
            "dqn-reach",
            "B",
            "dqn",
            "Faults/Reach-v0",
            8_000,
            **{"num_envs": 4, "train_every": 4, "utd": 0.4, "hidden_sizes": (64, 64), "exploration_fraction": 0.5},
            **{"learning_rate": 2e-3, "learning_starts": 500},
        ),
        _agent("sac-slide", "A", "sac", "Faults/Slide-v0", 1_500, **SMALL_OFF),
        _agent("sac-point", "B", "sac", "Faults/Point-v0", 2_400, **SMALL_OFF),
        _agent("td3-slide", "A", "td3", "Faults/Slide-v0", 1_500, **SMALL_OFF),
        _agent("td3-point", "B", "td3", "Faults/Point-v0", 2_400, **SMALL_OFF),
        _agent("lstm-slide", "A", "ppo", "Faults/SlideNoVel-v0", 15_000, **SMALL_LSTM),
        _agent("lstm-point", "B", "ppo", "Faults/PointNoVel-v0", 24_000, **SMALL_LSTM),
        Problem("iris", "A", "iris", {}),
        Problem("diabetes", "A", "diabetes", {}),
        Problem("breast-cancer", "B", "breast-cancer", {}),
        Problem("moons", "A", "table", {"target": "y", "epochs": 60}),
        Problem("waves", "B", "table", {"target": "y", "epochs": 60}),
    )
}


def base_settings(problem: Problem, folder: Path) -> dict[str, Any]:
    """The settings of a problem, its data written to `folder` where it has no other."""
    makers = {"moons": moons, "waves": waves}
    if problem.name not in makers:
        return dict(problem.settings)
    return problem.settings | {"data": str(write(makers[problem.name](), folder / f"{problem.name}.csv"))}


def write(frame: pd.DataFrame, path: Path) -> Path:
    if not path.exists():
        frame.to_csv(path, index=False)
    return path


def moons(rows: int = 600) -> pd.DataFrame:
    x, y = datasets.make_moons(rows, noise=0.15, random_state=0)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.where(y, "upper", "lower")})


def waves(rows: int = 800) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, (rows, 3))
    y = np.sin(2.0 * x[:, 0]) * x[:, 1] + 0.5 * x[:, 2] + 0.05 * rng.normal(size=rows)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y})


def table_of(problem: Problem) -> pd.DataFrame:
    """The rows of a problem with tables."""
    if problem.name in ("moons", "waves"):
        return {"moons": moons, "waves": waves}[problem.name]()
    loaders = {"iris": datasets.load_iris, "breast-cancer": datasets.load_breast_cancer}
    if problem.name in loaders:
        bunch = loaders[problem.name](as_frame=True)
        target = {"iris": "species", "breast-cancer": "diagnosis"}[problem.name]
        frame = bunch.frame.rename(columns={"target": target})
        frame[target] = np.asarray(bunch.target_names)[frame[target]]
        return frame
    return datasets.load_diabetes(as_frame=True, scaled=False).frame.rename(columns={"target": "progression"})


TARGETS = {"iris": "species", "breast-cancer": "diagnosis", "diabetes": "progression", "moons": "y", "waves": "y"}
