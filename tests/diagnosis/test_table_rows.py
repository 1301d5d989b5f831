"""What is said of a task's rows, on rows made by hand."""

from __future__ import annotations

from types import SimpleNamespace
from unittest.mock import ANY

import numpy as np
import pandas as pd
import pytest
import torch

from agent_gym.diagnosis.rows import row_facts
from agent_gym.diagnosis.rules.table import leakage
from agent_gym.tasks.tables.settings import TableConfig
from agent_gym.tasks.tables.table import Table


def facts(x: np.ndarray, y: np.ndarray, kind: str = "binary") -> dict:
    """Of a task with these rows, three fifths to train on, whose network says 0."""
    parts, cuts = {}, (0, int(0.6 * len(y)), int(0.8 * len(y)), len(y))
    for name, start, end in zip(("train", "val", "test"), cuts, cuts[1:], strict=False):
        parts[name] = SimpleNamespace(x=torch.tensor(x[start:end]), y=torch.tensor(y[start:end]))
    model = SimpleNamespace(
        spec=SimpleNamespace(kind=kind),
        outputs=lambda x: torch.zeros(len(x), 1),
        probabilities=lambda outputs: torch.full((len(outputs), 1), 0.5),
    )
    task = SimpleNamespace(data=SimpleNamespace(**parts), model=model, loss_of=lambda outputs, y: torch.zeros(()))
    return row_facts(task)


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    return x, (x[:, 0] + x[:, 1] + 0.3 * rng.normal(size=300) > 0).astype(float)


def test_a_column_that_is_the_target_stands_out_also_where_it_is_there_twice(rows):
    x, y = rows
    plain = facts(x, y)
    assert plain["best_column_skill"] < 0.8
    leaked = facts(np.column_stack((x, y, 1.0 - y)), y)  # as the two columns of a choice
    assert leaked["best_column_skill"] == 1.0 and leaked["second_column_skill"] < 0.8
    assert leaked["best_column"] in ("number 4", "number 5")


def test_rows_written_twice_are_counted_and_few_different_ones_are_not(rows):
    x, y = rows
    assert facts(x, y)["repeated"] == 0.0
    assert facts(np.tile(x[:100], (3, 1)), np.tile(y[:100], 3))["repeated"] == 1.0
    assert "repeated" not in facts(np.sign(x), y)  # sixteen rows are all that there can be


def test_a_number_that_stands_for_unknown_is_found_and_one_wild_value_is_none(rows):
    x, y = rows
    assert facts(x, y)["marker"] is None
    marked = x.copy()
    marked[::20, 2] = -99999
    assert facts(marked, y)["marker"] == {"column": "number 2", "end": "lowest", "share": 1 / 20, "gap": ANY}
    wild, few = x.copy(), x.copy()
    wild[7, 2] = -99999  # once
    few[:, 2] = np.where(x[:, 2] > 0, 1000, np.sign(x[:, 3]))  # three values: a choice
    assert facts(wild, y)["marker"] is None and facts(few, y)["marker"] is None
    assert facts(np.exp(3 * x), y)["marker"] is None


def test_the_column_that_tells_the_target_is_called_by_its_name(tmp_path, rows):
    x, y = rows
    frame = pd.DataFrame(x, columns=["a", "b", "c", "d"])
    frame.loc[::7, "a"] = np.nan
    frame["paid at"] = np.where(y > 0, "till", "web")
    frame["bought"] = np.where(y > 0, "yes", "no")
    frame.to_csv(tmp_path / "shop.csv", index=False)
    task = Table(TableConfig(data=str(tmp_path / "shop.csv"), target="bought", quiet=True))
    assert task.input_names == ("a", "b", "c", "d", "a", "paid at", "paid at")
    found = row_facts(task)
    assert found["best_column"] == "paid at" and found["best_column_skill"] == 1.0
    finding = leakage(SimpleNamespace(data=found))
    assert "column paid at alone" in finding.evidence[0] and "--ignore 'paid at'" in finding.advice
