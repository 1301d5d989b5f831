"""Environments that are brought back from their state as plain data, against ones left alone."""

from __future__ import annotations

import contextlib
import enum
import json
import random
import threading
from collections import deque

import gymnasium
import numpy as np
import pytest
import torch
from counting import random_actions
from gymnasium.spaces import Box, Discrete

from agent_gym.envs.adapters.episodes.snapshot import put_back, take
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.adapters.workers import WorkerEnv
from agent_gym.envs.single import make_single
from agent_gym.storage import tensor_file

B = 3


class Light(enum.Enum):
    RED = 1
    GREEN = 2


class Belt:
    """A part of an environment that is an object of its own."""

    def __init__(self):
        self.load, self.speed = deque(maxlen=3), 0.5


class Plant(gymnasium.Env):
    """Draws from all that no seed of a reset sets, and keeps its state in all kinds of places."""

    observation_space, action_space = Box(-np.inf, np.inf, (4,), np.float64), Discrete(3)

    def __init__(self):
        self.own, self.dice, self.belt, self.light = np.random.default_rng(7), random.Random(3), Belt(), Light.RED
        self.heap, self.stock = [], {"left": 0.0, (1, 2): np.zeros(2)}
        self.top = self.heap  # two names of one list
        self.rule = max

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        self.belt.load.clear()
        return self._obs(), {}

    def step(self, action):
        self.t += 1
        self.heap.append(self.own.normal() + np.random.normal())
        self.belt.load.append(self.dice.random() + random.random())
        self.light = Light.GREEN if self.action_space.sample() == action else Light.RED
        self.stock["left"] += self.top[-1]
        self.stock[1, 2] += self.np_random.random(2)
        self.last = np.float32(action)  # an attribute that a new one does not have
        return self._obs(), float(self.light is Light.GREEN), False, self.t == 40, {}

    def _obs(self):
        return np.array([self.t, sum(self.belt.load), len(self.top) + self.stock["left"], self.stock[1, 2][0]])


class Locked(Plant):
    """Holds something of which there is no snapshot."""

    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class Simulator(Locked):
    """Has state functions of its own; each of its steps may be dear."""

    stepped = 0

    def step(self, action):
        Simulator.stepped += 1
        self.t += 1
        self.x = self.own.normal()
        return self._obs(), self.x, False, self.t == 40, {}

    def state_dict(self):
        return {"t": self.t, "own": self.own.bit_generator.state}

    def load_state_dict(self, state):
        self.t, self.own.bit_generator.state = state["t"], state["own"]


def vector(kind: str, single):
    env = (
        SyncEnv([single() for _ in range(B)], "Plant-v0")
        if kind == "sync"
        else WorkerEnv(single, B, "Plant-v0", num_workers=2)
    )
    env.keep_record()
    return env


def run(env, taken):
    return [tuple(torch.cat([step.obs.flatten(), step.reward]).tolist()) for step in map(env.step, taken)]


@pytest.mark.parametrize(
    "kind, single, told", [("workers", Plant, True), ("workers", Simulator, False), ("sync", Simulator, False)]
)
def test_what_no_seed_sets_goes_on_to_the_bit(kind, single, told, tmp_path, capsys):
    first, second = vector(kind, single), vector(kind, single)
    taken = random_actions(100, B, seed=3) % 3
    first.reset(5), second.reset(77)
    run(first, taken[:70])
    tensor_file.write(tmp_path / "state.pt", {"env": first.state_dict()})
    run(second, taken[:3])
    Simulator.stepped = 0
    assert second.load_state_dict(tensor_file.read(tmp_path / "state.pt")["env"])
    assert ("led elsewhere" in capsys.readouterr().err) is told
    assert Simulator.stepped == 0  # its own functions are believed
    assert run(first, taken[70:]) == run(second, taken[70:])
    first.close(), second.close()


@pytest.mark.parametrize("env_id, steps", [("CartPole-v1", 7), ("Ant-v5", 60), ("ALE/Pong-v5", 150), ("Taxi-v4", 9)])
def test_known_environments(env_id, steps):
    """Gymnasium's own, MuJoCo's physics with contacts, an emulator with sticky actions."""
    pytest.importorskip({"Ant-v5": "mujoco", "ALE/Pong-v5": "ale_py"}.get(env_id, "gymnasium"))
    first, second = make_single(env_id), make_single(env_id)
    space = first.action_space
    space.seed(1)
    first.reset(seed=1), second.reset(seed=2)
    for _ in range(steps):
        first.step(space.sample())
    second.step(space.sample())
    put_back(second, take(first))
    for _ in range(100):
        action = space.sample()
        one, other = first.step(action), second.step(action)
        assert np.array_equal(one[0], other[0]) and one[1:4] == other[1:4]
        if one[2] or one[3]:
            assert np.array_equal(first.reset()[0], second.reset()[0])
    first.close(), second.close()


def test_every_kind_of_attribute_comes_back():
    first, second = Plant(), Plant()
    first.reset(seed=1), second.reset(seed=2)
    for action in (0, 1, 2, 1):
        first.step(action)
    text = take(first)
    Plant.action_space.seed(9)
    put_back(first, text)  # with the generator of the space in its class
    np.random.seed(0), random.seed(0)
    expected = [first.step(1)[:2] for _ in range(20)]
    put_back(second, text)
    np.random.seed(0), random.seed(0)
    for (obs, reward), step in zip(expected, (second.step(1) for _ in range(20)), strict=True):
        assert np.array_equal(obs, step[0]) and reward == step[1]
    assert second.top is second.heap and second.belt.load.maxlen == 3


def test_what_is_not_understood_is_not_kept():
    env = Locked()
    env.reset(seed=0)
    assert take(env) == ""
    grid = Plant()
    grid.heap = np.zeros(4)
    grid.top = grid.heap[1:]  # a part of the other
    assert take(grid) == ""
    cell = []
    grid.top, grid.rule = None, lambda: cell
    assert take(grid) == ""


def test_a_snapshot_of_somebody_else_is_refused_or_harmless():
    env, other = Plant(), Plant()
    env.reset(seed=1), other.reset(seed=1)
    env.name = other.name = "left"
    text = take(env)
    with pytest.raises(ValueError, match="may be a path"):
        put_back(other, text.replace('"left"]', '"/etc/left"]'))
    with pytest.raises(ValueError):
        put_back(make_single("CartPole-v1"), text)
    rng = random.Random(0)
    for _ in range(400):
        saved = json.loads(text)
        node = saved
        while True:  # down to some place
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = rng.choice(list(keys))
            if not isinstance(node[key], list | dict) or not node[key] or rng.random() < 0.2:
                break
            node = node[key]
        node[key] = rng.choice([None, -1, 1e300, "x", [], {}, ["own", "os.system", "x"], ["object", "x", {}], True])
        with contextlib.suppress(ValueError):  # refused
            put_back(other, json.dumps(saved))
