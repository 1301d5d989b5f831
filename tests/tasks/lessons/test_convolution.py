"""The worked example against the course's numbers, and feature maps against torch.nn."""

import numpy as np
import torch

from agent_gym.tasks.lessons.convolution import slant, worked_example
from agent_gym.tasks.senses.digits import Digits
from agent_gym.tasks.senses.settings import DigitsConfig


def numbers(lines, after, count):
    start = lines.index(after) + 1
    return [[int(cell) for cell in line.split()] for line in lines[start : start + count]]


def test_the_worked_example_is_the_course_s():
    lines = worked_example()
    assert numbers(lines, "result 3 x 3:", 3) == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]
    assert [len(row) for row in numbers(lines, "with padding 1 it stays 5 x 5:", 5)] == [5] * 5
    assert numbers(lines, "gives:", 2) == [[9, 8], [19, 8]]
    assert "  row 1, column 1: 1 + 1 + 1 + 0 + 1 = 4" in lines


def test_feature_maps_are_those_of_the_convolutions():
    task = Digits(DigitsConfig())
    maps = task.feature_maps(task.data.test.x[:1])
    first = next(m for m in task.model.modules() if isinstance(m, torch.nn.Conv2d))
    image = task.data.test.x[:1, None].float() / 255.0
    assert np.allclose(maps[0], torch.relu(first(image))[0].detach().numpy(), atol=1e-6)
    assert [len(layer) for layer in maps] == [16, 8] and abs(slant().sum().item()) < 1e-5
