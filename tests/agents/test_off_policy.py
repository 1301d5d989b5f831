"""What agents with a replay buffer share: the ratio of updates, priorities, and exact resume."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from tiny_envs import Numbered

from agent_gym.agents import agent_class, config_class
from agent_gym.agents.off_policy.batches import AT_ONCE, batch_mean, priorities
from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.make import make_env
from agent_gym.envs.vector import EnvFailure
from agent_gym.ground.tree import tree_leaves
from agent_gym.nets.learner import graphs

SHORT = {"sequence_length": 6, "burn_in": 3, "n_step": 1}
NARROW = {"hidden_sizes": (8,), "batch_size": 8, "buffer_size": 500}


def make_agent(name: str, env_id: str = "CartPole-v1", backend: str = "auto", **settings):
    config = config_class(name)(env=env_id, **NARROW | settings)
    torch.manual_seed(config.seed)
    env = make_env(env_id, config.num_envs, backend=backend, seed=config.seed, training=True)
    return agent_class(name)(config, env)


# How many updates


@pytest.mark.parametrize("num_envs", [1, 3, 8])
@pytest.mark.parametrize("train_every", [1, 4])
def test_the_ratio_of_updates_to_steps_is_exact_at_every_moment(num_envs, train_every):
    for utd in (0.1, 0.25, 0.5, 1.0, 2.0):
        agent = make_agent("dqn", num_envs=num_envs, train_every=train_every, utd=utd, learning_starts=50)
        calls = []
        agent.learn = lambda batch, calls=calls: calls.append(batch["reward"].shape) or {"q_loss": torch.zeros(())}
        agent.begin()
        while agent.steps < 200:
            agent.collect()
            agent.update()
            # utd is a number of tenths or quarters: in twentieths the sum is exact.
            assert len(calls) == round(20 * utd) * max(agent.steps - 50, 0) // 20
        assert set(calls) == {(1, 8)}
        assert agent.updates == len(calls)


def test_vector_environments_that_swallow_actions_keep_the_ratio_of_real_steps():
    env = VectorAdapter(gymnasium.make_vec("CartPole-v1", 3, vectorization_mode="sync"))
    config = config_class("dqn")(num_envs=3, learning_starts=30, **NARROW)
    agent = agent_class("dqn")(config, env)
    agent.begin()
    calls, swallowed = 0, 0
    while agent.steps < 300:
        before = agent.steps
        agent.collect()
        swallowed += 3 - (agent.steps - before)
        agent.update()
        calls += 1
        assert agent.updates == max(agent.steps - 30, 0)
    assert swallowed > 10
    place = agent.replay.place[: 3 * agent.replay.added]
    assert (place < 0).sum() == swallowed and agent.steps == 3 * calls - swallowed


def test_minibatches_drawn_together_are_those_drawn():
    agent = make_agent("dqn", num_envs=4, learning_starts=40, utd=5.0, n_step=2)
    seen = []
    learn = agent.learn
    agent.learn = lambda batch: seen.append(batch) or learn(batch)
    agent.begin()
    while agent.steps < 44:
        agent.collect()
        before = torch.Generator().manual_seed(0)
        before.set_state(agent.generator.get_state())
        agent.update()
    assert len(seen) == 20 > AT_ONCE
    slots = [agent.replay.draw(8 * min(AT_ONCE, 20 - k), before)[0] for k in range(0, 20, AT_ONCE)]
    for batch, slot in zip(seen, torch.cat(slots).split(8), strict=True):
        alone = agent.replay.transitions(slot)
        assert batch.keys() == alone.keys()
        assert all(torch.equal(a, b) for a, b in zip(tree_leaves(batch), tree_leaves(alone), strict=True))


class Seen(gymnasium.Env):
    """Observations drawn from any space; episodes of five steps."""

    action_space = spaces.Discrete(2, start=3)

    def __init__(self, space: spaces.Space):
        self.observation_space = space

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.t += 1
        return self.observation_space.sample(), 1.0, self.t == 5, False, {}


KINDS = {
    "float64": spaces.Box(-1.0, 1.0, (2, 3), np.float64),
    "integers": spaces.Box(-5, 5, (3,), np.int64),
    "number": spaces.Box(-1.0, 1.0, ()),
    "image": spaces.Box(0, 255, (12, 10, 3), np.uint8),
    "discrete": spaces.Discrete(4, start=-2),
    "multi-discrete": spaces.MultiDiscrete([[2, 3], [4, 5]]),
    "multi-binary": spaces.MultiBinary(4),
    "nested": spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (12, 10, 3), np.uint8),
            "rest": spaces.Tuple((spaces.Discrete(3), spaces.Box(-1.0, 1.0, (2,)))),
        }
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name, settings", [("dqn", {"encoder": "gru"}), ("sac", {}), ("dqn", {"normalize_obs": True})])
def test_every_observation_space_is_stored_as_it_is_seen(kind, name, settings):
    config = config_class(name)(**NARROW, num_envs=2, learning_starts=36, sequence_length=4, burn_in=1, **settings)
    agent = agent_class(name)(config, SyncEnv([Seen(KINDS[kind]) for _ in range(2)], "Seen-v0"))
    agent.begin()
    seen = []
    for _ in range(20):
        seen.append(agent.obs)
        agent.collect()
        stats = agent.update()
    assert torch.isfinite(stats["q_loss"])
    stored = agent.replay.transitions(torch.arange(40))["obs"]
    for t, obs in enumerate(seen):
        for ours, theirs in zip(tree_leaves(stored), tree_leaves(obs), strict=True):
            assert ours.dtype == theirs.dtype and torch.equal(ours[0, 2 * t : 2 * t + 2], theirs)


@pytest.mark.parametrize("encoder", ["mlp", "gru"])
def test_observations_are_normalised_by_all_that_was_seen(encoder):
    agent = make_agent("dqn", num_envs=2, learning_starts=60, normalize_obs=True, encoder=encoder, **SHORT)
    seen, batches = [], []
    env_step, learn = agent.env.step, agent.learn
    agent.env.step = lambda action: seen.append(env_step(action)) or seen[-1]
    agent.learn = lambda batch: batches.append(batch) or learn(batch)
    agent.begin()
    while agent.steps < 64:
        agent.collect()
        before = torch.Generator().manual_seed(0)
        before.set_state(agent.generator.get_state())
        agent.update()
    slot, _ = agent.replay.draw(8 * (1 if agent.state_dim else 2), before)
    raw = agent.replay.sequences(slot, 3, 6) if agent.state_dim else agent.replay.transitions(slot[:8])
    reached = torch.cat([step.final_obs for step in seen]).double()
    mean, std = reached.mean(0), reached.var(0, correction=0).sqrt()
    pairs = [(batches[-2][name], raw[name]) for name in ("obs", "next_obs") if name in raw]
    if "burn_in" in raw:
        pairs.append((batches[-2]["burn_in"]["obs"], raw["burn_in"]["obs"]))
    assert len(pairs) == 2
    for given, stored in pairs:
        torch.testing.assert_close(given, ((stored - mean) / std).float(), atol=1e-5, rtol=1e-5)
    # Who only plays takes the same numbers and leaves them as they are.
    before = {name: value.clone() for name, value in agent.model.state_dict().items()}
    obs = agent.env.reset(3)
    agent.policy.act(obs, agent.policy.initial_state(2), torch.ones(2, dtype=torch.bool), explore=False)
    check_equal(before, dict(agent.model.state_dict()))
    q = agent.policy.inspect(obs, agent.policy.initial_state(2), torch.ones(2, dtype=torch.bool))["q"]
    one = ((obs - mean) / std).float().unsqueeze(0)
    expected, _ = agent.network(one, agent.policy.initial_state(2), torch.ones(1, 2, dtype=torch.bool))
    torch.testing.assert_close(q, expected[0], atol=1e-5, rtol=1e-5)


CAPTURED = {
    "dqn": ("dqn", "CartPole-v1", {"prioritized": True}),
    "plain dqn": ("dqn", "CartPole-v1", {"double": False, "dueling": False, "normalize_obs": True}),
    "qrdqn": ("qrdqn", "CartPole-v1", {"quantiles": 5}),
    "noisy c51": ("dqn", "CartPole-v1", {"noisy": True, "atoms": 5, "prioritized": True}),
    "iqn": ("dqn", "CartPole-v1", {"quantiles": 3, "implicit": True}),
    "sac": ("sac", "Pendulum-v1", {}),
    "tqc": ("tqc", "Pendulum-v1", {"quantiles": 5, "prioritized": True}),
    "crossq": ("crossq", "Pendulum-v1", {"policy_delay": 1}),
    "simba": ("simba", "Pendulum-v1", {"hidden_sizes": (8,), "critic_hidden_sizes": (8, 8)}),
    "droq": ("sac", "Pendulum-v1", {"critic": "droq", "policy_delay": 2}),
    "fixed alpha": ("sac", "Pendulum-v1", {"alpha": 0.2, "prioritized": True}),
    "discrete sac": ("sac", "CartPole-v1", {}),
    "td3": ("td3", "Pendulum-v1", {}),
    "ddpg": ("ddpg", "Pendulum-v1", {}),
    "dqn, layer norm": ("dqn", "CartPole-v1", {"layer_norm": True}),
    "sac, layer norm": ("sac", "Pendulum-v1", {"layer_norm": True}),
}


@pytest.mark.parametrize("case", CAPTURED)
def test_losses_replay_as_graphs_and_give_the_same_weights(case, monkeypatch):
    name, env_id, settings = CAPTURED[case]
    weights = []
    for patience in (3, 10**9):
        monkeypatch.setattr(graphs, "PATIENCE", patience)
        agent = make_agent(name, env_id, num_envs=2, learning_starts=20, **settings)
        agent.begin()
        while agent.steps < 60:
            agent.collect()
            agent.update()
        replayed = [graph for learner in agent.learners.values() for graph in learner.graph.graphs.values()]
        assert len(replayed) == (len(agent.learners) if patience == 3 else 0) and None not in replayed
        weights.append([learner.parameters.detach() for learner in agent.learners.values()])
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize(
    "name, env_id", [("dqn", "CartPole-v1"), ("sac", "Pendulum-v1"), ("sac", "CartPole-v1"), ("td3", "Pendulum-v1")]
)
def test_acting_as_bare_operations_is_the_same_to_the_last_bit(name, env_id):
    """The observation's norm wakes up on the way, which is another script."""
    found = []
    for capture in ("auto", "no"):
        agent = make_agent(name, env_id, num_envs=2, learning_starts=20, capture=capture)
        agent.begin()
        while agent.steps < 80:
            agent.collect()
            agent.update()
            if agent.steps == 40:
                for norm in agent.norms:
                    norm.wide[0], norm.idle = True, False
        assert (
            len(agent.script.scripts) == (2 if capture == "auto" else 0) and None not in agent.script.scripts.values()
        )
        found.append((agent.obs, [learner.parameters.detach() for learner in agent.learners.values()]))
    assert torch.equal(found[0][0], found[1][0])
    assert all(torch.equal(a, b) for a, b in zip(found[0][1], found[1][1], strict=True))


