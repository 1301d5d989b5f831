"""Seeded faults of the problems, and more healthy runs."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from benchmarks.faults import envs as broken
from benchmarks.faults.envs import register_broken
from benchmarks.faults.problems import TARGETS, Problem, table_of, write


class Fault(NamedTuple):
    """One thing wrong."""

    name: str
    causes: tuple[str, ...]
    """What the diagnosis should call it."""
    problems: tuple[str, ...]
    change: Callable[[Problem, Path], dict[str, Any]]
    """Settings that break the problem."""


def flags(**settings: Any) -> Callable[[Problem, Path], dict[str, Any]]:
    """The same settings for every problem."""
    return lambda problem, folder: settings


def env(name: str, how: Callable, **settings: Any) -> Callable[[Problem, Path], dict[str, Any]]:
    """A broken version of the problem's environment."""

    def change(problem: Problem, folder: Path) -> dict[str, Any]:
        return {"env": register_broken(problem.settings["env"], name, how), **preset_of(problem), **settings}

    return change


def preset_of(problem: Problem) -> dict[str, Any]:
    """What the preset for the whole environment says, since a broken one has another id."""
    from agent_gym.agents.presets import table

    known = table(problem.who).get("env", {}).get(problem.settings["env"], {})
    return known | {k: v for k, v in problem.settings.items() if k != "env"}


def data(name: str, spoil: Callable[[pd.DataFrame, str], pd.DataFrame], **settings: Any) -> Callable:
    """Spoiled rows."""

    def change(problem: Problem, folder: Path) -> dict[str, Any]:
        frame = spoil(table_of(problem).copy(), TARGETS[problem.name])
        return {"data": str(write(frame, folder / f"{problem.name}-{name}.csv")), **settings}

    return change


def _share(name: str, share: float) -> Callable[[Problem, Path], dict[str, Any]]:
    return lambda problem, folder: {name: int(share * problem.settings["total_steps"])}


def _long_rollout(problem: Problem, folder: Path) -> dict[str, Any]:
    envs = preset_of(problem)["num_envs"]
    return {"num_steps": math.ceil(problem.settings["total_steps"] / envs / 3)}


