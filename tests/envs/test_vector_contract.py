"""Every way of running Gymnasium environments gives the same exact episodes, boundaries included."""

from __future__ import annotations

import multiprocessing
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from counting import GO_ON, TRUNCATE, Count, Truth, flat, random_actions
from gymnasium.vector import AutoresetMode

from agent_gym.envs.adapters.arrays import env_seeds
from agent_gym.envs.adapters.envpool_env import EnvPoolEnv
from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.adapters.workers import WorkerEnv
from agent_gym.envs.make import make_env, make_single
from agent_gym.envs.native.classic.cartpole import CARTPOLE

B, T = 5, 60


def gymnasium_vector(env_id: str, kind: str, mode: AutoresetMode) -> VectorAdapter:
    return VectorAdapter(gymnasium.make_vec(env_id, B, kind, {"autoreset_mode": mode}), env_id)


class BatchedFinalObs(gymnasium.vector.VectorWrapper):
    """A vector environment that hands its last observations over as one array, with rubbish where none ended."""

    def step(self, actions):
        *result, info = self.env.step(actions)
        if "final_obs" in info:
            rubbish = np.full(2, -1, np.float32)
            info["final_obs"] = np.stack([rubbish if obs is None else obs for obs in info["final_obs"]])
        return *result, info


SAME_STEP = {
    "sync": lambda env_id: make_env(env_id, B, backend="sync"),
    "async": lambda env_id: make_env(env_id, B, backend="async"),
    "three workers": lambda env_id: WorkerEnv(partial(make_single, env_id), B, env_id, num_workers=3),
    "adapter, same step": lambda env_id: gymnasium_vector(env_id, "sync", AutoresetMode.SAME_STEP),
    "adapter, disabled": lambda env_id: gymnasium_vector(env_id, "sync", AutoresetMode.DISABLED),
    "adapter, async": lambda env_id: gymnasium_vector(env_id, "async", AutoresetMode.SAME_STEP),
    "adapter, async disabled": lambda env_id: gymnasium_vector(env_id, "async", AutoresetMode.DISABLED),
}


@pytest.mark.parametrize("env_id", ["Counting/Plain-v0", "Counting/Nested-v0"])
@pytest.mark.parametrize("kind", SAME_STEP)
def test_every_boundary_is_exact(kind, env_id):
    env = SAME_STEP[kind](env_id)
    for _ in range(2):  # a second reset starts from the beginning again
        truth = Truth(B)
        assert torch.equal(flat(env.reset(seed=3)), truth.where)
        for action in random_actions(T, B):
            truth.check(env.step(action), action)
    env.close()


def test_final_obs_given_as_a_batch():
    vector = gymnasium.make_vec("Counting/Plain-v0", B, "sync", {"autoreset_mode": AutoresetMode.SAME_STEP})
    env, truth = VectorAdapter(BatchedFinalObs(vector)), Truth(B)
    env.reset(seed=0)
    for action in random_actions(T, B):
        truth.check(env.step(action), action)


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_next_step_autoreset_marks_the_swallowed_transition(kind):
    env = gymnasium_vector("Counting/Plain-v0", kind, AutoresetMode.NEXT_STEP)
    env.reset(seed=0)
    where, swallowed = torch.zeros(B, 2), torch.zeros(B, dtype=torch.bool)
    for action in random_actions(T, B):
        step = env.step(action)
        where[:, 1] += 1
        where[swallowed, 0] += 1
        where[swallowed, 1] = 0
        assert torch.equal(step.valid, ~swallowed)
        assert torch.equal(step.obs, where) and step.final_obs is step.obs
        done = (action != GO_ON) & step.valid
        assert torch.equal(step.terminated | step.truncated, done)
        assert torch.equal(step.truncated, (action == TRUNCATE) & step.valid)
        assert torch.equal(step.reward, torch.where(swallowed, 0, 10 * where[:, 0] + where[:, 1]))
        swallowed = done
    env.close()


@pytest.mark.parametrize("kind", ["sync", "async", "adapter, same step"])
def test_a_step_is_not_written_to_later(kind):
    env = SAME_STEP[kind]("Counting/Plain-v0")
    steps = [env.reset(seed=0)]
    copies = [steps[0].clone()]
    for action in random_actions(10, B):
        step = env.step(action)
        steps += [step.obs, step.final_obs, step.reward, step.terminated, step.truncated]
        copies += [tensor.clone() for tensor in steps[-5:]]
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(steps, copies, strict=True))
    env.close()


