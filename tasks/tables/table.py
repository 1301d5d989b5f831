"""Tables: any CSV file, and scikit-learn's iris, breast cancer and diabetes."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn import datasets
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.nets.learner.dense import DenseGradients
from agent_gym.nets.learner.learner import Stats
from agent_gym.tasks.objective import DEFAULT_LOSS
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.scores import decide, score
from agent_gym.tasks.split import split_rows
from agent_gym.tasks.tables.columns import Columns
from agent_gym.tasks.tables.explore import describe, report
from agent_gym.tasks.tables.kinds import Kinds, find_kinds
from agent_gym.tasks.tables.reading.frames import file_row, listed, read_table
from agent_gym.tasks.tables.settings import TableConfig
from agent_gym.tasks.tables.target import Target, known_target, read_target
from agent_gym.tasks.task import Dataset, Part, Task


class Table(Task):
    """Rows of a CSV file."""

    config: TableConfig
    scale_target = True

    @staticmethod
    def fixed(spec: Spec) -> Spec:
        columns = Columns.restored(spec.columns, math.prod(spec.shape)).layout()
        return replace(Task.fixed(spec), columns=columns)

    def frame(self) -> pd.DataFrame:
        """The rows. Raises UserError."""
        if not self.config.data:
            raise UserError("table needs --data FILE.csv and --target COLUMN")
        config = self.config
        as_written = (*config.categorical, *config.text)
        return read_table(Path(config.data), text_columns=as_written, encoding=config.encoding, quiet=config.quiet)

    @property
    def subject(self) -> str:
        return Path(self.config.data).stem if self.config.data else super().subject

    def known_rows(self) -> tuple[pd.DataFrame, Kinds, Target, list[str]]:
        """The rows that have a target, what their columns are, the target, and notes. Raises UserError."""
        config, frame = self.config, self.frame()
        if not config.target:
            raise UserError(f"--target is missing: expected one of {listed(frame.columns)}")
        kinds = find_kinds(frame, config.target, config.ignore, config.categorical, config.text)
        notes = [*frame.attrs.get("notes", ()), *kinds.notes]
        unknown = frame[config.target].isna()
        if unknown.any():
            first = file_row(frame, int(unknown.argmax()))
            notes.append(f"{int(unknown.sum()):,} rows left out: no {config.target!r} (first: row {first})")
            frame = frame[~unknown]
        target = read_target(frame, config.target, config.kind)
        return frame, kinds, target, [*notes, *target.notes]

    def explored(self) -> tuple[str, dict[str, np.ndarray]]:
        """What the columns hold, as text and as pictures by name."""
        from agent_gym.tasks.tables.pictures import table_pictures

        frame, kinds, target, notes = self.known_rows()
        columns = describe(frame, kinds, self.config.target, target)
        return report(columns, len(frame), notes), table_pictures(columns)

    def load(self) -> tuple[Spec, Dataset]:
        config = self.config
        frame, kinds, (kind, classes, target, decimal, _), notes = self.known_rows()
        rows = split_rows(config, len(frame), target if classes else None)
        columns = Columns.fit(frame, kinds, rows[0], config.scaler, decimal)
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
            embeddings=columns.embeddings,
            members=config.members,
        )
        x, y = torch.from_numpy(columns.encode(frame)), targets(spec, target)
        what = f"{len(classes)} classes" if classes else "a number"
        shares = " / ".join(f"{len(part):,}" for part in rows)
        notes.append(f"{config.target!r} is {what}; {shares} rows to train / validate / test, {columns.width} inputs")
        return spec, Dataset(*(Part(x[part], y[part]) for part in rows), tuple(notes))

    @property
    def input_names(self) -> tuple[str, ...]:
        """The column that each input is made of."""
        spec = self.model.spec
        return Columns.restored(spec.columns, math.prod(spec.shape)).of_inputs

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Stats]:
        """For several members the sum of their losses, so that each learns as if it were alone."""
        members = self.config.members
        if members == 1:
            return super().loss(x, y)
        outputs, y = self.model.each(x).flatten(0, 1), y.repeat(members, *(1,) * (y.dim() - 1))
        return self.loss_of(outputs, y) * members, self.quick_stats(outputs.detach(), y)

    def written_out(self) -> DenseGradients | None:
        loss, layers = self.loss_name, self.model.dense_layers()
        fits = loss == DEFAULT_LOSS[self.model.spec.kind] and DenseGradients.fits(layers, loss)
        return DenseGradients(layers, loss, self.quick_stats) if fits else None

    def update(self) -> Stats:
        stats = super().update()
        return stats | {"loss": stats["loss"] / self.config.members}


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


def targets(spec: Spec, values: np.ndarray) -> Tensor:
    """Values or class numbers [N] as the network learns them: [N] int64 for many classes, else [N, 1] float."""
    if spec.kind == "multiclass":
        return torch.from_numpy(values.astype(np.int64))
    if spec.kind == "regression":
        values = (values - spec.shift) / spec.scale
    return torch.from_numpy(values.astype(np.float32))[:, None]


def predict(model: Predictor, config: TableConfig, path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Predictions for the raw rows of a file, and scores where it holds the target too. Raises UserError."""
    spec = model.spec
    columns = Columns.restored(spec.columns, math.prod(spec.shape))
    as_written = (*columns.text_columns, *((spec.target,) if spec.classes or columns.decimal == "," else ()))
    frame = read_table(path, text_columns=as_written, encoding=config.encoding, quiet=config.quiet)
    outputs = model.outputs(torch.from_numpy(columns.encode(frame)))
    for note in (*frame.attrs["notes"], *columns.unseen(frame)):
        print(f"note: {note}", file=sys.stderr)
    return predicted_rows(model, config.threshold, frame, outputs, columns.decimal)


def predicted_rows(
    model: Predictor, threshold: float, frame: pd.DataFrame, outputs: Tensor, decimal: str
) -> tuple[pd.DataFrame, dict[str, float]]:
    """What the network's outputs [N, ...] say of the rows of a table, and scores where it holds the target too."""
    spec = model.spec
    if spec.kind == "regression":
        result = pd.DataFrame({f"predicted {spec.target}": (outputs[:, 0] * spec.scale + spec.shift).numpy()})
    else:
        probabilities = model.probabilities(outputs).numpy()
        chosen = np.array(spec.classes)[decide(probabilities, threshold)]
        result = pd.DataFrame({f"predicted {spec.target}": chosen})
        if probabilities.shape[1] == 1:
            probabilities = np.concatenate((1.0 - probabilities, probabilities), axis=1)
        for name, column in zip(spec.classes, probabilities.T, strict=True):
            result[f"probability of {name}"] = column
    if spec.target not in frame.columns:
        return result, {}
    known = frame[spec.target].notna().to_numpy(copy=True)
    if not known.any():
        return result, {}
    values = known_target(frame[known], spec.target, spec.classes, decimal)
    return result, score(model, outputs[torch.from_numpy(known)], targets(spec, values), threshold)
