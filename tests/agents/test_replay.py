"""The replay buffer against plain lists of full transitions, and against an encoder that acts step by step."""

import numpy as np
import pytest
import torch
from gymnasium import spaces
from streams import VECTOR, Reference, Script, key, make_replay, n_steps, play

from agent_gym.agents.buffers import free_memory
from agent_gym.agents.buffers.n_step import BARE, START, TERMINATED, TRUNCATED, n_step_return
from agent_gym.agents.buffers.replay import Replay
from agent_gym.agents.off_policy.features import both_features, next_obs_features, obs_features
from agent_gym.envs.make import make_env
from agent_gym.envs.vector import Step
from agent_gym.ground.errors import UserError
from agent_gym.ground.tree import tree_leaves, tree_map
from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.settings import EncoderSettings

GAMMA = 0.9


def unbatched(batch: dict, i: int) -> dict:
    """Transition i of a batch [1, n, ...]."""
    return tree_map(lambda x: x[0, i], {name: batch[name] for name in ("obs", "action", "next_obs")}) | {
        name: batch[name][0, i].item() for name in ("reward", "discount")
    }


def check_transition(got: dict, truth: dict, n: int, gamma: float) -> None:
    total, discount, next_obs = n_steps(truth, n, gamma)
    assert torch.equal(got["action"], truth["action"])
    assert key(got["next_obs"]) == key(next_obs)
    assert got["reward"] == pytest.approx(total, abs=1e-5)
    assert got["discount"] == pytest.approx(discount, abs=1e-6)


def test_n_step_return_of_numbers_derived_by_hand():
    # Two episodes: three steps and a termination, two steps and a truncation; bare entries hold rubbish rewards.
    reward = torch.tensor([1.0, 2.0, 4.0, 99.0, 8.0, 16.0, 99.0, 99.0, 99.0])
    flags = torch.tensor([START, 0, TERMINATED, BARE, START, TRUNCATED, BARE, START | BARE, BARE], dtype=torch.uint8)
    total, discount, ahead = n_step_return(reward, flags, 3, 0.5)
    bare = 3
    assert total.tolist()[:bare] == [1 + 1 + 1, 2 + 2, 4] and total.tolist()[4:] == [8 + 8, 16]
    assert discount.tolist()[:bare] == [0, 0, 0] and discount.tolist()[4:] == [0.25, 0.5]
    assert ahead.tolist()[:bare] == [3, 2, 1] and ahead.tolist()[4:] == [2, 1]
    total, discount, ahead = n_step_return(reward, flags, 2, 0.5)
    assert total.tolist()[:bare] == [2, 4, 4] and discount.tolist()[:bare] == [0.25, 0, 0]
    # An episode that is still going on, cut by the newest entry, bootstraps from there.
    flags = torch.tensor([START, 0, BARE, 0, 0], dtype=torch.uint8)
    total, discount, ahead = n_step_return(torch.tensor([1.0, 2.0, 9.0, 9.0, 9.0]), flags, 3, 0.5)
    assert (total.tolist(), discount.tolist(), ahead.tolist()) == ([2, 2], [0.25, 0.5], [2, 1])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_n_step_return_is_the_loop_written_out(n):
    rng = np.random.default_rng(n)
    reward = rng.normal(size=(200 + n, 3)).astype(np.float32)
    flags = np.zeros(reward.shape, np.uint8)
    choices = [0, TERMINATED, TRUNCATED, TERMINATED | TRUNCATED, BARE, START, START | BARE]
    flags[:] = rng.choice(choices, flags.shape, p=[0.5, 0.1, 0.1, 0.05, 0.1, 0.1, 0.05])
    total, discount, ahead = n_step_return(torch.from_numpy(reward), torch.from_numpy(flags), n, GAMMA)
    for t in range(200):
        for b in range(3):
            if flags[t, b] & BARE:
                continue  # nobody learns from it
            expected, factor, k = 0.0, 1.0, 0
            while True:
                expected += factor * reward[t + k, b]
                factor *= GAMMA
                flag = flags[t + k, b]
                k += 1
                if flag & TERMINATED:
                    factor = 0.0
                if flag & (TERMINATED | TRUNCATED) or k == n or flags[t + k, b] & BARE:
                    break
            assert ahead[t, b] == k
            assert total[t, b] == pytest.approx(expected, abs=1e-5)
            assert discount[t, b] == pytest.approx(factor, abs=1e-6)


