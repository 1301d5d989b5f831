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
    "AgentGym/Snake-v0": {
        "total_steps": 1_500_000,
        **MANY,
        "encoder": "mlp",
        "hidden_sizes": (256, 128),
        "activation": "relu",
        "gamma": 0.98,
        "entropy_coef": 0.01,
        "normalize_returns": True,
    },
    "AgentGym/Recommender-v0": {"total_steps": 1_000_000, **MEMORY, "num_envs": 128, "entropy_coef": 0.01},
    "AgentGym/TMaze-v0": {"total_steps": 300_000, **MEMORY, "entropy_coef": 0.01},
    "AgentGym/RepeatPrevious-v0": {
        "total_steps": 500_000,
        **MEMORY,
        "num_minibatches": 8,
        "learning_rate": 3e-3,
        "gamma": 0.5,
        "gae_lambda": 0.5,
    },
    "AgentGym/AcrobotNoVel-v1": {"total_steps": 500_000, **MEMORY, "normalize_obs": True},
    "AgentGym/PendulumNoVel-v1": {
        "total_steps": 800_000,
        **MEMORY,
        "hidden_sizes": (64,),
        "num_epochs": 6,
        "num_minibatches": 8,
        "gamma": 0.95,
        "gae_lambda": 0.9,
        "clip_coef": 0.3,
        "max_grad_norm": 5.0,
        "log_std_init": -1.0,
        "sde_every": 4,
        "normalize_obs": True,
    },
}
