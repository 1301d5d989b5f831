"""The adding problem against its definition; batches against sums by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agent_gym.ground.errors import UserError
from agent_gym.tasks.lessons.batching import Batching
from agent_gym.tasks.lessons.memory import CONSTANT, Memory, draw
from agent_gym.tasks.lessons.settings import BatchingConfig, MemoryConfig


def test_sequences_and_sums_are_those_of_the_problem():
    x, y = draw(21, 5000, torch.Generator().manual_seed(0))
    numbers, marks = x.unbind(-1)
    assert x.shape == (21, 5000, 2) and torch.equal(marks.sum(0), torch.full((5000,), 2.0))
    assert torch.equal(marks[:10].sum(0), torch.ones(5000))  # one in each half
    assert torch.allclose(y[:, 0], numbers[marks.bool()].new_tensor(np.einsum("tb,tb->b", numbers, marks)))
    assert (y - 1.0).square().mean().item() == pytest.approx(CONSTANT, abs=0.01)


def test_a_memory_beats_the_constant_and_goes_on_where_it_stopped():
    config = MemoryConfig(encoders=("gru",), lengths=(8,), total_steps=150, size=16)

    def run(end, state=None):
        torch.manual_seed(0)
        lesson = Memory(config)
        if state is not None:
            lesson.load_state_dict(state)
        while lesson.steps < end:
            lesson.update()
        return lesson

    whole = run(150)
    assert whole.test()["gru_8"] < 0.6 * CONSTANT
    resumed = run(150, run(70).state_dict())
    assert torch.equal(whole.learners["gru"].parameters, resumed.learners["gru"].parameters)


def test_a_sum_s_gradient_is_the_mean_s_times_the_rows():
    torch.manual_seed(0)
    lesson = Batching(BatchingConfig(batch_sizes=(1, 10), total_steps=2, rows=10, descent_steps=2))
    lesson.update()
    lesson.update()
    metrics = lesson.test()
    for size in (1, 10):
        assert metrics[f"sse_{size}"] == pytest.approx(size * metrics[f"mse_{size}"], rel=1e-4)
        assert metrics[f"sse_gradient_{size}"] == pytest.approx(size * metrics[f"mse_gradient_{size}"], rel=1e-4)
    assert "microseconds a row" in lesson.report(metrics)


def test_bad_settings_are_refused():
    for config, flags in (
        (MemoryConfig(), {"lengths": (2,)}),
        (MemoryConfig(), {"encoders": ("gru", "gru")}),
        (MemoryConfig(), {"growing": 2.0}),
        (BatchingConfig(), {"batch_sizes": ()}),
        (BatchingConfig(), {"total_steps": 9}),
    ):
        with pytest.raises(UserError, match="expected"):
            replace(config, **flags)
