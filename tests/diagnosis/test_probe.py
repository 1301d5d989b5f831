"""Environments broken by hand, and what random play finds in them."""

from __future__ import annotations

import random

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from agent_gym import check
from agent_gym.diagnosis.environment.probe import probe
from agent_gym.diagnosis.rules.observations import hidden
from agent_gym.envs.make import make_single, step_limit


class Line(gymnasium.Env):
    """A point on a line, pushed left or right; 1 at the right end, which ends the episode."""

    observation_space = spaces.Box(-10.0, 10.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.v = float(self.np_random.uniform(-1, 1)), 0.0
        return self.obs(), {}

    def obs(self):
        return np.array([self.x, self.v], np.float32)

    def step(self, action):
        self.v = 0.9 * self.v + (0.2 if action else -0.2)
        self.x = float(np.clip(self.x + self.v, -5, 5))
        return self.obs(), float(self.x >= 5), self.x >= 5, False, {}


class Deaf(Line):
    def step(self, action):
        return super().step(1)


class Old(Line):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0]


class FourValues(Line):
    def step(self, action):
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, info


class Outside(Line):
    def obs(self):
        return np.array([self.x * 100, self.v], np.float32)


class Beyond(Line):
    """A little outside; and every random episode ends, with a loss, where the first wall stands."""

    def obs(self):
        return np.array([self.x / 5 * 10.2, self.v], np.float32)

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.time += 1
        obs, *_ = super().step(action)
        return obs, -1.0 if self.time == 20 else 0.1, self.time == 20, False, {}


class Raises(Line):
    def step(self, action):
        raise ZeroDivisionError("float division by zero")


class NotANumber(Line):
    def obs(self):
        return np.array([np.nan, self.v], np.float32)


class Hidden(Line):
    def step(self, action):
        self.v += 0.1 * random.random()
        return super().step(action)


class Clock(Line):
    def reset(self, *, seed=None, options=None):
        self.time = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.time += 1
        obs, reward, _, _, info = super().step(action)
        return obs, reward, self.time == 20, False, info


class Unpaid(Line):
    def step(self, action):
        obs, _, _, _, info = super().step(action)
        return obs, 0.0, False, False, info


class Places(Line):
    observation_space = spaces.Box(-10.0, 10.0, (1,), np.float32)

    def obs(self):
        return np.array([self.x], np.float32)


class Late(Line):
    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        self.queue = [obs] * 3
        return obs, info

    def step(self, action):
        obs, *rest = super().step(action)
        self.queue.append(obs)
        return self.queue.pop(0), *rest


class GoesOn(Line):
    x = v = 0.0

    def reset(self, *, seed=None, options=None):
        gymnasium.Env.reset(self, seed=seed)
        return self.obs(), {}


class Cut(Line):
    def __new__(cls):
        return gymnasium.wrappers.TimeLimit(Line(), 4)


class Seldom(Line):
    time, shown = 0, None

    def obs(self):
        self.time += 1
        if self.shown is None or self.time % 40 == 0:
            self.shown = super().obs()
        return self.shown


class AtOnce(Line):
    def step(self, action):
        obs, reward, _, _, info = super().step(action)
        return obs, reward, True, False, info


class Shuffled(Line):
    """Left and right change places with the episode."""

    def reset(self, *, seed=None, options=None):
        obs, info = super().reset(seed=seed)
        self.turned = bool(self.np_random.integers(2))
        return obs, info

    def step(self, action):
        return super().step(action ^ self.turned)


class Target(gymnasium.Env):
    """A place on a line to be near to, drawn anew each time, which the observation does not show."""

    observation_space = spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = spaces.Discrete(3)
    shown = False

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, (self.x, self.goal) = 0, self.np_random.uniform(-1, 1, 2)
        return self.obs(), {}

    def obs(self):
        return np.array([self.x, self.goal] if self.shown else [self.x], np.float32)

    def step(self, action):
        self.t, self.x = self.t + 1, float(np.clip(self.x + 0.1 * (action - 1), -1, 1))
        return self.obs(), -abs(self.x - self.goal), False, self.t >= 80, {}


class Shown(Target):
    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    shown = True


