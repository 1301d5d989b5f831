"""Denoising diffusion (Ho, Jain and Abbeel 2020): noise is taken away step by step by a network that guesses it."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent_gym.nets.encoders.mlp import Dense
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.settings import OptimizerSettings
from agent_gym.nets.target import TargetNetwork
from agent_gym.tasks.generation.generator import JUDGE, Generator
from agent_gym.tasks.generation.settings import DiffusionConfig
from agent_gym.tasks.generation.source import STD, Gaussian
from agent_gym.tasks.plots import curves_image
from agent_gym.tasks.study import layer_tables

WAVES = 32  # sines and cosines that tell the network the time
PLACES = 4  # sines and cosines of a point's coordinates; small patterns stay blurred without (Tancik et al. 2020)
AVERAGED = 500  # steps of training over which the weights that make things are averaged, about


class Denoiser(nn.Module):
    """Noisy rows [B, size], times [B] and classes [B] -> a guess [B, size]: dense layers with a way around each.

    Each number of a row also comes in as `places` sines and cosines, of wavelengths 4, 2, 1 …
    """

    def __init__(self, size: int, classes: int, width: int, depth: int, places: int) -> None:
        super().__init__()
        self.inputs, self.time = nn.Linear(size * (1 + 2 * places), width), nn.Linear(2 * WAVES, width)
        self.kind = nn.Embedding(classes, width)
        self.hidden_layers = nn.ModuleList(Dense(width, width, "silu", layer_norm=True) for _ in range(depth))
        self.out = nn.Linear(width, size)
        self.register_buffer("places", 0.5 * math.pi * 2.0 ** torch.arange(places))
        self.register_buffer("frequencies", torch.exp(-math.log(10_000.0) * torch.arange(WAVES) / WAVES))

    def forward(self, x: Tensor, time: Tensor, classes: Tensor) -> Tensor:
        phase = time[:, None] * self.frequencies
        place = (x[:, :, None] * self.places).flatten(1)
        x = torch.cat((x, place.sin(), place.cos()), dim=-1)
        h = self.inputs(x) + self.time(torch.cat((phase.sin(), phase.cos()), dim=-1)) + self.kind(classes)
        for layer in self.hidden_layers:
            h = h + layer(h)
        return self.out(F.silu(h))


class Schedule:
    """x_t = sqrt(kept) x_0 + sqrt(1 - kept) noise (eq. 4), with the paper's betas, fewer and larger ones."""

    def __init__(self, steps: int) -> None:
        scale = 1000.0 / steps
        self.beta = torch.linspace(1e-4 * scale, min(0.02 * scale, 0.999), steps, dtype=torch.float64)
        kept = torch.cumprod(1.0 - self.beta, 0)
        before = torch.cat((torch.ones(1, dtype=torch.float64), kept[:-1]))
        # The mean of q(x_{t-1} | x_t, x_0) is of_data x_0 + of_noisy x_t (eq. 7).
        self.of_data = (before.sqrt() * self.beta / (1.0 - kept)).float()
        self.of_noisy = ((1.0 - self.beta).sqrt() * (1.0 - before) / (1.0 - kept)).float()
        self.std = (self.beta * (1.0 - before) / (1.0 - kept)).sqrt().float()
        self.signal, self.noise = kept.sqrt().float(), (1.0 - kept).sqrt().float()


