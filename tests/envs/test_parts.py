"""Each part of an environment that is not what Gymnasium says is named in one line, at the start where that can be."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces

from agent_gym.envs.adapters.boundary.checks import check_step
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.make import make_env, make_single
from agent_gym.envs.vector import EnvFailure
from agent_gym.ground.errors import UserError


class Fine(gymnasium.Env):
    observation_space, action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 1.0, False, False, {}


def like(**parts) -> type[gymnasium.Env]:
    return type("Changed", (Fine,), parts)


def returning(value):
    return lambda self, *_, **__: value


OBS = np.zeros(2, np.float32)


def old_reset(self):
    return OBS, {}


old_reset.__name__ = old_reset.__qualname__ = "reset"


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"step": returning((OBS, 1.0, False, {}))}, r"step\(\) returned 4 values: .*terminated, truncated.*old Gym"),
        ({"step": returning(OBS)}, r"step\(\) returned an array of shape \(2,\): expected the five"),
        ({"step": returning((OBS, None, False, False, {}))}, "None as reward: expected a number"),
        (
            {"step": returning((OBS, np.zeros(3), False, False, {}))},
            r"reward of shape \(3,\).*--reward-weights 1 1 1",
        ),
        ({"step": returning((OBS, "1", False, False, {}))}, "a value of type str as reward"),
        ({"step": returning((OBS, 1.0, None, False, {}))}, "None as terminated: expected True or False"),
        ({"step": returning((OBS, 1.0, False, np.zeros(2, bool), {}))}, "as truncated"),
        ({"step": returning((OBS, 1.0, False, False, None))}, "None as info: expected a dict"),
        ({"step": returning((np.zeros(3), 1.0, False, False, {}))}, r"shape \(3,\), its space says \(2,\)"),
    ],
)
def test_step(parts, says):
    env = SyncEnv([like(**parts)() for _ in range(2)], "Parts-v0")
    env.reset(0)
    with pytest.raises(EnvFailure, match=says) as caught:
        env.step(torch.zeros(2, dtype=torch.int64))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("reset", "says"),
    [
        (returning(OBS), r"reset\(\) returned an array of shape \(2,\) alone: expected the pair \(observation, info\)"),
        (returning((OBS, 3)), "a value of type int as info: expected a dict"),
        (returning(None), r"reset\(\) returned None alone"),
        (old_reset, r"reset\(\) takes no seed: expected reset\(self, \*, seed=None, options=None\)"),
    ],
)
def test_reset(reset, says):
    with pytest.raises(EnvFailure, match=says):
        SyncEnv([like(reset=reset)()], "Parts-v0").reset(0)


@pytest.mark.parametrize(
    ("name", "space", "says"),
    [
        ("observation_space", None, "it has no observation_space"),
        ("action_space", 3, "its action_space is of type int"),
        ("action_space", lambda agent: None, "is a function, as of an environment of several agents"),
    ],
)
def test_spaces(name, space, says):
    with pytest.raises(UserError, match=f"Parts-v0: .*{says}"):
        SyncEnv([like(**{name: space})()], "Parts-v0")


@pytest.mark.parametrize("reward", [1, np.float32(2), np.array([3.0]), np.array(4), True])
def test_numbers_of_every_kind_are_rewards(reward):
    check_step((OBS, reward, np.bool_(False), np.array([True]), {}))
    env = SyncEnv([like(step=returning((OBS, reward, False, False, {})))()], "Parts-v0")
    env.reset(0)
    assert env.step(torch.zeros(1, dtype=torch.int64)).reward.item() == float(np.asarray(reward).reshape(()))


def test_a_nan_action_is_the_agents_own():
    env = SyncEnv([like(action_space=spaces.Box(-1, 1, (1,)))()], "Parts-v0")
    env.reset(0)
    with pytest.raises(UserError, match="the agent's own action for Parts-v0 holds NaN") as caught:
        env.step(torch.tensor([[torch.nan]]))
    assert not isinstance(caught.value, EnvFailure)
    native = make_env("Pendulum-v1", 2)
    with pytest.raises(UserError, match="the agent's own action"):
        native.step(torch.full((2, 1), torch.nan))


def test_an_init_without_render_mode():
    gymnasium.register("Test/NoMode-v0", like(__init__=lambda self: None, metadata={"render_modes": ["rgb_array"]}))
    with pytest.raises(UserError, match="Test/NoMode-v0 cannot be drawn: its __init__ takes no render_mode"):
        make_single("Test/NoMode-v0", render_mode="rgb_array")


def test_environments_of_other_kinds_are_told_at_the_start():
    for part, said in ((spaces.Dict(a=spaces.Text(3)), "the part Text"), (spaces.Text(3), "the action space Text")):
        gymnasium.registry.pop("Test/Unfit-v0", None)
        gymnasium.register("Test/Unfit-v0", lambda part=part: like(action_space=part)())
        with pytest.raises(UserError, match=f"Test/Unfit-v0: {said}.*--wrapper"):
            make_env("Test/Unfit-v0", 2)
    gymnasium.register("Test/NoEnv-v0", lambda: object())
    with pytest.raises(UserError, match=r"Test/NoEnv-v0 is no gymnasium.Env"):
        make_env("Test/NoEnv-v0", 1)
    odd = spaces.Dict(image=spaces.Box(0, 255, (7, 7, 3), np.uint8), mission=gymnasium.Space((2,), np.float32))
    gymnasium.register("Test/Mission-v0", lambda: like(observation_space=odd)())
    with pytest.raises(UserError, match=r"part 'mission'.*is not supported.*--wrapper") as caught:
        make_env("Test/Mission-v0", 1)
    assert " at 0x" not in str(caught.value)
