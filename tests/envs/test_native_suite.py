"""What holds for every native environment: Gymnasium's checker, spaces, restarts, pictures, baselines."""

from __future__ import annotations

import dataclasses
import re
import types
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from agent_gym.envs.make import make_env, make_single, native_core, scoring_backend
from agent_gym.envs.native.core import NATIVE, NativeGymEnv
from agent_gym.envs.native.vector import NativeVectorEnv
from benchmarks.learning.baselines import SCRIPTED, random_policy, returns

NESTED = (gymnasium.spaces.Dict, gymnasium.spaces.Tuple)  # what has several parts has tests of its own, as boards have
CORES = [
    core
    for core in NATIVE.values()
    if core.game is None and not isinstance(core.obs_space, NESTED) and not isinstance(core.action_space, NESTED)
]
OWN = [core for core in CORES if core.id.startswith("AgentGym/") and "NoVel" not in core.id]


def by_id(core):
    return core.id


def actions(core, num_envs, steps, seed=0):
    policy, reset = random_policy(core.action_space, seed), torch.zeros(num_envs, dtype=torch.bool)
    return [policy(None, None, reset)[0] for _ in range(steps)]


def test_the_suite_is_complete():
    classic = {"CartPole-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0", "Pendulum-v1"}
    names = ("Snake", "Obstacles", "Driving", "Recommender", "Tanks", "TMaze", "RepeatPrevious")
    masked = {f"AgentGym/{name}NoVel-v1" for name in ("CartPole", "Pendulum", "Acrobot")}
    assert set(NATIVE) >= classic | masked | {f"AgentGym/{name}-v0" for name in names}
    assert set(SCRIPTED) == classic | masked | {f"AgentGym/{name}-v0" for name in names}


@pytest.mark.filterwarnings("ignore:.*Box (observation|action) space")
@pytest.mark.filterwarnings("ignore:.*(image|Image|pixel)")
@pytest.mark.parametrize("core", CORES, ids=by_id)
def test_passes_gymnasiums_checker(core):
    env = gymnasium.make(core.id, render_mode="rgb_array")
    assert env.spec.max_episode_steps == core.max_episode_steps
    check_env(env.unwrapped, skip_render_check=True)
    check_env(NativeGymEnv(core, render_mode="rgb_array"), skip_render_check=True)


@pytest.mark.parametrize("core", CORES, ids=by_id)
def test_vector_env_is_the_gymnasium_env_many_times(core):
    """From the same state and generator, each of several copies takes the step that one alone takes."""
    vector = NativeVectorEnv(core, 3, seed=5)
    for action in actions(core, 3, 12):
        state, step = vector.state, vector.step(action)
        assert step.reward.dtype == torch.float32 and step.terminated.dtype == torch.bool
        assert step.obs.shape == (3, *core.obs_space.shape)
        chancy = ("Snake-v0", "Recommender-v0", "RepeatPrevious-v0", "FollowSuit-v0", "MinAtar")
        if core.id.removeprefix("AgentGym/").startswith(chancy):
            continue  # random numbers of three are not those of one
        for index in range(3):
            single = NativeGymEnv(core)
            single.reset(seed=0)
            single.state = state[..., index : index + 1]
            obs, reward, terminated, truncated, _ = single.step(action[index].numpy())
            np.testing.assert_allclose(obs, step.final_obs[index].numpy(), atol=1e-5)
            assert reward == pytest.approx(step.reward[index].item(), abs=1e-5) and not truncated
            assert terminated == bool(step.terminated[index])


@pytest.mark.parametrize("core", CORES, ids=by_id)
def test_observations_stay_in_their_space_and_are_not_written_to_later(core):
    core = dataclasses.replace(core, max_episode_steps=15)
    env, spaces = NativeVectorEnv(core, 64, seed=1), core.obs_space
    steps, copies = [], []
    for action in actions(core, 64, 100, seed=1):
        steps.append(env.step(action))
        copies.append(steps[-1].final_obs.clone())
    for step, copy in zip(steps, copies, strict=True):
        assert torch.equal(step.final_obs, copy)
        for obs in (step.obs, step.final_obs):
            assert spaces.contains(obs[0].numpy())
            if isinstance(spaces, gymnasium.spaces.Box):
                assert (obs.numpy() >= spaces.low - 1e-6).all() and (obs.numpy() <= spaces.high + 1e-6).all()
        assert torch.isfinite(step.reward).all()
    assert core.mask or any(step.truncated.any() for step in steps)  # what may not be done ends it sooner


@pytest.mark.parametrize("core", CORES, ids=by_id)
def test_same_seed_same_experience_and_a_saved_state_goes_on_exactly(core):
    core = dataclasses.replace(core, max_episode_steps=15)
    env, twin, later = (NativeVectorEnv(core, 16, seed=seed) for seed in (2, 2, 3))
    for number, action in enumerate(actions(core, 16, 40)):
        if number == 20:
            later.load_state_dict(env.state_dict())
        first, second = env.step(action), twin.step(action)
        assert all(torch.equal(a, b) for a, b in zip(first[:5], second[:5], strict=True))
        if number >= 20:
            assert all(torch.equal(a, b) for a, b in zip(first[:5], later.step(action)[:5], strict=True))
    one, other = (NativeVectorEnv(core, 16, seed=seed) for seed in (4, 5))
    if core.id.startswith("AgentGym/MinAtar"):  # some begin alike: chance comes in later
        for action in actions(core, 16, 12):
            one.step(action), other.step(action)
    assert not torch.equal(one.state, other.state)


