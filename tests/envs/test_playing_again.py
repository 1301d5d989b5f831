"""Running episodes that are brought back by playing them again, and the common start that cuts none."""

from __future__ import annotations

import threading
from functools import partial

import gymnasium
import numpy as np
import pytest
import torch
from counting import GO_ON, TERMINATE, Count, flat, random_actions
from gymnasium.spaces import Box, Discrete

from agent_gym.envs.adapters.envpool_env import EnvPoolEnv
from agent_gym.envs.adapters.episodes.drain import Drain
from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.adapters.workers import WorkerEnv
from agent_gym.envs.failures import Recovery
from agent_gym.envs.make import native_core
from agent_gym.envs.native.vector import NativeVectorEnv
from agent_gym.envs.vector import EnvFailure
from agent_gym.storage import tensor_file

B = 3


class Walk(gymnasium.Env):
    """Observes a random walk that the seed alone sets; a step to either side by the action; ends beyond 6."""

    observation_space = Box(-100, 100, (2,), np.float32)
    action_space = Discrete(3)

    def __init__(self, rng: str = "seeded"):
        self.rng, self.own = rng, np.random.default_rng(7)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place, self.t = 0.0, 0
        return self._obs(), {}

    def step(self, action):
        draw = self.own if self.rng == "own" else self.np_random
        self.place += float(action) - 1.0 + draw.normal()
        self.t += 1
        return self._obs(), self.place, abs(self.place) > 6, self.t == 40, {}

    def _obs(self):
        return np.array([self.place, self.t], np.float32)


class Forgetful(Walk):
    """Draws from a generator that no seed sets, and holds something of which there is no snapshot."""

    def __init__(self):
        super().__init__("own")
        self.lock = threading.Lock()


def make(kind: str, single=Walk):
    if kind == "sync":
        env = SyncEnv([single() for _ in range(B)], "Walk-v0", make=single)
    elif kind == "workers":
        env = WorkerEnv(single, B, "Walk-v0", num_workers=2)
    elif kind == "envpool":
        env = EnvPoolEnv(gymnasium.make("CartPole-v1"), B, {})
    else:
        make_vector = partial(gymnasium.vector.SyncVectorEnv, [single] * B, autoreset_mode=kind)
        env = VectorAdapter(make_vector(), "Walk-v0", make=make_vector)
    env.keep_record()
    return env


def actions(steps: int, kind: str) -> torch.Tensor:
    return random_actions(steps, B, seed=3) % (2 if kind == "envpool" else 3)


def same(a, b) -> None:
    for x, y in zip(a, b, strict=True):
        if isinstance(x, torch.Tensor):
            assert torch.equal(x, y)


@pytest.mark.parametrize("kind", ["sync", "workers", "SameStep", "NextStep", "Disabled", "envpool"])
def test_another_process_takes_the_same_way_on(kind, tmp_path):
    """The state goes through a file, as in a checkpoint, and the steps after it are the same to the bit."""
    first, second = make(kind), make(kind)
    first.reset(5)
    taken = actions(170, kind)
    for action in taken[:120]:
        first.step(action)
    assert kind in ("sync", "workers") or len(first.record) == 120
    assert kind not in ("sync", "workers") or len(first.record.actions()) <= 40  # of the running episodes alone
    tensor_file.write(tmp_path / "state.pt", {"env": first.state_dict()})
    second.reset(77)
    assert second.load_state_dict(tensor_file.read(tmp_path / "state.pt")["env"])
    for action in taken[120:]:
        same(first.step(action), second.step(action))
    assert torch.equal(first.state_dict()["record"]["digest"], second.state_dict()["record"]["digest"])
    first.close(), second.close()


def test_a_step_that_nobody_saw_is_noticed():
    """The same actions with another outcome, and one action more, are both told."""
    env = make("sync", Forgetful)
    env.reset(5)
    for action in actions(10, "sync"):
        env.step(action)
    assert not make("sync", Forgetful).load_state_dict(env.state_dict())  # its generator stands elsewhere

    env = make("sync")
    env.reset(5)
    for action in actions(10, "sync"):
        env.step(action)
    state = env.state_dict()
    state["record"]["actions"][-1] = (state["record"]["actions"][-1] + 1) % 3
    state["snapshot"] = ""
    assert not make("sync").load_state_dict(state)