def leak(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    codes = pd.factorize(frame[target])[0] if frame[target].dtype == object else frame[target].to_numpy()
    noise = np.random.default_rng(0).normal(size=len(frame)) * 0.02 * np.std(codes)
    return frame.assign(record=codes + noise)


def rare(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """One class in twenty, and inputs that say little of it."""
    rng = np.random.default_rng(0)
    label = np.where(rng.random(len(frame)) < 0.06, "yes", "no")
    inputs = [c for c in frame.columns if c != target]
    for column in inputs[:2]:
        frame[column] = frame[column] + 1.0 * frame[column].std() * (label == "yes")
    frame[target] = label
    return frame


def outliers(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    rows = np.random.default_rng(0).choice(len(frame), max(len(frame) // 60, 3), replace=False)
    values = frame[target].astype(float).to_numpy(copy=True)
    values[rows] = values[rows] + 3000.0 * np.std(values)
    return frame.assign(**{target: values})


def lonely(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """A class with two rows."""
    names = frame[target].to_numpy(dtype=object).copy()
    names[:2] = "other"
    return frame.assign(**{target: names})


def wide(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    inputs = [c for c in frame.columns if c != target]
    return frame.assign(**{inputs[0]: frame[inputs[0]] * 1e5})


def noisy(frame: pd.DataFrame, target: str) -> pd.DataFrame:
    """Few rows and many inputs that say nothing."""
    rng = np.random.default_rng(0)
    few = frame.iloc[rng.permutation(len(frame))[:90]].reset_index(drop=True)
    more = pd.DataFrame(rng.normal(size=(len(few), 40)), columns=[f"n{k}" for k in range(40)])
    return pd.concat([few, more], axis=1)


PPO, DQN, SAC = ("ppo-cartpole", "ppo-reach"), ("dqn-cartpole", "dqn-reach"), ("sac-slide", "sac-point")
TD3, LSTM = ("td3-slide", "td3-point"), ("lstm-slide", "lstm-point")
CLASSES, NUMBERS, TABLES = ("iris", "breast-cancer"), ("diabetes", "waves"), ("moons", "waves")
HIGH, LOW, SHORT = ("learning_rate_high",), ("learning_rate_low",), ("discount_short",)

FAULTS = (
    Fault("ppo learning rate high", HIGH, PPO, flags(learning_rate=0.5)),
    Fault("ppo learning rate low", LOW, PPO, flags(learning_rate=1e-6)),
    Fault("ppo discount short", SHORT, PPO, flags(gamma=0.2)),
    Fault("ppo entropy bonus large", ("entropy_bonus_large",), PPO, flags(entropy_coef=2.0)),
    Fault("ppo clip small", ("clip_small",), PPO, flags(clip_coef=5e-4)),
    Fault("ppo value not learned", ("value_not_learned",), PPO, flags(value_coef=0.0)),
    Fault("ppo few updates", ("few_updates",), PPO, _long_rollout),
    Fault("ppo rollout short", ("rollout_short",), PPO, flags(num_steps=1)),
    Fault("ppo run short", ("run_short",), PPO, flags(total_steps=1500)),
    Fault(
        "ppo vanishing gradients",
        ("vanishing_gradients",),
        PPO,
        flags(hidden_sizes=(32,) * 12, activation="sigmoid", orthogonal=False),
    ),
    Fault("ppo gradient norm small", ("max_grad_norm_small",), PPO, flags(max_grad_norm=1e-7)),
    Fault("env constant reward", ("no_reward_signal",), PPO, env("unpaid", broken.constant_reward)),
    Fault("env deaf", ("actions_without_effect",), PPO, env("deaf", broken.deaf)),
    Fault("env blind", ("obs_constant",), PPO, env("blind", broken.blind)),
    Fault("env noise for observations", ("obs_noise",), PPO, env("noise", broken.noise_obs)),
    Fault("env ends at once", ("episodes_end_at_once",), PPO, env("short", broken.ends_at_once)),
    Fault("env never ends", ("episodes_never_end",), PPO, env("endless", broken.no_limit, eval_max_steps=500)),
    Fault(
        "env reward large",
        ("reward_scale",),
        PPO,
        env("rich", lambda core: broken.scaled_reward(core, 1e5), normalize_returns=False),
    ),
    Fault(
        "env observation outliers",
        ("obs_outlier",),
        PPO,
        env("outlier", lambda core: broken.outlier_obs(core, 1e8, 0.02), normalize_obs=True),
    ),
    Fault(
        "env reward outliers", ("reward_outlier",), PPO, env("lottery", lambda c: broken.reward_outlier(c, 3e4, 0.002))
    ),
    Fault("dqn learning rate high", HIGH, DQN, flags(learning_rate=0.3)),
    Fault("dqn learning rate low", LOW, DQN, flags(learning_rate=1e-7)),
    Fault("dqn discount short", SHORT, DQN, flags(gamma=0.1)),
    Fault("dqn target never follows", ("target_slow",), DQN, flags(target_every=1_000_000)),
    Fault("dqn buffer small", ("buffer_small",), DQN, flags(buffer_size=100)),
    Fault("dqn learning late", ("learning_late",), DQN, _share("learning_starts", 0.95)),
    Fault("dqn exploration endless", ("exploration_endless",), DQN, flags(exploration_final=1.0)),
    Fault(
        "dqn exploration none",
        ("exploration_short",),
        DQN,
        flags(exploration_initial=0.0, exploration_final=0.0, learning_starts=80),
    ),
    Fault("dqn few updates", ("updates_few",), DQN, flags(utd=0.004)),
    Fault("dqn batch small", ("batch_small",), DQN, flags(batch_size=1)),
    Fault(
        "dqn reward large",
        ("reward_scale",),
        DQN,
        env("rich", lambda core: broken.scaled_reward(core, 1e5), normalize_returns="no"),
    ),
    Fault("dqn env deaf", ("actions_without_effect",), DQN, env("deaf", broken.deaf)),
    Fault("sac learning rate high", HIGH, SAC, flags(learning_rate=0.5)),
    Fault("sac learning rate low", LOW, SAC, flags(learning_rate=1e-7)),
    Fault("sac target never follows", ("target_slow",), SAC, flags(tau=1e-7)),
    Fault("sac temperature high", ("entropy_bonus_large",), SAC, flags(alpha=100.0)),
    Fault("sac learning late", ("learning_late",), SAC, _share("learning_starts", 0.95)),
    Fault("sac buffer small", ("buffer_small",), SAC, flags(buffer_size=16, batch_size=16)),
    Fault("sac discount short", SHORT, SAC, flags(gamma=0.0)),
    Fault("sac few updates", ("updates_few",), SAC, flags(utd=0.01)),
    Fault(
        "sac reward small",
        ("reward_scale",),
        SAC,
        env("poor", lambda core: broken.scaled_reward(core, 1e-5), normalize_returns="no"),
    ),
    Fault("sac time limit as end", ("time_limit_as_end",), SAC, env("clock", lambda c: broken.limit_as_end(c, 20))),
    Fault(
        "sac memory missing",
        ("memory_missing",),
        SAC,
        lambda p, f: (
            {
                "env": p.settings["env"].replace("-v0", "NoVel-v0"),
                "encoder": "mlp",
            }
            | preset_of(p)
        ),
    ),
    Fault(
        "sac vanishing gradients",
        ("vanishing_gradients",),
        SAC,
        flags(hidden_sizes=(32,) * 12, activation="sigmoid"),
    ),
    Fault("sac weight decay", ("settings_changed",), SAC, flags(weight_decay=1.0)),
    Fault("sac env deaf", ("actions_without_effect",), SAC, env("deaf", broken.deaf)),
    Fault("td3 discount short", SHORT, TD3, flags(gamma=0.0)),
    Fault("td3 few updates", ("updates_few",), TD3, flags(utd=0.01)),
    Fault("td3 learning late", ("learning_late",), TD3, _share("learning_starts", 0.95)),
    Fault("td3 few rounds", ("few_updates",), TD3, _share("train_every", 0.2)),
    Fault("td3 env blind", ("obs_constant",), TD3, env("blind", broken.blind)),
    Fault("td3 learning rate high", HIGH, TD3, flags(learning_rate=0.5)),
    Fault("td3 learning rate low", LOW, TD3, flags(learning_rate=1e-7)),
    Fault("td3 exploration endless", ("exploration_endless",), TD3, flags(exploration_noise=20.0)),
    Fault("td3 target never follows", ("target_slow",), TD3, flags(tau=1e-7)),
    Fault("td3 batch small", ("batch_small",), TD3, flags(batch_size=1)),
    Fault("lstm learning rate high", HIGH, LSTM, flags(learning_rate=0.5)),
    Fault("lstm learning rate low", LOW, LSTM, flags(learning_rate=1e-6)),
    Fault("lstm discount short", SHORT, LSTM, flags(gamma=0.2)),
    Fault("lstm memory missing", ("memory_missing",), LSTM, flags(encoder="mlp")),
    Fault("lstm value not learned", ("value_not_learned",), LSTM, flags(value_coef=0.0)),
    Fault("lstm few updates", ("few_updates",), LSTM, _long_rollout),
    Fault("lstm entropy bonus large", ("entropy_bonus_large",), LSTM, flags(entropy_coef=5.0)),
    Fault("lstm eps large", ("settings_changed",), LSTM, flags(eps=1e3)),
    Fault("lstm env constant reward", ("no_reward_signal",), LSTM, env("unpaid", broken.constant_reward)),
    Fault("task epochs few", ("epochs_few",), CLASSES, flags(epochs=2)),
    Fault("task learning rate high", HIGH, CLASSES, flags(learning_rate=10.0)),
    Fault("task learning rate low", LOW, CLASSES, flags(learning_rate=1e-6)),
    Fault("task overfitting", ("overfitting",), NUMBERS, data("noisy", noisy, epochs=400, hidden_sizes=(256, 256))),
    Fault("task underfitting", ("underfitting",), TABLES, flags(encoder="linear")),
    Fault("task features unscaled", ("features_unscaled",), NUMBERS, data("wide", wide, scaler="none")),
    Fault("task leakage", ("leakage",), ("diabetes", "waves"), data("leak", leak)),
    Fault("task imbalance", ("imbalance",), ("breast-cancer", "moons"), data("rare", rare)),
    Fault("task target outliers", ("target_outliers",), NUMBERS, data("outliers", outliers)),
    Fault("task class missing", ("class_missing",), CLASSES, data("lonely", lonely)),
    Fault("task jagged", ("jagged",), CLASSES, flags(batch_size=1, learning_rate=0.15)),
    Fault(
        "task vanishing gradients",
        ("vanishing_gradients",),
        CLASSES,
        flags(hidden_sizes=(16,) * 12, activation="sigmoid", orthogonal=False),
    ),
)

HEALTHY_MORE = (  # agent or task, settings: presets at short budgets, and defaults where there is no preset
    ("ppo", {"env": "Acrobot-v1", "total_steps": 60_000}),
    ("ppo", {"env": "Faults/Point-v0", "total_steps": 40_000, "num_envs": 32, "learning_rate": 1e-3}),
    ("ppo", {"env": "MountainCarContinuous-v0", "total_steps": 20_000}),
    ("ppo", {"env": "AgentGym/TMaze-v0", "total_steps": 40_000}),
    ("ppo", {"env": "AgentGym/RepeatPrevious-v0", "total_steps": 40_000}),
    ("ppo", {"env": "AgentGym/Snake-v0", "total_steps": 60_000}),
    ("ppo", {"env": "AgentGym/Driving-v0", "total_steps": 60_000}),
    ("ppo", {"env": "AgentGym/TicTacToe-v0", "total_steps": 40_000}),
    ("ppo", {"env": "MountainCar-v0", "total_steps": 60_000}),
    ("ppo", {"env": "Pendulum-v1", "total_steps": 20_000}),
    ("a2c", {"env": "CartPole-v1", "total_steps": 20_000}),
    ("dqn", {"env": "Acrobot-v1", "total_steps": 6_000}),
    ("dqn", {"env": "MountainCar-v0", "total_steps": 6_000}),
    ("qrdqn", {"env": "CartPole-v1", "total_steps": 3_000}),
    ("sac", {"env": "Pendulum-v1", "total_steps": 2_400, "hidden_sizes": (32, 32)}),
    ("td3", {"env": "MountainCarContinuous-v0", "total_steps": 2_000, "hidden_sizes": (32, 32)}),
    ("ddpg", {"env": "Faults/Point-v0", "total_steps": 2_000, "hidden_sizes": (32, 32)}),
    ("digits", {"epochs": 6}),
    ("xor", {}),
    ("heights", {}),
)
VARIED = (  # settings of a problem that a careful user might choose as well
    {},
    {"learning_rate": 0.5},
    {"learning_rate": 2.0},
    {"gamma": 0.98},
)
