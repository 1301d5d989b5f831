"""Tuned settings by agent and environment; a flag given by the user wins over them."""

from __future__ import annotations

from gymnasium import spaces

from agent_gym.agents.presets.off_policy import ATARI_DQN, OFF_POLICY_PRESETS
from agent_gym.agents.presets.suite import NORMALIZED, SUITE_PRESETS
from agent_gym.agents.sb3.config import sb3_preset

PPO_PRESETS = {
    "CartPole-v1": {
        "total_steps": 100_000,
        "num_envs": 32,
        "num_steps": 32,
        "num_epochs": 2,
        "num_minibatches": 2,
        "learning_rate": 1e-2,
        "gamma": 0.98,
        "max_grad_norm": 1.0,
        "hidden_sizes": (32, 32),
        "normalize_returns": True,
    },
    "AgentGym/CartPoleNoVel-v1": {
        "total_steps": 100_000,
        "encoder": "lstm",
        "num_envs": 32,
        "num_steps": 32,
        "num_epochs": 4,
        "num_minibatches": 2,
        "learning_rate": 5e-3,
        "gae_lambda": 0.9,
        "hidden_sizes": (32,),
        "recurrent_size": 32,
        **NORMALIZED,
    },
    "Acrobot-v1": {
        "total_steps": 1_000_000,
        "num_envs": 64,
        "num_steps": 128,
        "num_epochs": 6,
        "num_minibatches": 32,
        "learning_rate": 1e-3,
        "gae_lambda": 0.97,
        "entropy_coef": 0.005,
        **NORMALIZED,
    },
    "MountainCarContinuous-v0": {
        "total_steps": 100_000,
        "num_envs": 8,
        "num_steps": 128,
        "num_epochs": 10,
        "num_minibatches": 4,
        "gamma": 0.9999,
        "log_std_init": -1.5,
        "sde_every": 32,
        **NORMALIZED,
    },
    "Pendulum-v1": {
        "total_steps": 100_000,
        "num_envs": 2,
        "num_steps": 512,
        "num_epochs": 20,
        "num_minibatches": 8,
        "schedule": "constant",
        "gamma": 0.95,
        "gae_lambda": 0.9,
        "clip_coef": 0.3,
        "max_grad_norm": 5.0,
        "hidden_sizes": (128, 128),
        "activation": "relu",
        "log_std_init": -1.0,
        "sde_every": 4,
        **NORMALIZED,
    },
    "LunarLander-v3": {
        "total_steps": 1_000_000,
        "num_envs": 32,
        "num_steps": 128,
        "num_epochs": 6,
        "num_minibatches": 8,
        "learning_rate": 1e-3,
        "gamma": 0.999,
        "gae_lambda": 0.98,
        "entropy_coef": 0.01,
        "hidden_sizes": (128, 128),
        "activation": "relu",
        "normalize_returns": True,
    },
    "HalfCheetah-v5": {
        "total_steps": 1_000_000,
        "num_envs": 16,
        "num_steps": 128,
        "num_epochs": 10,
        "num_minibatches": 8,
        "gamma": 0.98,
        "gae_lambda": 0.92,
        "hidden_sizes": (256, 256),
        "activation": "relu",
        "log_std_init": -2.0,
        **NORMALIZED,
    },
    "Hopper-v5": {
        "total_steps": 1_000_000,
        "num_envs": 8,
        "num_steps": 256,
        "num_epochs": 10,
        "num_minibatches": 16,
        "log_std_init": -1.0,
        **NORMALIZED,
    },
}
PRESETS: dict[str, dict[str, dict]] = {"ppo": SUITE_PRESETS | PPO_PRESETS, **OFF_POLICY_PRESETS}

ATARI = {  # Schulman et al. 2017, table 5, in environment steps of four frames
    "total_steps": 10_000_000,
    "num_envs": 8,
    "num_steps": 128,
    "num_epochs": 4,
    "num_minibatches": 4,
    "learning_rate": 2.5e-4,
    "clip_coef": 0.1,
    "clip_schedule": "linear",
    "entropy_coef": 0.01,
}
DISCRETE = {"num_envs": 16, "entropy_coef": 0.01, **NORMALIZED}
CONTINUOUS = {"num_envs": 8, "num_steps": 256, "num_minibatches": 8, "log_std_init": -1.0, **NORMALIZED}


def preset(agent: str, env_id: str, action_space: spaces.Space, algo: str = "") -> tuple[str, dict]:
    """The preset for `agent` on `env_id` and what to call it; sound defaults for the kind of action otherwise.

    `algo` is the algorithm of agent sb3.
    """
    if agent == "sb3":
        return sb3_preset(algo, env_id)
    known = PRESETS.get(agent, {})
    if env_id in known:
        return f"preset for {env_id}", known[env_id]
    if agent in ("ppo", "dqn", "qrdqn") and env_id.startswith("ALE/"):
        return "preset for Atari", ATARI if agent == "ppo" else ATARI_DQN
    if agent != "ppo":
        return "defaults", {}
    if isinstance(action_space, spaces.Box):
        return "defaults for continuous control", CONTINUOUS
    return "defaults for discrete actions", DISCRETE
