"""Diffusion against what is known in closed form of Gaussians."""

import numpy as np
import pytest
import torch

import evaluate
import train
from agent_gym.ground.errors import UserError
from agent_gym.tasks.generation.diffusion import Diffusion, Schedule
from agent_gym.tasks.generation.judge import PointJudge
from agent_gym.tasks.generation.settings import DiffusionConfig
from agent_gym.tasks.generation.source import MEAN, MODES, STD, Ring, make_source


def test_the_schedule_is_the_paper_s():
    steps = 1000
    beta = np.linspace(1e-4, 0.02, steps)
    kept = np.cumprod(1.0 - beta)
    schedule = Schedule(steps)
    assert np.allclose(schedule.signal, np.sqrt(kept)) and np.allclose(schedule.noise, np.sqrt(1.0 - kept))
    k = 500  # eq. 7
    assert schedule.of_data[k].item() == pytest.approx(np.sqrt(kept[k - 1]) * beta[k] / (1 - kept[k]), rel=1e-5)
    expected = np.sqrt(1 - beta[k]) * (1 - kept[k - 1]) / (1 - kept[k])
    assert schedule.of_noisy[k].item() == pytest.approx(expected, rel=1e-5)
    assert schedule.std[0] == 0.0 and Schedule(50).signal[-1] < 0.05


def test_an_exact_denoiser_makes_the_gaussian_again():
    """Sampling, tried alone: with the closed form in place of the network, the moments are the true ones."""
    study = Diffusion(DiffusionConfig(data="gaussian", width=8, depth=1, noise_steps=60))
    schedule, mean = study.schedule, torch.tensor(MEAN)

    def exact(noisy, step, classes):
        signal, amount = schedule.signal[step], schedule.noise[step]
        noise = amount * (noisy - signal * mean) / (signal**2 * STD**2 + amount**2)
        return (noisy - amount * noise) / signal, noise

    study.guess = exact
    made, classes = study.some(5000, 1)
    figures = PointJudge(study.source)(made, classes)
    assert figures["mean_error"] < 0.03 and figures["covariance_error"] < 0.06
    assert study.closed_form()[1].max() < 1e-5


def test_a_network_learns_the_closed_form():
    torch.manual_seed(0)
    study = Diffusion(DiffusionConfig(data="gaussian", width=64, depth=2, total_steps=400, noise_steps=30))
    before = study.test()["closed_form_error"]
    while study.steps < study.total_steps:
        study.update()
    metrics = study.test()
    assert metrics["closed_form_error"] < 0.2 < 0.5 < before
    assert study.average.module.inputs.weight is not study.model["network"].inputs.weight
    assert set(study.images()) == {"samples", "closed_form"}


def test_the_ring_is_judged_by_counts():
    ring, judge = Ring(), PointJudge(Ring())
    real, classes = ring.draw(20_000, torch.Generator().manual_seed(0))
    figures = judge(real, classes)
    assert figures["modes"] == MODES and figures["near_a_mode"] > 0.99
    assert figures["mean_error"] < 0.02 and figures["covariance_error"] < 0.02
    half = real[real[:, 0] > 0.1]
    figures = judge(half, classes)
    assert figures["modes"] == 3 and figures["mean_error"] > 0.5


def test_a_run_goes_on_where_it_stopped(tmp_path, capsys):
    flags = ["diffusion", "--width", "32", "--depth", "1", "--noise-steps", "20", "--quiet"]
    flags += ["--checkpoint-every", "20", "--eval-every", "20"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train.main([*flags, "--total-steps", "40", "--run-dir", str(whole)]) == 0
    assert train.main([*flags, "--total-steps", "20", "--run-dir", str(parts)]) == 0
    assert train.main(["--resume", str(parts), "--total-steps", "40", "--quiet"]) == 0
    a = torch.load(whole / "checkpoints" / "last.pt", weights_only=True)["agent"]["model"]
    assert a["average.inputs.weight"].shape == (32, 18)  # two numbers, and four sines and cosines of each
    assert (whole / "pictures" / "samples.png").exists() and (whole / "pictures" / "samples-20.png").exists()
    capsys.readouterr()
    assert evaluate.main([str(whole), "--json"]) == 0
    assert '"mean_error"' in capsys.readouterr().out


def test_bad_input_is_refused(tmp_path):
    with pytest.raises(UserError, match="is no folder"):
        make_source(str(tmp_path / "nothing"))
    for flags in ({"noise_steps": 2}, {"width": 0}, {"batch_size": -1}, {"total_steps": 0}):
        with pytest.raises(UserError, match="expected"):
            DiffusionConfig(**flags)
