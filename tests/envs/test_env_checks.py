"""What counts as a failure: values that are not finite, outside their space, of a wrong shape or dtype."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete

from agent_gym.envs.adapters.boundary.bounds import Bounds
from agent_gym.envs.adapters.boundary.spaces import ObsLayout
from agent_gym.envs.adapters.singles import describe
from agent_gym.envs.failures import MOST, Recovery
from agent_gym.envs.make import make_env
from agent_gym.envs.native.core import Core
from agent_gym.envs.native.finite import Watch
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.vector import EnvFailure, Step

B = 4


def judge(space, values, strict=True) -> dict[int, str]:
    """Faults by row of a batch of canonical values."""
    layout = ObsLayout(space)
    bounds = Bounds(layout, strict)
    arrays = [np.array(values, layout.leaves[0].dtype)]
    faults = bounds.faults(arrays)
    assert bounds.hold(arrays) == (not faults)
    return faults


@pytest.mark.parametrize(
    ("space", "good", "bad"),
    [
        (Box(-1, 1, (2,)), [[0, 0], [-1, 1], [1.0005, -1.001]], [[0, 1.1], [np.nan, 0], [-3e38, 0]]),
        (Box(-1, 3, (2,)), [[-1, 3], [3.003, 0]], [[-1.1, 0], [0, 3.1], [np.inf, 0]]),
        (Box(0, np.inf, (1,)), [[0], [3e38], [-0.0005]], [[-0.1], [np.inf], [np.nan]]),
        (Box(-np.inf, np.inf, (1,)), [[3.4e38], [-3.4e38]], [[np.inf], [-np.inf], [np.nan]]),
        (Box(np.array([-1, -np.inf]), np.array([1, np.inf]), dtype=np.float32), [[1, 9e9]], [[2, 0], [0, np.nan]]),
        (Box(5, 5, (1,)), [[5], [5.004]], [[5.1], [4.9]]),
        (Box(0, 200, (2, 2), np.uint8), [[[0, 200], [7, 7]]], [[[0, 201], [7, 7]]]),
        (Discrete(3, start=2), [2, 4], [1, 5]),
        (MultiDiscrete([2, 3], start=[0, 1]), [[0, 1], [1, 3]], [[0, 0], [2, 1], [0, 4]]),
        (MultiBinary(2), [[0, 1]], [[0, 2], [-1, 0]]),
    ],
    ids=str,
)
def test_bounds(space, good, bad):
    assert judge(space, good) == {}
    assert set(judge(space, bad)) == set(range(len(bad)))
    assert set(judge(space, [good[0], *bad])) == set(range(1, len(bad) + 1))


def test_the_fault_is_named():
    assert judge(Box(-1, 1, (2, 3)), np.full((1, 2, 3), 2.0)) == {
        0: "it returned 2 in the observation (entry 0, 0), outside its space's -1 to 1"
    }
    layout = ObsLayout(Dict({"arm": Dict({"joint": Discrete(3)}), "eye": Box(0, 255, (8, 8), np.uint8)}))
    bounds = Bounds(layout, strict=True)
    arrays = [np.array([0, 3]), np.full((2, 8, 8), 255, np.uint8)]
    assert bounds.limits[1] is None  # no pixel can be outside: no time is spent on images
    assert bounds.faults(arrays) == {1: "it returned 3 in the observation['arm']['joint'], outside its space's 0 to 2"}
    assert bounds.faults(arrays, skip=[1]) == {}


def test_small_excesses_are_let_pass_and_counted_but_not_large_ones():
    pixels = Box(0, 1, (1,))
    assert judge(pixels, [[3.0]], strict=False) == {} and judge(pixels, [[255.0]], strict=False) != {}
    assert judge(Discrete(3), [3], strict=False) != {} and judge(pixels, [[np.nan]], strict=False) != {}
    bounds = Bounds(ObsLayout(Box(-1, 1, (2,))))
    assert bounds.hold([np.array([[0, 1], [1.0005, 0], [1.02, 0], [0, -1.5]], np.float32)])
    assert bounds.outside == 2
    assert bounds.first == "it returned 1.02 in the observation (entry 0), outside its space's -1 to 1"


class Leaves(gymnasium.Env):
    """Its second observation is a little outside."""

    observation_space, action_space = Box(-1, 1, (1,)), Discrete(2)

    def reset(self, *, seed=None, options=None):
        return np.ones(1, np.float32), {}

    def step(self, action):
        return np.full(1, 1.02, np.float32), 0.0, False, False, {}


def test_a_users_environment_goes_on_and_says_so_once(capsys):
    gymnasium.register("Test/Leaves-v0", Leaves)
    env = make_env("Test/Leaves-v0", 3)
    env.reset(0)
    for _ in range(2):
        env.step(torch.zeros(3, dtype=torch.int64))
    assert env.outside == 6
    said = capsys.readouterr().err
    assert said.count("Test/Leaves-v0: it returned 1.02") == 1 and "--strict-obs" in said
    strict = make_env("Test/Leaves-v0", 3, strict_obs=True)
    strict.reset(0)
    with pytest.raises(EnvFailure, match="outside its space's -1 to 1"):
        strict.step(torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize(
    ("env_id", "backend"),
    [
        (i, "sync")
        for i in ("Acrobot-v1", "MountainCarContinuous-v0", "Pendulum-v1", "BipedalWalker-v3", "FrozenLake-v1")
    ]
    + [("LunarLander-v3", "sync"), ("LunarLander-v3", "envpool"), ("CartPole-v1", "gymnasium")],
)
def test_well_known_environments_are_not_stopped(env_id, backend):
    env = make_env(env_id, 8, backend=backend)
    env.reset(0)
    env.action_space.seed(0)
    for _ in range(300):
        actions = np.stack([env.action_space.sample() for _ in range(8)])
        env.step(torch.from_numpy(actions))
    env.close()


@pytest.mark.parametrize(
    ("space", "value", "ok"),
    [
        (Box(-1, 1, (2,)), np.zeros(2), True),
        (Box(-1, 1, (2,)), [0, 1], True),
        (Box(-1, 1, (2,)), np.array(["0", "1"]), False),
        (Box(-1, 1, (2,)), np.array([0, 1j]), False),
        (Box(-1, 1, (2,)), None, False),
        (Box(0, 255, (2, 2), np.uint8), np.full((2, 2), 7), True),
        (Box(0, 255, (2, 2), np.uint8), np.full((2, 2), 300), False),
        (Box(0, 255, (2, 2), np.uint8), np.full((2, 2), 0.5), False),  # would be all black
        (Discrete(3), 2, True),
        (Discrete(3), np.float32(2), True),
        (Discrete(3), 1.5, False),
        (Dict({"a": Discrete(3)}), {"b": 1}, False),
        (Dict({"a": Discrete(3)}), 1, False),
    ],
    ids=str,
)
def test_numbers_of_another_dtype_pass_if_nothing_is_lost(space, value, ok):
    layout = ObsLayout(space)
    arrays = layout.empty(1)
    if ok:
        layout.put(arrays, 0, value)
        assert np.array_equal(arrays[0][0], np.asarray(value))
        assert np.array_equal(layout.batch(np.asarray(value)[None], 1)[0], arrays[0])
    else:
        with pytest.raises(ValueError, match="^observation"):
            layout.put(arrays, 0, value)


def walking(broken_at: int, how: str) -> Core:
    """A native environment whose state is the number of steps; at `broken_at` every second one breaks."""

    def initial(count, generator, device):
        return torch.zeros(1, count, device=device) + (torch.nan if how == "initial" else 0.0)

    def step(state, action, generator):
        state = state + 1
        odd = torch.arange(state.shape[1], device=state.device) % 2 == 1
        bad = (state[0] == broken_at) & odd
        reward = torch.where(bad & (how == "reward"), torch.inf, state[0])
        if how == "obs":
            state = torch.where(bad, torch.nan, state)
        if how == "outside":
            state = torch.where(bad, 5000.0, state)
        return state, reward, torch.zeros_like(bad)

    observe = lambda state: state.T.contiguous()  # noqa: E731
    return Core("Walking-v0", Box(0, 1000, (1,)), gymnasium.spaces.Discrete(2), 100, initial, step, observe)


@pytest.mark.parametrize("how", ["obs", "reward"])
def test_native_environments_are_watched(how):
    action = torch.zeros(B, dtype=torch.int64)
    env = NativeVectorEnv(walking(3, how), B)
    env.step(action)
    env.step(action)
    assert env.state_dict() is not None
    with pytest.raises(EnvFailure, match=r"Walking-v0 \(number 1\) failed at step 3: it returned NaN or infinity"):
        env.step(action)
    assert env.state_dict() is None  # a resumed run begins anew

    told: list[EnvFailure] = []
    env = NativeVectorEnv(walking(3, how), B)
    env.recovery = Recovery(env.id, restart=True, report=told.append)
    env.reset(0)
    for _ in range(2):
        last = env.step(action)
        assert last.valid.all()
    step = env.step(action)
    assert step.valid.tolist() == [True, False, True, False] and torch.equal(step.truncated, ~step.valid)
    assert step.obs.flatten().tolist() == [3.0, 0.0, 3.0, 0.0] and step.reward.tolist() == [3.0, 0.0, 3.0, 0.0]
    assert torch.equal(step.final_obs[~step.valid], last.obs[~step.valid])
    assert env.step(action).obs.flatten().tolist() == [4.0, 1.0, 4.0, 1.0]
    assert env.recovery.restarts == 2 and [failure.index for failure in told] == [1, 3]
    assert env.state_dict() is not None


def test_native_environments_beyond_mending_stop_the_run():
    action = torch.zeros(B, dtype=torch.int64)
    env = NativeVectorEnv(walking(2, "outside"), B)
    env.step(action)
    env.check()
    env.step(action)
    with pytest.raises(EnvFailure, match=r"number 1.*returned 5000 .*outside its space's 0 to 1000"):
        env.check()
    env = NativeVectorEnv(walking(1, "initial"), B)
    env.recovery = Recovery(env.id, restart=True)
    with pytest.raises(EnvFailure, match=r"in initial\(\): it returned NaN"):
        env.step(action)
    env = NativeVectorEnv(walking(1, "obs"), B)
    env.recovery = Recovery(env.id, restart=True)
    env.reset(0)
    with pytest.raises(EnvFailure, match=f"{MOST} times in a row"):
        for _ in range(MOST):
            env.step(action)


@pytest.mark.parametrize("bad", ["reward", "obs"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_a_gpu_is_watched_with(bad, value):
    """`remember` and `count` never ask the device; `found` tells afterwards."""
    space = Dict({"a": Box(-np.inf, np.inf, (2,)), "image": Box(0, 255, (3, 3), np.uint8)})

    def step(reward: float, number: float) -> Step:
        obs = {"a": torch.zeros(B, 2), "image": torch.zeros(B, 3, 3, dtype=torch.uint8)}
        obs["a"][2, 1] = number
        never = torch.zeros(B, dtype=torch.bool)
        rewards = torch.where(torch.arange(B) == 2, reward, 1.0)
        return Step(obs, rewards, never, never, obs, {})

    watch = Watch(space, B, torch.device("cpu"))
    good, broken = step(3e38, -3e38), step(value, 0.0) if bad == "reward" else step(0.0, value)
    watch.remember(good)
    assert watch.found()[0] == 0
    watch.remember(broken)
    watch.remember(good)
    assert watch.found() == (1, 1, 2)
    watch.begin()
    for one in (broken, good, broken, broken, good):
        assert watch.count(one).tolist() == [False, False, one is broken, False]
    assert watch.found() == (3, 2, None) and watch.found() == (0, 0, None)
    assert watch.finite(step(1.0, 1.0)) and not watch.finite(broken)


def test_an_exception_without_words_is_told_by_its_place():
    try:
        raise AssertionError
    except AssertionError as error:
        assert describe(error).startswith("AssertionError in ") and describe(error).endswith(": raise AssertionError")
    assert describe(KeyError("map")) == "KeyError: 'map'"
    assert describe(ValueError()) == "ValueError"  # never raised: there is no place