# Priorities


def test_means_count_valid_steps_by_weight():
    x = torch.tensor([[1.0, 2.0], [4.0, 8.0]])
    weight = torch.tensor([0.5, 1.0]).expand(2, 2)
    valid = torch.tensor([[True, True], [False, True]])
    assert batch_mean(x, {}).item() == 15 / 4
    assert batch_mean(x, {"weight": weight}).item() == (0.5 + 2 + 2 + 8) / 4
    assert batch_mean(x, {"weight": weight}, weighted=False).item() == 15 / 4
    assert batch_mean(x, {"valid": valid}).item() == pytest.approx(11 / 3)
    assert batch_mean(x, {"valid": valid, "weight": weight}).item() == pytest.approx((0.5 + 2 + 8) / 3)
    assert batch_mean(torch.stack((x, 2 * x)), {"valid": valid}).tolist() == pytest.approx([11 / 3, 22 / 3])


def test_priorities_are_errors_to_the_power_alpha():
    found = priorities(torch.tensor([[-4.0, 0.25]]), {"reward": torch.zeros(1, 2)}, 0.5)
    assert found.tolist() == pytest.approx([2.0, 0.5], rel=1e-5)
    # Of a sequence: nine tenths of the largest error and a tenth of the mean, both of steps with an action.
    error = torch.tensor([[1.0, -3.0], [50.0, 1.0], [-2.0, 2.0]])
    valid = torch.tensor([[True, True], [False, True], [True, True]])
    expected = [(0.9 * 2 + 0.1 * 1.5) ** 0.5, (0.9 * 3 + 0.1 * 2) ** 0.5]
    assert priorities(error, {"valid": valid}, 0.5).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "name, env_id, encoder",
    [("dqn", "CartPole-v1", "auto"), ("sac", "Pendulum-v1", "auto"), ("td3", "Pendulum-v1", "auto")]
    + [("dqn", "CartPole-v1", "gru"), ("sac", "CartPole-v1", "lstm"), ("sac", "Pendulum-v1", "transformer")],
)
def test_prioritized_agents_update_what_they_draw(name, env_id, encoder):
    agent = make_agent(
        name, env_id, num_envs=2, prioritized=True, encoder=encoder, learning_starts=100, sequence_length=6, burn_in=2
    )
    agent.begin()
    while agent.steps < 100:
        agent.collect()
        assert agent.update() == {}
    assert agent.replay.tree.leaves[:100].tolist() == [1.0] * 100
    weights = []
    learn = agent.learn
    agent.learn = lambda batch: weights.append(batch["weight"]) or learn(batch)
    agent.collect()
    stats = agent.update()
    assert len(weights) == 2 and "td_error" not in stats and torch.isfinite(stats["q_loss"])
    assert (weights[0] == 1).all()  # all priorities were equal
    assert 2 <= (agent.replay.tree.leaves[:102] != 1).sum() <= 16
    while agent.steps < 130:
        agent.collect()
        agent.update()
    assert all(weight.max() == 1 for weight in weights) and min(weight.min() for weight in weights) < 0.99


