"""The fixed quota of episodes, and the summary against SciPy."""

import json

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from scipy import stats

import train
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.vector import Step, VectorEnv
from agent_gym.ground.errors import Interrupted, UserError
from agent_gym.training.evaluation import Watch, episode_limit, play
from agent_gym.training.loop import new_clock
from agent_gym.training.periodic import note, plan
from agent_gym.training.score import Score, shown


class Metronome(VectorEnv):
    """Environment b pays 1 a step and ends every 3 + 4b steps: short episodes come far more often than long ones."""

    id, backend, device = "Metronome", "native", torch.device("cpu")
    obs_space, action_space = spaces.Box(0, 1, (1,)), spaces.Discrete(2)

    def __init__(self, num_envs: int, gaps: bool = False):
        self.num_envs, self.gaps = num_envs, gaps
        self.length = 3 + 4 * torch.arange(num_envs)

    def reset(self, seed: int):
        self.time = torch.zeros(self.num_envs, dtype=torch.long)
        self.ended = torch.zeros(self.num_envs, dtype=torch.bool)
        return torch.zeros(self.num_envs, 1)

    def step(self, action):
        valid = ~self.ended if self.gaps else torch.ones(self.num_envs, dtype=torch.bool)
        self.time = self.time + valid
        terminated = (self.time == self.length) & valid
        self.time[terminated] = 0
        self.ended = terminated
        obs = torch.zeros(self.num_envs, 1)
        never = torch.zeros_like(terminated)
        return Step(obs, valid.float(), terminated, never, obs, {}, valid if self.gaps else None)


class Idle:
    device = torch.device("cpu")

    def initial_state(self, num_envs):
        return torch.zeros(num_envs, 0)

    def act(self, obs, state, reset, mask=None, **drawing):
        return torch.zeros(len(obs), dtype=torch.long), state, {}


@pytest.mark.parametrize("gaps", [False, True])
def test_every_environment_plays_its_share(gaps):
    score = play(Idle(), Metronome(3, gaps), 8, seed=0)
    assert sorted(score.lengths) == [3] * 3 + [7] * 3 + [11] * 2
    np.testing.assert_array_equal(score.returns, score.lengths)


def test_fewer_episodes_than_environments():
    assert sorted(play(Idle(), Metronome(5), 2, seed=0).lengths) == [3, 7]


def test_summary_agrees_with_scipy():
    returns = np.random.default_rng(3).gamma(2.0, 50.0, size=101)
    summary = Score(returns, np.arange(101)).summary()
    assert summary["return_iqm"] == pytest.approx(stats.trim_mean(returns, 0.25))
    assert summary["return_mean"] == pytest.approx(returns.mean()) and summary["length_mean"] == 50.0
    reference = stats.bootstrap((returns,), np.mean, method="percentile", n_resamples=5000, random_state=1)
    low, high = summary["return_ci95"]
    assert low == pytest.approx(reference.confidence_interval.low, rel=0.02)
    assert high == pytest.approx(reference.confidence_interval.high, rel=0.02)


class Endless(Metronome):
    """Never ends and pays 1 a step; begins again where it is asked to."""

    def __init__(self, num_envs: int, can: bool = True):
        super().__init__(num_envs)
        self.length, self.can, self.asked = torch.full((num_envs,), 10**9), can, []

    def begin_again(self, rows, seed):
        self.asked += rows
        return torch.zeros(self.num_envs, 1) if self.can else None


def test_an_episode_that_never_ends_is_cut_and_counts():
    score = play(Idle(), Endless(2), 4, seed=0, explore=True, max_steps=30)
    assert score.returns.tolist() == [30.0] * 4 and score.cut == 4 and score.summary()["episodes_cut"] == 4
    assert "4 of 4 episodes had not ended after 30 steps" in score.notes()[0]
    once = play(Idle(), Endless(2, can=False), 4, seed=0, explore=True, max_steps=30)
    assert len(once.returns) == 2  # what cannot begin again plays no more


def test_a_budget_ends_all_that_is_under_way():
    score = play(Idle(), Endless(5), 20, seed=0, explore=True, budget=100)
    assert score.steps == 100 and score.returns.tolist() == [20.0] * 5 and score.cut == 5


@pytest.mark.parametrize("num_envs", [1, 3, 10])
def test_equal_episodes_are_enough_after_five(num_envs):
    class Same(Metronome):
        def __init__(self):
            super().__init__(num_envs)
            self.length = torch.full((num_envs,), 4)

    score = play(Idle(), Same(), 100, seed=0)
    assert score.lengths.tolist() == [4] * 5 and score.repeats and "equal episodes" in score.notes()[0]
    assert len(play(Idle(), Same(), 100, seed=0, explore=True).returns) == 100
    if num_envs > 1:
        assert len(play(Idle(), Metronome(num_envs), 12, seed=0).returns) == 12  # of other lengths


def test_a_signal_gives_up_the_evaluation():
    asked = []
    watch = Watch(interrupted=lambda: asked.append(None) or len(asked) > 7)
    with pytest.raises(Interrupted):
        play(Idle(), Endless(2), 4, seed=0, watch=watch)