@pytest.mark.parametrize("backend", ["native", "gymnasium", "sync", "async", "envpool"])
def test_same_seed_same_experience_and_every_env_its_own(backend):
    runs = []
    for seed in (1, 1, 2):
        env = make_env("CartPole-v1", B, backend=backend)
        actions = torch.randint(0, 2, (30, B), generator=torch.Generator().manual_seed(0))
        runs.append(torch.stack([env.reset(seed), *(env.step(action).obs for action in actions)]))
        env.close()
    assert torch.equal(runs[0], runs[1]) and not torch.equal(runs[0], runs[2])
    assert len(runs[0][0].unique(dim=0)) == B


def test_env_seeds_are_distinct_and_fit_31_bits():
    seeds = env_seeds(0, 1000) + env_seeds(1, 1000)
    assert len(set(seeds)) == 2000 and min(seeds) >= 0 and max(seeds) < 2**31


def test_environment_may_change_its_action():
    class Greedy(Count):
        action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

        def step(self, action):
            action *= 0
            return self.observe(), 0.0, False, False, {}

    env, action = SyncEnv([Greedy()]), torch.ones(1, 2)
    env.reset(0)
    env.step(action)
    assert torch.equal(action, torch.ones(1, 2))


def test_envpool_resets_in_the_same_step_and_swallows_no_action():
    # The native CartPole tells the true successor of every state; the limit of 12 gives truncations as well.
    env = EnvPoolEnv(make_single("CartPole-v1"), 16, {"max_episode_steps": 12})
    obs = env.reset(seed=0)
    generator = torch.Generator().manual_seed(0)
    time = torch.zeros(16, dtype=torch.int64)
    ends = torch.zeros(2)
    for _ in range(200):
        action = torch.randint(0, 2, (16,), generator=generator)
        action[:8] = 1  # one-sided pushes end by themselves after about 9 steps
        step = env.step(action)
        state, _, terminated = CARTPOLE.step(obs.T, action, generator)
        time += 1
        torch.testing.assert_close(step.final_obs, CARTPOLE.observe(state), atol=1e-5, rtol=0)
        assert torch.equal(step.truncated, time == 12)
        assert torch.equal(step.terminated, terminated & ~step.truncated)
        done = step.terminated | step.truncated
        assert torch.equal(step.obs[~done], step.final_obs[~done]) and (step.obs[done].abs() <= 0.05).all()
        obs = step.obs
        time[done] = 0
        ends += torch.stack((step.terminated.sum(), step.truncated.sum()))
    assert (ends > 100).all()
    env.close()


def test_closed_workers_are_gone():
    env = make_env("Counting/Plain-v0", B, backend="async")
    env.reset(0)
    processes = list(env.processes)
    env.close()
    env.close()
    assert not set(processes) & set(multiprocessing.active_children())


class Interrupted:
    """A semaphore whose next `acquire` succeeds and is followed by Ctrl-C."""

    def __init__(self, semaphore):
        self.semaphore, self.armed = semaphore, True

    def acquire(self, *args):
        result = self.semaphore.acquire(*args)
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt
        return result


def test_workers_go_on_after_an_interrupt():
    env = WorkerEnv(partial(make_single, "Counting/Plain-v0"), 4, "Counting/Plain-v0", num_workers=2)
    env.reset(0)
    env.finishes[0] = Interrupted(env.finishes[0])
    with pytest.raises(KeyboardInterrupt):
        env.step(torch.zeros(4, dtype=torch.int64))
    truth = Truth(4)
    truth.where[:, 1] = 1  # the interrupted step was taken
    for action in random_actions(10, 4):
        truth.check(env.step(action), action)
    env.close()


def test_double_precision_bounds_are_kept():
    class Narrow(Count):
        action_space = gymnasium.spaces.Box(-0.1, 0.1, (1,), np.float64)

        def step(self, action):
            assert abs(action[0]) <= 0.1 < float(np.float32(0.1))
            return self.observe(), 0.0, False, False, {}

    env = SyncEnv([Narrow()])
    env.reset(0)
    env.step(torch.full((1, 1), 0.1))