# Resume

RESUMED = {
    "dqn": ("dqn", "CartPole-v1", {"prioritized": True, "n_step": 3}),
    "qrdqn": ("qrdqn", "Acrobot-v1", {"quantiles": 5, "buffer_size": 60}),
    "noisy c51": ("dqn", "CartPole-v1", {"noisy": True, "atoms": 5, "prioritized": True}),
    "noisy iqn": ("dqn", "CartPole-v1", {"encoder": "lstm", **SHORT, "noisy": True, "quantiles": 3, "implicit": True}),
    "memory": ("dqn", "CartPole-v1", {"encoder": "lstm", **SHORT, "normalize_obs": True}),
    "sac": ("sac", "Pendulum-v1", {}),
    "tqc": ("tqc", "Pendulum-v1", {"quantiles": 5, "encoder": "gru", "sequence_length": 6}),
    "crossq": ("crossq", "Pendulum-v1", {"prioritized": True, "n_step": 2, "policy_delay": 2}),
    "simba": ("simba", "Pendulum-v1", {"encoder": "gru", "sequence_length": 6, "hidden_sizes": (8,)}),
    "droq": ("sac", "Pendulum-v1", {"critic": "droq", "utd": 2.0, "reset_every": 70}),
    "discrete sac": ("sac", "CartPole-v1", {"encoder": "gru", "sequence_length": 6, "prioritized": True}),
    "td3": ("td3", "Pendulum-v1", {"train_every": 2}),
    "ddpg": ("ddpg", "Pendulum-v1", {"utd": 2.0}),
}


