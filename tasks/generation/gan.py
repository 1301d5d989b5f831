"""Generative adversarial networks (Goodfellow et al. 2014): one makes, the other tells what was made from what is
real, and each learns from the other."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agent_gym.nets.encoders.mlp import MLP
from agent_gym.nets.heads import LinearHead
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.settings import OptimizerSettings
from agent_gym.nets.target import TargetNetwork
from agent_gym.tasks.generation.components import Components, Rows
from agent_gym.tasks.generation.generator import Generator
from agent_gym.tasks.generation.settings import GanConfig
from agent_gym.tasks.plots import curves_image
from agent_gym.tasks.study import Record, layer_tables

AVERAGED = 200  # steps of training over which the weights that make things are averaged, about


class Classed(nn.Module):
    """Rows [B, n] and classes [B] -> [B, out]: dense layers on the row beside its class as a one-hot vector."""

    def __init__(self, size: int, classes: int, out: int, config: GanConfig, activation: str) -> None:
        super().__init__()
        self.classes = classes
        self.body = MLP(size + classes, (config.width,) * config.depth, activation)
        self.head = LinearHead(self.body.out_dim, out)

    def forward(self, x: Tensor, classes: Tensor) -> Tensor:
        return self.head(self.body(torch.cat((x, F.one_hot(classes, self.classes).to(x.dtype)), dim=-1)))


class Gan(Generator):
    """A step of the discriminator and one of the generator."""

    config: GanConfig

    def __init__(self, config: GanConfig, device: torch.device | str = "cpu") -> None:
        super().__init__(config, device)
        source = self.source
        codes = Components(source, config.components) if source.image else Rows(source)
        if source.image:
            self.about += (f"{codes.size} principal components keep {codes.kept:.1%} of their variance",)
        self.codes = codes.to(self.device)
        optimizer = OptimizerSettings(optimizer="rmsprop", learning_rate=config.learning_rate, schedule="linear")
        maker = Classed(config.latent_size, source.classes, codes.size, config, "relu").to(self.device)
        teller = Classed(codes.size, source.classes, 1, config, "leaky_relu").to(self.device)
        self.learners = {
            "discriminator": Learner(self.discriminator_loss, teller.parameters(), optimizer, capture=True),
            "generator": Learner(self.generator_loss, maker.parameters(), optimizer, capture=True),
        }
        self.average = TargetNetwork(maker, self.learners["generator"].parameters)
        networks = {"generator": maker, "discriminator": teller, "average": self.average.module}
        self.model = nn.ModuleDict(networks | {"codes": self.codes, "record": Record()})

    def layers(self) -> str:
        zero = torch.zeros(1, dtype=torch.int64, device=self.device)
        examples = {"generator": self.config.latent_size, "discriminator": self.codes.size}
        return layer_tables(
            {
                name: (_Example(self.model[name], zero), torch.zeros(1, size, device=self.device))
                for name, size in examples.items()
            }
        )

    def discriminator_loss(
        self, real: Tensor, made: Tensor, classes: Tensor, nudge: Tensor, other: Tensor
    ) -> tuple[Tensor, Stats]:
        """-log D(real) - log(1 - D(made)), and the squared slope of D at both: the zero-centred penalties of Mescheder
        et al. 2018, by differences along random directions instead of a second derivative."""
        tell = self.model["discriminator"]
        says_real, says_made = tell(real, classes), tell(made, classes)
        loss = F.softplus(-says_real).mean() + F.softplus(says_made).mean()
        if self.config.penalty > 0:
            steps = tell(real + nudge, classes) - says_real, tell(made + other, classes) - says_made
            slope = sum(step.square().mean() for step in steps) / self.config.noise**2
            loss = loss + 0.5 * self.config.penalty * slope
        right = 0.5 * ((says_real.detach() > 0).float().mean() + (says_made.detach() <= 0).float().mean())
        return loss, {"discriminator_right": right}

    def generator_loss(self, latent: Tensor, classes: Tensor, blur: Tensor) -> tuple[Tensor, Stats]:
        """-log D(made): the paper's second form, which has a slope where D is sure."""
        made = self.model["generator"](latent, classes) + blur
        return F.softplus(-self.model["discriminator"](made, classes)).mean(), {}

    def update(self) -> Stats:
        config, generator = self.config, self.generator()

        def noise(size: int, scale: float = 1.0) -> Tensor:
            return (scale * torch.randn(config.batch_size, size, generator=generator)).to(self.device)

        x, classes = self.batch(generator)
        size = self.codes.size
        for learner in self.learners.values():
            learner.set_progress(self.course(self.steps))
        with torch.no_grad():
            real = self.codes.encode(x) + noise(size, config.noise)
            made = self.model["generator"](noise(config.latent_size), classes) + noise(size, config.noise)
        nudge, other = noise(size, config.noise), noise(size, config.noise)
        told = self.learners["discriminator"].update(real, made, classes, nudge, other)
        fooled = self.learners["generator"].update(noise(config.latent_size), classes, noise(size, config.noise))
        self.steps += 1
        self.average.follow(1.0 / min(self.steps, AVERAGED))
        if self.steps % max(self.total_steps // 100, 1) == 0:
            self.model["record"].note("losses", self.steps, told["loss"], fooled["loss"])
        stats = {f"discriminator_{name}": told[name] for name in ("loss", "grad_norm")}
        stats |= {f"generator_{name}": fooled[name] for name in ("loss", "grad_norm")}
        return stats | {"loss": told["loss"], "discriminator_right": told["discriminator_right"]}

    @torch.no_grad()
    def make(self, classes: Tensor, generator: torch.Generator) -> Tensor:
        latent = torch.randn(len(classes), self.config.latent_size, generator=generator)
        return self.codes.decode(self.average.module(latent.to(self.device), classes.to(self.device))).cpu()

    def lines(self) -> list[str]:
        columns = self.model["record"].columns("losses")
        if not columns:
            return []
        told, fooled = (float(np.mean(column[-10:])) for column in columns[1:])
        return [
            f"losses at the end: discriminator {told:.3f}, generator {fooled:.3f}; where nothing can be told apart",
            f"they are 2 ln 2 = {2 * math.log(2):.3f} and ln 2 = {math.log(2):.3f}.",
            "They say who is ahead, not how good the samples are, nor whether kinds are missing; for that:",
        ]

    def images(self) -> dict[str, np.ndarray]:
        columns = self.model["record"].columns("losses")
        shown = super().images()
        if columns:
            steps, told, fooled = columns
            panels = {
                "losses": {"discriminator": (steps, told), "generator": (steps, fooled)},
                "if nothing can be told apart": {
                    "discriminator: 2 ln 2": (steps, [2 * math.log(2)] * len(steps)),
                    "generator: ln 2": (steps, [math.log(2)] * len(steps)),
                },
            }
            shown["losses"] = curves_image(panels, "step")
        return shown


class _Example(nn.Module):
    """A network as a module of rows alone, for looking at its layers."""

    def __init__(self, network: nn.Module, zero: Tensor) -> None:
        super().__init__()
        self.network, self.zero = network, zero

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, self.zero)
