"""Environments of other packages, where those are installed: a short training, and what each is known for."""

import importlib.util

import pytest
import torch

from agent_gym.agents import agent_class, config_class
from agent_gym.envs.layers import Layers
from agent_gym.envs.make import make_env
from agent_gym.ground.errors import UserError

SMALL = {"num_envs": 2, "hidden_sizes": (8,), "total_steps": 500, "seed": 0}
OFF = {"learning_starts": 10, "buffer_size": 200, "batch_size": 8, "utd": 0.2}
CASES = {  # package, agent, id, flags, what the run has to tell
    "minigrid": ("minigrid", "ppo", "minigrid:MiniGrid-Empty-5x5-v0", {}, ""),
    "minigrid's image alone": ("minigrid", "ppo", "minigrid:MiniGrid-Empty-5x5-v0", {"obs_keys": ("image",)}, ""),
    "highway": ("highway_env", "dqn", "highway_env:highway-fast-v0", {}, "rollout/info/speed"),
    "robotics": (
        "gymnasium_robotics",
        "sac",
        "gymnasium_robotics:FetchReach-v4",
        {"her": "future"},
        "rollout/info/is_success",
    ),
    "several objectives": (
        *("mo_gymnasium", "ppo", "mo_gymnasium:deep-sea-treasure-v0"),
        *({"reward_weights": (1.0, 0.1)}, "rollout/info/reward_2"),
    ),
    "flappy bird": ("flappy_bird_gymnasium", "ppo", "flappy_bird_gymnasium:FlappyBird-v0", {}, "rollout/info/score"),
    "popgym": ("popgym", "ppo", "popgym:popgym-RepeatPreviousEasy-v0", {"encoder": "gru"}, ""),
    "dm-control": ("shimmy", "ppo", "shimmy:dm_control/cartpole-balance-v0", {}, ""),
    "one agent of PettingZoo": ("mpe2", "ppo", "mpe2:simple_v3", {}, ""),
    "taxi": ("gymnasium", "dqn", "Taxi-v4", {}, "rollout/info/prob"),
    "frozen lake": ("gymnasium", "ppo", "FrozenLake-v1", {}, ""),
    "humanoid": ("mujoco", "sac", "Humanoid-v5", {}, "rollout/info/x_velocity"),
    "racing": ("Box2D", "ppo", "CarRacing-v3", {"resize": (24, 24), "grayscale": True, "num_envs": 1}, ""),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES)
def test_a_short_training(case):
    package, name, env_id, flags, told = CASES[case]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: the extra third-party brings it")
    settings = SMALL | (OFF if name in ("dqn", "sac") else {"num_steps": 16}) | flags
    config = config_class(name)(env=env_id, **settings)
    try:
        env = make_env(env_id, config.num_envs, layers=Layers.of(config), backend="sync")
    except UserError as error:
        pytest.skip(f"{package} does not go with what is installed here: {error}")
    agent = agent_class(name)(config, env)
    before = [part.clone() for part in agent.policy.parameters()]
    agent.begin()
    scalars = {}
    for _ in range(1 if name in ("ppo", "a2c") else 12):
        scalars |= agent.collect() or {}
        agent.update()
    assert any(not torch.equal(a, b) for a, b in zip(before, agent.policy.parameters(), strict=True))
    assert not told or told in scalars
    env.close()
