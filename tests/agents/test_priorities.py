"""The sum tree against plain sums, and prioritised replay against the formulas of Schaul et al. 2016."""

import numpy as np
import pytest
import torch
from streams import Reference, Script, key, make_replay, play

from agent_gym.agents.buffers.sum_tree import SumTree


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("capacity", [1, 5, 128, 1000, 20_000])
def test_draws_are_proportional_to_priorities(capacity):
    rng = np.random.default_rng(0)
    priority = rng.gamma(0.5, size=capacity) + 0.01
    priority[rng.random(capacity) < 0.3 * (capacity > 1)] = 0.0
    tree = SumTree(capacity)
    tree.update(torch.arange(capacity), torch.from_numpy(priority))
    expected = priority / priority.sum()
    draws = min(200 * capacity, 50_000)
    slot, probability = tree.sample(draws, generator())
    np.testing.assert_allclose(probability, expected[slot], rtol=1e-12)
    # One draw from each of n equal parts of the sum: part k holds the cumulative share from k/n to (k + 1)/n.
    end = expected.cumsum()[slot.numpy()]
    part = np.arange(len(slot)) / len(slot)
    assert (end > part - 1e-9).all() and (end - expected[slot] < part + 1 / len(slot) + 1e-9).all()
    counts = np.bincount(slot, minlength=capacity)
    assert (counts[priority == 0] == 0).all()
    assert (np.abs(counts - draws * expected) < 2 + 1e-6).all()  # so stratified counts hardly vary


def test_single_draws_are_proportional_too():
    tree = SumTree(300)
    priority = torch.arange(300.0) % 7
    tree.update(torch.arange(300), priority)
    expected = (priority / priority.sum()).double()
    gen = generator()
    slot = torch.cat([tree.sample(1, gen)[0] for _ in range(6000)])
    counts = torch.bincount(slot, minlength=300)
    assert (counts[priority == 0] == 0).all()
    some = priority > 0
    chi_square = ((counts - 6000 * expected).square() / (6000 * expected))[some].sum()
    degrees = some.sum() - 1
    assert chi_square < degrees + 6 * (2 * degrees) ** 0.5


def test_sums_stay_those_of_the_leaves():
    rng = np.random.default_rng(1)
    tree, truth = SumTree(20_000), np.zeros(20_000)
    for scale in (1.0, 1e6, 1e-6):
        for _ in range(300):
            slot = rng.choice(20_000, 64, replace=False)
            priority = scale * rng.random(64)
            truth[slot] = priority
            tree.update(torch.from_numpy(slot), torch.from_numpy(priority))
    np.testing.assert_array_equal(tree.leaves[:20_000], truth)
    assert tree.total.item() == pytest.approx(truth.sum(), rel=1e-12)
    for below, level in zip(tree.levels, tree.levels[1:], strict=False):
        torch.testing.assert_close(level[: len(below) // 128], below.view(-1, 128).sum(-1), rtol=1e-12, atol=0)
    again = SumTree(20_000)
    again.leaves.copy_(tree.leaves)
    again.rebuild()
    assert all(torch.equal(a, b) for a, b in zip(again.levels, tree.levels, strict=True))


def test_a_slot_given_twice_keeps_one_of_its_priorities():
    tree = SumTree(500)
    tree.update(torch.arange(500), torch.ones(500))
    tree.update(torch.tensor([3, 400, 3, 3]), torch.tensor([5.0, 2.0, 7.0, 5.0]))
    assert tree.leaves[3].item() in (5.0, 7.0) and tree.leaves[400].item() == 2.0
    assert tree.total.item() == tree.leaves.sum().item() == 498 + 2 + tree.leaves[3].item()


def test_importance_weights_are_those_of_the_paper():
    script = Script("vector", 2, 0)
    replay = make_replay(script, 40, prioritized=True)
    play(script, replay, Reference(2), 20)
    priority = torch.rand(40, generator=generator(), dtype=torch.float64) + 0.1
    replay.set_priority(torch.arange(40), priority)
    for beta in (0.4, 1.0):
        slot, weight = replay.draw(32, generator(1), beta)
        # P(i) = p_i / Σ p and w_i = (N P(i))^-β / max w (section 3.4)
        weights = (40 * priority / priority.sum()) ** -beta
        torch.testing.assert_close(weight, (weights[slot] / weights[slot].max()).float())


def test_new_transitions_get_the_largest_priority_so_far():
    script = Script("vector", 2, 0)
    replay = make_replay(script, 20, prioritized=True)
    reference = Reference(2)
    play(script, replay, reference, 4)
    assert replay.tree.leaves[:8].tolist() == [1.0] * 8
    replay.set_priority(torch.tensor([2, 5]), torch.tensor([0.25, 4.0]))
    play(script, replay, reference, 1)
    assert replay.tree.leaves[:12].tolist() == [1, 1, 0.25, 1, 1, 4, 1, 1, 4, 4, 0, 0]
    play(script, replay, reference, 9)  # round and over the first ones
    assert replay.tree.leaves[:20].tolist() == [4.0] * 20


@pytest.mark.parametrize("kind, gaps, ends", [("vector", "next_step", (0.2, 0.2)), ("image", None, (0.8, 0.1))])
def test_only_what_is_held_is_drawn(kind, gaps, ends):
    script = Script(kind, 3, 5, gaps=gaps, ends=ends)
    replay, reference = make_replay(script, 300, prioritized=True), Reference(3)
    gen, rng = generator(), np.random.default_rng(0)
    for _ in range(20):
        play(script, replay, reference, 23, 0.05)
        held = reference.latest_rows(len(replay) // 3)
        slot, _ = replay.draw(1000, gen)
        obs = replay.transitions(slot)["obs"][0]
        drawn = {key(row) for row in obs}
        assert drawn <= held.keys()
        assert len(drawn) > 0.5 * len(held)
        replay.set_priority(slot, torch.from_numpy(rng.random(1000)) + 0.5)
    assert kind == "vector" or len(replay) < 300  # short episodes have pushed frames out
