"""The rows of a supervised task, in numbers: scales, classes, outliers, columns that give the answer away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

ROWS = 4000
COLUMNS = 60
MANY = 10  # values, of a column that is no choice
ALONE = 2.0  # spans of all other values, between them and one that stands for "unknown"
DIFFERENT = 50  # values of a column, from which on two equal rows are one row written twice


def row_facts(task: Any) -> dict[str, Any]:
    """Of a task with `data` (train, val and test with x and y), `model` and its spec; {} for other kinds.

    `input_names` of the task, if it has them, are the columns that its inputs are made of.
    """
    spec = getattr(getattr(task, "model", None), "spec", None)
    data = getattr(task, "data", None)
    if spec is None or data is None or spec.kind not in ("regression", "binary", "multiclass"):
        return {}
    parts = {name: _part(getattr(data, name)) for name in ("train", "val", "test")}
    x, y = parts["train"]
    found: dict[str, Any] = {"kind": spec.kind, "rows": {name: len(part[1]) for name, part in parts.items()}}
    table = x.ndim == 2 and x.shape[1] <= 2000
    if table and x.size:
        std = x.std(0)
        moving = std > 0
        if moving.any():
            found["scale_ratio"] = float(std[moving].max() / std[moving].min())
            found["widest"] = float(np.sqrt(np.square(x).mean(0)).max())
            found["largest"] = float(np.abs(x).max())
        found["constant"] = int((~moving).sum())
        found["marker"] = marker(x, getattr(task, "input_names", ()))
    if spec.kind == "regression":
        q1, q3 = np.quantile(y, (0.25, 0.75))
        found["target_outlier"] = float(np.abs(y - np.median(y)).max() / max(q3 - q1, 1e-12))
        found["target_kurtosis"] = float(((y - y.mean()) ** 4).mean() / max(y.var() ** 2, 1e-24))
    else:
        classes = np.unique(np.concatenate([part[1] for part in parts.values()]))
        found["majority"] = float(np.bincount(y.astype(int)).max() / len(y))
        found["classes"] = len(classes)
        found["missing"] = {
            name: [int(c) for c in classes if c not in part[1]]
            for name, part in parts.items()
            if set(classes) - set(part[1])
        }
    if table and x.size:
        found["columns"] = x.shape[1]
        found |= _repeated(x, parts)
    if table and len(y) >= 20 and parts["val"][1].size >= 5:
        found |= _trees(spec.kind, parts)
        names = getattr(task, "input_names", ())
        found["best_column"] = str(names[found["best_column"]]) if names else f"number {found['best_column']}"
    found |= _model(task, spec.kind, parts)
    return found


def _part(part: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = part.x[:ROWS].cpu(), part.y[:ROWS].cpu()
    return x.double().numpy(), y.double().numpy().ravel()


def marker(x: np.ndarray, names: Sequence[str] = ()) -> dict[str, Any] | None:
    """The column of x [N, n] whose lowest or highest value is there again and again, far from all others: a number
    that stands for "unknown". None where there is none."""
    for k, column in enumerate(x.T[:COLUMNS]):
        values, counts = np.unique(column, return_counts=True)
        if len(values) <= MANY:
            continue
        for end, rest in ((0, values[1:]), (-1, values[:-1])):
            gap = np.abs(values[end] - rest).min() / max(rest[-1] - rest[0], 1e-12)
            if counts[end] >= max(3, 0.002 * len(column)) and gap > ALONE:
                name = str(names[k]) if len(names) else f"number {k}"
                return {
                    "column": name,
                    "end": ("lowest", "highest")[end],
                    "share": counts[end] / len(column),
                    "gap": gap,
                }
    return None


def _repeated(x: np.ndarray, parts: dict) -> dict[str, Any]:
    """The share of validation and test rows whose inputs stand in a training row too, where chance brings none about:
    an input has many different values."""
    if max(len(np.unique(column)) for column in x.T) < DIFFERENT:
        return {}
    known = {row.tobytes() for row in x}
    others = np.concatenate([parts[name][0] for name in ("val", "test") if len(parts[name][0])] or [x[:0]])
    return {"repeated": float(np.mean([row.tobytes() in known for row in others]))} if len(others) else {}


def _alone(kind: str, x: np.ndarray, y: np.ndarray) -> list[float]:
    """What each column alone explains of the target (above chance): a tree grown on one half of the rows says the other
    half, and the other way round."""
    single = DecisionTreeRegressor if kind == "regression" else DecisionTreeClassifier
    order = np.random.default_rng(0).permutation(len(y))
    halves = order[: len(y) // 2], order[len(y) // 2 :]
    found = []
    for k in range(min(x.shape[1], COLUMNS)):
        told = np.empty(len(y))
        for learn, judge in (halves, halves[::-1]):
            tree = single(max_depth=4, min_samples_leaf=3, random_state=0).fit(x[learn, k : k + 1], y[learn])
            told[judge] = tree.predict(x[judge, k : k + 1])
        found.append(_skill(kind, y, told, y))
    return found


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two columns say the same, such as the two of one choice."""
    if a.std() == 0 or b.std() == 0:
        return False
    return bool(abs(np.corrcoef(a, b)[0, 1]) > 0.98)


def _trees(kind: str, parts: dict) -> dict[str, Any]:
    """What one column alone explains of the target (above chance), and what a forest does with all in validation."""
    (x, y), (vx, vy) = parts["train"], parts["val"]
    regression = kind == "regression"
    alone = _alone(kind, np.concatenate((x, vx)), np.concatenate((y, vy)))
    order = np.argsort(alone)[::-1]
    forest = (ExtraTreesRegressor if regression else ExtraTreesClassifier)(
        100, min_samples_leaf=2, random_state=0, n_jobs=1
    ).fit(x, y)
    return {
        "best_column": int(order[0]),
        "best_column_skill": float(alone[order[0]]),
        "second_column_skill": max((alone[k] for k in order[1:] if not _alike(x[:, k], x[:, order[0]])), default=0.0),
        "forest_skill": _skill(kind, vy, forest.predict(vx), y),
    }


def _skill(kind: str, y: np.ndarray, predicted: np.ndarray, train: np.ndarray) -> float:
    """0: no better than the mean or the majority; 1: perfect."""
    if kind == "regression":
        error = np.square(y - predicted).mean()
        return float(1.0 - error / max(np.square(y - train.mean()).mean(), 1e-24))
    classes = len(np.unique(train))
    chance = 1.0 / max(classes, 2)
    return float((balanced_accuracy_score(y, predicted) - chance) / (1.0 - chance))


@torch.no_grad()
def _model(task: Any, kind: str, parts: dict) -> dict[str, Any]:
    """The same skill of the network, and the loss, on each part."""
    found: dict[str, Any] = {"skill": {}, "loss": {}, "accuracy": {}}
    for name, part in (("train", task.data.train), ("val", task.data.val), ("test", task.data.test)):
        if not len(part.y):
            continue
        outputs, y = task.model.outputs(part.x[:ROWS]), part.y[:ROWS].cpu()
        found["loss"][name] = float(task.loss_of(outputs, y))
        target = y.double().numpy().ravel()
        if kind == "regression":
            predicted = outputs.double().numpy().ravel()
        else:
            p = task.model.probabilities(outputs).numpy()
            predicted = (p[:, -1] >= 0.5).astype(int) if p.shape[1] <= 2 else p.argmax(1)
            found["accuracy"][name] = float((predicted == target).mean())
        found["skill"][name] = _skill(kind, target, predicted, parts["train"][1])
    return found
