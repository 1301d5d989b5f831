"""Spaces at the boundary: what becomes of each, and that values arrive unchanged."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnasium.vector.utils import batch_space

from agent_gym.envs.adapters.boundary.spaces import ObsLayout, action_decoder, canonical, first_nonfinite

SPACES = [
    (Box(-1, 1, (3,), np.float32), Box(-1, 1, (3,), np.float32)),
    (Box(-2, 2, (2, 3), np.float64), Box(-2, 2, (2, 3), np.float32)),
    (Box(-1, 1, (), np.float32), Box(-1, 1, (1,), np.float32)),
    (Box(0, 255, (8, 8, 3), np.uint8), Box(0, 255, (8, 8, 3), np.uint8)),
    (Box(0, 255, (128,), np.uint8), Box(0, 255, (128,), np.float32)),
    (Box(-5, 5, (2,), np.int32), Box(-5, 5, (2,), np.float32)),
    (Discrete(4, start=-2), Discrete(4, start=-2)),
    (MultiDiscrete([[2, 3], [4, 5]]), MultiDiscrete([2, 3, 4, 5])),
    (MultiBinary((2, 2)), MultiBinary(4)),
    (
        Tuple((Discrete(3), Dict(a=Box(0, 1, (2,), np.float64)))),
        Dict({"0": Discrete(3), "1": Dict(a=Box(0, 1, (2,), np.float32))}),
    ),
]


@pytest.mark.parametrize(("raw", "expected"), SPACES, ids=str)
def test_canonical(raw, expected):
    assert canonical(raw) == expected and canonical(expected) == expected


def leaves(value):
    if isinstance(value, dict):
        return [leaf for key in sorted(value) for leaf in leaves(value[key])]
    if isinstance(value, tuple):
        return [leaf for part in value for leaf in leaves(part)]
    return [np.asarray(value)]


@pytest.mark.parametrize("raw", [raw for raw, _ in SPACES], ids=str)
def test_values_arrive_unchanged_one_by_one_and_in_batches(raw):
    raw.seed(0)
    samples = [raw.sample() for _ in range(3)]
    layout = ObsLayout(raw)
    arrays = layout.empty(3)
    for i, sample in enumerate(samples):
        layout.put(arrays, i, sample)
    obs = layout.tensors(arrays)
    for i, sample in enumerate(samples):
        for ours, theirs in zip(leaves(obs), leaves(sample), strict=True):
            np.testing.assert_allclose(ours[i].reshape(-1), theirs.reshape(-1), rtol=1e-6)
    batched = batch_space(raw, 3)
    batched.seed(0)
    batch = batched.sample()
    for ours, theirs in zip(leaves(layout.tensors(layout.batch(batch, 3))), leaves(batch), strict=True):
        np.testing.assert_allclose(ours.reshape(-1), theirs.reshape(-1), rtol=1e-6)


@pytest.mark.parametrize(
    ("space", "action", "expected"),
    [
        (Discrete(3, start=7), [0, 2], [7, 9]),
        (MultiDiscrete([[2, 3]], start=[[1, -1]]), [[0, 0], [1, 2]], [[[1, -1]], [[2, 1]]]),
        (MultiBinary((1, 2)), [[0, 1], [1, 1]], [[[0, 1]], [[1, 1]]]),
        (Box(-1, 1, (2,), np.float32), [[0.5, 1.0], [-1.0, 0.0]], [[0.5, 1.0], [-1.0, 0.0]]),
    ],
    ids=str,
)
def test_actions_in_the_terms_of_the_environment(space, action, expected):
    decoded = action_decoder(space, 2)(torch.tensor(action))
    assert decoded.tolist() == expected and decoded.dtype == space.dtype
    assert all(row in space for row in decoded)


def test_first_nonfinite():
    array = np.zeros((4, 3), np.float32)
    assert first_nonfinite([array, np.zeros(4, np.int64)]) is None
    array[2, 1] = np.inf
    array[3, 0] = np.nan
    assert first_nonfinite([np.zeros(4), array]) == 2
