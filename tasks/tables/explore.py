"""A table before training: kinds of columns, gaps, distributions, and how each column goes with the target."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from agent_gym.tasks.tables.cells import numbers, texts
from agent_gym.tasks.tables.dates import dates
from agent_gym.tasks.tables.kinds import Kinds, find_words
from agent_gym.tasks.tables.target import Target

MEASURES = {
    "r": "Pearson's correlation, -1 to 1",
    "eta": "correlation ratio, 0 to 1: the root of the share of a number's variance that lies between classes",
    "V": "Cramér's V, 0 to 1",
}


@dataclass(frozen=True)
class Column:
    """What there is to say of a column."""

    name: str
    kind: str
    missing: int
    distinct: int
    says: str
    """Its distribution in words."""
    values: np.ndarray
    """Numbers [N] (dates: days), NaN where missing; of categories texts [N], None where missing."""
    measure: str = ""
    """How `goes_with` is measured, a key of MEASURES; "" where nothing is."""
    goes_with: float = float("nan")


def describe(frame: pd.DataFrame, kinds: Kinds, name: str, target: Target) -> list[Column]:
    """Each column of rows with a target, those left out too; the target `name` last."""
    found = []
    for column in frame.columns:
        if column == name:
            continue
        if column in kinds.numbers:
            kind, values = "number", numbers(frame, column, kinds.numbers[column])
            says = _figures(values)
        elif column in kinds.dates:
            kind, times = "date", dates(frame, column, kinds.dates[column])
            values = ((times - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)).to_numpy(np.float64)
            says = f"{times.min()} to {times.max()}"
        elif column in kinds.names:
            values = texts(frame, column)
            kind = "words" if column in kinds.words else "category"
            says = _shares(values)
            if kind == "words":
                words, share = find_words(values)
                says = f"{len(words):,} words that several rows share, in {share:.0%} of them"
        else:
            kind, values = "left out", texts(frame, column)
            says = kinds.left_out.get(column, "by --ignore")
        missing = int(frame[column].isna().sum())
        measure, goes_with = ("", float("nan"))
        if kind in ("number", "date", "category"):
            measure, goes_with = association(values, target)
        distinct = frame[column].nunique()
        found.append(Column(str(column), kind, missing, distinct, says, values, measure, goes_with))
    truth = target.values if not target.classes else np.array(target.classes, dtype=object)[target.values]
    says = _figures(truth) if not target.classes else _shares(truth)
    kind = f"target, {f'{len(target.classes)} classes' if target.classes else 'a number'}"
    return [*found, Column(name, kind, 0, len(np.unique(target.values)), says, truth)]


def association(values: np.ndarray, target: Target) -> tuple[str, float]:
    """How a column goes with the target: the name of the measure and its value, over the rows that have both."""
    numeric = values.dtype != object
    known = ~np.isnan(values) if numeric else np.array([cell is not None for cell in values])
    values, truth = values[known], target.values[known]
    if len(values) < 3:
        return "", float("nan")
    if numeric and not target.classes:
        if values.std() == 0.0 or truth.std() == 0.0:
            return "", float("nan")
        return "r", float(np.corrcoef(values, truth)[0, 1])
    if numeric:
        return "eta", correlation_ratio(truth, values)
    codes = np.unique(values.astype(str), return_inverse=True)[1]
    return ("V", cramers_v(codes, truth)) if target.classes else ("eta", correlation_ratio(codes, truth))


def correlation_ratio(codes: np.ndarray, values: np.ndarray) -> float:
    """eta = sqrt(variance between the groups `codes` / variance) of values [N] (Pearson 1905)."""
    sizes = np.bincount(codes)
    means = np.bincount(codes, values) / np.maximum(sizes, 1)
    total = np.square(values - values.mean()).sum()
    return float(np.sqrt((sizes * np.square(means - values.mean())).sum() / total)) if total > 0.0 else float("nan")


def cramers_v(a: np.ndarray, b: np.ndarray) -> float:
    """Cramér's V of two columns of class numbers [N]: sqrt(chi² / (N (smaller number of classes - 1)))."""
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    counts = counts[counts.sum(1) > 0][:, counts.sum(0) > 0]
    expected = counts.sum(1, keepdims=True) * counts.sum(0) / counts.sum()
    smaller = min(counts.shape) - 1
    return (
        float(np.sqrt((np.square(counts - expected) / expected).sum() / (counts.sum() * smaller))) if smaller else 0.0
    )


def report(columns: list[Column], rows: int, notes: list[str]) -> str:
    """What the terminal shows."""
    width = min(max(len(column.name) for column in columns), 30)
    lines = [f"{rows:,} rows, {len(columns) - 1} columns beside the target", ""]
    lines.append(f"{'column':<{width}}  {'kind':<12} {'missing':>12} {'distinct':>8} {'goes with':>11}  distribution")
    for column in columns:
        gone = f"{column.missing:,} ({column.missing / rows:.0%})" if column.missing else "0"
        goes = f"{column.measure} {column.goes_with:.2f}" if column.measure else ""
        kind = "target" if column is columns[-1] else column.kind
        lines.append(
            f"{column.name[:width]:<{width}}  {kind:<12} {gone:>12} {column.distinct:>8,} {goes:>11}  {column.says}"
        )
    used = {column.measure for column in columns} - {""}
    lines += ["", f"the target is {columns[-1].kind.removeprefix('target, ')}"]
    lines += [f"{measure}: {meaning}" for measure, meaning in MEASURES.items() if measure in used]
    return "\n".join([*lines, *notes])


def _figures(values: np.ndarray) -> str:
    known = values[~np.isnan(values)]
    low, middle, high = np.percentile(known, (0, 50, 100))
    return f"{low:.4g} to {high:.4g}, median {middle:.4g}, mean {known.mean():.4g}, deviation {known.std():.4g}"


def _shares(values: np.ndarray) -> str:
    counts = pd.Series(values).value_counts()
    shares = [f"{name} {count / len(values):.0%}" for name, count in counts.items()]
    return listed_plain(shares)


def listed_plain(words: list[str], most: int = 5) -> str:
    """Words between commas, a few of them."""
    rest = f", … ({len(words):,} in all)" if len(words) > most else ""
    return ", ".join(words[:most]) + rest
