"""Every kind of observation that Gymnasium's spaces allow: built, trained, saved, resumed, opened again, summed up."""

import copy

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from handing_over import hand_over

from agent_gym.agents import agent_class, config_class
from agent_gym.envs.adapters.boundary.space_data import make_space, space_data
from agent_gym.envs.adapters.boundary.spaces import ObsLayout, canonical
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.conventions.forms import LONGEST, NODES, words
from agent_gym.nets.encoders.cells import to_nchw
from agent_gym.nets.encoders.cnn import CNN
from agent_gym.nets.encoders.pooled import GraphNetwork, Pool
from agent_gym.nets.settings import EncoderSettings
from agent_gym.nets.summary import summary

INF = np.inf
KINDS = {
    "text": spaces.Text(20),
    "sequence": spaces.Sequence(spaces.Box(-1.0, 1.0, (3,))),
    "stacked sequence": spaces.Sequence(
        spaces.Dict({"a": spaces.Discrete(3), "b": spaces.Box(0, 1, (2,))}), stack=True
    ),
    "graph": spaces.Graph(spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(3)),
    "graph of nodes": spaces.Graph(spaces.Discrete(4), None),
    "one of": spaces.OneOf((spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,)))),
    "tuple": spaces.Tuple((spaces.Discrete(3, start=-1), spaces.Box(0, 255, (8, 8, 3), np.uint8))),
    "nested": spaces.Dict(
        {
            "image": spaces.Box(0, 255, (3, 3, 1), np.uint8),
            "rest": spaces.Tuple((spaces.MultiBinary((2, 2)), spaces.Dict({"say": spaces.Text(5)}))),
        }
    ),
    "float image": spaces.Box(0.0, 1.0, (5, 7, 3)),
    "smallest image": spaces.Box(0, 255, (3, 3), np.uint8),
    "deep image": spaces.Box(0, 255, (64, 4, 3), np.uint8),
    "wide image": spaces.Box(0, 255, (3, 20, 3), np.uint8),
    "grid of codes": spaces.Box(0, 10, (5, 5, 3), np.uint8),
    "no bounds": spaces.Box(-INF, INF, (2,)),
    "one bound": spaces.Box(np.array([0.0, -INF], np.float32), np.array([INF, 1.0], np.float32)),
    "huge bounds": spaces.Box(-1e30, 1e30, (2,), np.float64),
    "integers": spaces.Box(-5, 5, (3,), np.int64),
    "bits": spaces.Box(0, 1, (4,), bool),
    "small floats": spaces.Box(0.0, 1.0, (2,), np.float16),
    "scalar": spaces.Box(0.0, 1.0, ()),
    "start": spaces.Discrete(5, start=7),
    "table of choices": spaces.MultiDiscrete(np.array([[2, 3], [4, 5]])),
}


