"""The figures of learning curves against curves of which they are known, and the lesson against itself resumed."""

import numpy as np
import pytest
import torch

from agent_gym.ground.errors import UserError
from agent_gym.tasks.lessons.curves import FEW, JAGGED, NONE, OVERFIT, RUNS, Curves, Shape, command
from agent_gym.tasks.lessons.settings import CurvesConfig


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


def test_the_lesson_goes_on_where_it_stopped():
    def run(end, state=None):
        torch.manual_seed(0)
        lesson = Curves(CurvesConfig(total_steps=6))
        if state is not None:
            lesson.load_state_dict(state)
        while lesson.steps < end:
            lesson.update()
        return lesson

    whole, resumed = run(6), run(6, run(3).state_dict())
    assert whole.model["record"].rows == resumed.model["record"].rows
    for name, learner in whole.learners.items():
        assert torch.equal(learner.parameters, resumed.learners[name].parameters)
    assert len(whole.model["record"].rows[FEW]) == 5 and set(whole.shapes()) == set(RUNS)
    assert whole.images()["lesson/curves"].shape[2] == 3 and FEW in whole.report(whole.test())


def test_the_commands_are_those_of_the_runs():
    assert command(RUNS["dropout"]) == (
        "python train.py diabetes --weight-decay 0 --epochs 150 --hidden-sizes 128 128 --dropout 0.5"
    )
    assert command(RUNS["weight decay"]).count("--weight-decay") == 1


def test_too_few_epochs_for_a_curve_are_refused():
    with pytest.raises(UserError, match="--total-steps 4"):
        CurvesConfig(total_steps=4)