class Diffusion(Generator):
    """A minibatch a step, each row at a time of its own."""

    config: DiffusionConfig

    def __init__(self, config: DiffusionConfig, device: torch.device | str = "cpu") -> None:
        super().__init__(config, device)
        source = self.source
        self.guesses_data = config.guess == "data" or (config.guess == "auto" and source.image is not None)
        self.schedule = Schedule(config.noise_steps)
        places = 0 if source.image else PLACES
        network = Denoiser(source.size, source.classes, config.width, config.depth, places).to(self.device)
        optimizer = OptimizerSettings(optimizer="adam", learning_rate=config.learning_rate, schedule="cosine")
        self.learners = {"denoiser": Learner(self.loss, network.parameters(), optimizer, capture=True)}
        self.average = TargetNetwork(network, self.learners["denoiser"].parameters)
        self.model = nn.ModuleDict({"network": network, "average": self.average.module})
        self.headline = "closed_form_error" if isinstance(source, Gaussian) else self.headline

    def layers(self) -> str:
        row = torch.zeros(1, self.source.size, device=self.device)
        zero = torch.zeros(1, dtype=torch.int64, device=self.device)
        return layer_tables({"denoiser": (_Example(self.model["network"], zero), row)})

    def loss(self, noisy: Tensor, time: Tensor, classes: Tensor, wanted: Tensor) -> tuple[Tensor, Stats]:
        """The mean squared error of the guess (eq. 14)."""
        return (self.model["network"](noisy, time, classes) - wanted).square().mean(), {}

    def update(self) -> Stats:
        generator, learner = self.generator(), self.learners["denoiser"]
        x, classes = self.batch(generator)
        time = torch.randint(self.config.noise_steps, (len(x),), generator=generator)
        noise = torch.randn(x.shape, generator=generator).to(self.device)
        noisy = self.noisy(x, time, noise)
        learner.set_progress(self.course(self.steps))
        stats = learner.update(noisy, time.to(self.device), classes, x if self.guesses_data else noise)
        self.steps += 1
        self.average.follow(1.0 / min(self.steps, AVERAGED))
        return stats

    def noisy(self, x: Tensor, time: Tensor, noise: Tensor) -> Tensor:
        """x_t of data [B, size] at times [B]."""
        signal, amount = (s[time][:, None].to(self.device) for s in (self.schedule.signal, self.schedule.noise))
        return signal * x + amount * noise

    @torch.no_grad()
    def guess(self, noisy: Tensor, step: int, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Data and noise that the averaged network sees in rows [B, size] at time `step`."""
        schedule = self.schedule
        said = self.average.module(noisy, torch.full((len(noisy),), step, device=noisy.device), classes)
        if self.guesses_data:
            return said, (noisy - schedule.signal[step] * said) / schedule.noise[step]
        return (noisy - schedule.noise[step] * said) / schedule.signal[step], said

    def make(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        """Algorithm 2, with the variance of the true posterior."""
        schedule, where = self.schedule, classes.to(self.device)
        x = torch.randn(len(classes), self.source.size, generator=generator).to(self.device)
        for step in reversed(range(self.config.noise_steps)):
            data, _ = self.guess(x, step, where)
            data = data.clamp(-1.0, 1.0) if self.source.image else data
            x = schedule.of_data[step] * data + schedule.of_noisy[step] * x
            if step:
                x = x + schedule.std[step] * torch.randn(x.shape, generator=generator).to(self.device)
        return x.cpu()

    def closed_form(self) -> tuple[np.ndarray, np.ndarray]:
        """For one Gaussian: times, and the root mean square difference between the noise guessed and the noise
        expected, E[noise | x_t] = sqrt(1 - kept) (x_t - sqrt(kept) mean) / (kept variance + 1 - kept)."""
        steps = np.linspace(0, self.config.noise_steps - 1, 20).round().astype(int)
        generator, errors = self.judging(JUDGE), []
        x, classes = self.source.draw(2000, generator)
        for step in steps.tolist():
            noise = torch.randn(x.shape, generator=generator)
            noisy = self.noisy(x.to(self.device), torch.full((len(x),), step), noise.to(self.device))
            signal, amount = self.schedule.signal[step], self.schedule.noise[step]
            seen = noisy.cpu() - signal * self.source.mean
            expected = amount * seen / (signal**2 * STD**2 + amount**2)
            _, guessed = self.guess(noisy, step, classes.to(self.device))
            errors.append((guessed.cpu() - expected).square().mean().sqrt().item())
        return steps, np.array(errors)

    def test(self) -> dict[str, float]:
        metrics = super().test()
        if isinstance(self.source, Gaussian):
            metrics["closed_form_error"] = float(np.sqrt(np.square(self.closed_form()[1]).mean()))
        return metrics

    def report(self, metrics: dict[str, float]) -> str:
        lines = [super().report(metrics)]
        if "closed_form_error" in metrics:
            lines.append(
                f"{metrics['closed_form_error']:9.3f}  root mean square difference to the closed form's guess of the "
                "noise, which has about size 1"
            )
        return "\n".join(lines)

    def images(self) -> dict[str, np.ndarray]:
        shown = super().images()
        if isinstance(self.source, Gaussian):
            steps, errors = self.closed_form()
            shown["closed_form"] = curves_image({"difference to the closed form": {"rms": (steps, errors)}}, "time")
        return shown


class _Example(nn.Module):
    """The denoiser as a module of rows alone, for looking at its layers."""

    def __init__(self, network: nn.Module, zero: Tensor) -> None:
        super().__init__()
        self.denoiser, self.zero = network, zero

    def forward(self, x: Tensor) -> Tensor:
        return self.denoiser(x, self.zero, self.zero)