CASES = [
    # kind, environments, gaps, padding, n, (chance of termination, of truncation), chance of a restart
    ("vector", 1, None, "repeat", 1, (0.1, 0.1), 0.0),
    ("vector", 3, None, "repeat", 3, (0.1, 0.1), 0.02),
    ("vector", 3, None, "repeat", 2, (0.5, 0.5), 0.0),
    ("vector", 1, None, "repeat", 2, (0.9, 0.9), 0.4),  # hardly an episode is longer than a step
    ("vector", 3, "next_step", "repeat", 5, (0.1, 0.1), 0.02),
    ("vector", 3, "failure", "repeat", 3, (0.1, 0.1), 0.0),
    ("discrete", 3, None, "repeat", 3, (0.1, 0.1), 0.0),
    ("image", 1, None, "repeat", 1, (0.1, 0.1), 0.02),
    ("image", 3, None, "zero", 3, (0.02, 0.02), 0.0),
    ("image", 3, "next_step", "zero", 2, (0.1, 0.1), 0.01),
    ("image", 3, "failure", "repeat", 4, (0.1, 0.1), 0.0),
    ("image", 2, None, "repeat", 1, (0.6, 0.3), 0.0),  # short episodes push frames out early
    ("picture", 3, "failure", "repeat", 3, (0.02, 0.02), 0.0),
    ("picture", 2, None, "repeat", 1, (0.6, 0.3), 0.0),
    ("dict", 1, None, "zero", 3, (0.1, 0.1), 0.02),
    ("dict", 3, None, "repeat", 1, (0.1, 0.2), 0.0),
]


