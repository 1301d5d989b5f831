"""The line against NumPy's least squares; the exclusive or with and without a hidden layer."""

from dataclasses import replace

import numpy as np
import pytest

from agent_gym.tasks.lessons.settings import HeightsConfig, XorConfig
from agent_gym.tasks.lessons.toy import HEIGHT, WEIGHT, Heights, Xor

W1, W0 = np.polyfit(WEIGHT, HEIGHT, 1)


def fit(task):
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    return task


def test_it_starts_where_the_course_starts():
    task = Heights(HeightsConfig())
    assert np.allclose(task.line(), (100.0, 1.0))
    expected = np.square(100.0 + np.array(WEIGHT) - np.array(HEIGHT)).mean()
    assert np.isclose(-task.evaluate()[0], expected)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "rmsprop", "adam"])
def test_full_batch_descent_ends_at_least_squares(optimizer):
    assert np.allclose(fit(Heights(HeightsConfig(optimizer=optimizer))).line(), (W0, W1), atol=1e-3, rtol=0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("batch_size", [1, 5])
def test_stochastic_descent_gives_the_heights_of_least_squares(optimizer, batch_size):
    w0, w1 = fit(Heights(HeightsConfig(optimizer=optimizer, batch_size=batch_size, epochs=1000))).line()
    x = np.array(WEIGHT)
    assert np.allclose(w0 + w1 * x, W0 + W1 * x, atol=5e-3, rtol=0)


def test_one_step_of_descent_is_the_gradient_formula():
    config = HeightsConfig(scaler="none", learning_rate=1e-5, schedule="constant", epochs=1)
    w0, w1 = fit(Heights(config)).line()
    error = 100.0 + np.array(WEIGHT) - np.array(HEIGHT)
    assert np.isclose(w0, 100.0 - 1e-5 * 2.0 * error.mean())
    assert np.isclose(w1, 1.0 - 1e-5 * 2.0 * (error * np.array(WEIGHT)).mean())


def test_the_report_shows_the_line_before_and_after():
    before, after, exact, *people = fit(Heights(HeightsConfig())).lines()
    assert "100.0000 + 1.00000 weight, MSE 14.2000" in before
    assert after.split("height")[1] == exact.split("height")[1]
    assert [float(line.split()[3]) for line in people[1:]] == [0, -7, -3, 0, -2, -1, -7, 2, -1, 5]


def test_a_hidden_layer_learns_xor_and_a_perceptron_does_not():
    task = fit(Xor(XorConfig()))
    metrics = task.test()
    assert metrics["accuracy"] == 1.0 and metrics["loss"] < 0.01
    assert metrics["perceptron_accuracy"] <= 0.75  # no line parts the four points
    alone = fit(Xor(replace(XorConfig(), encoder="linear"))).test()
    assert np.isclose(alone["loss"], np.log(2.0), atol=1e-3)  # the best that logistic regression can do
    assert len(task.lines()) == 5
