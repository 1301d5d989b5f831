"""Tables: any CSV file, and scikit-learn's iris, breast cancer and diabetes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from sklearn import datasets
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short
from agent_gym.tasks.config import TaskConfig
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.scores import decide, score
from agent_gym.tasks.tables.columns import Columns, choose_columns, fit_columns
from agent_gym.tasks.tables.frames import file_row, is_numeric, listed, numbers, read_table, texts
from agent_gym.tasks.task import Dataset, Part, Task, split_rows

MAX_INTEGER_CLASSES = 20  # a target of more different numbers than this, or than every fifth row, is a quantity
MAX_CLASSES = 100


@dataclass(frozen=True)
class TableConfig(TaskConfig):
    """Any CSV file: classes or a number from the other columns."""

    target: str = ""
    """Column to predict."""
    ignore: tuple[str, ...] = ()
    """Columns to leave out."""
    kind: Literal["auto", "regression", "binary", "multiclass"] = "auto"
    """What the target is; auto: text or few whole numbers are classes, anything else is a number."""
    scaler: Literal["standard", "minmax", "none"] = "standard"
    """How numbers are scaled, from the training part: mean 0 and deviation 1, the range 0 to 1, or not."""
    batch_size: int = 64
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class IrisConfig(TableConfig):
    """Three species of iris from four lengths (150 rows)."""

    target: str = "species"
    epochs: int = 100
    batch_size: int = 16
    learning_rate: float = 3e-3
    hidden_sizes: tuple[int, ...] = (16,)


@dataclass(frozen=True)
class BreastCancerConfig(TableConfig):
    """Malignant or benign from thirty measurements (569 rows)."""

    target: str = "diagnosis"
    epochs: int = 60
    batch_size: int = 32
    learning_rate: float = 1e-3
    hidden_sizes: tuple[int, ...] = (16,)
    weight_decay: float = 1e-3


@dataclass(frozen=True)
class DiabetesConfig(TableConfig):
    """Progression of diabetes after a year, a number from ten measurements (442 rows)."""

    target: str = "progression"
    kind: Literal["auto", "regression", "binary", "multiclass"] = "regression"
    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-3
    hidden_sizes: tuple[int, ...] = (16,)
    weight_decay: float = 1e-2


class Table(Task):
    """Rows of a CSV file."""

    config: TableConfig
    scale_target = True

    def frame(self) -> pd.DataFrame:
        """The rows. Raises UserError."""
        if not self.config.data:
            raise UserError("table needs --data FILE.csv and --target COLUMN")
        return read_table(Path(self.config.data), quiet=self.config.quiet)

    @property
    def subject(self) -> str:
        return Path(self.config.data).stem if self.config.data else super().subject

    def load(self) -> tuple[Spec, Dataset]:
        config, frame = self.config, self.frame()
        if not config.target:
            raise UserError(f"--target is missing: expected one of {listed(frame.columns)}")
        numeric, categorical, notes = choose_columns(frame, config.target, config.ignore)
        unknown = frame[config.target].isna()
        if unknown.any():
            first = file_row(frame, int(unknown.argmax()))
            notes.append(f"{int(unknown.sum()):,} rows left out: no {config.target!r} (first: row {first})")
            frame = frame[~unknown]
        kind, classes, target = read_target(frame, config.target, config.kind)
        rows = split_rows(config, len(frame), target if classes else None)
        columns = fit_columns(frame, numeric, categorical, rows[0], config.scaler)
        shift, scale = 0.0, 1.0
        if kind == "regression" and self.scale_target:
            shift, scale = float(target[rows[0]].mean()), float(target[rows[0]].std()) or 1.0
        spec = Spec(
            kind=kind,
            shape=(columns.width,),
            outputs=len(classes) if kind == "multiclass" else 1,
            classes=classes,
            target=config.target,
            shift=shift,
            scale=scale,
            columns=asdict(columns),
        )
        x, y = torch.from_numpy(columns.encode(frame)), targets(spec, target)
        what = f"{len(classes)} classes" if classes else "a number"
        shares = " / ".join(f"{len(part):,}" for part in rows)
        notes.append(f"{config.target!r} is {what}; {shares} rows to train / validate / test, {columns.width} inputs")
        return spec, Dataset(*(Part(x[part], y[part]) for part in rows), tuple(notes))


class Iris(Table):
    """scikit-learn's iris."""

    def frame(self) -> pd.DataFrame:
        return super().frame() if self.config.data else bundled(datasets.load_iris(as_frame=True), "species")


class BreastCancer(Table):
    """scikit-learn's breast cancer; the second class, whose probability --threshold cuts, is malignant."""

    def frame(self) -> pd.DataFrame:
        return super().frame() if self.config.data else bundled(datasets.load_breast_cancer(as_frame=True), "diagnosis")