@pytest.mark.parametrize("kind, num_envs, gaps, padding, n, ends, begin_chance", CASES)
def test_every_drawn_transition_is_one_that_was_lived(kind, num_envs, gaps, padding, n, ends, begin_chance):
    capacity = 100 * num_envs
    script = Script(kind, num_envs, 1, gaps=gaps, padding=padding, ends=ends)
    replay, reference = make_replay(script, capacity, n_step=n, gamma=GAMMA), Reference(num_envs)
    generator = torch.Generator().manual_seed(0)
    for _ in range(25):  # the buffer's streams go round several times
        play(script, replay, reference, 37, begin_chance)
        rows = min(len(reference.rows), 100)
        if not replay.compact:
            assert len(replay) == rows * num_envs
        held = reference.latest_rows(len(replay) // num_envs)
        slot, weight = replay.draw(200, generator)
        assert weight is None
        batch = replay.transitions(slot)
        for i in range(200):
            got = unbatched(batch, i)
            check_transition(got, held[key(got["obs"])], n, GAMMA)


def test_every_held_transition_is_equally_likely():
    cases = [("vector", "next_step", (0.1, 0.1)), ("image", None, (0.4, 0.4)), ("vector", None, (0.0, 0.0))]
    for kind, gaps, ends in cases:
        script = Script(kind, 3, 2, gaps=gaps, ends=ends)
        replay, reference = make_replay(script, 150), Reference(3)
        play(script, replay, reference, 333)
        held = reference.latest_rows(len(replay) // 3)
        slot, _ = replay.draw(400 * len(held), torch.Generator().manual_seed(0))
        obs = replay.transitions(slot)["obs"][0]
        counts = dict.fromkeys(held, 0)
        for i in range(len(slot)):
            counts[key(obs[i])] += 1
        counts = np.array(list(counts.values()))
        assert counts.min() > 0
        # Sum of (count - 400)² / 400: its mean is the number of transitions, its deviation √(2 × that).
        chi_square = ((counts - 400.0) ** 2 / 400.0).sum()
        assert chi_square < len(held) + 6 * np.sqrt(2 * len(held))


def test_truncation_bootstraps_from_the_last_observation_and_termination_from_nothing():
    replay = Replay(10, 2, VECTOR, torch.zeros(2, 1), gamma=0.5)
    obs = [torch.full((2, 3), float(t)) for t in range(4)]
    replay.begin(obs[0])
    ends = torch.tensor([True, False])
    # Environment 0 is truncated, environment 1 terminated; both go on with a first observation of 3.
    step = Step(obs[3], torch.tensor([5.0, 7.0]), ~ends, ends, obs[1], {})
    replay.add(torch.zeros(2, 1), step)
    batch = replay.transitions(torch.arange(2))
    assert batch["next_obs"].tolist() == [[[1.0] * 3] * 2]
    assert batch["discount"].tolist() == [[0.5, 0.0]] and batch["reward"].tolist() == [[5.0, 7.0]]
    replay.add(torch.zeros(2, 1), Step(obs[2], torch.ones(2), ends & ~ends, ends & ~ends, obs[2], {}))
    batch = replay.transitions(torch.arange(2, 4))
    assert batch["obs"].tolist() == [[[3.0] * 3] * 2] and batch["next_obs"].tolist() == [[[2.0] * 3] * 2]


def test_restarts_without_a_step_take_no_room():
    # A run that restarts its environments at every checkpoint, with episodes of one step: the worst case for a stream.
    script = Script("vector", 2, 3, ends=(1.0, 0.0))
    replay, reference = make_replay(script, 200), Reference(2)
    play(script, replay, reference, 400, begin_chance=1.0)
    batch, held = replay.transitions(torch.arange(200)), reference.latest_rows(100)
    for i in range(200):
        got = unbatched(batch, i)
        check_transition(got, held.pop(key(got["obs"])), 1, 0.99)
    assert not held


def test_stacks_of_real_games_come_back_bit_for_bit():
    env = make_env("ALE/Breakout-v5", 2, env_kwargs={"life_loss_ends": True}, training=True)
    replay = Replay(250, 2, env.obs_space, torch.zeros(2, dtype=torch.int64), frame_stack=env.frame_stack)
    assert env.frame_stack == 4 and tree_leaves(replay.obs)[0].shape[1:] == env.obs_space.shape[1:]
    generator = torch.Generator().manual_seed(0)
    obs, seen, ends = env.reset(0), [], 0
    replay.begin(obs)
    for _ in range(125):
        action = torch.randint(env.action_space.n, (2,), generator=generator)
        step = env.step(action)
        replay.add(action, step)
        seen.append((obs, step.final_obs))
        obs, ends = step.obs, ends + int((step.terminated | step.truncated).sum())
    env.close()
    assert ends >= 2 and replay.size > 60
    for row in range(125 - replay.size, 125):
        batch = replay.transitions(torch.tensor([2 * row, 2 * row + 1]))
        assert torch.equal(batch["obs"][0], seen[row][0]) and torch.equal(batch["next_obs"][0], seen[row][1])


# Memory

ATARI = spaces.Box(0, 255, (4, 84, 84), np.uint8)


@pytest.mark.parametrize("num_envs", [1, 8])
def test_a_million_atari_transitions_take_little_more_than_a_frame_each(num_envs):
    replay = Replay(1_000_000, num_envs, ATARI, torch.zeros(num_envs, dtype=torch.int64), "meta", frame_stack=4)
    held = [replay.obs, replay.place, replay.env_of_slot, *replay.fields.values()]
    total = sum(leaf.numel() * leaf.element_size() for leaf in held)
    assert 1e6 * 84 * 84 < total <= 1.1 * 1e6 * 84 * 84
    assert replay.num_bytes == pytest.approx(total, rel=0.005)


def test_single_pictures_take_little_more_than_one_each():
    space = spaces.Box(0, 255, (84, 84, 3), np.uint8)
    replay = Replay(100_000, 8, space, torch.zeros(8, dtype=torch.int64), "meta")
    assert 1e5 * 84 * 84 * 3 < replay.num_bytes <= 1.1 * 1e5 * 84 * 84 * 3


def test_a_buffer_larger_than_memory_is_refused_with_one_that_fits(monkeypatch):
    monkeypatch.setattr(free_memory, "free_bytes", lambda device: 2_000_000_000)
    action = torch.zeros(8, dtype=torch.int64)
    with pytest.raises(UserError, match=r"--buffer-size 1000000 needs 7\.6 GB and 2\.0 GB are free") as error:
        Replay(1_000_000, 8, ATARI, action, "meta", frame_stack=4)
    fitting = int(str(error.value).split("--buffer-size")[-1].split()[0])
    assert 200_000 < fitting < 280_000
    assert Replay(fitting, 8, ATARI, action, "meta", frame_stack=4).num_bytes <= 2_000_000_000
    with pytest.raises(UserError):
        Replay(2 * fitting, 8, ATARI, action, "meta", frame_stack=4)


# Sequences


def record(script: Script, replay: Replay, encoder, steps: int, restarts: tuple[int, ...]) -> tuple[dict, dict, dict]:
    """Act with an encoder's memory. By observation: features when acting on it and when reaching it; transitions."""
    acted, reached, reference = {}, {}, Reference(script.num_envs)
    for t in range(steps):
        if t == 0 or t in restarts:
            obs = script.reset()
            replay.begin(obs)
            reference.begin()
            state = encoder.initial_state(script.num_envs)
            reset = torch.ones(script.num_envs, dtype=torch.bool)
        one = tree_map(lambda x: x.unsqueeze(0), obs)
        now_features, after = encoder(one, state, reset.unsqueeze(0))
        action, step = script.step()
        replay.add(action, step, state)
        reference.add(obs, action, step)
        final = tree_map(lambda x: x.unsqueeze(0), step.final_obs)
        final_features, _ = encoder(final, after, torch.zeros(1, script.num_envs, dtype=torch.bool))
        for b in range(script.num_envs):
            acted[key(tree_map(lambda x, b=b: x[b], obs))] = now_features[0, b]
            reached[key(tree_map(lambda x, b=b: x[b], step.final_obs))] = final_features[0, b]
        obs, state, reset = step.obs, after, step.terminated | step.truncated
        if step.valid is not None:
            reset = reset | ~step.valid
    return acted, reached, reference.latest_rows(len(reference.rows))


@pytest.mark.parametrize("encoder_name", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize(
    "kind, num_envs, gaps, burn_in, n",
    [("vector", 3, None, 0, 1), ("vector", 1, None, 5, 3), ("vector", 3, "next_step", 4, 2), ("dict", 2, None, 3, 2)],
)
@torch.no_grad()
def test_unrolled_sequences_have_the_features_of_acting(encoder_name, kind, num_envs, gaps, burn_in, n):
    torch.manual_seed(0)
    script = Script(kind, num_envs, 4, gaps=gaps, ends=(0.08, 0.08))
    encoder = make_encoder(
        script.space, EncoderSettings(encoder_name, (8,), recurrent_size=6, attention_size=8, attention_window=9)
    )
    # Larger weights, so that the memory matters.
    for parameter in encoder.parameters():
        parameter.mul_(2.0 if parameter.dim() > 1 else 1.0)
    replay = make_replay(script, 60 * num_envs, n_step=n, gamma=GAMMA, state_dim=encoder.state_dim)
    acted, reached, lived = record(script, replay, encoder, 300, restarts=(40, 210, 280))
    slot, _ = replay.draw(64, torch.Generator().manual_seed(0))
    length = 10
    batch = replay.sequences(slot, burn_in, length)
    assert batch["reward"].shape == batch["valid"].shape == (length, 64) and batch["valid"].any(0).all()
    assert len(tree_leaves(batch["obs"])[0]) == len(batch["reset"]) == length + n
    assert ("burn_in" in batch) == (burn_in > 0)
    here, there = obs_features(encoder, batch), next_obs_features(encoder, batch)
    assert all(torch.equal(a, b) for a, b in zip(both_features(encoder, batch), (here, there), strict=True))
    drawn = replay.transitions(slot)
    held = 0
    for i in range(64):
        whole = [key(tree_map(lambda x, t=t, i=i: x[t, i], batch["obs"])) for t in range(length)]
        mine = key(tree_map(lambda x, i=i: x[0, i], drawn["obs"]))
        if (299 - slot[i].item() // num_envs) % 60 >= n - 1:  # of the very last ones the bootstrap is not there yet
            assert mine in whole  # the drawn transition is in the stretch to learn from
        for t in range(length):
            if not batch["valid"][t, i]:
                continue
            truth = lived[whole[t]]
            total, discount, next_obs = n_steps(truth, n, GAMMA)
            if t + 1 < length and truth["after"] is not None:
                assert whole[t + 1] == key(truth["after"]["obs"])  # a contiguous stretch
            assert torch.equal(batch["action"][t, i], truth["action"])
            assert batch["reward"][t, i] == pytest.approx(total, abs=1e-5)
            assert batch["discount"][t, i] == pytest.approx(discount, abs=1e-6)
            torch.testing.assert_close(here[t, i], acted[whole[t]], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(there[t, i], reached[key(next_obs)], atol=1e-4, rtol=1e-4)
            held += 1
    assert held > 0.4 * length * 64


def test_resets_stand_where_episodes_start():
    replay = Replay(40, 1, VECTOR, torch.zeros(1, 1), state_dim=1)
    replay.begin(torch.zeros(1, 3))
    for t in range(1, 31):  # episodes of five steps; observations count all entries but the first after an end
        ends = torch.tensor([t % 5 == 0])
        final_obs = torch.full((1, 3), float(t))
        obs = torch.full((1, 3), t + 0.5) if ends else final_obs
        step = Step(obs, torch.ones(1), ends, ~ends & ends, final_obs, {})
        replay.add(torch.zeros(1, 1), step, torch.full((1, 1), float(t)))
    batch = replay.sequences(torch.tensor([6]), 2, 6)  # the transition from 6 to 7
    assert batch["burn_in"]["obs"][:, 0, 0].tolist() == [5.0, 5.5]
    assert batch["burn_in"]["reset"][:, 0].tolist() == [0, 1]
    assert batch["obs"][:, 0, 0].tolist() == [6, 7, 8, 9, 10, 10.5, 11]
    assert batch["reset"][:, 0].tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert batch["valid"][:, 0].tolist() == [1, 1, 1, 1, 0, 1]
    assert batch["discount"][[0, 1, 2, 3, 5], 0].tolist() == pytest.approx([0.99, 0.99, 0.99, 0, 0.99])
    # Near the newest entry the window moves back so that it is whole.
    batch = replay.sequences(torch.tensor([29]), 2, 6)
    assert batch["obs"][-1, 0, 0] == 30.5 and batch["obs"][0, 0, 0] == 25.5
    assert batch["state"].item() == 25  # the memory before acting on 24, the first of burn-in
    assert replay.sequences(torch.tensor([12]), 2, 3)["state"].item() == 11  # the memory before acting on 10.5
