"""Which algorithms Stable-Baselines3 and sb3-contrib have, and the Zoo's hyperparameters for them by environment."""

from __future__ import annotations

import re

from agent_gym.agents.sb3 import zoo_off_policy as off_policy
from agent_gym.agents.sb3 import zoo_on_policy as on_policy

ALGORITHMS = ("PPO", "A2C", "DQN", "SAC", "TD3", "DDPG")
CONTRIB = ("TQC", "QRDQN", "TRPO", "ARS", "CrossQ", "MaskablePPO", "RecurrentPPO")

ZOO: dict[str, on_policy.Table] = {
    "PPO": on_policy.PPO,
    "A2C": on_policy.A2C,
    "DQN": off_policy.DQN,
    "SAC": off_policy.SAC,
    "TD3": off_policy.TD3,
    "DDPG": off_policy.DDPG,
    "TQC": off_policy.TQC,
    "QRDQN": off_policy.QRDQN,
    "TRPO": on_policy.TRPO,
    "ARS": on_policy.ARS,
    "CrossQ": off_policy.CROSSQ,
    # The Zoo has none for it; it is PPO but for the masks, on discrete actions.
    "MaskablePPO": on_policy.same(on_policy.PPO, "default atari CartPole-v1 Acrobot-v1 MountainCar-v0 LunarLander-v3"),
    "RecurrentPPO": on_policy.RECURRENT_PPO,
}

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
    table = ZOO[algo]
    name = "atari" if env_id.startswith("ALE/") else re.split("[/:]", env_id)[-1]
    if name not in table and _MUJOCO.fullmatch(name):
        stem = name.partition("-v")[0] + "-v"
        name = next((known for known in table if known.startswith(stem)), name)
    if name not in table:
        return f"RL Baselines3 Zoo's defaults for {algo}", table["default"]
    return f"RL Baselines3 Zoo's setting of {algo} for {name}", table[name]
