"""Many agents as rows of a vector environment: who acts, what each gets, how episodes end."""

import numpy as np
import pytest
import torch
from zoo import Count, Signals

from agent_gym.envs.make import find_spec, make_env, make_single
from agent_gym.envs.vector import GROUP, OWN, STATE, part_of
from agent_gym.ground.errors import UserError


def test_agents_that_die_wait_for_the_others():
    """By hand: agent i gets 10 i + t at step t and ends at t = i + 1; all begin anew when the last has ended."""
    env = make_env("zoo:Relay", 2)
    assert env.num_envs == 6 and env.members == 3 and env.names == ("a", "b", "c")
    assert env.reset(0).flatten().tolist() == [0.0] * 6
    acts, rewards, ended, over = [], [], [], []
    for _ in range(4):
        acts.append(env.acts[:3].tolist())
        step = env.step(torch.zeros(6, dtype=torch.int64))
        assert torch.equal(step.reward[:3], step.reward[3:]) and not step.truncated.any()
        rewards.append(step.reward[:3].tolist())
        ended.append(step.terminated[:3].tolist())
        over.append(env.over.tolist())
    assert acts == [[True, True, True], [False, True, True], [False, False, True], [True, True, True]]
    assert rewards == [[1.0, 11.0, 21.0], [0.0, 12.0, 22.0], [0.0, 0.0, 23.0], [1.0, 11.0, 21.0]]
    assert ended == [[True, False, False], [False, True, False], [False, False, True], [True, False, False]]
    assert over == [[False, False], [False, False], [True, True], [False, False]]
    assert env.scalars()["rollout/agents/b"] == 23.0 and env.scalars()["rollout/team_return"] == 90.0


def test_a_time_limit_truncates_those_who_live():
    env = make_env("zoo:Relay", 1, layers=layers(max_episode_steps=2))
    env.reset(0)
    env.step(torch.zeros(3, dtype=torch.int64))
    step = env.step(torch.zeros(3, dtype=torch.int64))
    assert step.terminated.tolist() == [False, True, False] and step.truncated.tolist() == [False, False, True]
    assert step.final_obs[2].item() == 2.0 and step.obs[2].item() == 0.0 and env.acts.all()


def layers(**options):
    from agent_gym.envs.layers import Layers

    return Layers(**options)


def test_turns_give_each_agent_the_outcome_of_its_own_decisions():
    env = make_env("zoo:Count", 1)
    env.reset(0)
    seen = []
    for action in (1, 1, 0):  # 2, 4, 5: the first agent wins
        acting = int(env.acts.int().argmax())
        assert env.acts.sum() == 1
        step = env.step(torch.full((2,), action))
        seen.append((acting, step.reward.tolist(), step.terminated.tolist(), env.mask[env.acts].tolist()))
    assert seen == [
        (0, [0.0, 0.0], [False, False], [[True, True]]),
        (1, [0.0, 0.0], [False, False], [[True, False]]),
        (0, [1.0, -1.0], [True, True], [[True, True]]),
    ]
    assert step.obs.flatten().tolist() == [0.0, 0.0]


def test_random_games_are_those_of_pettingzoo_itself():
    """The same moves in PettingZoo's own loop bring every agent the same return."""
    from pettingzoo.classic import connect_four_v3

    rng, env = np.random.default_rng(0), make_env("pettingzoo.classic:connect_four_v3", 1)
    raw = connect_four_v3.env()
    env.reset(0)
    for _ in range(5):
        raw.reset()
        totals = dict.fromkeys(raw.possible_agents, 0.0)
        mine = torch.zeros(2)
        for agent in raw.agent_iter():
            obs, reward, terminated, truncated, _ = raw.last()
            totals[agent] += reward
            if terminated or truncated:
                raw.step(None)
                continue
            row = raw.possible_agents.index(agent)
            assert env.acts[row] and np.array_equal(env.mask[row].numpy(), obs["action_mask"] > 0)
            action = rng.choice(np.flatnonzero(obs["action_mask"]))
            raw.step(action)
            step = env.step(torch.full((2,), int(action)))
            mine += step.reward
        assert env.over.all() and mine.tolist() == list(totals.values())


def test_masks_beside_observations():
    env = make_env("zoo:Signals", 2, env_kwargs={"told": True})
    obs = env.reset(0)
    digit = obs.argmax(1)
    expected = torch.ones(4, 3, dtype=torch.bool)
    expected[torch.arange(4), (digit + 1) % 3] = False
    assert torch.equal(env.mask, expected)


def test_groups_by_spaces_and_what_each_row_shows():
    env = make_env("zoo:Signals", 2, env_kwargs={"digits": [3, 2], "central_state": True, "agent_id": True})
    obs = env.reset(0)
    assert env.action_space.n == 3 and obs[GROUP].tolist() == [0, 1, 0, 1]
    assert env.mask[1].tolist() == [True, True, False]  # the smaller group has two actions
    left, right = obs[part_of(0)], obs[part_of(1)]
    assert left[OWN]["agent"].tolist() == [0, 0, 0, 0] and right[OWN]["agent"].tolist() == [0, 1, 0, 1]
    assert left[OWN]["obs"].shape == (4, 3) and right[OWN]["obs"].shape == (4, 2)
    assert torch.equal(left[STATE][0], torch.cat((left[OWN]["obs"][0], right[OWN]["obs"][1])))
    one = make_env("zoo:Signals", 1, env_kwargs={"share": "none"})
    assert one.reset(0)[GROUP].tolist() == [0, 1]