class Diabetes(Table):
    """scikit-learn's diabetes, in its original units."""

    def frame(self) -> pd.DataFrame:
        if self.config.data:
            return super().frame()
        return bundled(datasets.load_diabetes(as_frame=True, scaled=False), "progression")


def bundled(bunch: object, target: str) -> pd.DataFrame:
    """A scikit-learn data set with its target named, and classes by their names."""
    frame = bunch.frame.rename(columns={"target": target})
    names = getattr(bunch, "target_names", None)
    if names is not None:
        frame[target] = np.asarray(names)[frame[target]]
    return frame


def read_target(frame: pd.DataFrame, column: str, kind: str) -> tuple[str, tuple[str, ...], np.ndarray]:
    """The kind of target, its class names and its values [N]: floats, or class numbers. Raises UserError."""
    cells = frame[column]
    if not len(cells):
        raise UserError(f"target {column!r} is empty in every row: nothing to learn")
    count = cells.nunique()
    if count == 1:
        raise UserError(
            f"target {column!r} has one class, {short(str(cells.iloc[0]))}, in every row: expected two or more"
        )
    numeric = is_numeric(cells)
    if kind == "auto":
        whole = numeric and bool((numbers(frame, column) % 1 == 0).all())
        quantity = numeric and (not whole or count > min(MAX_INTEGER_CLASSES, max(2, len(cells) // 5)))
        kind = "regression" if quantity else "binary" if count == 2 else "multiclass"
    if kind == "regression":
        return kind, (), numbers(frame, column)
    if kind == "binary" and count != 2:
        raise UserError(f"target {column!r} has {count} different values: --kind binary expects two")
    if count > MAX_CLASSES:
        raise UserError(
            f"target {column!r} has {count:,} different values: expected at most {MAX_CLASSES} classes, or "
            "--kind regression for a column of numbers"
        )
    # Numbers keep their order (2 before 10); both sides go through text, as in a file to predict.
    values = numbers(frame, column) if numeric else texts(frame, column)
    known, classes = np.unique(values.astype(float) if numeric else values.astype(str), return_inverse=True)
    return kind, tuple(f"{v:g}" if numeric else str(v) for v in known), classes


def targets(spec: Spec, values: np.ndarray) -> Tensor:
    """Values or class numbers [N] as the network learns them: [N] int64 for many classes, else [N, 1] float."""
    if spec.kind == "multiclass":
        return torch.from_numpy(values.astype(np.int64))
    if spec.kind == "regression":
        values = (values - spec.shift) / spec.scale
    return torch.from_numpy(values.astype(np.float32))[:, None]


def predict(model: Predictor, config: TableConfig, path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predictions for the raw rows of a CSV file, and scores where it holds the target too. Raises UserError."""
    spec = model.spec
    columns = Columns.restored(spec.columns, math.prod(spec.shape))
    frame = read_table(path, text_columns=columns.categorical, quiet=config.quiet)
    outputs = model.outputs(torch.from_numpy(columns.encode(frame)))
    if spec.kind == "regression":
        result = pd.DataFrame({f"predicted {spec.target}": (outputs[:, 0] * spec.scale + spec.shift).numpy()})
    else:
        probabilities = model.probabilities(outputs).numpy()
        chosen = np.array(spec.classes)[decide(probabilities, config.threshold)]
        result = pd.DataFrame({f"predicted {spec.target}": chosen})
        if probabilities.shape[1] == 1:
            probabilities = np.concatenate((1.0 - probabilities, probabilities), axis=1)
        for name, column in zip(spec.classes, probabilities.T, strict=True):
            result[f"probability of {name}"] = column
    if spec.target not in frame.columns:
        return result, {}
    known = frame[spec.target].notna().to_numpy(copy=True)
    truth = frame[known]
    if spec.kind == "regression":
        values = numbers(truth, spec.target)
    else:
        cells = texts(truth, spec.target)
        if is_numeric(truth[spec.target]):
            cells = np.array([f"{v:g}" for v in numbers(truth, spec.target)])
        number = {name: index for index, name in enumerate(spec.classes)}
        strangers = [position for position, cell in enumerate(cells) if cell not in number]
        if strangers:
            row, cell = file_row(truth, strangers[0]), cells[strangers[0]]
            raise UserError(
                f"target {spec.target!r}, row {row}: {short(cell)} is no class of the model; "
                f"expected one of {listed(spec.classes)}"
            )
        values = np.array([number[cell] for cell in cells])
    return result, score(model, outputs[torch.from_numpy(known)], targets(spec, values), config.threshold)
