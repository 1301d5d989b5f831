"""The figures of learning curves against curves of which they are known."""

import numpy as np
import pytest

from agent_gym.ground.learning_curve import FEW, JAGGED, NONE, OVERFIT, Shape


def test_the_figures_of_curves_that_are_known():
    straight = Shape.of(np.linspace(2.0, 1.0, 51))  # ten of its fifty steps are a fifth of the fall
    assert straight.falling == pytest.approx(0.2) and straight.rough == pytest.approx(0.0, abs=1e-12)
    zigzag = Shape.of([1.0, 1.5] * 20)  # each is 0.5 off both neighbours
    assert zigzag.rough == pytest.approx(0.5 / 1.25)
    turned = Shape.of([*np.linspace(2.0, 1.0, 50), *np.linspace(1.0, 3.0, 50)])
    assert turned.risen == pytest.approx(3.0 - 4.5 * 2.0 / 49) and turned.falling < 0


def test_patterns():
    epochs = np.arange(100)
    settled = 1.0 + np.exp(-epochs / 5.0)
    noise = np.random.default_rng(0).normal(size=100)
    assert Shape.of(settled).pattern() == Shape.of(settled + 0.01 * noise).pattern() == NONE
    assert Shape.of(settled[:6]).pattern() == FEW
    assert Shape.of(settled + 0.2 * np.abs(noise)).pattern() == JAGGED
    assert Shape.of(settled + 0.01 * epochs).pattern() == OVERFIT
    assert Shape.of([2.0, 1.0]).pattern() == FEW and Shape.of([1.0, 1.0]).pattern() == NONE