class Dial(Target):
    """Its position as a byte that goes from 255 to 0."""

    observation_space = spaces.Box(0, 255, (2,), np.uint8)

    def obs(self):
        return np.array([self.t % 4, int(300 * self.x) % 256], np.uint8)


class Chance(Line):
    """Ends at one step in twenty, wherever it is."""

    def step(self, action):
        obs, *_ = super().step(action)
        return obs, float(obs[0]), bool(self.np_random.random() < 0.05), False, {}


CAUSES = {
    Chance: "ends_by_chance",
    Shuffled: "hidden_context",
    Target: "hidden_context",
    Dial: "obs_wraps",
    Deaf: "actions_without_effect",
    Old: "interface",
    FourValues: "interface",
    Outside: "interface",
    Raises: "interface",
    NotANumber: "obs_nonfinite",
    Hidden: "hidden_randomness",
    Clock: "time_limit_as_end",
    Unpaid: "no_reward_signal",
    Places: "memory_missing",
    AtOnce: "episodes_end_at_once",
    Late: "effects_late",
    GoesOn: "reset_incomplete",
    Cut: "limit_short",
    Seldom: "obs_rarely_change",
}


@pytest.mark.parametrize("env", CAUSES, ids=lambda e: e.__name__)
def test_what_is_broken_is_named(env):
    checked = check(env, episodes=16 if env is Chance else 8)
    assert CAUSES[env] in [f.cause for f in checked.findings[:2]], checked.findings
    assert CAUSES[env] in str(checked)


def test_a_whole_environment_has_a_proposal_and_no_fault():
    class Limited(Line):
        def __new__(cls):
            return gymnasium.wrappers.TimeLimit(Line(), 100)

    checked = check(lambda: gymnasium.wrappers.TimeLimit(Line(), 100), episodes=8)
    assert not [f for f in checked.findings if not f.hint]
    assert "train.py" in checked.proposal and "--total-steps" in checked.proposal
    assert checked.plain()["facts"]["effect"] == {"obs": True, "reward": True, "after": 1}


def test_what_is_a_little_outside_is_a_note_and_a_loss_at_one_step_no_limit():
    checked = check(Beyond, episodes=8)
    causes = {f.cause: f.hint for f in checked.findings}
    assert causes.get("obs_beyond") is True and not {"interface", "time_limit_as_end"} & set(causes), causes
    assert 0.0 < checked.facts["beyond"] < 0.02 and checked.proposal


@pytest.mark.parametrize("env_id", ["FrozenLake8x8-v1", "Humanoid-v5"])
def test_hard_environments_of_others_have_no_fault(env_id):
    """A goal too far for chance and slippery ice; forces that are mostly 0."""
    checked = check(lambda: make_single(env_id), episodes=8)
    assert not [f.cause for f in checked.findings if not f.hint] and checked.proposal


@pytest.mark.parametrize("env_id", ["CartPole-v1", "FrozenLake-v1", "Blackjack-v1"])
def test_ends_that_can_be_seen_are_not_said_to_be_chance(env_id):
    checked = check(lambda: make_single(env_id), episodes=20)
    assert checked.facts["ends"]["told"] > 0.7 and "ends_by_chance" not in {f.cause for f in checked.findings}


@pytest.mark.parametrize("env_id", [Shown, "Pendulum-v1", "MountainCar-v0", "Acrobot-v1"])
def test_episodes_that_follow_one_rule_are_not_said_to_differ(env_id):
    checked = check(env_id if env_id is Shown else lambda: make_single(env_id), episodes=12)
    assert checked.facts["context"], checked.facts
    assert not {"hidden_context", "obs_wraps"} & {f.cause for f in checked.findings}


def test_a_hand_of_cards_that_ends_at_one_step_is_a_note():
    checked = check(Clock, episodes=8)
    (finding,) = [f for f in checked.findings if f.cause == "time_limit_as_end"]
    assert finding.hint and "where the task itself does not end there" in finding.advice
    assert "--max-episode-steps" not in checked.proposal


def test_the_environment_is_left_as_it_was_and_chance_too():
    env = Line()
    random.seed(3)
    before = random.getstate()
    check(env, episodes=2)
    assert random.getstate() == before


