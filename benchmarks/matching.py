"""The same hyperparameters in the words of both sides: RL Baselines3 Zoo's settings and our configurations."""

from __future__ import annotations

import math

import numpy as np
from gymnasium import spaces

from agent_gym.ground.errors import UserError

ALGOS = {"ppo": "PPO", "a2c": "A2C", "dqn": "DQN", "qrdqn": "QRDQN", "sac": "SAC", "td3": "TD3", "ddpg": "DDPG"}
MEMORIES = ("lstm", "gru", "rnn")
ON_POLICY = {
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
}
OFF_POLICY = {
    "n_envs": 1,
    "n_steps": 1,
    "buffer_size": 1_000_000,
    "learning_starts": 100,
    "batch_size": 256,
    "gamma": 0.99,
    "tau": 0.005,
    "train_freq": 1,
    "gradient_steps": 1,
}
Q_LEARNING = OFF_POLICY | {
    "learning_rate": 1e-4,
    "batch_size": 32,
    "tau": 1.0,
    "train_freq": 4,
    "target_update_interval": 10_000,
    "exploration_fraction": 0.1,
    "exploration_initial_eps": 1.0,
    "exploration_final_eps": 0.05,
    "max_grad_norm": 10,
}
SB3_DEFAULTS = {  # of Stable-Baselines3 2.9
    "PPO": ON_POLICY,
    "RecurrentPPO": ON_POLICY | {"n_steps": 128, "batch_size": 128},
    "A2C": ON_POLICY | {"n_steps": 5, "n_epochs": 1, "gae_lambda": 1.0, "learning_rate": 7e-4},
    "DQN": Q_LEARNING,
    "QRDQN": Q_LEARNING
    | {
        "learning_rate": 5e-5,
        "exploration_fraction": 0.005,
        "exploration_final_eps": 0.01,
        "max_grad_norm": None,
    },
    "SAC": OFF_POLICY | {"learning_rate": 3e-4, "ent_coef": "auto"},
    "TD3": OFF_POLICY
    | {"learning_rate": 1e-3, "policy_delay": 2, "target_policy_noise": 0.2, "target_noise_clip": 0.5},
    "DDPG": OFF_POLICY | {"learning_rate": 1e-3},
}
NET_ARCH = {"DQN": [64, 64], "QRDQN": [64, 64], "SAC": [256, 256], "TD3": [400, 300], "DDPG": [400, 300]}  # vectors'
IN_THEIRS_ALONE = "{} is in Stable-Baselines3 alone"


def algo_for(agent: str, encoder: str) -> str:
    """Stable-Baselines3's counterpart of a native agent. Raises UserError."""
    if agent not in ALGOS:
        raise UserError(f"{agent} has no counterpart in Stable-Baselines3: expected one of {', '.join(ALGOS)}")
    return "RecurrentPPO" if agent == "ppo" and encoder in MEMORIES else ALGOS[agent]


def defaults(algo: str, steps: int) -> dict:
    """Stable-Baselines3's defaults in the Zoo's words; with a replay buffer, one update for each step."""
    once = {"train_freq": 1, "gradient_steps": 1} if "train_freq" in SB3_DEFAULTS[algo] else {}
    return {"n_timesteps": steps} | once


def matched(agent: str, encoder: str, zoo: dict, action_space: spaces.Space) -> tuple[dict, dict, list[str]]:
    """The Zoo's setting for both sides: (native settings, sb3 settings, what could not be matched)."""
    algo = algo_for(agent, encoder)
    full = SB3_DEFAULTS[algo] | zoo
    if "train_freq" in full:
        native, notes = _off_policy(agent, algo, full)
        if encoder in MEMORIES:
            notes.append("memory in ours alone")
        return native | {"encoder": encoder or "auto"}, dict(zoo), notes
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
    if encoder in MEMORIES:
        native["recurrent_size"] = policy.get("lstm_hidden_size", 256)
        notes.append("dense layers stand before the memory in ours, after it in RecurrentPPO")
    return native, sb3, notes


def _off_policy(agent: str, algo: str, settings: dict) -> tuple[dict, list[str]]:
    """Native settings, without the encoder, for an agent with a replay buffer; what could not be matched."""
    full = dict(settings)
    policy = dict(full.pop("policy_kwargs", {}))
    native = {
        "total_steps": full.pop("n_timesteps"),
        "num_envs": full.pop("n_envs"),
        "n_step": full.pop("n_steps"),
        "train_every": full.pop("train_freq"),
        "tau": full.pop("tau"),
        "activation": policy.pop("activation_fn", "relu"),
        "hidden_sizes": _widths(policy.pop("net_arch", NET_ARCH[algo])),
    }
    native |= {name: full.pop(name) for name in ("buffer_size", "batch_size", "learning_starts", "gamma")}
    native["learning_rate"], native["schedule"] = _schedule(full.pop("learning_rate"))
    if not isinstance(native["train_every"], int):
        raise UserError(f"train_freq {native['train_every']}: ours trains after a number of steps, not of episodes")
    updates = full.pop("gradient_steps")
    native["utd"] = 1.0 if updates < 0 else updates / (native["train_every"] * native["num_envs"])
    notes = []
    match algo:
        case "DQN" | "QRDQN":
            native |= {
                "double": False,
                "dueling": False,
                "target_every": full.pop("target_update_interval"),
                "exploration_fraction": full.pop("exploration_fraction"),
                "exploration_initial": full.pop("exploration_initial_eps"),
                "exploration_final": full.pop("exploration_final_eps"),
                "max_grad_norm": full.pop("max_grad_norm") or 0.0,
                "quantiles": policy.pop("n_quantiles", 200) if algo == "QRDQN" else 0,
            }
            if algo == "QRDQN":
                notes.append("Adam's eps is 1e-8 in ours, 0.01 / batch_size in QR-DQN")
        case "SAC":
            entropy = full.pop("ent_coef")
            if isinstance(entropy, str):  # "auto", or "auto_0.1" where it starts from 0.1
                native["initial_alpha"] = float(entropy.partition("_")[2] or 1.0)
            else:
                native["alpha"] = float(entropy)
                if entropy == 0:
                    notes.append("ent_coef 0: ours learns the weight of the entropy")
        case _:
            normal = full.get("noise_type") == "normal"
            native["exploration_noise"] = full.pop("noise_std", 0.1) if normal else 0.0
            if normal:
                del full["noise_type"]
            if algo == "TD3":
                native |= {
                    "policy_delay": full.pop("policy_delay"),
                    "target_noise": full.pop("target_policy_noise"),
                    "target_noise_clip": full.pop("target_noise_clip"),
                }
    rest = [*full, *(f"policy_kwargs {name}" for name in policy)]
    return native, notes + [IN_THEIRS_ALONE.format(name) for name in rest]


def _widths(net_arch: list[int] | dict) -> tuple[int, ...]:
    """Of the hidden layers of all networks. Raises UserError where actor and critic differ."""
    if isinstance(net_arch, dict):
        if net_arch["pi"] != net_arch["qf"]:
            raise UserError(f"net_arch {net_arch}: ours gives actor and critic the same; compare with --settings own")
        net_arch = net_arch["pi"]
    return tuple(net_arch)


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
