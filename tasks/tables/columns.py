"""From the columns of a table to the inputs of a network, and back to class names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import from_plain, short
from agent_gym.tasks.tables.frames import file_row, is_numeric, listed, numbers, texts

MAX_CATEGORIES = 100  # a text column of more values than this, or of a value to every other row, is no category


@dataclass(frozen=True)
class Columns:
    """How rows become inputs: numbers are filled and scaled, text is one-hot; plain data, kept in the checkpoint."""

    numeric: tuple[str, ...]
    fill: tuple[float, ...]
    """Stands in for a missing number: the training part's median."""
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    """An input is number * scale + shift."""
    categorical: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...]
    """Known values of each; a missing cell is none of them."""

    @classmethod
    def restored(cls, stored: dict, width: int) -> Columns:
        """From the plain data of a checkpoint whose network takes `width` inputs. Raises UserError."""
        try:
            columns = from_plain(cls, stored)
        except TypeError as error:
            raise UserError(f"the checkpoint's columns are damaged ({error}): use another checkpoint") from None
        numbers_for = {len(columns.numeric), len(columns.fill), len(columns.shift), len(columns.scale)}
        numeric = np.isfinite((*columns.fill, *columns.shift, *columns.scale)).all() and len(numbers_for) == 1
        if not numeric or len(columns.categorical) != len(columns.categories) or not all(columns.categories):
            raise UserError("the checkpoint's columns contradict each other: use another checkpoint")
        if columns.width != width:
            raise UserError(f"the checkpoint's columns make {columns.width} inputs, and its network takes {width}")
        return columns

    @property
    def width(self) -> int:
        return len(self.numeric) + sum(map(len, self.categories))

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Raw rows -> inputs [N, width] float32. Raises UserError with the row or the column."""
        missing = [c for c in (*self.numeric, *self.categorical) if c not in frame.columns]
        if missing:
            raise UserError(
                f"the table lacks the column(s) {listed(missing)} that the model was trained on; "
                f"it has {listed(frame.columns)}"
            )
        parts = []
        if self.numeric:
            values = np.stack([numbers(frame, column) for column in self.numeric], axis=1)
            values = np.where(np.isnan(values), np.array(self.fill), values)
            parts.append(values * np.array(self.scale) + np.array(self.shift))
        for column, known in zip(self.categorical, self.categories, strict=True):
            cells = texts(frame, column)
            unseen = ~np.isin(cells.astype(object), [*known, None])
            if unseen.any():
                position = int(unseen.argmax())
                raise UserError(
                    f"column {column!r}, row {file_row(frame, position)}: {short(cells[position])} was not there in "
                    f"training; expected one of {listed(known)}"
                )
            encoder = OneHotEncoder(categories=[list(known)], handle_unknown="ignore", sparse_output=False)
            encoder.fit(np.array([[known[0]]], dtype=object))
            parts.append(encoder.transform(cells.astype(object)[:, None]))
        return np.concatenate(parts, axis=1).astype(np.float32)


def choose_columns(frame: pd.DataFrame, target: str, ignore: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
    """The numeric and the categorical input columns, and a note for each one left out. Raises UserError."""
    absent = [c for c in (target, *ignore) if c not in frame.columns]
    if absent:
        flag = "--target" if absent[0] == target else "--ignore"
        raise UserError(f"{flag} {absent[0]!r} is no column of the table: expected one of {listed(frame.columns)}")
    numeric, categorical, notes = [], [], []
    for column in frame.columns:
        if column == target or column in ignore:
            continue
        cells = frame[column]
        count = cells.nunique()
        if count <= 1:
            value = f"the one value {short(str(cells.dropna().iloc[0]))}" if count else "no value"
            raise UserError(f"column {column!r} holds {value} in every row and tells nothing: add --ignore {column!r}")
        if is_numeric(cells):
            if pd.api.types.is_integer_dtype(cells) and len(cells) > 2 and (np.diff(cells) == 1).all():
                notes.append(f"column {column!r} left out: it counts the rows")
            else:
                numeric.append(column)
        elif count > MAX_CATEGORIES or count > max(len(cells) // 2, 2):
            notes.append(f"column {column!r} left out: {count:,} different texts")
        else:
            categorical.append(column)
    if not numeric and not categorical:
        raise UserError(f"no column is left to predict {target!r} from: expected one with numbers or categories")
    return numeric, categorical, notes


def fit_columns(
    frame: pd.DataFrame, numeric: list[str], categorical: list[str], train: np.ndarray, scaler: str
) -> Columns:
    """Medians and scales from the rows `train` alone; the categories are those of the whole table."""
    fill, shift, scale = np.zeros(0), np.zeros(0), np.zeros(0)
    if numeric:
        values = np.stack([numbers(frame, column) for column in numeric], axis=1)[train]
        imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(values)
        fill, shift, scale = imputer.statistics_, np.zeros(len(numeric)), np.ones(len(numeric))
        if scaler == "standard":
            fitted = StandardScaler().fit(imputer.transform(values))
            shift, scale = -fitted.mean_ / fitted.scale_, 1.0 / fitted.scale_
        elif scaler == "minmax":
            fitted = MinMaxScaler().fit(imputer.transform(values))
            shift, scale = fitted.min_, fitted.scale_
    known = [sorted(set(texts(frame, column)) - {None}) for column in categorical]
    return Columns(
        tuple(numeric),
        tuple(fill.tolist()),
        tuple(shift.tolist()),
        tuple(scale.tolist()),
        tuple(categorical),
        tuple(map(tuple, known)),
    )
