"""Wrappers by name, stacks of frames and time limits against Gymnasium's own wrappers put on by hand."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from counting import Count
from gymnasium import spaces

from agent_gym.envs.layers import Layers, parse
from agent_gym.envs.make import make_env, make_single, opening
from agent_gym.ground.errors import UserError


class Plus(gymnasium.ObservationWrapper):
    """Adds a number to the observation."""

    def __init__(self, env: gymnasium.Env, number: float = 1.0):
        super().__init__(env)
        self.number = number

    def observation(self, observation):
        return observation + np.float32(self.number)


class Double(gymnasium.ObservationWrapper):
    def observation(self, observation):
        return 2 * observation


def test_names_and_arguments():
    assert parse("TimeLimit") == ("TimeLimit", [], {})
    assert parse('pkg.mod:Name {"a": [1, {"b": 2}]}') == ("pkg.mod:Name", [], {"a": [1, {"b": 2}]})
    assert parse("Name [3, 4]") == ("Name", [3, 4], {})
    assert parse('Name={"a": 1}') == ("Name", [], {"a": 1})


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_wrappers_go_on_in_order(backend):
    layers = Layers(
        ('test_layers:Plus {"number": 5}', "test_layers:Double", 'TimeAwareObservation {"flatten": true}'), 1, 100
    )
    env = make_env("Counting/Plain-v0", 2, backend=backend, layers=layers)
    assert env.obs_space.shape == (3,)
    assert env.reset(0)[0].tolist() == [10.0, 10.0, 0.0]
    step = env.step(torch.zeros(2, dtype=torch.int64))
    assert step.obs[0].tolist() == [10.0, 12.0, 1.0]
    env.close()


def test_a_stack_of_frames_is_gymnasiums():
    env = make_env("Counting/Plain-v0", 1, layers=Layers(frame_stack=3))
    theirs = gymnasium.wrappers.FrameStackObservation(Count(), 3)
    assert np.array_equal(env.reset(0)[0], theirs.reset(seed=0)[0])
    for _ in range(4):
        ours = env.step(torch.zeros(1, dtype=torch.int64)).obs[0]
        assert np.array_equal(ours, theirs.step(5)[0])
    env.close()


@pytest.mark.parametrize(("env_id", "backend"), [("CartPole-v1", "native"), ("CartPole-v1", "sync")])
def test_another_time_limit(env_id, backend):
    env = make_env(env_id, 3, backend=backend, layers=Layers(max_episode_steps=5))
    env.reset(0)
    for t in range(1, 6):
        step = env.step(torch.tensor([t % 2] * 3))
        assert step.truncated.tolist() == [t == 5] * 3
    env.close()
    assert make_single(env_id, layers=Layers(max_episode_steps=1000)).spec.max_episode_steps == 1000


def test_layers_keep_backends_away_that_cannot_have_them():
    stacked = Layers(frame_stack=2)
    assert make_env("CartPole-v1", 2, layers=stacked).backend == "gymnasium"
    with pytest.raises(UserError, match="--backend native cannot run CartPole-v1: the native version takes no --frame"):
        make_env("CartPole-v1", 2, backend="native", layers=stacked)


@pytest.mark.parametrize(
    ("wrapper", "says"),
    [
        ("TimeAware", "gymnasium.wrappers has none of this name; did you mean TimeAwareObservation"),
        ("no_such:Thing", "the module 'no_such' cannot be imported"),
        ("test_layers:Pluss", "test_layers has no 'Pluss'; did you mean Plus"),
        ('test_layers:Plus {"nummer": 1}', "could not be put around .*its arguments are number"),
        ("test_layers:Plus {number: 1}", "its arguments are no JSON"),
        ("test_layers:parse", "could not be put around|gave a tuple"),
        ("{}", "names none: expected --wrapper package.module:Name"),
    ],
)
def test_a_wrapper_that_cannot_be_is_one_clear_line(wrapper, says):
    with pytest.raises(UserError, match=says) as caught:
        make_env("Counting/Plain-v0", 1, layers=Layers((wrapper,)))
    assert "\n" not in str(caught.value)


class Started(Count):
    """Counts how often it is made and closed."""

    made = closed = 0

    def __init__(self, render_mode=None):
        super().__init__()
        Started.made += 1

    def close(self):
        Started.closed += 1


def test_nothing_is_made_beside_the_environments_asked_for():
    gymnasium.register("Test/Started-v0", Started)
    Started.made = Started.closed = 0
    (_, action_space), first = opening("Test/Started-v0")
    assert isinstance(action_space, spaces.Discrete) and Started.made == 1
    env = make_env("Test/Started-v0", 3, first=first)
    assert (Started.made, Started.closed) == (3, 0) and env.envs[0] is first
    env.close()
    assert Started.closed == 3
    assert opening("CartPole-v1")[1] is None
    Started.made = Started.closed = 0
    workers = make_env("Test/Started-v0", 2, backend="async")
    assert (Started.made, Started.closed) == (1, 0)  # here; a forked worker has taken it over
    workers.reset(0)
    workers.close()
