"""Generated waves against their known figures, windows without leaks, and forecasts that beat simple rules."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agent_gym.tasks.series import Series, cut_windows, generate
from agent_gym.tasks.settings import SeriesConfig

SMALL = SeriesConfig(num_series=1500, recurrent_layers=1, recurrent_size=16, epochs=6, learning_rate=0.01)


def run(config):
    torch.manual_seed(config.seed)
    task = Series(config)
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    return task


def test_the_naive_forecast_of_the_waves_errs_by_two_hundredths():
    waves = generate(200_000, 51, 0)
    assert np.square(waves[:, 50] - waves[:, 49]).mean() == pytest.approx(0.0206, abs=0.0005)  # book: 0.020
    assert np.abs(waves).max() <= 0.75


def test_rules_and_network_on_one_table():
    task = Series(SeriesConfig(encoder="linear", epochs=1))
    metrics = task.test()
    assert metrics["naive_mse"] == pytest.approx(0.02, abs=0.005)
    assert metrics["linear_mse"] < 0.004


@pytest.mark.parametrize("encoder", ["lstm", "gru", "rnn"])
def test_a_memory_beats_the_naive_forecast(encoder):
    metrics = run(replace(SMALL, encoder=encoder)).test()
    assert metrics["mse"] < 0.5 * metrics["naive_mse"]


def test_attention_to_the_past_beats_the_naive_forecast():
    small = {"attention_size": 16, "attention_heads": 2, "attention_layers": 1, "attention_window": 10}
    metrics = run(replace(SMALL, encoder="transformer", epochs=12, window=20, **small)).test()
    assert metrics["mse"] < 0.5 * metrics["naive_mse"]


def test_without_a_memory_the_window_is_one_vector():
    task = run(replace(SMALL, encoder="mlp", epochs=20))
    assert task.model.spec.shape == (50,)
    assert task.test()["mse"] < 0.01


def test_targets_at_every_step_are_the_next_values():
    task = Series(replace(SMALL, horizon=3, window=10))
    waves = task.windows[0].astype(np.float32)
    x, y = (t.numpy() for t in task.data.train)
    assert x.shape == (1050, 10, 1) and y.shape == (1050, 10, 3)
    for t in range(10):
        assert np.array_equal(x[:, t, 0], waves[:, t])
        assert np.array_equal(y[:, t], waves[:, t + 1 : t + 4])


def test_a_forecast_of_ten_steps_counts_the_last_window():
    metrics = run(replace(SMALL, horizon=10)).test()
    assert metrics["mse"] < metrics["naive_mse"]
    images = Series(replace(SMALL, horizon=10)).images()
    assert images["test/forecast"].shape[2] == 3


def test_later_parts_forecast_what_earlier_parts_have_not_seen():
    config = SeriesConfig(window=5, horizon=2, val_split=0.2, test_split=0.2)
    (train, val, test), mean, _ = cut_windows(np.arange(100.0), config)
    assert train.max() == 59 and val.max() == 79 and test.max() == 99
    assert val[:, 5:].min() == 60 and test[:, 5:].min() == 80  # what they forecast
    assert mean == np.arange(60).mean()
