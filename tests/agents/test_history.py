"""A replay buffer cut into segments and put together again is the buffer that was never cut."""

import pytest
import torch
from streams import Reference, Script, make_replay, play

from agent_gym.agents.buffers.history import ReplayHistory
from agent_gym.agents.buffers.replay import Replay
from agent_gym.ground.tree import tree_leaves, tree_map


def copied(tree):
    """What a checkpoint writes at this moment."""
    if isinstance(tree, dict):
        return {name: copied(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [copied(value) for value in tree]
    return tree.clone() if isinstance(tree, torch.Tensor) else tree


def check_equal(a: Replay, b: Replay, seed: int) -> None:
    """Same counters, same held slots, same draws with the same numbers."""
    assert torch.equal(a.count, b.count) and torch.equal(a.place, b.place)
    assert (a.added, a.size, a.has_gaps) == (b.added, b.size, b.has_gaps)
    draws = []
    for replay in (a, b):
        slot, weight = replay.draw(100, torch.Generator().manual_seed(seed))
        batch = replay.transitions(slot)
        draws.append([slot, *tree_leaves(batch), *([] if weight is None else [weight])])
    assert all(torch.equal(x, y) for x, y in zip(*draws, strict=True))


CASES = [
    ("vector", 1, None, False),
    ("vector", 3, "next_step", True),
    ("image", 3, None, True),
    ("dict", 2, None, False),
]


@pytest.mark.parametrize("kind, num_envs, gaps, prioritized", CASES)
@pytest.mark.parametrize("every", [30, 60, 400])
def test_segments_restore_the_buffer_bit_for_bit(kind, num_envs, gaps, prioritized, every):
    script = Script(kind, num_envs, 3, gaps=gaps, ends=(0.2, 0.2))
    options = {"n_step": 3, "prioritized": prioritized}
    replay, reference = make_replay(script, 50 * num_envs, **options), Reference(num_envs)
    history = ReplayHistory(replay)
    listed: list[tuple[dict, dict]] = []  # (segment, its end), of which only living ones are kept
    dropped = 0
    for round_ in range(max(600 // every, 2)):
        play(script, replay, reference, every)
        if prioritized:
            slot, _ = replay.draw(20, torch.Generator().manual_seed(round_))
            replay.set_priority(slot, torch.rand(20, generator=torch.Generator().manual_seed(round_)) + 0.1)
        # As at a checkpoint, where environments that cannot be saved begin anew.
        replay.begin(script.reset())
        reference.begin()
        new = copied(history.since(listed[-1][1] if listed else None))
        alive = [entry for entry in listed if history.alive(entry[1])]
        dropped += len(listed) - len(alive)
        listed = [*alive, (new, copied(history.mark()))]
        state = copied(replay.state_dict())

        again = make_replay(script, 50 * num_envs, **options)
        other = ReplayHistory(again)
        for segment, _ in listed:
            other.extend(segment)
        again.load_state_dict(state)
        check_equal(replay, again, round_)
        again.begin(script.obs)  # what a resumed run does changes nothing
        check_equal(replay, again, round_)
    assert dropped > 0 or every == 400
    # And they stay equal: both live on alike.
    steps = []
    for _ in range(120):
        steps.append(script.step())
    for part in (replay, again):
        for action, step in steps:
            part.add(action, step)
    check_equal(replay, again, 99)


def test_the_memory_of_agents_comes_back_too():
    script = Script("vector", 2, 3)
    replay, again = (make_replay(script, 100, state_dim=4) for _ in range(2))
    generator = torch.Generator().manual_seed(0)
    replay.begin(script.reset())
    history, end = ReplayHistory(replay), None
    for _ in range(3):
        for _ in range(60):
            action, step = script.step()
            replay.add(action, step, torch.randn(2, 4, generator=generator))
        ReplayHistory(again).extend(copied(history.since(end)))
        end = copied(history.mark())
    again.load_state_dict(replay.state_dict())
    slot = torch.arange(100)
    a, b = (tree_leaves(part.sequences(slot, 3, 8)) for part in (replay, again))
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_a_segment_lives_as_long_as_anything_of_it_is_held():
    script = Script("vector", 2, 3, ends=(0.0, 0.0))
    replay = make_replay(script, 40)
    reference, history = Reference(2), ReplayHistory(replay)
    play(script, replay, reference, 30)
    end = copied(history.mark())
    length = replay.length  # entries of each environment
    while True:
        written = len(reference.rows) - 30
        # The oldest entry that is held; the mark's newest entry has been acted on since, so the next segment has it.
        oldest = replay.count.min().item() - length + 1
        assert history.alive(end) == (oldest < end["count"].min().item() + 1)
        if not history.alive(end):
            break
        assert written < 10 * length
        play(script, replay, reference, 1)
    assert written == length  # and no sooner: a sequence may still reach so far back


def test_since_holds_only_what_is_new():
    script = Script("vector", 1, 3, ends=(0.0, 0.0))
    replay = make_replay(script, 1000)
    reference, history = Reference(1), ReplayHistory(replay)
    play(script, replay, reference, 500)
    end = copied(history.mark())
    play(script, replay, reference, 7)
    segment = history.since(end)
    assert all(len(store) == 8 for store in segment["entries"]) and len(segment["place"]) == 7
    reward = [row[0]["reward"] for row in reference.rows[-7:]]
    names = list(replay.fields)
    assert segment["entries"][names.index("reward")][:7].tolist() == pytest.approx(reward)
    assert tree_map(len, replay.obs) == replay.length
