"""Goals: hindsight by hand, on running episodes and after a resume; success rates; what environments tell."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from agent_gym.agents import agent_class, config_class
from agent_gym.agents.buffers.hindsight import HindsightReplay
from agent_gym.agents.buffers.infos import InfoMeans
from agent_gym.envs.adapters.gymnasium_env import SyncEnv, VectorAdapter
from agent_gym.envs.conventions.goals import goal_rule
from agent_gym.envs.conventions.infos import MOST, Scalars
from agent_gym.envs.make import make_env
from agent_gym.envs.vector import Told
from agent_gym.ground.errors import UserError
from agent_gym.training.evaluation import play


class Walk(gymnasium.Env):
    """Steps of a number along a line; the goal is a place, and whoever is there has won."""

    ends_at_goal = False

    def __init__(self, discrete: bool = True):
        self.action_space = spaces.Discrete(2) if discrete else spaces.Box(-1.0, 1.0, (1,))
        place = spaces.Box(-20.0, 20.0, (1,))
        self.observation_space = spaces.Dict({"observation": place, "achieved_goal": place, "desired_goal": place})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t, self.place = 0, np.zeros(1, np.float32)
        self.goal = self.np_random.integers(3, 7, 1).astype(np.float32)
        return self._obs(), {}

    def _obs(self):
        return {"observation": self.place.copy(), "achieved_goal": self.place.copy(), "desired_goal": self.goal}

    def compute_reward(self, achieved, desired, info):
        return (np.abs(achieved - desired) < 0.5).all(-1).astype(np.float32) - 1.0

    def step(self, action):
        self.t += 1
        self.place = self.place + (2.0 * action - 1.0 if isinstance(self.action_space, spaces.Discrete) else action)
        reward = float(self.compute_reward(self.place, self.goal, {}))
        info = {"is_success": reward == 0.0, "place": self.place[0], "text": "here", "parts": np.zeros(3)}
        return self._obs(), reward, False, self.t == 6, info


def dqn(env, **settings):
    small = {"learning_starts": 20, "buffer_size": 200, "hidden_sizes": (8,), "total_steps": 1000, "her": "future"}
    return agent_class("dqn")(config_class("dqn")(num_envs=env.num_envs, seed=3, **small | settings), env)


def walked(strategy: str, n_step: int, steps: int = 30, **settings):
    """An agent that has walked, one place to the right each step."""
    agent = dqn(SyncEnv([Walk(), Walk()], "Walk"), her=strategy, n_step=n_step, her_share=1.0, **settings)
    agent.explore = agent.random_action = lambda mask=None: (*[torch.ones(2, dtype=torch.int64)] * 2, agent.state)[:3]
    agent.begin()
    with torch.inference_mode():
        for _ in range(steps):
            step = agent.env.step(torch.ones(2, dtype=torch.int64))
            agent.replay.add(torch.ones(2, dtype=torch.int64), step)
    return agent


@pytest.mark.parametrize("n_step", [1, 3])
@pytest.mark.parametrize("strategy", ["future", "final", "episode"])
def test_goals_rewards_and_returns_are_those_of_hand(strategy, n_step):
    agent = walked(strategy, n_step)
    slot, _ = agent.replay.draw(400, agent.generator)
    batch = agent.replay.transitions(slot, agent.generator)
    place, goal = (batch["obs"][name][0, :, 0] for name in ("observation", "desired_goal"))
    assert torch.equal(goal, batch["next_obs"]["desired_goal"][0, :, 0])
    newest = torch.tensor([(30 - 1) % 6 + 1.0])
    running = (slot // 2 >= 30 - int(newest)) if 30 % 6 else torch.zeros_like(place, dtype=torch.bool)
    last = torch.where(running, newest, 6.0)
    match strategy:
        case "future":
            assert (goal > place).all() and (goal <= last).all() and len(goal.unique()) == 6
        case "final":
            assert torch.equal(goal, last)
        case "episode":
            assert (goal >= 1).all() and (goal <= last).all() and (goal <= place).any()
    steps = torch.minimum(last - place, torch.tensor(float(n_step)))
    assert torch.equal(batch["next_obs"]["observation"][0, :, 0], place + steps)
    expected = torch.zeros(400)
    for k in range(n_step):
        there = (place + k + 1 == goal).float() - 1.0
        expected += torch.where(k < steps, 0.99**k * there, 0.0)
    torch.testing.assert_close(batch["reward"][0], expected)
    torch.testing.assert_close(batch["discount"][0], 0.99**steps)


def test_goals_of_running_episodes_and_after_the_buffer_is_full():
    agent = walked("future", 1, steps=34, buffer_size=40, batch_size=8)
    slot, _ = agent.replay.draw(300, agent.generator)
    batch = agent.replay.transitions(slot, agent.generator)
    place, goal = (batch["obs"][name][0, :, 0] for name in ("observation", "desired_goal"))
    assert (goal > place).all() and (goal <= 6).all()
    for _ in range(300):  # far beyond its size
        agent.replay.add(torch.ones(2, dtype=torch.int64), agent.env.step(torch.ones(2, dtype=torch.int64)))
    slot, _ = agent.replay.draw(300, agent.generator)
    batch = agent.replay.transitions(slot, agent.generator)
    place, goal = (batch["obs"][name][0, :, 0] for name in ("observation", "desired_goal"))
    assert (goal > place).all() and (goal <= 6).all()


def test_the_end_at_a_goal_is_relabelled_too():
    rule = goal_rule(make_env("AgentGym/BitFlipping-v0", 1, backend="sync").envs[0])
    bits = torch.eye(40)[:3]
    reward, over = rule(bits, bits.roll(1, 0))
    assert reward.tolist() == [-1, -1, -1] and not over.any()
    reward, over = rule(bits, bits)
    assert reward.tolist() == [0, 0, 0] and over.all()
    native = make_env("AgentGym/BitFlipping-v0", 1)
    assert all(torch.equal(a, b) for a, b in zip(native.relabel(bits, bits), rule(bits, bits), strict=True))


def test_rewards_one_by_one_and_broken_ones():
    env = Walk()
    env.compute_reward = lambda achieved, desired, info: float(achieved[0] == desired[0]) - 1.0
    reward, over = goal_rule(env)(torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [3.0]]))
    assert reward.tolist() == [0.0, -1.0] and not over.any()
    env.compute_reward = lambda achieved, desired, info: info["missing"]
    with pytest.raises(UserError, match="compute_reward.*KeyError"):
        goal_rule(env)(torch.zeros(2, 1), torch.zeros(2, 1))


@pytest.mark.parametrize("name", ["dqn", "sac", "td3"])
def test_a_run_with_hindsight_goes_on_exactly(name, tmp_path):
    def made():
        env = SyncEnv([Walk(name == "dqn") for _ in range(2)], "Walk")
        env.keep_record()
        small = {"learning_starts": 20, "buffer_size": 100, "hidden_sizes": (8,), "total_steps": 1000, "batch_size": 8}
        return agent_class(name)(config_class(name)(num_envs=2, seed=3, her="future", utd=0.2, **small), env)

    agent, again = made(), made()
    agent.begin()
    while agent.steps < 130:
        agent.collect()
        agent.update()
    torch.save((agent.state_dict(), agent.history.since(None)), tmp_path / "state.pt")
    state, segment = torch.load(tmp_path / "state.pt", weights_only=True)
    again.history.extend(segment)
    again.load_state_dict(state)
    held = agent.replay.fields["flags"] & 4 == 0  # entries from which an action was taken
    place = agent.replay.place[agent.replay.place >= 0].max()
    assert isinstance(again.replay, HindsightReplay) and place > 0 and held.any()
    for part in (agent, again):
        while part.steps < 200:
            part.collect()
            part.update()
    for a, b in zip(agent.policy.parameters(), again.policy.parameters(), strict=True):
        assert torch.equal(a, b)
    assert agent.infos.state_dict()["latest"] == again.infos.state_dict()["latest"]


def test_what_cannot_be_is_refused():
    with pytest.raises(UserError, match="--her future: CartPole-v1"):
        dqn(make_env("CartPole-v1", 1))
    for other in ({"prioritized": True}, {"encoder": "lstm"}):
        with pytest.raises(UserError, match="--her future and .* do not go together"):
            config_class("dqn")(her="future", **other)


@pytest.mark.parametrize("backend", ["sync", "async"])
def test_success_and_scalars_reach_curves_and_scores(backend):
    gymnasium.register("Walk-v0", entry_point=Walk)
    env = make_env("Walk-v0", 3, backend=backend)
    agent = agent_class("ppo")(config_class("ppo")(num_envs=3, num_steps=12, hidden_sizes=(8,), seed=0), env)
    agent.begin()
    places, wins = [], []
    step_of = env.step

    def step(action):
        result = step_of(action)
        places.append(result.info["place"].mean())
        wins.extend(result.info["is_success"][result.truncated].tolist())
        assert torch.equal(result.info["place"], result.final_obs["observation"][:, 0])
        return result

    env.step = step
    scalars = agent.collect()
    assert scalars["rollout/info/place"] == pytest.approx(float(torch.stack(places).mean()), abs=1e-6)
    assert scalars["rollout/success_rate"] == pytest.approx(np.mean(wins))
    assert "rollout/info/text" not in scalars and "rollout/info/parts" not in scalars
    env.step = step_of
    score = play(agent.policy, env, 5, seed=1)
    assert score.summary()["success_rate"] == pytest.approx(score.successes.mean()) and len(score.successes) == 5
    assert set(score.successes) <= {0.0, 1.0} and "success" in score.text()
    env.close()
    del gymnasium.registry["Walk-v0"]


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_vector_environments_tell_scalars(mode):
    env = VectorAdapter(SyncVectorEnv([Walk, Walk], autoreset_mode=mode), "Walk")
    env.reset(0)
    for t in range(14):
        step = env.step(torch.ones(2, dtype=torch.int64))
        if step.valid is None or step.valid.all():
            assert torch.equal(step.info["place"], step.final_obs["observation"][:, 0]), t


def test_names_are_limited_and_means_leave_gaps_out():
    scalars = Scalars(2)
    scalars.put(0, {f"n{k}": k for k in range(40)} | {"_hidden": 1})
    names, table = scalars.told()
    assert len(names) == MOST and table[0, 3] == 3 and np.isnan(table[1]).all()
    means = InfoMeans(True)
    ends = torch.tensor([True, False])
    for value in (1.0, 3.0):
        table = torch.tensor([[value, 1.0], [float("nan"), 0.0]])
        means.add(Told(("speed", "success"), table), ends)
    means.add(Told(("success", "late"), torch.tensor([[0.0, 8.0], [1.0, 8.0]])), ends)
    assert means.read(5) == {
        "rollout/success_rate": pytest.approx(2 / 3),
        "rollout/info/speed": 2.0,
        "rollout/info/success": 0.5,
        "rollout/info/late": 8.0,
    }
    quiet = InfoMeans(False)
    quiet.add(Told(("success",), torch.ones(2, 1)), ends)
    assert quiet.read(5) == {"rollout/success_rate": 1.0}