def test_a_state_of_other_environments_is_refused():
    env = make("sync")
    env.reset(5)
    env.step(torch.zeros(B, dtype=torch.int64))
    state = env.state_dict()
    state["record"]["starts"] = state["record"]["starts"] + 100
    with pytest.raises(ValueError, match="no possible starts"):
        make("sync").load_state_dict(state)
    alone = SyncEnv([Walk()], make=Walk)
    alone.keep_record()
    with pytest.raises(ValueError, match="another number of environments"):
        alone.load_state_dict(env.state_dict())


def test_after_a_failure_there_is_nothing_to_go_on_from():
    class Broken(Walk):
        def step(self, action):
            raise OSError("unplugged")

    env = make("sync", Broken)
    env.reset(0)
    assert env.state_dict() is not None
    with pytest.raises(EnvFailure, match="unplugged"):
        env.step(torch.zeros(B, dtype=torch.int64))
    assert env.state_dict() is None


def test_replaced_environments_are_played_again_from_their_new_seeds():
    class Fails(Walk):
        def step(self, action):
            if self.t == 5 and self.place > 0:
                raise OSError("unplugged")
            return super().step(action)

    envs = [make("sync", Fails) for _ in range(2)]
    for env in envs:
        env.recovery = Recovery("Fails", restart=True)
    first, second = envs
    first.reset(1)
    taken = actions(60, "sync")
    for action in taken[:47]:
        first.step(action)
    assert first.recovery.restarts > 0
    second.recovery.restarts = first.recovery.restarts
    second.reset(9)
    assert second.load_state_dict(first.state_dict())
    for action in taken[47:]:
        same(first.step(action), second.step(action))


@pytest.mark.parametrize("kind", ["SameStep", "NextStep", "Disabled"])
def test_a_common_start_waits_for_the_last_and_cuts_no_episode(kind):
    """Against the plain counting environment: every valid episode is whole, and after the start all are at 0."""
    make_vector = partial(gymnasium.vector.SyncVectorEnv, [Count] * B, autoreset_mode=kind)
    env = VectorAdapter(make_vector(), "Count", make=make_vector)
    env.keep_record()
    env.drain = Drain(B, renew_after=4)
    env.reset(0)
    lengths, running = [], torch.zeros(B)
    ends_at = torch.tensor([3, 5, 7])  # steps of an episode in each environment
    seen_common_start = False
    for _ in range(60):
        env.settle()
        held = env.drain.held.copy()
        step = env.step(torch.where(running + 1 == ends_at, TERMINATE, GO_ON))
        valid = torch.ones(B, dtype=torch.bool) if step.valid is None else step.valid
        assert not valid[torch.from_numpy(held)].any()  # those that wait are left out
        running += valid
        done = (step.terminated | step.truncated) & valid
        lengths += [(b, int(running[b])) for b in done.nonzero().flatten().tolist()]
        running[done] = 0
        if not env.drain.open and len(env.record) == 0:
            seen_common_start = True
            assert (flat(step.obs) == 0).all() and (running == 0).all()
    assert seen_common_start and all(length == ends_at[b] for b, length in lengths)
    env.close()


def test_environments_that_never_end_are_not_waited_for():
    make_vector = partial(gymnasium.vector.SyncVectorEnv, [Count] * B, autoreset_mode="SameStep")
    env = VectorAdapter(make_vector(), "Count", make=make_vector)
    env.keep_record()
    env.drain = Drain(B, renew_after=4)
    env.reset(0)
    for _ in range(30):
        env.settle()
        step = env.step(torch.tensor([TERMINATE, GO_ON, GO_ON]))
        assert step.valid is None
    env.close()


@pytest.mark.parametrize("kind", ["sync", "native"])
def test_single_environments_begin_again(kind):
    if kind == "sync":
        env = SyncEnv([gymnasium.make("CartPole-v1") for _ in range(B)], make=None)
    else:
        env = NativeVectorEnv(native_core("CartPole-v1"), B)
    env.reset(0)
    before = [env.step(torch.ones(B, dtype=torch.int64)) for _ in range(4)][-1].obs
    after = env.begin_again([1], 9)
    assert torch.equal(after[[0, 2]], before[[0, 2]]) and (after[1].abs() <= 0.05).all()
    assert not torch.equal(after[1], before[1])
    step = env.step(torch.ones(B, dtype=torch.int64))
    assert step.obs[1, 1] < 0.5 * step.obs[0, 1]  # its cart has been pushed once, theirs five times
