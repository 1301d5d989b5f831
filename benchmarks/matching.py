"""The same hyperparameters in the words of both sides: RL Baselines3 Zoo's settings and our configurations."""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from agents.config import ConfigError

ALGOS = {"ppo": "PPO", "a2c": "A2C", "dqn": "DQN", "sac": "SAC", "td3": "TD3", "qrdqn": "QRDQN"}
SB3_DEFAULTS = {
    "PPO": {
        "n_envs": 1,
        "n_steps": 2048,
        "batch_size": 64,
        "n_epochs": 10,
        "gamma": 0.99,
        "gae_lambda": 0.95,
        "clip_range": 0.2,
        "learning_rate": 3e-4,
        "ent_coef": 0.0,
        "vf_coef": 0.5,
        "max_grad_norm": 0.5,
    },
    "RecurrentPPO": {"n_steps": 128, "batch_size": 128},
    "A2C": {"n_steps": 5, "n_epochs": 1, "gae_lambda": 1.0, "learning_rate": 7e-4},
}


def algo_for(agent: str, encoder: str) -> str:
    """Stable-Baselines3's counterpart of a native agent. Raises ConfigError."""
    if agent not in ALGOS:
        raise ConfigError(f"{agent} has no counterpart in Stable-Baselines3: expected one of {', '.join(ALGOS)}")
    return "RecurrentPPO" if agent == "ppo" and encoder in ("lstm", "gru", "rnn") else ALGOS[agent]


def matched(agent: str, encoder: str, zoo: dict, action_space: spaces.Space) -> tuple[dict, dict, list[str]]:
    """The Zoo's setting for both sides: (native settings, sb3 settings, what could not be matched)."""
    if agent not in ("ppo", "a2c"):
        raise ConfigError(f"{agent} has no matched settings: compare it with --settings own")
    algo = algo_for(agent, encoder)
    full = SB3_DEFAULTS["PPO"] | (SB3_DEFAULTS[algo] if algo != "PPO" else {}) | zoo
    notes = []
    sb3 = dict(zoo)
    policy = dict(zoo.get("policy_kwargs", {}))
    if policy.pop("ortho_init", True) is False:
        notes.append("orthogonal initial weights on both sides")
        sb3["policy_kwargs"] = policy
    learning_rate, schedule = _schedule(full["learning_rate"])
    rollout = full["n_envs"] * full["n_steps"]
    native = {
        "encoder": encoder or "auto",
        "total_steps": full["n_timesteps"],
        "num_envs": full["n_envs"],
        "num_steps": full["n_steps"],
        "num_epochs": full["n_epochs"],
        "num_minibatches": 1 if agent == "a2c" else math.ceil(rollout / full["batch_size"]),
        "learning_rate": learning_rate,
        "schedule": schedule,
        "gamma": full["gamma"],
        "gae_lambda": full["gae_lambda"],
        "entropy_coef": full["ent_coef"],
        "value_coef": full["vf_coef"],
        "max_grad_norm": full["max_grad_norm"],
        "normalize_obs": bool(full.get("normalize")),
        "normalize_returns": bool(full.get("normalize")),
        "normalize_advantage": full.get("normalize_advantage", agent == "ppo"),
        "activation": policy.get("activation_fn", "tanh"),
        "log_std_init": policy.get("log_std_init", 0.0) + _log_std_shift(action_space),
    }
    if full.get("use_sde"):
        every = full.get("sde_sample_freq", -1)
        native["sde_every"] = every if every > 0 else full["n_steps"]
    if agent == "ppo":
        native["clip_coef"], native["clip_schedule"] = _schedule(full["clip_range"])
    widths = policy.get("net_arch", [64, 64])
    native["hidden_sizes"] = tuple(widths["pi"] if isinstance(widths, dict) else widths)
    if encoder in ("lstm", "gru", "rnn"):
        native["recurrent_size"] = policy.get("lstm_hidden_size", 256)
        notes.append("dense layers stand before the memory in ours, after it in RecurrentPPO")
    return native, sb3, notes


def _schedule(value: float | str) -> tuple[float, str]:
    if isinstance(value, str):
        return float(value.removeprefix("lin_")), "linear"
    return value, "constant"


def _log_std_shift(action_space: spaces.Space) -> float:
    """From units of the action to units of half its range; 0 where the range is not one finite number."""
    if not isinstance(action_space, spaces.Box):
        return 0.0
    half = np.unique((action_space.high - action_space.low) / 2.0)
    return -math.log(half.item()) if half.size == 1 and np.isfinite(half).all() else 0.0
