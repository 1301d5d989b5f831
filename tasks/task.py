"""A supervised task: minibatches of labelled data, one loss, scores on rows that it has not learned from."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agent_gym.ground.course import Course
from agent_gym.ground.errors import UserError
from agent_gym.nets.learner.dense import DenseGradients
from agent_gym.nets.learner.learner import Learner, Stats
from agent_gym.nets.ranks import RANKS
from agent_gym.nets.summary import summary
from agent_gym.tasks.attention import attention_pictures
from agent_gym.tasks.config import TaskConfig
from agent_gym.tasks.objective import chosen_loss, objective
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.scores import HEADLINE, baseline, score, score_table

EARNED = 5000  # steps from which on a traced graph saves the second or two that tracing takes
CHUNK = 64  # minibatches gathered at once: one index_select instead of 64


class Part(NamedTuple):
    """Rows that lie on the device: x [N, ...], y [N, 1] floats or [N] int64 classes (forecasts: [N, ...])."""

    x: Tensor
    y: Tensor


class Dataset(NamedTuple):
    """What a task learns from and is judged by."""

    train: Part
    val: Part
    test: Part
    notes: tuple[str, ...] = ()
    """Lines that tell the user what was made of the data."""


class Task(ABC):
    """What the training loop trains (training.loop.Trainee), with the data it learns from.

    `collect` gathers the next shuffled minibatches, `update` learns from them; the order of epoch e is drawn from
    the seed and e alone. A subclass says in `load` where data comes from.
    """

    network = Predictor
    same_shapes = True  # of every minibatch but the last
    history = None  # all that a run needs to go on is in `state_dict`

    def __init__(self, config: TaskConfig, device: torch.device | str = "cpu") -> None:
        self.config, self.device = config, torch.device(device)
        spec, data = self.load()
        self.data = Dataset(*(Part(*(t.to(self.device) for t in part)) for part in data[:3]), data.notes)
        self.rows = len(self.data.train.y)
        self.batch_size = min(config.batch_size or self.rows, self.rows)
        self.steps_per_epoch = -(-self.rows // self.batch_size)
        self.epochs = config.epochs or self.enough_epochs()
        self.steps, self.total_steps = 0, self.epochs * self.steps_per_epoch
        self.course = Course(self.total_steps)
        self.interrupted: Callable[[], bool] = lambda: False
        self.notes: list[str] = []
        self.best_loss, self.best_step = math.inf, 0
        self.order_of, self.order = -1, torch.empty(0, dtype=torch.int64)
        self.loss_name = loss = chosen_loss(spec.kind, config.loss)
        odds = config.threshold / (1.0 - config.threshold)
        self.cut_off = math.log(odds) if odds > 0.0 else -math.inf  # of a logit
        if spec.kind == "binary" and "categorical" in loss:
            spec = replace(spec, outputs=2)
        self.model = self.build(spec).to(self.device)
        # on every batch of one shape
        same_operations = self.same_shapes and config.dropout == 0.0 and self.model.memory == 0
        capture = same_operations and self.total_steps >= EARNED
        self.learner = Learner(
            self.loss, self.model.parameters(), config, capture=capture, written_out=self.written_out()
        )

    @classmethod
    def restored(cls, config: TaskConfig, weights: Any, device: torch.device | str = "cpu") -> Task:
        """The task with the weights of a checkpoint and the data that `config` names. Raises UserError."""
        model = cls.network.restored(weights, config)
        task = cls(config, device)
        if cls.fixed(task.model.spec) != cls.fixed(model.spec):
            raise UserError(
                f"the weights were learned from other data than {task.subject} is now: use another checkpoint"
            )
        task.model.load_state_dict(weights)
        return task

    @staticmethod
    def fixed(spec: Spec) -> Spec:
        """What a network is made for, without the figures that scale its inputs and outputs."""
        return replace(spec, shift=0.0, scale=1.0)

    @abstractmethod
    def load(self) -> tuple[Spec, Dataset]:
        """The data, on the CPU. Raises UserError."""

    def build(self, spec: Spec) -> Predictor:
        """The network with its first weights."""
        return self.network(spec, self.config)

    def enough_epochs(self) -> int:
        """Epochs where the flags leave them open: about 3,000 steps, but at least 5 passes and at most 200."""
        return min(max(-(-3000 // self.steps_per_epoch), 5), 200)

    def written_out(self) -> DenseGradients | None:
        """The loss with gradients that need no autograd, where there is such a form."""
        return None

    @property
    def about(self) -> tuple[str, ...]:
        """Lines that tell the user what was made of the data."""
        return self.data.notes

    @property
    def eval_every(self) -> int:
        """Optimizer steps between validations; 0: never."""
        return self.steps_per_epoch * self.config.evaluation_interval(max(1, self.epochs // 100))

    @property
    def checkpoint_every(self) -> int:
        return self.steps_per_epoch * self.config.checkpoint_every

    @property
    def longer(self) -> str:
        """The flag that makes a run twice as long."""
        return f"--epochs {2 * self.epochs}"

    predicts = True  # for new rows

    def layers(self) -> str:
        """The network, layer by layer."""
        return summary(self.model, self.model.spec.space())

    @property
    def subject(self) -> str:
        """What the run is called after."""
        return "bundled"

    def augment(self, x: Tensor) -> Tensor:
        """What is learned from in place of a minibatch x [B, ...]; the seed and `steps` alone determine it."""
        return x

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Stats]:
        """The loss [] and, as a stat, accuracy (classes) or mae (numbers, in the target's own units)."""
        outputs = self.model.rows(x)
        return self.loss_of(outputs, y), self.quick_stats(outputs.detach(), y)

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """The loss that the flags name, of logits or predictions."""
        return objective(self.loss_name, self.model.spec.kind, outputs, y)

    def quick_stats(self, outputs: Tensor, y: Tensor) -> Stats:
        """One metric of detached outputs, cheap enough for every minibatch."""
        if self.model.spec.kind in ("regression", "forecast"):
            return {"mae": (outputs - y).abs_().mean() * self.model.spec.scale}
        if outputs.shape[-1] > 2:
            right = outputs.argmax(-1) == y
        elif outputs.shape[-1] == 2:
            right = (outputs.softmax(-1)[..., 1:] >= self.config.threshold) == (y > 0.5)
        else:
            right = (outputs >= self.cut_off) == (y > 0.5)
        return {"accuracy": right.float().mean()}

    def begin(self) -> None:  # noqa: B027
        """Nothing: the data is there."""

    def facts(self) -> dict[str, float]:
        """Nothing: the model says it all."""
        return {}

    def settle(self) -> None:  # noqa: B027
        """Nothing: `state_dict` is complete."""

    def watch_layers(self) -> None:
        """Log the gradient norm and the share of dead units of each layer."""
        self.learner.watch_layers(self.model)

    def collect(self) -> dict[str, float]:
        """Gather up to CHUNK minibatches of this epoch; a chunk never crosses its end."""
        epoch, first = divmod(self.steps, self.steps_per_epoch)
        if epoch != self.order_of:
            seed = int(np.random.SeedSequence((self.config.seed, epoch)).generate_state(1)[0])
            order = torch.randperm(self.rows, generator=torch.Generator().manual_seed(seed))
            self.order_of, self.order = epoch, order.to(self.device)
        rows = self.order[first * self.batch_size : (first + CHUNK) * self.batch_size]
        x, y = (t.index_select(0, rows).split(self.batch_size) for t in self.data.train)
        self.batches = list(zip(x, y, strict=True))
        return {}

    def update(self) -> Stats:
        """One optimizer step on each gathered minibatch; the means of their statistics."""
        self.model.train()
        stats = []
        for x, y in self.batches:
            self.learner.set_progress(self.course(self.steps))
            mine = RANKS.rows(len(x))
            stats.append(self.learner.update(self.augment(x[mine]), y[mine]))
            self.steps += 1
        self.learner.check()
        means = torch.stack([value for each in stats for value in each.values()]).view(len(stats), -1).mean(0)
        return dict(zip(stats[0], means, strict=True)) | {"learning_rate": torch.tensor(self.learner.learning_rate)}

    def evaluate(self) -> tuple[float, dict[str, float]]:
        """Minus the validation loss, and the validation scores; ends the run when --early-stopping says so."""
        outputs, y = self.judged(self.data.val)
        loss = self.loss_of(outputs, y).item()
        if loss < self.best_loss:
            self.best_loss, self.best_step = loss, self.steps
        elif 0 < self.config.early_stopping * self.steps_per_epoch <= self.steps - self.best_step:
            self.total_steps = self.steps
        scores = self.scores(outputs, y)
        return -loss, {"val/loss": loss} | {f"val/{name}": value for name, value in scores.items()}

    def judged(self, part: Part) -> tuple[Tensor, Tensor]:
        """Outputs and targets of a part, on the CPU, as the final figures count them."""
        return self.model.outputs(part.x), part.y.cpu()

    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        """Metrics of outputs against targets, both on the CPU."""
        return score(self.model, outputs, y, self.config.threshold)

    def test(self) -> dict[str, float]:
        """Final scores on the test part, each simple rule's beside them as <rule>_<metric>."""
        outputs, y = self.judged(self.data.test)
        scores = {"loss": self.loss_of(outputs, y).item()} | self.scores(outputs, y)
        for rule, figures in self.baselines().items():
            scores |= {f"{rule}_{name}": value for name, value in figures.items()}
        return scores

    def baselines(self) -> dict[str, dict[str, float]]:
        """Scores of the rules that a useful model beats, by the rule's name."""
        spec = self.model.spec
        rule = "mean" if spec.kind == "regression" else "majority"
        return {rule: baseline(spec.kind, self.data.train.y, self.data.test.y, spec.scale, spec.shift)}

    @property
    def headline(self) -> str:
        """The metric that sums a run up."""
        return HEADLINE[self.model.spec.kind]

    def samples(self) -> dict[str, np.ndarray | str]:
        """What it makes so far: pictures and texts by tag, at each validation."""
        return {}

    def images(self) -> dict[str, np.ndarray]:
        """Pictures for TensorBoard under their tags, uint8 [H, W, 3]."""
        from agent_gym.tasks.plots import confusion_image

        spec, pictures = self.model.spec, attention_pictures(self.model, self.data.test.x)
        if not spec.classes:
            return pictures
        probabilities = self.model.probabilities(self.model.outputs(self.data.test.x)).numpy()
        target = self.data.test.y.cpu().numpy().astype(np.int64).ravel()
        matrix = confusion_image(probabilities, target, self.config.threshold, spec.classes)
        return {"test/confusion_matrix": matrix} | pictures

    def report(self, metrics: dict[str, float]) -> str:
        """The figures of `test` for the terminal, the model's beside those of the rules."""
        return "\n".join([*self.lines(), score_table(metrics)])

    def lines(self) -> list[str]:
        """What else the report says."""
        return []

    def state_dict(self) -> dict:
        """Everything a run needs to go on, as tensors and plain data."""
        state = {
            "model": self.model.state_dict(),
            "learner": self.learner.state_dict(),
            "steps": self.steps,
            "best": [self.best_loss, self.best_step],
            "course": self.course.state_dict(),
            "dropout": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["dropout_cuda"] = torch.cuda.get_rng_state(self.device)
        return state

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.learner.load_state_dict(state["learner"])
        self.steps = state["steps"]
        self.best_loss, self.best_step = state["best"]
        line = self.course.load_state_dict(state["course"], self.steps, self.config.schedule_over)
        if line and self.config.scheduled:
            self.notes.append(line)
        torch.set_rng_state(state["dropout"].cpu())
        if "dropout_cuda" in state and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["dropout_cuda"].cpu(), self.device)
