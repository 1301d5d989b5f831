"""Why deep networks used not to learn: the gradient that reaches each of ten layers, by activation."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from agent_gym.nets.encoders.mlp import MLP
from agent_gym.nets.heads import LinearHead
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.losses import sparse_categorical_crossentropy
from agent_gym.nets.settings import OptimizerSettings
from agent_gym.tasks.lessons.settings import GradientsConfig
from agent_gym.tasks.plots import bars_image, curves_image
from agent_gym.tasks.study import Record, Study, layer_tables


class Gradients(Study):
    """A minibatch a step, the same for every network."""

    config: GradientsConfig
    headline = "first_to_last"

    def __init__(self, config: GradientsConfig, device: torch.device | str = "cpu") -> None:
        super().__init__(config, device)
        digits = load_digits()  # 8 x 8: as many inputs as a layer has units
        self.x = torch.from_numpy(digits.data / 16.0).float().to(self.device)
        self.y = torch.from_numpy(digits.target).long().to(self.device)
        self.names = [f"layer {number + 1}" for number in range(config.layers)]
        self.model, self.learners = nn.ModuleDict(), {}
        for activation in config.activations:
            body = MLP(self.x.shape[1], (config.width,) * config.layers, activation)
            network = nn.Sequential(body, LinearHead(body.out_dim, 10)).to(self.device)
            learner = Learner(
                self.loss_of(network),
                network.parameters(),
                OptimizerSettings(optimizer="adam", learning_rate=config.learning_rate),
            )
            learner.watch_layers(body)
            self.model[activation], self.learners[activation] = network, learner
        self.model["record"] = Record()

    @staticmethod
    def loss_of(network: nn.Module):
        def loss(x: Tensor, y: Tensor) -> tuple[Tensor, Stats]:
            logits = network(x)
            right = (logits.detach().argmax(-1) == y).float().mean()
            return sparse_categorical_crossentropy(logits, y), {"accuracy": right}

        return loss

    def watch_layers(self) -> None:
        """Nothing: all are watched."""

    def layers(self) -> str:
        first = self.config.activations[0]
        return layer_tables({f"one network for each of {self.config.activations}": (self.model[first], self.x[:1])})

    def update(self) -> Stats:
        rows = torch.randint(len(self.y), (self.config.batch_size,), generator=self.generator()).to(self.device)
        stats: Stats = {}
        for name, learner in self.learners.items():
            stats |= {f"{name}/{key}": value for key, value in learner.update(self.x[rows], self.y[rows]).items()}
        first_or_last = self.steps in (0, self.total_steps - 1)
        if first_or_last or self.steps % max(self.total_steps // 100, 1) == 0:
            self.note(stats)
        self.steps += 1
        losses = [stats[f"{name}/loss"] for name in self.learners]
        return stats | {"loss": torch.stack(losses).mean()}

    def note(self, stats: Stats) -> None:
        """Step, loss, accuracy, then gradient norm and share of dead units of each hidden layer."""
        for name in self.learners:
            layers = [str(number) for number in range(self.config.layers)]
            norms, dead = ([stats[f"{name}/{kind}/{k}"] for k in layers] for kind in ("grad_norm", "dead_units"))
            head = (stats[f"{name}/loss"], stats[f"{name}/accuracy"])
            self.model["record"].note(name, self.steps, *head, *norms, *dead)

    def noted(self, name: str, when: int) -> tuple[list[float], list[float], list[float]]:
        """(step, loss, accuracy), gradient norms and dead shares by layer, of the first (0) or latest (-1) note."""
        row, depth = self.model["record"].rows[name][when], self.config.layers
        return row[:3], row[3 : 3 + depth], row[3 + depth :]

    def test(self) -> dict[str, float]:
        metrics = {}
        for name in self.learners:
            _, norms, _ = self.noted(name, 0)
            (_, loss, accuracy), _, dead = self.noted(name, -1)
            metrics |= {
                f"{name}_first_to_last": norms[0] / max(norms[-1], 1e-30),
                f"{name}_dead_units": float(np.mean(dead)),
                f"{name}_loss": loss,
                f"{name}_accuracy": accuracy,
            }
        return metrics | {"first_to_last": min(metrics[f"{name}_first_to_last"] for name in self.learners)}

    def report(self, metrics: dict[str, float]) -> str:
        lines = [
            f"gradient norm of layer 1 over that of layer {self.config.layers} before learning, the rest at the end:",
            "  activation  layer 1 / last  dead or saturated      loss  accuracy",
        ]
        for name in self.learners:
            ratio, dead, loss, right = (
                metrics[f"{name}_{key}"] for key in ("first_to_last", "dead_units", "loss", "accuracy")
            )
            lines.append(f"{name:>12}  {ratio:14.2g}  {dead:17.1%}  {loss:8.4f}  {right:8.1%}")
        lines += ["", "norms before learning:", "       layer" + "".join(f"{n:>12}" for n in self.learners)]
        norms = [self.noted(name, 0)[1] for name in self.learners]
        lines += [f"{k + 1:12}" + "".join(f"{norm[k]:12.2g}" for norm in norms) for k in range(self.config.layers)]
        return "\n".join(lines)

    def images(self) -> dict[str, np.ndarray]:
        record = self.model["record"]
        columns = {name: record.columns(name) for name in self.learners}
        panels = {
            "gradient norm of layer 1": {name: (c[0], c[3]) for name, c in columns.items()},
            "loss": {name: (c[0], c[1]) for name, c in columns.items()},
        }
        bars = {
            "gradient norm by layer, before learning": {name: self.noted(name, 0)[1] for name in self.learners},
            "gradient norm by layer, at the end": {name: self.noted(name, -1)[1] for name in self.learners},
        }
        dead = {"share of dead or saturated units, at the end": {n: self.noted(n, -1)[2] for n in self.learners}}
        return {
            "lesson/curves": curves_image(panels, "step", log="y"),
            "lesson/gradients": bars_image(bars, self.names, log=True),
            "lesson/dead_units": bars_image(dead, self.names),
        }
