"""A supervised model in Keras's manner around any module, trained by this project's Learner and run directory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agent_gym.commands.line.invocation import logdir
from agent_gym.export.files import can_write_onnx, write_graph
from agent_gym.export.predicting import Outputs
from agent_gym.ground.errors import UserError, nearest
from agent_gym.history import History
from agent_gym.layers import Activation, Layer, activate
from agent_gym.model_run import Fitting, ModelSettings
from agent_gym.nets.losses import LOSSES
from agent_gym.nets.summary import summary
from agent_gym.storage.charts import TASK_CHARTS
from agent_gym.training.callbacks import CallbackFailed, Callbacks
from agent_gym.training.running import run_session
from agent_gym.training.session import Session

SHORT = {"mean_squared_error": "mse", "mean_absolute_error": "mae", "acc": "accuracy"}
METRICS = ("accuracy", "mae", "mse")
RATES = {"adam": 1e-3, "adamw": 1e-3, "rmsprop": 1e-3, "sgd": 1e-2, "momentum": 1e-2}  # Keras's


class Model:
    """A module, or a list of layers (agent_gym.layers, or modules), that learns from arrays.

    With layers of ours a last sigmoid or softmax belongs to the output, as in Keras; a module of one's own puts out
    logits where the loss is a cross-entropy, as torch's losses take them.
    """

    def __init__(self, module: nn.Module | Sequence[Layer | nn.Module] | None = None, seed: int = 0) -> None:
        self.layers: list[Any] = []
        self._built: nn.Module | None = module if isinstance(module, nn.Module) else None
        self.final: Callable[[Tensor], Tensor] | None = None
        self.seed, self.settings, self.loss_name = seed, None, ""
        if self._built is None:
            for layer in module or ():
                self.add(layer)

    @property
    def module(self) -> nn.Module:
        """What computes the outputs, for loops of one's own. Raises UserError while the inputs' shape is not known."""
        if self._built is None:
            first = getattr(self.layers[0], "input_shape", None) if self.layers else None
            if first is None:
                raise UserError("the shape of the inputs is not known yet: give input_shape to the first layer, or fit")
            self.build(first)
        return self._built

    def add(self, layer: Layer | nn.Module) -> None:
        """Put a layer on top."""
        if not isinstance(layer, Layer | nn.Module):
            raise UserError(f"{type(layer).__name__} is no layer: expected one of agent_gym.layers or a torch module")
        if self._built is not None:
            raise UserError("the model is built already: add layers before compile and fit")
        self.layers.append(layer)

    def build(self, input_shape: Sequence[int]) -> None:
        """Make the modules for inputs of this shape, without the batch's dimension. Raises UserError."""
        if self._built is not None:
            return
        if not self.layers:
            raise UserError("the model has no layers: add some, or give a torch module")
        torch.manual_seed(self.seed)
        modules, shape = [], tuple(int(size) for size in input_shape)
        for place, layer in enumerate(self.layers):
            if isinstance(layer, nn.Module):
                modules.append(layer)
                with torch.no_grad():
                    shape = tuple(layer(torch.zeros(1, *shape)).shape[1:])
                continue
            module, shape = layer.build(shape)
            modules.append(module)
            if layer.activation is not None:
                function = activate(layer.activation)
                if place == len(self.layers) - 1 and layer.activation in ("sigmoid", "softmax"):
                    self.final = function
                else:
                    modules.append(Activation(layer.activation))
        self._built = nn.Sequential(*modules)

    def compile(self, optimizer: Any = "adam", loss: str = "mse", metrics: Iterable[str] = (), **settings: Any) -> None:
        """How it learns: `optimizer` by name or from agent_gym (Adam, SGD, …), `loss` and `metrics` by Keras's names.

        `settings`: learning_rate, schedule, weight_decay, max_grad_norm and the settings of a run (seed, run_dir, …).
        """
        chosen = optimizer if isinstance(optimizer, dict) else {"optimizer": str(optimizer).lower()}
        if chosen["optimizer"] not in RATES:
            raise UserError(f"optimizer {chosen['optimizer']!r}: expected one of {', '.join(RATES)}")
        loss = SHORT.get(loss, loss)
        if loss not in LOSSES:
            raise UserError(f"loss {loss!r}: expected one of {', '.join(LOSSES)}{nearest(str(loss), LOSSES)}")
        self.metrics = tuple(SHORT.get(metric, metric) for metric in metrics)
        for metric in self.metrics:
            if metric not in METRICS:
                raise UserError(f"metric {metric!r}: expected one of {', '.join(METRICS)}")
        known = ModelSettings.__dataclass_fields__
        for name in settings:
            if name not in known:
                raise UserError(f"compile has no setting {name!r}{nearest(name, known)}")
        options = {"learning_rate": RATES[chosen["optimizer"]], "seed": self.seed} | chosen | settings
        self.settings, self.loss_name = ModelSettings(**options), loss

    def fit(
        self,
        x: Any,
        y: Any,
        epochs: int = 1,
        batch_size: int = 32,
        validation_split: float = 0.0,
        validation_data: tuple[Any, Any] | None = None,
        callbacks: Iterable[Any] = (),
        verbose: int = 1,
        run_dir: str | Path = "",
    ) -> History:
        """Learn from rows x [N, ...] and targets y; the last `validation_split` of the rows judge each epoch.

        Writes a run directory with curves and checkpoints. `verbose` 0 prints nothing.
        """
        if self.settings is None:
            raise UserError("call compile(optimizer, loss) before fit")
        if epochs < 1 or batch_size < 1:
            raise UserError(f"epochs {epochs}, batch_size {batch_size}: expected 1 or more")
        if not 0.0 <= validation_split < 1.0:
            raise UserError(f"validation_split {validation_split}: expected 0 or more and below 1")
        inputs, targets = self._data(x, y)
        if validation_data is not None:
            validation = self._data(*validation_data)
        elif validation_split:
            cut = len(inputs) - int(len(inputs) * validation_split)
            validation = inputs[cut:], targets[cut:]
            inputs, targets = inputs[:cut], targets[:cut]
        else:
            validation = None
        if not len(inputs) or (validation is not None and not len(validation[0])):
            raise UserError(f"{len(x)} rows leave none to learn or to judge from: give more")
        settings = replace(self.settings, epochs=epochs, batch_size=batch_size, run_dir=str(run_dir), quiet=not verbose)
        trainee = Fitting(self, settings, (inputs, targets), validation)
        session = Session(
            name="model",
            subject="arrays",
            group="model",
            charts=TASK_CHARTS,
            config={"task": "model"} | settings.__dict__,
            trainee=trainee,
            evaluate=lambda moment: trainee.evaluate(),
            conclude=trainee.conclude,
            commands=lambda run: [(f"tensorboard --logdir {logdir(run)}", "curves")],
            resume=lambda run: "fit in the program that began it",
            headline="train/loss",
            eval_every=trainee.steps_per_epoch,
            callbacks=Callbacks(callbacks),
            layers=lambda: self.summary(show=False),
            export=self.export if can_write_onnx() else None,
        )
        try:
            ending = run_session(session, None, torch.device("cpu"))
        except CallbackFailed as error:
            raise error.__cause__ from None
        if ending.code:
            raise KeyboardInterrupt
        return History(trainee.curves, ending.path)

    def evaluate(self, x: Any, y: Any, verbose: int = 0) -> float | list[float]:
        """The loss, or a list of loss and metrics."""
        inputs, targets = self._data(x, y)
        scores = list(self._scores(inputs, targets).values())
        return scores[0] if len(scores) == 1 else scores

    @torch.no_grad()
    def predict(self, x: Any, batch_size: int = 4096) -> np.ndarray:
        """Outputs for rows x [N, ...]; probabilities where the last layer has a sigmoid or softmax."""
        inputs = _tensor(x, "x")
        if self._built is None:
            raise UserError("the model has no weights yet: call fit first")
        self.module.eval()
        outputs = torch.cat([self._outputs(part) for part in inputs.split(batch_size)])
        return (outputs if self.final is None else self.final(outputs)).numpy()

    def export(self, path: str | Path) -> Path:
        """Write what `predict` computes to one file for other programs, .onnx or .pt2. Raises UserError."""
        first = getattr(self.layers[0], "input_shape", None) if self.layers else None
        shape = getattr(self, "_seen", None) or first
        if self._built is None or shape is None:
            raise UserError("the model has no weights yet: call fit first")
        write_graph(Outputs(self.module, self.final, tuple(shape)), Path(path), {})
        return Path(path)

    def summary(self, show: bool = True) -> str:
        """The layers with their output shapes and parameters, printed too."""
        module = self.module
        first = getattr(self.layers[0], "input_shape", None) if self.layers else None
        shape = getattr(self, "_seen", None) or first
        if shape is None:
            raise UserError("the shape of the inputs is not known yet: call fit first")
        text = summary(module, torch.zeros(1, *shape))
        if show:
            print(text)
        return text

    def _data(self, x: Any, y: Any) -> tuple[Tensor, Tensor]:
        inputs, targets = _tensor(x, "x"), _tensor(y, "y")
        if len(inputs) != len(targets):
            raise UserError(f"x has {len(inputs)} rows and y {len(targets)}: expected as many")
        if not torch.isfinite(inputs).all() or not torch.isfinite(targets).all():
            raise UserError("x or y holds NaN or infinite numbers: fill or drop those rows")
        self._seen = tuple(inputs.shape[1:])
        first = getattr(self.layers[0], "input_shape", None) if self.layers else None
        if first is not None and tuple(first) != self._seen and self._built is None:
            raise UserError(f"x has rows of shape {self._seen}, and the first layer expects {tuple(first)}")
        self.build(self._seen)
        return inputs, targets

    def _outputs(self, inputs: Tensor) -> Tensor:
        try:
            return self.module(inputs)
        except RuntimeError as error:
            raise UserError(f"the model does not take rows of shape {tuple(inputs.shape[1:])}: {error}") from error

    def _loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        name, fn = self.loss_name, LOSSES[self.loss_name]
        if name == "sparse_categorical_crossentropy":
            if self.final is torch.sigmoid:
                raise UserError(f"loss {name!r} wants softmax or logits of every class, not a sigmoid")
            return fn(outputs, targets.flatten().long())
        if name in ("mse", "mae") and self.final is not None:
            outputs = self.final(outputs)
        if targets.dim() < outputs.dim() and outputs.shape[-1] == 1:
            targets = targets.unsqueeze(-1)
        if targets.shape != outputs.shape:
            raise UserError(
                f"y has the shape {tuple(targets.shape[1:])} a row and the model puts out {tuple(outputs.shape[1:])}: "
                f"loss {name!r} expects the same"
            )
        return fn(outputs, targets.float())

    def _metric(self, name: str, outputs: Tensor, targets: Tensor) -> Tensor:
        shown = outputs if self.final is None else self.final(outputs)
        if name != "accuracy":
            targets = targets.view_as(shown).float() if targets.numel() == shown.numel() else targets
            return LOSSES[name](shown, targets)
        if outputs.shape[-1] == 1:
            border = 0.5 if self.final is not None or "crossentropy" not in self.loss_name else 0.0
            return ((shown > border).flatten() == (targets.flatten() > 0.5)).float().mean()
        truth = targets.argmax(-1) if targets.shape == outputs.shape else targets.flatten().long()
        return (shown.argmax(-1).flatten() == truth.flatten()).float().mean()

    @torch.no_grad()
    def _scores(self, inputs: Tensor, targets: Tensor) -> dict[str, float]:
        if self.settings is None:
            raise UserError("call compile(optimizer, loss) before evaluate")
        self.module.eval()
        outputs = torch.cat([self._outputs(part) for part in inputs.split(4096)])
        scores = {"loss": float(self._loss(outputs, targets))}
        return scores | {name: float(self._metric(name, outputs, targets)) for name in self.metrics}


def _tensor(array: Any, name: str) -> Tensor:
    """Rows as floats. Raises UserError for what are no numbers."""
    try:
        values = np.asarray(array)
        if values.dtype.kind not in "fiub":
            values = values.astype(np.float64)
    except (TypeError, ValueError):
        raise UserError(f"{name} holds what is no number: give an array of numbers") from None
    if values.ndim == 0:
        raise UserError(f"{name} is a single number: expected rows")
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def _optimizer(name: str) -> Callable[..., dict[str, Any]]:
    def settings(learning_rate: float | None = None, **more: Any) -> dict[str, Any]:
        chosen = "momentum" if more.pop("momentum", 0.0) and name == "sgd" else name
        rate = {} if learning_rate is None else {"learning_rate": learning_rate}
        return {"optimizer": chosen, **rate, **more}

    settings.__doc__ = f"The optimizer {name} for Model.compile, by its settings."
    return settings


Adam, AdamW, SGD, RMSprop = (_optimizer(name) for name in ("adam", "adamw", "sgd", "rmsprop"))