@pytest.mark.parametrize(
    "env_id, missing",
    [
        ("CartPole-v1", False),
        ("AgentGym/CartPoleNoVel-v1", True),
        ("Pendulum-v1", False),
        ("AgentGym/PendulumNoVel-v1", True),
    ],
)
def test_missing_velocities_are_seen(env_id, missing):
    found = probe(lambda: make_single(env_id), episodes=8, max_steps=1200, limit=step_limit(env_id, {}))
    memory = found["memory"]
    assert (memory["one"] > 0.3 and memory["two"] < 0.4 * memory["one"]) == missing, memory


@pytest.mark.parametrize(
    "env_id, lag",
    [("AgentGym/RepeatPrevious-v0", 4), ("CartPole-v1", None), ("Pendulum-v1", None), ("FrozenLake-v1", None)],
)
def test_rewards_for_what_was_seen_before_want_memory(env_id, lag):
    case = check(lambda: make_single(env_id), episodes=12)
    recall = case.facts["recall"]
    assert (lag is None) == (not hidden(recall)), recall
    if lag is not None:
        assert recall["lag"] == lag
        assert any(f"{lag} steps before" in line for f in case.findings for line in f.evidence), case.findings


class Mixed(Line):
    """Texts in the observation, and an action of parts of different sizes."""

    observation_space = spaces.Dict({"at": Line.observation_space, "task": spaces.Text(20)})
    action_space = spaces.Dict({"go": spaces.Discrete(2), "how": spaces.Box(-1.0, 1.0, (3,), np.float32)})

    def obs(self):
        return {"at": super().obs(), "task": "right"}

    def step(self, action):
        return super().step(action["go"])


class Masked(Line):
    """Three of four actions end the episode with a loss; the mask, told in one way or the other, knows which."""

    action_space = spaces.Discrete(4, start=1)

    def reset(self, *, seed=None, options=None):
        obs, _ = super().reset(seed=seed)
        self.good = 1
        return obs, {"action_mask": self.mask()}

    def mask(self):
        return (np.arange(1, 5) == self.good).astype(np.int8)

    def step(self, action):
        obs, reward, _, _, _ = super().step(self.good % 2)
        wrong = action != self.good
        self.good = self.good % 4 + 1
        return obs, -1.0 if wrong else reward, bool(wrong), False, {"action_mask": self.mask()}


class Asked(Masked):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], {}

    def step(self, action):
        return *super().step(action)[:4], {}

    action_masks = Masked.mask


@pytest.mark.parametrize("env", [Masked, Asked])
def test_random_play_keeps_to_what_a_mask_allows(env):
    found = probe(lambda: gymnasium.wrappers.TimeLimit(env(), 50), episodes=4, limit=50)
    assert found["ends"]["length_min"] == 50 and found["ends"]["terminated"] == 0.0


def test_one_long_episode_alone_is_looked_at():
    class Paid(Line):
        def step(self, action):
            obs, *_ = super().step(action)
            return obs, float(obs[0]), False, False, {}

    found = probe(Paid, episodes=1, max_steps=600)
    assert found["recall"]["lag"] > 0 and found["ends"]["watched"] == 600


def test_a_mask_that_is_none_is_said_in_words():
    class Odd(Line):
        def action_masks(self):
            return [1, 0, 1]

    (problem,) = probe(Odd, episodes=2)["problems"]
    assert "its action mask cannot be used" in problem and "3 entries" in problem


def test_infinite_observations_leave_the_rest_unjudged():
    class Infinite(Line):
        def obs(self):
            return np.array([self.x, np.inf if self.x > 0.5 else self.v], np.float32)

    found = probe(Infinite, episodes=4, max_steps=400)
    assert found["obs"]["nonfinite"] > 0.0 and "context" not in found


def test_texts_and_actions_of_parts_are_played():
    found = probe(Mixed, episodes=4, max_steps=200)
    assert found["obs"]["entries"] == 2 and found["effect"]["obs"] and not found["problems"]


def test_rewards_and_lengths_are_those_of_the_environment():
    found = probe(lambda: make_single("CartPole-v1"), episodes=20, limit=500)
    assert 15 < found["random_return"] < 35  # a random policy keeps the pole up for about 22 steps
    assert found["reward"]["min"] == found["reward"]["max"] == 1.0
    assert found["ends"]["terminated"] == 1.0 and found["repeats"]
    assert found["baselines"]["action 0"] < 12
