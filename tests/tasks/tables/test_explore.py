"""A table before training: measures against SciPy's and scikit-learn's, and what the command leaves."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.stats import pearsonr
from scipy.stats.contingency import association as scipys
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import OneHotEncoder

import train
from agent_gym.tasks.tables.explore import association, correlation_ratio, cramers_v, describe, report
from agent_gym.tasks.tables.kinds import find_kinds
from agent_gym.tasks.tables.target import Target, read_target

RNG = np.random.default_rng(0)
CODES, OTHER = RNG.integers(0, 4, 200), RNG.integers(0, 3, 200)
NUMBERS = CODES + RNG.normal(size=200)


def test_measures_are_those_of_other_libraries():
    table = pd.crosstab(CODES, OTHER).to_numpy()
    assert cramers_v(CODES, OTHER) == pytest.approx(scipys(table, method="cramer"))
    hot = OneHotEncoder().fit_transform(CODES[:, None])
    explained = LinearRegression().fit(hot, NUMBERS).score(hot, NUMBERS)
    assert correlation_ratio(CODES, NUMBERS) == pytest.approx(np.sqrt(explained))
    gone = np.where(np.arange(200) % 5 == 0, np.nan, NUMBERS)
    name, value = association(gone, Target("regression", (), OTHER.astype(float), "."))
    rest = ~np.isnan(gone)
    assert name == "r" and value == pytest.approx(pearsonr(gone[rest], OTHER[rest])[0])


def test_each_column_is_told():
    frame = pd.DataFrame(
        {
            "id": range(1, 201),
            "size": np.where(np.arange(200) < 20, None, np.round(NUMBERS, 3)).astype(float),
            "day": pd.date_range("2024-01-01", periods=200).strftime("%Y-%m-%d"),
            "colour": np.array(["red", "green", "blue", "grey"])[CODES],
            "kind": np.array(["a", "b", "c"])[OTHER],
        }
    )
    columns = describe(frame, find_kinds(frame, "kind"), "kind", read_target(frame, "kind", "auto"))
    assert [c.kind for c in columns] == ["left out", "number", "date", "category", "target, 3 classes"]
    assert columns[1].missing == 20 and columns[3].measure == "V" and columns[1].measure == "eta"
    text = report(columns, 200, ["a note"])
    assert "20 (10%)" in text and "2024-01-01 00:00:00 to 2024-07-18" in text and "it counts the rows" in text


def test_the_command_leaves_text_and_pictures_and_trains_nothing(csv, tmp_path, capsys):
    path = csv({"x": np.round(NUMBERS, 3), "도시": np.array(["가", "나", "다", "라"])[CODES], "y": OTHER + NUMBERS})
    flags = ["--data", str(path), "--target", "y", "--explore", "--run-dir", str(tmp_path / "run")]
    assert train.main(["table", *flags]) == 0
    out = capsys.readouterr().out
    assert "r 0." in out and "eta 0." in out and "the target is a number" in out
    assert (tmp_path / "run" / "explore.txt").read_text().strip() in out
    for name in ("distributions", "goes_with_target", "correlation"):
        assert Image.open(tmp_path / "run" / f"{name}.png").size[0] > 200
    assert not list((tmp_path / "run" / "checkpoints").iterdir())


def test_bundled_tables_are_explored(tmp_path, capsys):
    assert train.main(["iris", "--explore", "--run-dir", str(tmp_path / "run")]) == 0
    assert "petal length (cm)" in capsys.readouterr().out