class Failing(Metronome):
    """Environment 0 fails in its second step, always; the others end after three."""

    def __init__(self, num_envs: int):
        super().__init__(num_envs)
        self.length = torch.full((num_envs,), 3)

    def step(self, action):
        step = super().step(action)
        broken = torch.zeros(self.num_envs, dtype=torch.bool)
        broken[0] = self.time[0] == 2
        self.time[broken] = 0
        return step._replace(valid=~broken, truncated=step.truncated | broken)


def test_failures_are_bounded():
    score = play(Idle(), Failing(2), 6, seed=0, explore=True)
    assert len(score.returns) == 3 and score.failed == 6  # as many as there are episodes, and no more
    assert "6 episodes are left out" in score.notes()[0]
    with pytest.raises(UserError, match="failed 4 times in the evaluation"):
        play(Idle(), Failing(1), 4, seed=0, explore=True)


def test_the_limit_of_an_episode():
    assert episode_limit(0, None, 12.0) == 10_000 and episode_limit(0, None, 5_000.0) == 50_000
    assert episode_limit(0, 500, 0.0) == 0 and episode_limit(77, 500, 0.0) == 77
    assert episode_limit(0, 108_000, 0.0) == 0 and episode_limit(0, 10**9, 12.0) == 10_000


def test_periodic_evaluations_play_at_most_a_tenth():
    """Over a run of 100,000 steps with episodes of any length, at every tenth of it."""
    for length in (3, 40, 500, 2_500, 200_000):
        clock = new_clock()
        for step in range(10_000, 100_001, 10_000):
            planned = plan(clock, step, length, 0, always=False, last=step == 100_000)
            if planned is not None:
                steps = min(-(-planned.episodes // planned.rows) * planned.rows * length, planned.budget)
                note(clock, Score(np.zeros(planned.episodes), np.full(planned.episodes, float(length)), steps=steps))
        assert clock["evaluation_steps"] <= 10_000
        assert (clock["evaluation_steps"] > 0) == (length <= 10_000)
    assert plan(new_clock(), 1, 10**9, 7, always=True, last=False) == (7, 7, 0)
    assert plan(new_clock(), 1, 10**9, 0, always=True, last=False) == (20, 20, 0)


def test_one_episode_has_no_interval():
    assert Score(np.array([5.0]), np.array([3])).text() == "return 5.0 in one episode"
    assert "over 2 episodes (95 % interval" in Score(np.array([5.0, 6.0]), np.array([3, 3])).text()


def test_small_returns_are_not_rounded_away():
    values = {
        0.835: "0.835",
        -0.00312: "-0.00312",
        0.5: "0.5",
        9.999: "10.0",
        499.04: "499.0",
        -0.0: "0.0",
    }
    assert {value: shown(value) for value in values} == values
    assert shown(2e-7) == "2e-07" and shown(float("nan")) == "nan" and shown(-12.34) == "-12.3"


def test_a_stop_does_not_wait_for_the_other_environments():
    """Asked before each of them, in steps and in the resets at the start alike."""

    class Slow(gymnasium.Env):
        observation_space, action_space = spaces.Box(-1, 1, (1,)), spaces.Discrete(2)
        calls = 0

        def reset(self, *, seed=None, options=None):
            Slow.calls += 1
            return np.zeros(1, np.float32), {}

        def step(self, action):
            Slow.calls += 1
            return np.zeros(1, np.float32), 0.0, False, False, {}

    env = SyncEnv([Slow() for _ in range(8)], "Slow-v0")
    for at in (3, 8 + 5):
        Slow.calls = 0
        with pytest.raises(Interrupted):
            play(Idle(), env, 8, seed=0, watch=Watch(interrupted=lambda at=at: Slow.calls >= at))
        assert Slow.calls == at
    env.reset(0)
    env.step(torch.zeros(8, dtype=torch.int64))  # nobody asks any longer
    assert Slow.calls == 8 + 5 + 16


def test_environments_may_be_dear(tmp_path):
    """One to learn from and one lot of eight for every score, of periodic evaluations with five and the final one."""

    class Counted(gymnasium.Env):
        observation_space, action_space = spaces.Box(-1, 1, (1,)), spaces.Discrete(2)
        made = closed = 0

        def __init__(self):
            Counted.made += 1

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.t = 0
            return self.np_random.random(1, np.float32), {}

        def step(self, action):
            assert Counted.closed == 0
            self.t += 1
            return self.np_random.random(1, np.float32), 1.0, self.t == 5, False, {}

        def close(self):
            Counted.closed += 1

    gymnasium.register("Dear/Counted-v0", entry_point=Counted)
    flags = "ppo --env Dear/Counted-v0 --num-envs 1 --num-steps 64 --num-epochs 1 --total-steps 1280 --backend sync"
    assert train.main([*flags.split(), "--quiet", "--run-dir", str(tmp_path / "run")]) == 0
    assert Counted.made == Counted.closed == 9
    assert json.loads((tmp_path / "run/result.json").read_text())["episodes"] == 100
