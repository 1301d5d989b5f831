"""Generated waves against their known figures, windows without leaks, and forecasts that beat simple rules."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from agent_gym.ground.errors import UserError
from agent_gym.tasks.series.series import Series, generate
from agent_gym.tasks.series.settings import SeriesConfig
from agent_gym.tasks.series.windows import Windows, cut_windows, grows_with_level

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
    waves = task.windows[0][..., 0].astype(np.float32)
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
    config = SeriesConfig(horizon=2, val_split=0.2, test_split=0.2)
    (train, val, test), known = cut_windows(np.arange(100.0)[:, None], config, 5)
    assert train.shape == (54, 7, 1)
    assert train.max() == 59 and val.max() == 79 and test.max() == 99
    assert val[:, 5:].min() == 60 and test[:, 5:].min() == 80  # what they forecast
    assert known.ravel().tolist() == list(range(60))


# Monthly totals of airline passengers in thousands, 1949 to 1960 (Box and Jenkins 1976).
PASSENGERS = [
    112,
    118,
    132,
    129,
    121,
    135,
    148,
    148,
    136,
    119,
    104,
    118,
    115,
    126,
    141,
    135,
    125,
    149,
    170,
    170,
    158,
    133,
    114,
    140,
    145,
    150,
    178,
    163,
    172,
    178,
    199,
    199,
    184,
    162,
    146,
    166,
    171,
    180,
    193,
    181,
    183,
    218,
    230,
    242,
    209,
    191,
    172,
    194,
    196,
    196,
    236,
    235,
    229,
    243,
    264,
    272,
    237,
    211,
    180,
    201,
    204,
    188,
    235,
    227,
    234,
    264,
    302,
    293,
    259,
    229,
    203,
    229,
    242,
    233,
    267,
    269,
    270,
    315,
    364,
    347,
    312,
    274,
    237,
    278,
    284,
    277,
    317,
    313,
    318,
    374,
    413,
    405,
    355,
    306,
    271,
    306,
    315,
    301,
    356,
    348,
    355,
    422,
    465,
    467,
    404,
    347,
    305,
    336,
    340,
    318,
    362,
    348,
    363,
    435,
    491,
    505,
    404,
    359,
    310,
    337,
    360,
    342,
    406,
    396,
    420,
    472,
    548,
    559,
    463,
    407,
    362,
    405,
    417,
    391,
    419,
    461,
    472,
    535,
    622,
    606,
    508,
    461,
    390,
    432,
]


def test_windows_are_relative_to_their_last_value():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 30.0], [8.0, 50.0]])[None]
    last = Windows(("a", "b"), "last", 2, (0.0, 0.0), (2.0, 10.0), (4.0, 10.0))
    assert last.inputs(values).tolist() == [[[-0.5, -1.0], [0.0, 0.0]]]
    assert last.targets(values)[0].tolist() == [[[0.25, 1.0], [0.75, 2.0]], [[0.5, 1.0], [1.5, 3.0]]]
    assert np.allclose(last.forecasts(last.targets(values)[:, 1], values[:, 1]), values[:, 2:])
    ratio = Windows(("a", "b"), "ratio", 2, (0.0, 0.0), (1.0, 1.0), (1.0, 1.0))
    assert np.allclose(ratio.inputs(values)[0, 0], np.log(0.5))
    assert np.allclose(ratio.targets(values)[0, 1, :, 0], np.log([2.0, 4.0]))
    assert np.allclose(ratio.forecasts(ratio.targets(values)[:, 1], values[:, 1]), values[:, 2:])


def test_ratios_where_changes_grow_with_the_level():
    months = np.arange(96)
    wave = np.sin(2.0 * np.pi * months / 12.0)
    assert grows_with_level(np.exp(0.02 * months + 0.2 * wave)[:, None])
    assert not grows_with_level((10.0 + 0.1 * months + wave)[:, None])
    assert not grows_with_level(wave[:, None])


def test_passengers_are_forecast_far_better_than_by_the_last_month(csv):
    task = run(SeriesConfig(data=str(csv({"month": range(144), "n": PASSENGERS})), column="n", quiet=True))
    metrics = task.test()
    assert task.shaping.form == "ratio" and task.shaping.steps == 24
    assert metrics["naive_mse"] == pytest.approx(2698, abs=1)
    assert metrics["mse"] < 1200  # about 300 with the best model of the run


def test_several_columns_are_forecast_together(csv):
    months = np.arange(240)
    wave = np.sin(2.0 * np.pi * months / 12.0)
    path = csv({"a, b": 1000.0 * wave, "lagged": np.roll(wave, 1), "trend": months / 10.0})
    config = SeriesConfig(data=str(path), quiet=True, epochs=60, encoder="mlp", window=12, learning_rate=0.01)
    task = run(replace(config, column="lagged, trend", horizon=2))
    assert task.shaping.names == ("lagged", "trend") and task.model.spec.outputs == 4
    metrics = task.test()
    assert metrics["mse"] < 0.1 * metrics["naive_mse"] and metrics["linear_mse"] < 1e-6
    assert [line.split()[0] for line in task.lines()[1:]] == ["lagged", "trend"]
    assert set(task.images()) == {"test/forecast", "test/forecast of trend"}
    assert Series(replace(config, column="a, b")).shaping.names == ("a, b",)  # a name may hold a comma
    with pytest.raises(UserError, match="--column 'b' is no column"):
        Series(replace(config, column="lagged,b"))


def test_gaps_lie_on_a_line_between_their_neighbours(csv):
    values = [float(i) for i in range(60)]
    gone = [None if i in (0, 10, 11) else v for i, v in enumerate(values)]
    task = Series(SeriesConfig(data=str(csv({"x": gone, "y": values})), column="x", quiet=True, window=5, horizon=1))
    assert task.windows[0][0, :, 0].tolist() == [1.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert task.windows[0][8, :, 0].tolist() == values[8:14]
    assert "3 empty cells" in task.data.notes[0] and "row 2" in task.data.notes[0]


def test_a_short_series_gets_a_network_without_memory(csv):
    path = str(csv({"x": np.sin(np.arange(1700.0))}))
    assert not Series(SeriesConfig(data=path, quiet=True, val_split=0.5)).model.spec.sequence
    assert Series(SeriesConfig(data=path, quiet=True)).model.memory > 0