def save(agent, tmp_path, end: dict | None) -> tuple[dict, dict]:
    """A checkpoint's contents as they come from the disk, and the end of the replay buffer's segment."""
    torch.save((agent.state_dict(), agent.history.since(end)), tmp_path / "state.pt")
    torch.save(agent.history.mark(), tmp_path / "mark.pt")
    return torch.load(tmp_path / "state.pt", weights_only=True), torch.load(tmp_path / "mark.pt", weights_only=True)


@pytest.mark.parametrize("case", RESUMED)
@pytest.mark.parametrize("backend", ["auto", "sync"])
def test_a_resumed_agent_goes_on_exactly(case, backend, tmp_path):
    name, env_id, settings = RESUMED[case]
    settings = {"num_envs": 2, "learning_starts": 40, "total_steps": 400} | settings
    agent, again = (make_agent(name, env_id, backend, seed=5, **settings) for _ in range(2))
    agent.begin()
    end = None
    for stop in (70, 100):  # two checkpoints, of which the later one needs the segments of both
        while agent.steps < stop:
            agent.collect()
            agent.update()
        agent.settle()
        (state, segment), end = save(agent, tmp_path, end)
        again.history.extend(segment)
    again.load_state_dict(state)
    for part in (agent, again):
        while part.steps < 130:
            part.collect()
            stats = part.update()
    assert (agent.steps, agent.updates, agent.replay.added) == (again.steps, again.updates, again.replay.added)
    a, b = agent.state_dict(), again.state_dict()
    for part in ("model", "targets", "learners", "replay", "obs", "state"):
        check_equal(a[part], b[part])
    assert all(torch.isfinite(value) for value in stats.values())


def check_equal(a, b) -> None:
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            check_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            check_equal(x, y)
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    else:
        assert a == b


@pytest.mark.parametrize("fails_at", [1, 6])
def test_after_a_failed_environment_no_transition_joins_two_episodes(tmp_path, monkeypatch, fails_at):
    settings = {"num_envs": 2, "learning_starts": 30, "total_steps": 400, "n_step": 3, **NARROW}

    def make():
        return agent_class("dqn")(config_class("dqn")(**settings), SyncEnv([Numbered(), Numbered()], "Numbered-v0"))

    agent, again = make(), make()
    agent.begin()
    while agent.steps < 50:
        agent.collect()
        agent.update()
    monkeypatch.setattr(Numbered, "fails_at", fails_at)
    with pytest.raises(EnvFailure):
        while True:
            agent.collect()
            agent.update()
    (state, segment), _ = save(agent, tmp_path, None)
    monkeypatch.undo()
    again.history.extend(segment)
    again.load_state_dict(state)
    while again.steps < 120:
        again.collect()
        again.update()
    batch = again.replay.transitions(torch.arange(len(again.replay)))
    (episode, t), (after_episode, after_t) = batch["obs"][0].T, batch["next_obs"][0].T
    assert torch.equal(episode, after_episode)
    steps = after_t - t
    assert set(steps.tolist()) == {1.0, 2.0, 3.0}
    torch.testing.assert_close(batch["discount"][0], 0.99**steps)
