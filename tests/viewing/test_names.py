"""What actions are called: the environment's word before its documentation's, and the user's before both."""

from enum import IntEnum
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete
from painted import Painted

import agent_gym.envs  # noqa: F401  registers AgentGym/…
from agent_gym.ground.errors import UserError
from agent_gym.viewing.names import action_names


def names(env_id: str, **kwargs) -> list[str]:
    env = gymnasium.make(env_id, **kwargs)
    found = action_names(env, env.action_space)
    env.close()
    return found


def test_gymnasiums_own_environments():
    """Against what a step does: the named direction is where the cart, the car and the player go."""
    cart = gymnasium.make("CartPole-v1")
    for direction, sign in (("push left", -1), ("push right", 1)):
        cart.reset(seed=0)
        obs = cart.step(names("CartPole-v1").index(direction))[0]
        assert np.sign(obs[1]) == sign
    lake = gymnasium.make("FrozenLake-v1", is_slippery=False)
    for direction, cell in (("right", 1), ("down", 4), ("left", 0), ("up", 0)):
        lake.reset(seed=0)
        assert lake.step(names("FrozenLake-v1").index(direction))[0] == cell
    cliff = gymnasium.make("CliffWalking-v1")
    cliff.reset(seed=0)
    assert cliff.step(names("CliffWalking-v1").index("up"))[0] == 24
    assert names("LunarLander-v3")[2] == "main engine" and names("LunarLander-v3", continuous=True)[0] == "main"
    assert names("MountainCarContinuous-v0") == ["force"] and names("Taxi-v4")[4:] == ["pick up", "drop off"]


def test_mujoco_actuators():
    assert names("HalfCheetah-v5") == ["bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"]
    assert names("Hopper-v5") == ["thigh", "leg", "foot"]  # its actuators have no names, their joints have


class Behind(gymnasium.Env):
    """A model where adapters of dm_control keep it: in the physics of another environment, wrapped."""

    def __init__(self, model):
        self.action_space = gymnasium.spaces.Box(-1, 1, (model.nu,))
        seen = {name: getattr(model, name) for name in ("light_castshadow", "mat_reflectance", "vis")}
        physics = SimpleNamespace(model=SimpleNamespace(ptr=model, **seen))
        self._env = SimpleNamespace(physics=physics)


def test_actuators_behind_an_adapter():
    env = Behind(gymnasium.make("HalfCheetah-v5").unwrapped.model)
    assert action_names(env, env.action_space) == names("HalfCheetah-v5")


@pytest.mark.parametrize("env_id", [env_id for env_id in gymnasium.registry if env_id.startswith("AgentGym/")])
def test_each_of_our_environments_names_its_actions(env_id):
    found = names(env_id)
    assert len(set(found)) == len(found) and not any(name.isdecimal() for name in found), found


def test_our_snake_goes_where_the_name_says():
    env = gymnasium.make("AgentGym/Snake-v0").unwrapped
    env.reset(seed=3)
    for number, (name, change) in enumerate(zip(names("AgentGym/Snake-v0"), (-8, 1, 8, -1), strict=True)):
        state = env.core.initial(1, env.generator, "cpu")
        while int(state[65]) != number:  # heading that way already
            state = env.core.initial(1, env.generator, "cpu")
        after = env.core.step(state, torch.tensor([number]), env.generator)[0]
        assert int(after[64] - state[64]) == change, name


class Moves(IntEnum):
    turn_left = 0
    forward = 1
    done = 2


def test_the_order_of_sources():
    class Lander(Painted):
        """Somebody's own, with an enumeration."""

        actions = Moves

    env = Lander()
    assert action_names(env, env.action_space) == ["turn left", "forward", "done"]
    env.get_action_meanings = lambda: ["NOOP", "UP_LEFT", "FIRE"]
    assert action_names(env, env.action_space) == ["noop", "up left", "fire"]
    assert action_names(env, env.action_space, "a, b,c") == ["a", "b", "c"]
    env.get_action_meanings = lambda: ["of another action space"]
    del Lander.actions
    assert action_names(env, env.action_space) == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("space", "given"),
    [
        (Discrete(3), "a,b,c"),
        (MultiDiscrete([2, 4]), "arm,leg"),
        (MultiBinary(2), "lamp,horn"),
        (Box(-1, 1, (2,)), "hip,knee"),
    ],
)
def test_names_of_the_user(space, given):
    assert action_names(Painted(), space, given) == given.split(",")
    for wrong in (given + ",more", given.replace(",", ";"), ",b" if len(given) < 9 else "only"):
        with pytest.raises(UserError, match="--action-names .*expected [23] names separated by commas, such as left"):
            action_names(Painted(), space, wrong)
