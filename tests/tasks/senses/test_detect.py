"""Canvases, boxes and their overlap against counts of pixels."""

import numpy as np
import pytest
import torch

from agent_gym.ground.errors import UserError
from agent_gym.tasks.digits import bundled_digits
from agent_gym.tasks.senses.detect import INK, SIDE, Detect, boxes, draw, overlap
from agent_gym.tasks.senses.settings import DetectConfig


def test_overlap_is_a_count_of_pixels():
    rng = np.random.default_rng(0)
    for _ in range(20):
        masks, edges = np.zeros((2, 20, 20), bool), []
        for mask in masks:
            left, top = rng.integers(0, 12, 2)
            right, bottom = left + rng.integers(1, 9), top + rng.integers(1, 9)
            mask[top:bottom, left:right] = True
            edges.append([left, top, right, bottom])
        expected = (masks[0] & masks[1]).sum() / (masks[0] | masks[1]).sum()
        a, b = torch.tensor(edges, dtype=torch.float32)
        assert overlap(a, b).item() == pytest.approx(expected, abs=1e-6)


def test_a_box_lies_tight_around_the_ink():
    image = torch.zeros(1, 28, 28, dtype=torch.uint8)
    image[0, 6:22, 10:18] = 255
    part = draw(image, torch.tensor([7]), 20, np.random.default_rng(0))
    for canvas, (label, left, top, right, bottom) in zip(part.x.numpy(), part.y.tolist(), strict=True):
        rows, columns = np.flatnonzero((canvas > 110).sum(1) > 3), np.flatnonzero((canvas > 110).sum(0) > 3)
        assert label == 7
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert np.abs(np.array(found) - np.array([left, top, right, bottom]) * SIDE).max() <= 2  # soft edges


def test_a_network_finds_digits_that_it_has_not_seen():
    task = Detect(DetectConfig(num_canvases=1500, epochs=12, batch_size=32, seed=1))
    seen, other = (set(map(bytes, part.x.numpy())) for part in (task.data.train, task.data.test))
    assert not seen & other
    torch.manual_seed(0)
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    metrics = task.test()
    assert metrics["iou"] > 0.55 > metrics["mean_iou"] and metrics["accuracy"] > 2 * metrics["mean_accuracy"]
    assert task.images()["test/boxes"].shape[2] == 3


def test_boxes_are_made_of_middle_and_size():
    outputs = torch.zeros(1, 14)
    assert boxes(outputs).tolist() == [[0.25, 0.25, 0.75, 0.75]] and INK < 255 and len(bundled_digits()[1]) == 1797


def test_bad_settings_are_refused():
    for flags in ({"num_canvases": 5}, {"box_weight": 0.0}):
        with pytest.raises(UserError, match="expected"):
            DetectConfig(**flags)
    with pytest.raises(UserError, match="--loss mse"):
        Detect(DetectConfig(num_canvases=100, loss="mse"))
