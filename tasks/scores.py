"""Metrics and baselines, by scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from sklearn import metrics as sk
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.tasks.predictor import Predictor

METRICS = ("accuracy", "f1", "roc_auc", "mse", "mae", "r2", "iou", "found", "loss")
HEADLINE = {
    "regression": "mse",
    "forecast": "mse",
    "binary": "accuracy",
    "multiclass": "accuracy",
    "language": "accuracy",
    "detection": "iou",
}


def decide(probabilities: np.ndarray, threshold: float) -> np.ndarray:
    """Class numbers [N]: the cut-off for two classes, the largest probability for more."""
    if probabilities.shape[1] > 2:
        return probabilities.argmax(1)
    return (probabilities[:, -1] >= threshold).astype(np.int64)


def score(model: Predictor, outputs: Tensor, target: Tensor, threshold: float) -> dict[str, float]:
    """Metrics of the network's outputs [N, ...] against the target as the network learns it [N, ...].

    Errors are in the target's own units. A figure that the rows do not define (roc_auc where a class is
    absent, r2 of one row) is left out.
    """
    spec, target = model.spec, target.cpu()
    if not torch.isfinite(outputs).all():
        raise UserError("the network puts out NaN or infinite numbers: train it again with a lower --learning-rate")
    if spec.kind in ("regression", "forecast"):
        return errors((outputs * spec.scale + spec.shift).numpy(), (target * spec.scale + spec.shift).numpy())
    return class_scores(model.probabilities(outputs).numpy(), target.numpy().astype(np.int64).ravel(), threshold)


def errors(prediction: np.ndarray, target: np.ndarray) -> dict[str, float]:
    """mse, mae and r2 over all elements."""
    prediction, target = prediction.ravel().astype(np.float64), target.ravel().astype(np.float64)
    result = {"mse": sk.mean_squared_error(target, prediction), "mae": sk.mean_absolute_error(target, prediction)}
    if len(target) > 1:
        result["r2"] = sk.r2_score(target, prediction)
    return {name: float(value) for name, value in result.items()}


def class_scores(probabilities: np.ndarray, target: np.ndarray, threshold: float) -> dict[str, float]:
    """accuracy, f1 (of the second of two classes, macro for more) and roc_auc (one against the rest for more)."""
    binary = probabilities.shape[1] <= 2
    choice = decide(probabilities, threshold)
    result = {
        "accuracy": sk.accuracy_score(target, choice),
        "f1": sk.f1_score(target, choice, average="binary" if binary else "macro", zero_division=0.0),
    }
    present = len(np.unique(target))
    if binary and present == 2:
        result["roc_auc"] = sk.roc_auc_score(target, probabilities[:, -1])
    elif not binary and present == probabilities.shape[1]:
        shares = probabilities.astype(np.float64)
        shares /= shares.sum(1, keepdims=True)
        result["roc_auc"] = sk.roc_auc_score(target, shares, multi_class="ovr")
    return {name: float(value) for name, value in result.items()}


def confusion(probabilities: np.ndarray, target: np.ndarray, threshold: float, classes: int) -> np.ndarray:
    """Counts [true class, predicted class]."""
    return sk.confusion_matrix(target, decide(probabilities, threshold), labels=range(classes))


def score_table(metrics: dict[str, float]) -> str:
    """Test metrics as lines: one a metric, the model first, then each rule that has it (named <rule>_<metric>)."""
    rules = [name.removesuffix(f"_{m}") for name in metrics for m in METRICS if name.endswith(f"_{m}")]
    rules = list(dict.fromkeys(rules))
    lines = ["".join(f"{cell:>12}" for cell in ("test", "model", *rules))]
    for name in METRICS:
        if name in metrics:
            values = [metrics.get(key) for key in (name, *(f"{rule}_{name}" for rule in rules))]
            cells = [name, *("" if value is None else f"{value:.5g}" for value in values)]
            lines.append("".join(f"{cell:>12}" for cell in cells))
    return "\n".join(lines)


def baseline(kind: str, train: Tensor, target: Tensor, scale: float, shift: float) -> dict[str, float]:
    """What the majority class, or the mean, of the training targets scores on `target`."""
    train, target = train.cpu(), target.cpu()
    if kind == "regression":
        mean = (train.mean().expand(target.shape) * scale + shift).numpy()
        return errors(mean, (target * scale + shift).numpy())
    known, counts = np.unique(train.numpy().ravel(), return_counts=True)
    return {"accuracy": float((target.numpy().ravel() == known[counts.argmax()]).mean())}
