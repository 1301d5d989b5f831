"""Tuned settings of the agents with a replay buffer, by environment."""

from __future__ import annotations

FEW = {"num_envs": 4, "train_every": 4, "utd": 0.5}  # half an update a step, in rounds that share their overhead

DQN_PRESETS: dict[str, dict] = {
    "CartPole-v1": {
        "total_steps": 50_000,
        **FEW,
        "train_every": 8,
        "learning_rate": 2e-3,
        "schedule": "linear",
        "hidden_sizes": (128, 128),
        "target_every": 250,
        "exploration_fraction": 0.16,
        "exploration_final": 0.04,
        "normalize_obs": True,
    },
    "AgentGym/CartPoleNoVel-v1": {
        "total_steps": 60_000,
        "encoder": "lstm",
        "num_envs": 8,
        "train_every": 4,
        "utd": 0.25,
        "learning_rate": 3e-3,
        "schedule": "linear",
        "hidden_sizes": (64,),
        "recurrent_size": 64,
        "sequence_length": 8,
        "burn_in": 4,
        "target_every": 1000,
        "td_loss": "mse",
        "normalize_obs": True,
    },
    "Acrobot-v1": {
        "total_steps": 100_000,
        **FEW,
        "utd": 1.0,
        "learning_rate": 3e-3,
        "schedule": "linear",
        "layer_norm": True,
        "hidden_sizes": (128, 128),
        "n_step": 1,
        "batch_size": 128,
        "target_every": 250,
        "exploration_fraction": 0.12,
        "exploration_final": 0.1,
    },
    "MountainCar-v0": {
        "total_steps": 120_000,
        **FEW,
        "learning_rate": 2e-3,
        "schedule": "linear",
        "hidden_sizes": (128, 128),
        "n_step": 4,
        "exploration_fraction": 0.1,  # values that start at zero explore better here than chance does
        "normalize_obs": True,
    },
    "LunarLander-v3": {
        "total_steps": 100_000,
        **FEW,
        "learning_rate": 2e-3,
        "layer_norm": True,
        "batch_size": 128,
        "target_every": 1000,
    },
}
SAC_PRESETS: dict[str, dict] = {
    "Pendulum-v1": {
        "total_steps": 20_000,
        "learning_starts": 500,
        "learning_rate": 1e-3,
        "batch_size": 128,
        "hidden_sizes": (64, 64),
    },
    "AgentGym/PendulumNoVel-v1": {
        "total_steps": 50_000,
        "encoder": "lstm",
        **FEW,
        "learning_rate": 3e-3,
        "schedule": "linear",
        "gamma": 0.98,
        "batch_size": 64,
        "hidden_sizes": (64,),
        "recurrent_size": 64,
        "sequence_length": 8,
        "burn_in": 4,
        "layer_norm": True,
        "normalize_obs": True,
    },
    "LunarLander-v3": {
        "total_steps": 500_000,
        "num_envs": 8,
        "train_every": 2,
        "utd": 0.5,
        "learning_starts": 10_000,
        "learning_rate": 1.5e-3,
        "schedule": "linear",
        "layer_norm": True,
        "tau": 0.01,
        "target_entropy": -0.5,
        "n_step": 4,
        "batch_size": 128,
        "hidden_sizes": (128, 128),
    },
    "HalfCheetah-v5": {
        "total_steps": 1_000_000,
        "num_envs": 8,
        "learning_starts": 10_000,
        "learning_rate": 7.3e-4,
        "batch_size": 128,
    },
}
TD3_PRESETS: dict[str, dict] = {
    "Pendulum-v1": {
        "total_steps": 20_000,
        "gamma": 0.98,
        "n_step": 3,
        "schedule": "linear",
        "batch_size": 128,
        "hidden_sizes": (128, 128),
    },
    "HalfCheetah-v5": {
        "total_steps": 1_000_000,
        "num_envs": 8,
        "learning_starts": 10_000,
        "batch_size": 128,
    },
}
OFF_POLICY_PRESETS = {"dqn": DQN_PRESETS, "sac": SAC_PRESETS, "td3": TD3_PRESETS}

ATARI_DQN = {  # Mnih et al. 2015 and Hessel et al. 2018, in environment steps of four frames
    "total_steps": 10_000_000,
    "num_envs": 8,
    "utd": 0.25,
    "buffer_size": 200_000,
    "batch_size": 32,
    "learning_starts": 20_000,
    "learning_rate": 1e-4,
    "target_every": 8_000,
    "exploration_fraction": 0.1,
    "exploration_final": 0.01,
}
