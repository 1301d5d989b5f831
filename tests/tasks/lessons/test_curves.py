"""The lesson of learning curves against itself resumed."""

import pytest
import torch

from agent_gym.ground.errors import UserError
from agent_gym.ground.learning_curve import FEW
from agent_gym.tasks.lessons.curves import RUNS, Curves, command
from agent_gym.tasks.lessons.settings import CurvesConfig


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
