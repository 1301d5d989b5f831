"""The adding problem (Hochreiter and Schmidhuber 1997): two numbers to remember among many."""

from __future__ import annotations

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.nets.encoders.make import make_encoder
from agent_gym.nets.encoders.recurrent.encoder import LSTMLayer
from agent_gym.nets.heads import LinearHead
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.losses import mse
from agent_gym.nets.settings import EncoderSettings, OptimizerSettings
from agent_gym.tasks.lessons.settings import SHORTEST, MemoryConfig, MemoryName
from agent_gym.tasks.plots import bars_image, curves_image
from agent_gym.tasks.study import Record, Study, layer_tables

CONSTANT = 1.0 / 6.0  # the variance of the sum of two uniform numbers: what always saying 1 costs
TEST_ROWS = 1000


def draw(length: int, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Sequences [T, B, 2] of uniform numbers and marks, one mark in each half, and the sums of the marked [B, 1]."""
    numbers, marks = torch.rand(length, count, generator=generator), torch.zeros(length, count)
    half, columns = length // 2, torch.arange(count)
    marks[torch.randint(half, (count,), generator=generator), columns] = 1.0
    marks[torch.randint(half, length, (count,), generator=generator), columns] = 1.0
    return torch.stack((numbers, marks), dim=-1), (numbers * marks).sum(0)[:, None]


class Adder(nn.Module):
    """Sequences [T, B, 2] -> the sum [B, 1], told after the last step."""

    def __init__(self, encoder: MemoryName, size: int, longest: int) -> None:
        super().__init__()
        space = spaces.Box(-np.inf, np.inf, (2,), np.float32)
        config = EncoderSettings(
            encoder=encoder, hidden_sizes=(), recurrent_size=size, attention_size=size, attention_window=longest
        )
        self.encoder = make_encoder(space, config)
        for layer in self.encoder.modules():
            if isinstance(layer, LSTMLayer):  # open at first, or the memory is lost before it is missed (Gers 2000)
                nn.init.ones_(layer.bias_ih.data[layer.size : 2 * layer.size])
        self.head = LinearHead(self.encoder.out_dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        reset = torch.zeros(x.shape[:2], dtype=torch.bool, device=x.device)
        return self.head(self.encoder(x, self.encoder.initial_state(x.shape[1]), reset)[0][-1])


class Memory(Study):
    """A minibatch a step, the same for every network."""

    config: MemoryConfig
    headline = "worst"

    def __init__(self, config: MemoryConfig, device: torch.device | str = "cpu") -> None:
        super().__init__(config, device)
        self.model, self.learners = nn.ModuleDict(), {}
        optimizer = OptimizerSettings(
            optimizer="adam", learning_rate=config.learning_rate, schedule="cosine", max_grad_norm=1.0
        )
        for name in config.encoders:
            network = Adder(name, config.size, max(config.lengths)).to(self.device)
            self.model[name] = network
            self.learners[name] = Learner(self.loss_of(network), network.parameters(), optimizer)
        self.model["record"] = Record()
        self.tests = {}
        for length in sorted(config.lengths):
            generator = torch.Generator().manual_seed(config.seed + 1_000_003)
            self.tests[length] = tuple(t.to(self.device) for t in draw(length, TEST_ROWS, generator))

    @staticmethod
    def loss_of(network: nn.Module):
        return lambda x, y: (mse(network(x), y), {})

    def layers(self) -> str:
        example = next(iter(self.tests.values()))[0][:, :1]
        return layer_tables({name: (self.model[name], example) for name in self.learners})

    def length_now(self, generator: torch.Generator) -> int:
        """Of the training sequences: any up to the longest of this step."""
        ramp = self.config.growing * self.total_steps
        grown = min(self.steps / ramp, 1.0) if ramp > 0.0 else 1.0
        longest = max(SHORTEST, round(max(self.config.lengths) * grown))
        return int(torch.randint(SHORTEST, longest + 1, (), generator=generator))

    def update(self) -> Stats:
        generator = self.generator()
        x, y = draw(self.length_now(generator), self.config.batch_size, generator)
        x, y = x.to(self.device), y.to(self.device)
        stats: Stats = {}
        for name, learner in self.learners.items():
            learner.set_progress(self.course(self.steps))
            stats |= {f"{name}/{key}": value for key, value in learner.update(x, y).items()}
        self.steps += 1
        return stats | {"loss": torch.stack([stats[f"{name}/loss"] for name in self.learners]).mean()}

    @torch.no_grad()
    def errors(self) -> dict[str, float]:
        """The mean squared error of each network at each length."""
        return {
            f"{name}_{length}": mse(self.model[name](x), y).item()
            for name in self.learners
            for length, (x, y) in self.tests.items()
        }

    def evaluate(self) -> tuple[float, dict[str, float]]:
        errors = self.errors()
        self.model["record"].note("errors", self.steps, *errors.values())
        return float(self.steps), {f"val/{name}": value for name, value in errors.items()}

    def test(self) -> dict[str, float]:
        errors = self.errors()
        longest = max(self.config.lengths)
        return errors | {"constant": CONSTANT, "worst": max(errors[f"{name}_{longest}"] for name in self.learners)}

    def report(self, metrics: dict[str, float]) -> str:
        lengths = list(self.tests)
        lines = ["mean squared error by length" + "".join(f"{length:>10}" for length in lengths)]
        lines.append(f"{'constant (1/6)':>28}" + f"{CONSTANT:10.4f}" * len(lengths))
        for name in self.learners:
            lines.append(f"{name:>28}" + "".join(f"{metrics[f'{name}_{length}']:10.4f}" for length in lengths))
        return "\n".join(lines)

    def images(self) -> dict[str, np.ndarray]:
        steps, *columns = self.model["record"].columns("errors") or [[]]
        names = [f"{name}_{length}" for name in self.learners for length in self.tests]
        curves = dict(zip(names, columns, strict=True)) if columns else {}
        panels = {}
        for length in self.tests if curves else ():
            panels[f"error at length {length}"] = {n: (steps, curves[f"{n}_{length}"]) for n in self.learners}
            panels[f"error at length {length}"]["constant"] = (steps, [CONSTANT] * len(steps))
        errors = self.errors()
        bars = {n: [errors[f"{n}_{length}"] for length in self.tests] for n in self.learners}
        bars["constant"] = [CONSTANT] * len(self.tests)
        labels = [f"length {length}" for length in self.tests]
        shown = {"lesson/errors": bars_image({"mean squared error": bars}, labels, log=True)}
        return shown | ({"lesson/curves": curves_image(panels, "step", log="y", columns=3)} if panels else {})
