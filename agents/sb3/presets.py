"""Which algorithms Stable-Baselines3 and sb3-contrib have, and the Zoo's hyperparameters for them by environment."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

ALGORITHMS = ("PPO", "A2C", "DQN", "SAC", "TD3", "DDPG")
CONTRIB = ("TQC", "QRDQN", "TRPO", "ARS", "CrossQ", "MaskablePPO", "RecurrentPPO")

# The Zoo has none for MaskablePPO; it is PPO but for the masks, on discrete actions.
OF_PPO = ("default", "atari", "CartPole-v1", "Acrobot-v1", "MountainCar-v0", "LunarLander-v3")


@cache
def zoo(algo: str) -> dict[str, dict]:
    """What RL Baselines3 Zoo publishes for an algorithm, by environment.

    Source of all figures in zoo.json: github.com/DLR-RM/rl-baselines3-zoo, hyperparams/*.yml at commit 22e3ff2 (MIT
    licence).
    """
    tables = json.loads(Path(__file__).with_name("zoo.json").read_text("utf-8"))
    return {env: tables["PPO"][env] for env in OF_PPO} if algo == "MaskablePPO" else tables[algo]


_MUJOCO = re.compile(
    r"(HalfCheetah|Ant|Hopper|Walker2d|Humanoid|HumanoidStandup|Swimmer|Reacher|Inverted(Double)?Pendulum)-v\d+"
)


def zoo_preset(algo: str, env_id: str) -> tuple[str, dict]:
    """What the Zoo sets for `algo` on an environment and what to call it; its defaults where it lists none.

    The names are the Zoo's: n_timesteps, n_envs, normalize (VecNormalize), noise_type and noise_std (action noise),
    all else an argument of the algorithm; "lin_x" falls linearly from x to 0. Without a policy, it follows from the
    observation space. MuJoCo ids of any version take the version that the Zoo tuned; ALE/ ids take "atari",
    without the Zoo's env wrappers.
    """
    table = zoo(algo)
    name = "atari" if env_id.startswith("ALE/") else re.split("[/:]", env_id)[-1]
    if name not in table and _MUJOCO.fullmatch(name):
        stem = name.partition("-v")[0] + "-v"
        name = next((known for known in table if known.startswith(stem)), name)
    if name not in table:
        return f"RL Baselines3 Zoo's defaults for {algo}", table["default"]
    return f"RL Baselines3 Zoo's setting of {algo} for {name}", table[name]
