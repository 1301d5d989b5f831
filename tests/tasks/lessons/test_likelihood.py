"""Spector's students against the textbook: W. Greene, Econometric Analysis, the logit of table 17.1 (5th: 21.1)."""

import numpy as np
import pytest

from agent_gym.tasks.lessons.likelihood import Likelihood
from agent_gym.tasks.lessons.settings import LikelihoodConfig


def test_the_loss_is_the_textbook_s_log_likelihood():
    task = Likelihood(LikelihoodConfig(epochs=600))
    task.evaluate()
    before = task.of_the_truth()
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    metrics = task.test()
    assert metrics["log_likelihood"] == pytest.approx(-12.8896, abs=2e-4)
    assert metrics["loss"] == pytest.approx(12.8896 / 32, abs=1e-5)
    assert task.of_the_truth().prod() > 1e3 * before.prod()
    *_, odds = task.lines()
    assert odds == "log-odds of GRADE = -13.0213 +2.8261 GPA +0.0952 TUCE +2.3787 PSI"
    steps, likelihoods = zip(*((step, np.log(p).sum()) for step, p in task.history_of), strict=True)
    assert steps[-1] == 600 and np.all(np.diff(likelihoods) > -0.05)