class Shows(gymnasium.Env):
    """Values of a space, in episodes of five steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, space: spaces.Space, values: list) -> None:
        self.observation_space, self.values = space, values

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self._obs(), {}

    def _obs(self):
        return self.values[self.np_random.integers(len(self.values))]

    def step(self, action):
        self.t += 1
        return self._obs(), float(action), False, self.t == 5, {}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_learned_from_saved_and_gone_on_with(kind, tmp_path):
    space = copy.deepcopy(KINDS[kind])
    space.seed(1)
    values = [space.sample() for _ in range(100)]
    if getattr(space, "dtype", None) == np.float64:
        values = [np.clip(value, -9.0, 9.0) for value in values]
    for name, encoder in (("ppo", "auto"), ("ppo", "gru"), ("dqn", "auto")):
        settings = {"num_envs": 10, "hidden_sizes": (8,), "recurrent_size": 8, "total_steps": 2000, "seed": 1}
        settings |= {"encoder": encoder}
        settings |= {"num_steps": 25, "num_epochs": 1} if name == "ppo" else {"buffer_size": 400, "utd": 0.05}

        def made(name=name, settings=settings):
            env = SyncEnv([Shows(space, values) for _ in range(10)], "Shows")
            env.keep_record()
            return agent_class(name)(config_class(name)(**settings), env)

        agent, again = made(), made()
        agent.begin()
        while agent.steps < 1500:
            agent.collect()
            agent.update()
        hand_over(agent, again, tmp_path / "state.pt")
        for part in (agent, again):
            while part.steps < 2000:
                part.collect()
                part.update()
        for a, b in zip(agent.policy.parameters(), again.policy.parameters(), strict=True):
            assert torch.isfinite(a).all()
            assert torch.equal(a, b)
        assert "parameters" in summary(agent.policy.networks(), agent.env.obs_space)
    stored = make_space(space_data(space))
    assert canonical(stored) == canonical(space)


def test_words_are_told_apart_and_padded():
    one, two = words("Go to the red ball, quickly!"), words("go to the blue ball")
    assert one[0] == two[0] and one[3] != two[3] and (two[5:] == 0).all() and one.min() >= 0
    with pytest.raises(ValueError, match="int"):
        words(3)


def test_a_graph_is_its_nodes_flat_with_the_mean_of_the_edges_that_lead_to_each():
    space = spaces.Graph(spaces.Discrete(4, start=1), spaces.Box(-1.0, 1.0, (2, 1)))
    layout, edges = ObsLayout(space), np.array([[[1.0], [2.0]], [[3.0], [4.0]], [[5.0], [6.0]]], np.float32)
    arrays = layout.empty(1)
    layout.put(arrays, 0, spaces.GraphInstance(np.array([4, 1, 2]), edges, np.array([[0, 1], [2, 1], [1, 2]])))
    expected = np.zeros((NODES, 4 + 2 + 1 + NODES), np.float32)
    expected[[0, 1, 2], [3, 0, 1]] = expected[:3, 6] = 1.0
    expected[1, 4:6], expected[2, 4:6] = (2.0, 3.0), (5.0, 6.0)
    expected[[1, 1, 2], [7, 9, 8]] = 1.0
    assert np.array_equal(arrays[0][0], expected)
    layout.put(arrays, 0, spaces.GraphInstance(np.array([3]), None, None))
    assert arrays[0][0, 0, 2] == 1.0 and arrays[0].sum() == 2.0


def test_what_is_not_there_does_not_count():
    """A sequence is the same with more room behind it, and a graph whichever way its nodes are numbered."""
    layout = ObsLayout(KINDS["sequence"])
    arrays = layout.empty(1)
    layout.put(arrays, 0, (np.ones(3, np.float32), -np.ones(3, np.float32)))
    pool = Pool(layout.space)
    obs = torch.from_numpy(arrays[0]).unsqueeze(0)
    features = torch.relu(pool.each(torch.tensor([[1.0] * 3, [-1.0] * 3])))
    torch.testing.assert_close(pool(obs)[0, 0], torch.cat((features.mean(0), features.amax(0))))
    assert obs.shape[2] == LONGEST and pool(torch.zeros_like(obs)).abs().max() == 0

    space = KINDS["graph"]
    layout = ObsLayout(space)
    net, seen = GraphNetwork(layout.space), []
    nodes = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, -0.5]], np.float32)
    links = np.array([[0, 1], [1, 2], [0, 2]])
    for order in ([0, 1, 2], [2, 0, 1]):
        place = np.argsort(order)
        graph = spaces.GraphInstance(nodes[order], np.array([0, 1, 2]), place[links])
        arrays = layout.empty(1)
        layout.put(arrays, 0, graph)
        seen.append(net(torch.from_numpy(arrays[0]).unsqueeze(0)))
    torch.testing.assert_close(seen[0], seen[1])
    x, there = torch.zeros(NODES, net.size), torch.zeros(NODES, NODES)  # and by hand
    x[:3, :2] = torch.from_numpy(nodes)
    x[1, 2], x[2, 3], x[2, 4] = 1.0, 0.5, 0.5  # what edges tell: kind 0 leads to node 1, kinds 1 and 2 to node 2
    there[1, 0], there[2, 0], there[2, 1] = 1.0, 0.5, 0.5
    for own, near in zip(net.own, net.near, strict=True):
        x = torch.relu(own(x) + near(there @ x))
    torch.testing.assert_close(seen[0][0, 0], torch.cat((x[:3].mean(0), x[:3].amax(0))))


def test_the_layout_of_an_image_can_be_told():
    assert to_nchw((3, 5, 4))[1] == (3, 5, 4) and to_nchw((3, 5, 4), "last")[1] == (4, 3, 5)
    assert to_nchw((6, 6, 3), "first")[1] == (6, 6, 3) and to_nchw((2, 6, 6, 3), "last")[1] == (6, 6, 6)
    for layout, channels in (("auto", 26), ("first", 26), ("last", 30)):
        cnn = CNN(spaces.Box(0, 255, (26, 28, 30), np.uint8), EncoderSettings(image_layout=layout))
        assert cnn.convs[0].in_channels == channels


def test_a_cnn_by_name_sees_float_images_beside_others():
    space = spaces.Dict({"view": spaces.Box(0.0, 1.0, (12, 12, 3)), "speed": spaces.Box(-1.0, 1.0, (1,))})
    env = SyncEnv([Shows(space, [space.sample()])], "Shows")
    agent = agent_class("ppo")(config_class("ppo")(num_envs=1, num_steps=4, encoder="cnn"), env)
    assert any(isinstance(m, torch.nn.Conv2d) for m in agent.policy.modules())
    agent.begin()
    agent.collect()
    agent.update()
