"""PPO's settings for the native environments: many environments side by side, short rollouts, few epochs."""

from __future__ import annotations

NORMALIZED = {"normalize_obs": True, "normalize_returns": True}
MANY = {"num_envs": 128, "num_steps": 64, "num_epochs": 4, "num_minibatches": 8, "learning_rate": 1e-3}
MEMORY = {
    "encoder": "gru",
    "num_envs": 64,
    "num_steps": 64,
    "num_epochs": 4,
    "num_minibatches": 4,
    "learning_rate": 2e-3,
    "normalize_returns": True,
}

SUITE_PRESETS: dict[str, dict] = {
    "MountainCar-v0": {
        "total_steps": 2_000_000,
        **MANY,
        "num_envs": 256,
        "learning_rate": 2e-3,
        "gae_lambda": 0.98,
        **NORMALIZED,
    },
    "AgentGym/Obstacles-v0": {"total_steps": 2_000_000, **MANY, "log_std_init": -0.5, **NORMALIZED},
    "AgentGym/Driving-v0": {"total_steps": 1_500_000, **MANY, "log_std_init": -0.5, **NORMALIZED},
    "AgentGym/Tanks-v0": {
        "total_steps": 1_000_000,
        **MANY,
        "num_envs": 64,
        "num_epochs": 6,
        "learning_rate": 2e-3,
        "log_std_init": -1.0,
        **NORMALIZED,
    },
    "AgentGym/TMaze-v0": {"total_steps": 300_000, **MEMORY, "entropy_coef": 0.01},
}
