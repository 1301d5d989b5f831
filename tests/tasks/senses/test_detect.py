"""Canvases, boxes and their overlap against counts of pixels."""

import json

import numpy as np
import pytest
import torch

import evaluate
import train
from agent_gym.ground.errors import UserError
from agent_gym.tasks.senses.detect import INK, SIDE, Detect, draw, overlap
from agent_gym.tasks.senses.digits import bundled_digits
from agent_gym.tasks.senses.glimpse import CROP, MARGIN, boxes, cut
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
    images = torch.zeros(20, 28, 28, dtype=torch.uint8)
    images[:, 6:22, 10:18] = 255
    part = draw(images, torch.full((20,), 7), torch.Generator().manual_seed(0))
    for canvas, (label, left, top, right, bottom) in zip(part.x.numpy(), part.y.tolist(), strict=True):
        rows, columns = np.flatnonzero((canvas > 110).sum(1) > 3), np.flatnonzero((canvas > 110).sum(0) > 3)
        assert label == 7
        found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
        assert np.abs(np.array(found) - np.array([left, top, right, bottom]) * SIDE).max() <= 2  # soft edges


def test_what_is_cut_out_is_what_lies_in_the_box():
    image = torch.rand(1, SIDE, SIDE)
    whole = cut(image, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    assert whole.shape == (1, CROP, CROP) and whole[0, 0, 0] == 0.0  # outside
    left, top, side = 10, 20, 14
    middle = torch.tensor([left + side / 2, top + side / 2, left + side / 2, top + side / 2])
    half = side / 2 / MARGIN * torch.tensor([-1.0, -1.0, 1.0, 1.0])
    inside = cut(image, ((middle + half) / SIDE)[None])[0]
    # each pixel of the cut is a quarter of one of the image's, off the middle by a quarter of a pixel
    part = torch.nn.functional.interpolate(image[None], scale_factor=2, mode="bilinear")[0, 0]
    assert torch.allclose(inside, part[2 * top : 2 * (top + side), 2 * left : 2 * (left + side)], atol=1e-5)


def test_the_run_of_a_network_that_finds_digits_it_has_not_seen(tmp_path, capsys):
    flags = ["--num-canvases", "700", "--epochs", "4", "--batch-size", "16", "--learning-rate", "0.004", "--quiet"]
    assert train.main(["detect", *flags, "--run-dir", str(tmp_path / "run")]) == 0
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    assert metrics["iou"] > 0.55 > metrics["mean_iou"] and metrics["accuracy"] > 0.35 > 2 * metrics["mean_accuracy"]
    capsys.readouterr()
    assert evaluate.main([str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == metrics


def test_every_epoch_has_new_canvases_of_the_same_digits():
    task = Detect(DetectConfig(num_canvases=200, seed=1))
    first, other, again = (task.canvases(0, epoch) for epoch in (0, 1, 0))
    assert torch.equal(first.x, again.x) and torch.equal(first.y, again.y) and not torch.equal(first.x, other.x)
    parts = [set(rows.tolist()) for rows in task.rows_of]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_boxes_are_made_of_middle_and_size():
    outputs = torch.zeros(1, 14)
    assert boxes(outputs).tolist() == [[0.25, 0.25, 0.75, 0.75]] and INK < 255 and len(bundled_digits()[1]) == 1797


def test_bad_settings_are_refused():
    for flags in ({"num_canvases": 5}, {"box_weight": 0.0}):
        with pytest.raises(UserError, match="expected"):
            DetectConfig(**flags)
    with pytest.raises(UserError, match="--loss mse"):
        Detect(DetectConfig(num_canvases=100, loss="mse"))
