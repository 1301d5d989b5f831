"""Gradients through ten layers, against autograd and what the activations' slopes say."""

from dataclasses import replace

import torch
import torch.nn.functional as F

from agent_gym.tasks.lessons.gradients import Gradients
from agent_gym.tasks.lessons.settings import GradientsConfig

CONFIG = GradientsConfig(total_steps=2)


def test_sigmoid_s_first_layer_gets_next_to_nothing():
    torch.manual_seed(0)
    lesson = Gradients(CONFIG)
    rows = torch.randint(len(lesson.y), (128,), generator=lesson.generator())
    network = lesson.model["sigmoid"]
    loss = F.cross_entropy(network(lesson.x[rows]), lesson.y[rows])
    grads = torch.autograd.grad(loss, list(network[0].parameters()))
    first, last = (torch.cat([g.flatten() for g in pair]).norm() for pair in (grads[:2], grads[-2:]))
    lesson.update()
    lesson.update()
    metrics = lesson.test()
    assert abs(metrics["sigmoid_first_to_last"] / (first / last).item() - 1.0) < 1e-4
    assert metrics["sigmoid_first_to_last"] < 2e-4 and metrics["first_to_last"] == metrics["sigmoid_first_to_last"]
    assert 0.3 < metrics["relu_first_to_last"] < 3.0 and metrics["leaky_relu_dead_units"] == 0.0
    assert set(lesson.images()) == {"lesson/curves", "lesson/gradients", "lesson/dead_units"}


def test_a_resumed_lesson_is_the_same():
    def run(steps, state=None):
        torch.manual_seed(0)
        lesson = Gradients(replace(CONFIG, total_steps=6, activations=("relu", "tanh")))
        if state is not None:
            lesson.load_state_dict(state)
        while lesson.steps < steps:
            lesson.update()
        return lesson

    whole, resumed = run(6), run(6, run(3).state_dict())
    assert whole.model["record"].rows == resumed.model["record"].rows