@pytest.mark.parametrize("core", CORES, ids=by_id)
def test_the_path_of_an_accelerator_restarts_the_finished_alone(core):
    """There every environment is drawn anew without asking which are done; run here on CPU tensors."""
    cpu = torch.device("cpu")
    on_cpu = dataclasses.replace(core, max_episode_steps=5, initial=lambda n, g, _: core.initial(n, g, cpu))
    env = NativeVectorEnv(on_cpu, 32, seed=1)
    env.device = types.SimpleNamespace(type="accelerator")
    for number, action in enumerate(actions(core, 32, 12), 1):
        before, step = env.time, env.step(action)
        done = step.terminated | step.truncated
        assert torch.equal(env.time, torch.where(done, 0, before + 1).int())
        assert torch.equal(step.obs[~done], step.final_obs[~done])
        assert number % 5 or done.any()


@pytest.mark.parametrize("core", OWN, ids=by_id)
def test_pictures(core):
    """The picture changes with the state, not from call to call, and a person could see it: it is not one colour."""
    env = make_single(core.id, render_mode="rgb_array")
    env.reset(seed=0)
    pictures = [env.render(), env.render()]
    for action in actions(core, 1, 3):
        env.step(action[0].numpy())
    pictures.append(env.render())
    assert all(p.dtype == np.uint8 and p.shape[2] == 3 and min(p.shape[:2]) >= 240 for p in pictures)
    assert np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])
    assert len(np.unique(pictures[0].reshape(-1, 3), axis=0)) > 20


def test_window(monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    core = NATIVE["AgentGym/Snake-v0"]
    env = make_single(core.id, render_mode="human")
    env.reset(seed=0)
    env.step(1)
    shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
    assert np.array_equal(shown, core.render(env.unwrapped.state[..., 0].numpy()))
    env.close()
    assert pygame.display.get_surface() is None


@pytest.mark.parametrize("env_id", list(SCRIPTED))
def test_the_scripted_policy_clearly_beats_the_random_one(env_id):
    env = make_env(env_id, 50)
    random, scripted = (returns(env, policy, 50) for policy in (random_policy(env.action_space), SCRIPTED[env_id]))
    difference = scripted.mean() - random.mean()
    assert difference > 3 * np.hypot(random.std(), scripted.std()) / 50**0.5


def test_own_environments_are_scored_natively_and_others_by_gymnasiums():
    assert {scoring_backend(core.id) for core in OWN} == {"native"}
    assert {scoring_backend(i) for i in ("CartPole-v1", "AgentGym/CartPoleNoVel-v1", "Acrobot-v1")} == {"sync"}
    assert native_core("any.module:AgentGym/Snake-v0") is NATIVE["AgentGym/Snake-v0"]


def documented():
    """From the table of docs/environments.md: id -> (random mean, its deviation, scripted mean, its deviation)."""
    page = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
    rows = re.findall(r"^\| (\S+) \| (\S+) ± (\S+) \| (\S+) ± (\S+) \| (\S+) \|$", page, flags=re.M)
    return {row[0]: tuple(map(float, row[1:])) for row in rows}


@pytest.mark.parametrize("env_id", list(SCRIPTED))
def test_the_documented_returns_hold(env_id):
    env, row = make_env(env_id, 50, seed=7), documented()[env_id]
    policies = random_policy(env.action_space, seed=7), SCRIPTED[env_id]
    for policy, mean, deviation in zip(policies, row[0:4:2], row[1:4:2], strict=True):
        measured = returns(env, policy, 50, seed=7).mean()
        assert abs(measured - mean) < 4 * deviation * (1 / 50 + 1 / 1000) ** 0.5 + 0.1


def test_every_environment_has_its_page():
    page = (Path(__file__).parents[2] / "docs" / "environments.md").read_text()
    assert set(documented()) == set(SCRIPTED)
    for env_id in SCRIPTED:
        assert f"\n## {env_id}\n" in page or f"\n### {env_id}\n" in page or f"\n- **{env_id}**" in page


@pytest.mark.parametrize("core", CORES, ids=by_id)
def test_no_step_asks_the_device_for_a_value(core):
    """Meta tensors have no values: reading one, or mixing in a tensor of another device, is an error."""
    meta = torch.device("meta")
    state = core.initial(8, None, meta)
    action = actions(core, 8, 1)[0].to(meta)
    state, reward, terminated = core.step(state, action, None)
    assert state.device == reward.device == terminated.device == core.observe(state).device == meta
    assert core.observe(state).shape == (8, *core.obs_space.shape)
