"""Tuned settings by agent and environment; a flag given by the user wins over them."""

from __future__ import annotations

from gymnasium import spaces

from agents.sb3_config import sb3_preset

PRESETS: dict[str, dict[str, dict]] = {
    "ppo": {
        "CartPole-v1": {
            "num_envs": 64,
            "num_steps": 32,
            "num_epochs": 4,
            "num_minibatches": 4,
            "learning_rate": 4e-3,
            "gamma": 0.98,
            "gae_lambda": 0.8,
            "normalize_returns": True,
        },
    },
    "a2c": {},
}

DISCRETE = {"num_envs": 16, "entropy_coef": 0.01, "normalize_obs": True, "normalize_returns": True}
CONTINUOUS = {"num_envs": 8, "num_steps": 256, "normalize_obs": True, "normalize_returns": True}


def preset(agent: str, env_id: str, action_space: spaces.Space, algo: str = "") -> tuple[str, dict]:
    """The preset for `agent` on `env_id` and what to call it; sound defaults for the kind of action otherwise.

    `algo` is the algorithm of agent sb3.
    """
    if agent == "sb3":
        return sb3_preset(algo, env_id)
    known = PRESETS.get(agent, {})
    if env_id in known:
        return f"preset for {env_id}", known[env_id]
    if agent == "a2c":
        return "defaults", {}
    if isinstance(action_space, spaces.Box):
        return "defaults for continuous control", CONTINUOUS
    return "defaults for discrete actions", DISCRETE
