"""The preprocessing of Atari games against ale-py's own, and by counting in a made-up game."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from scipy.integrate import quad_vec

import train
from agent_gym.agents.settings.base import AgentConfig, AtariFlags
from agent_gym.envs.adapters.atari import AtariOptions, Preprocessing, averaging
from agent_gym.envs.make import make_env, make_single
from agent_gym.ground.errors import UserError

PLAIN = {"noop_max": 0, "sticky_actions": 0.0}


@pytest.mark.parametrize("game", ["Breakout", "SpaceInvaders"])
def test_same_screens_as_ale_py(game):
    """A whole game without chance: rewards and the end agree, screens to two grey levels (it rounds otherwise)."""
    ours, theirs = (make_env(f"ALE/{game}-v5", 1, backend=b, env_kwargs=PLAIN) for b in ("sync", "gymnasium"))
    assert (
        type(ours) is not type(theirs)
        and ours.obs_space == theirs.obs_space
        and ours.action_space == theirs.action_space
    )
    obs, other = ours.reset(0), theirs.reset(0)
    assert obs.dtype == torch.uint8 and obs.shape == (1, 4, 84, 84)
    rng, total = np.random.default_rng(0), 0.0
    for _ in range(3000):
        assert (obs.int() - other.int()).abs().max() <= 2
        action = torch.from_numpy(rng.integers(0, ours.action_space.n, 1))
        step, theirs_step = ours.step(action), theirs.step(action)
        assert step.reward == theirs_step.reward and step.terminated == theirs_step.terminated
        obs, other, total = step.obs, theirs_step.obs, total + step.reward.item()
        if step.terminated:
            break
    assert step.terminated and total > 0
    assert (obs.int() - other.int()).abs().max() <= 2  # the next game has begun
    ours.close(), theirs.close()


def test_area_interpolation():
    """Each new pixel is the integral over what it covers, done numerically."""
    old = np.random.default_rng(0).uniform(0, 255, 210)
    new = averaging(210, 84).double().numpy() @ old
    for i in (0, 1, 40, 83):
        edges = np.array([i, i + 1]) * 2.5
        integral, _ = quad_vec(lambda x: old[min(int(x), 209)], *edges, limit=200)
        assert new[i] == pytest.approx(integral / 2.5, rel=1e-4)


class Ticker(gymnasium.Env):
    """40 frames, three lives of which frames 10 and 25 take one; a frame scores 5; the screen shows its number."""

    observation_space = Box(0, 255, (6, 4), np.uint8)
    action_space = Discrete(3)
    metadata = {"render_modes": [], "render_fps": 30}

    def __init__(self):
        self.games, self.actions = 0, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.games, self.frame = self.games + 1, 0
        return self.look()

    def look(self):
        lives = 3 - (self.frame >= 10) - (self.frame >= 25)
        return np.full((6, 4), self.frame, np.uint8), {"lives": lives}

    def step(self, action):
        self.frame += 1
        self.actions.append(action)
        obs, info = self.look()
        if self.frame % 2:  # a sprite that shows in odd frames only
            obs[0, 0] = 255
        return obs, 5.0, self.frame == 40, False, info


def play(options, **changes):
    """(newest screen's value, reward, terminated) of every step of a game."""
    game = Ticker()
    env = Preprocessing(game, AtariOptions(**{"noop_max": 0, "screen_size": 2, **options}))
    env.reset(seed=0)
    steps = []
    while not steps or not env.game_over:
        obs, reward, terminated, truncated, _ = env.step(2)
        steps.append((int(obs[-1, 1, 1]), reward, terminated))
        if terminated and not env.game_over:
            env.reset()
    return game, env, steps


def test_four_frames_a_step_raw_scores_whole_games():
    game, env, steps = play({})
    assert [value for value, _, _ in steps] == list(range(4, 41, 4))
    assert [reward for _, reward, _ in steps] == [20.0] * 10
    assert [ended for _, _, ended in steps] == [False] * 9 + [True]
    assert set(game.actions) == {2} and game.games == 1
    assert env.frames[:, 1, 1].tolist() == [28, 32, 36, 40]
    assert env.metadata["render_fps"] == 15


def test_flicker_is_gone():
    """Of frames 3 and 4 the larger pixel counts: the sprite of frame 3 stays, in a quarter of 3 × 2 old pixels."""
    env = Preprocessing(Ticker(), AtariOptions(noop_max=0, screen_size=2))
    env.reset(seed=0)
    obs = env.step(0)[0]
    assert obs[-1, 0, 0] == round((255 + 5 * 4) / 6) and obs[-1, 1, 1] == 4


def test_training_clips_rewards_and_may_end_with_a_life():
    """Lives are lost in the third step (frame 10) and later at frame 25; the game goes on with a no-op each time."""
    game, _, steps = play({"training": True, "life_loss_ends": True})
    assert {reward for _, reward, _ in steps} == {1.0}
    assert [value for value, _, ended in steps if ended] == [12, 25, 40] and game.games == 1
    assert game.actions.count(0) == 2
    _, _, steps = play({"life_loss_ends": True})  # evaluation
    assert sum(ended for _, _, ended in steps) == 1 and steps[0][1] == 20.0


def test_starts_vary():
    """The number of no-ops is uniform from 0 to noop_max."""
    game = Ticker()
    env = Preprocessing(game, AtariOptions(noop_max=4, screen_size=2))
    counts = np.zeros(5)
    for seed in range(500):
        env.reset(seed=seed)
        counts[game.frame] += 1
    assert np.abs(counts - 100).max() < 40 and set(game.actions) == {0}


@pytest.mark.parametrize("backend", ["sync", "gymnasium", "envpool"])
def test_flags_reach_every_backend(backend):
    flags = {"full_action_space": True, "frame_skip": 2, "life_loss_ends": True}
    env = make_env("ALE/Breakout-v5", 2, backend=backend, env_kwargs=flags, training=True)
    assert env.action_space.n == 18
    obs, ends, steps = env.reset(0), 0, 0
    assert obs.shape == (2, 4, 84, 84)
    generator = torch.Generator().manual_seed(0)
    while ends < 4 and steps < 3000:
        step = env.step(torch.randint(18, (2,), generator=generator))
        assert ((step.reward == 0) | (step.reward == 1)).all() and step.valid is None
        ends, steps = ends + int(step.terminated.sum()), steps + 1
    assert ends >= 4 and steps / ends < 300  # a life lasts some 50 frames, a game of five some 400 or more
    env.close()


def test_auto_takes_ale_pys_own_and_evaluation_is_raw():
    env = make_env("ALE/Pong-v5", 2, training=True)
    assert env.backend == "gymnasium" and "ale-py" in env.choice
    env.close()
    single = make_single("ALE/Pong-v5", AgentConfig(env="ALE/Pong-v5").make_kwargs(True), render_mode="rgb_array")
    single.reset(seed=0)
    assert isinstance(single, Preprocessing) and not single.options.training and single.render().shape == (210, 160, 3)
    memory = make_single("ALE/Pong-v5", {"mode": 0})
    assert memory.observation_space.shape == (4, 84, 84)


def test_bad_flags(capsys):
    with pytest.raises(UserError, match="expected at least 1"):
        AtariFlags(frame_skip=0)
    with pytest.raises(UserError, match="CartPole-v1 is none"):
        AgentConfig(atari=AtariFlags(sticky_actions=0.0)).make_kwargs(False)
    with pytest.raises(UserError, match="--atari.frame-skip"):
        make_single("ALE/Pong-v5", {"frameskip": 2})
    with pytest.raises(UserError, match="no argument 'colour'.*it may hold game, mode"):
        make_single("ALE/Pong-v5", {"colour": 2})
    assert train.main(["ppo", "--atari.sticky-actions", "2"]) == 2
    assert "--atari.sticky-actions 2" in capsys.readouterr().err


def test_flags_survive_in_the_configuration():
    from agent_gym.agents.settings.ppo import PPOConfig
    from agent_gym.composing.restore import restore_config

    config = PPOConfig(env="ALE/Pong-v5", atari=AtariFlags(frame_skip=5))
    assert restore_config("agent", "ppo", config.plain(True)) == config
    assert (
        "atari" not in PPOConfig().plain(False)
        and restore_config("agent", "ppo", PPOConfig().plain(False)) == PPOConfig()
    )