def test_the_global_state_is_the_environments_own():
    from mpe2 import simple_spread_v3

    env, raw = make_env("mpe2:simple_spread_v3", 1, env_kwargs={"central_state": True}), simple_spread_v3.parallel_env()
    obs = env.reset(5)
    raw.reset(seed=env.joint.replaced[0])
    np.testing.assert_array_equal(obs[STATE][1].numpy(), raw.state())
    np.testing.assert_array_equal(obs[OWN][1].numpy(), raw.aec_env.observe("agent_1"))
    actions = torch.tensor([1, 2, 3])
    step, (_, rewards, *_) = env.step(actions), raw.step(dict(zip(raw.agents, [1, 2, 3], strict=True)))
    np.testing.assert_allclose(step.reward.numpy(), np.float32(list(rewards.values())))


def test_one_seat_among_others_who_play_at_random():
    env = make_single("zoo:Count", {"opponent": "random", "side": "second"})
    returns = []
    for seed in range(30):
        obs, info = env.reset(seed=seed)
        assert info["side"] == "second" and obs[0] in (1.0, 2.0)  # the first has moved
        total, ended = 0.0, False
        while not ended:
            assert env.unwrapped.action_masks()[1] == (obs[0] != 4)
            obs, reward, ended, _, _ = env.step(0)
            total += reward
        returns.append(total)
    assert set(returns) == {-1.0, 1.0}


def test_particle_worlds_are_found_where_they_have_moved():
    assert find_spec("pettingzoo.mpe:simple_spread_v3") is find_spec("mpe2:simple_spread_v3")


@pytest.mark.parametrize(
    ("env_id", "kwargs", "words"),
    [
        ("pettingzoo.classic:connect_for_v3", {}, "did you mean connect_four_v3"),
        ("zoo:Nothing", {}, "unknown environment 'zoo:Nothing'"),
        ("torch.hub:load", {}, "unknown environment"),  # not of PettingZoo: never called
        ("zoo:Signals", {"digits": [3, 2], "share": "all"}, "right has observations Box(0.0, 1.0, (2,), float32)"),
        ("zoo:Signals", {"share": "some"}, "share 'some': --env-kwargs takes \"share\" auto, all, none"),
        ("zoo:Signals", {"colour": 1}, "it may hold told, digits, share, agent_id"),
        ("zoo:Signals", {"opponent": "nobody"}, "unknown opponent 'nobody': expected random"),
        ("zoo:Signals", {"opponent": "random", "side": "up"}, 'takes "side" random, left, right'),
        ("zoo:Signals", {"side": "left"}, '--env-kwargs takes it with "opponent"'),
    ],
)
def test_mistakes_are_told_in_one_line(env_id, kwargs, words):
    with pytest.raises(UserError) as error:
        make_env(env_id, 1, env_kwargs=kwargs)
    assert words in str(error.value).replace("\\'", "'") and "\n" not in str(error.value)


def test_a_missing_extra_is_named(monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "mpe2" else found(name))
    with pytest.raises(UserError, match=r"simple_tag_v3 needs the multi-agent extra: pip install 'agent-gym\[multi-"):
        find_spec("mpe2:simple_tag_v3")


def test_wrappers_of_one_agent_are_refused():
    with pytest.raises(UserError, match="has many agents: --wrapper and --frame-stack are for environments of one"):
        make_env("zoo:Signals", 1, layers=layers(frame_stack=2))


def test_an_environment_that_fails_is_told_with_its_reason(monkeypatch):
    monkeypatch.setattr(Signals, "step", lambda self, actions: 1 / 0)
    env = make_env("zoo:Signals", 2, on_error="restart")
    env.reset(0)
    step = env.step(torch.zeros(4, dtype=torch.int64))
    assert not step.valid.any() and step.truncated.all() and not step.reward.any()
    monkeypatch.setattr(Count, "observe", lambda self, agent: {"observation": np.zeros(1), "action_mask": np.zeros(2)})
    with pytest.raises(UserError, match="the action_mask of first, who is to act, allows nothing"):
        make_env("zoo:Count", 1).reset(0)


def test_running_episodes_come_back_by_their_seeds():
    env = make_env("zoo:Signals", 2, training=True)
    env.reset(3)
    generator = torch.Generator().manual_seed(0)
    actions = torch.randint(3, (9, 4), generator=generator)
    for action in actions[:6]:
        env.step(action)
    state = env.state_dict()
    expected = [env.step(action) for action in actions[6:]]
    other = make_env("zoo:Signals", 2, training=True)
    other.reset(8)
    assert other.load_state_dict(state)
    for action, step in zip(actions[6:], expected, strict=True):
        again = other.step(action)
        assert torch.equal(again.obs, step.obs) and torch.equal(again.reward, step.reward)
    assert other.scalars() == env.scalars()
