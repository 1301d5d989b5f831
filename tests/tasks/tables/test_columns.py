"""Encoding of tables against scikit-learn's own pipeline, and that only training rows set the scales."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from agent_gym.ground.errors import UserError
from agent_gym.tasks.table import Table, TableConfig, read_target
from agent_gym.tasks.tables.columns import Columns, choose_columns, fit_columns

FRAME = pd.DataFrame(
    {
        "age": [22.0, None, 26.0, 35.0, 35.0, 54.0, 2.0, 27.0],
        "fare": [7, 71, 8, 53, 8, 51, 21, 11],
        "port": ["S", "C", "S", None, "Q", "S", "S", "C"],
        "lived": [0, 1, 1, 1, 0, 0, 0, 1],
    }
)


@pytest.mark.parametrize(("scaler", "sklearn_scaler"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())])
def test_inputs_are_those_of_a_scikit_learn_pipeline(scaler, sklearn_scaler):
    train = np.arange(5)
    columns = fit_columns(FRAME, ["age", "fare"], ["port"], train, scaler)
    encoder = OneHotEncoder(categories=[["C", "Q", "S"]], handle_unknown="ignore", sparse_output=False)
    numbers = make_pipeline(SimpleImputer(strategy="median"), sklearn_scaler)
    pipeline = ColumnTransformer([("numbers", numbers, ["age", "fare"]), ("port", encoder, ["port"])])
    expected = pipeline.fit(FRAME.iloc[train]).transform(FRAME)
    assert np.allclose(columns.encode(FRAME), expected, atol=1e-6)


def test_no_scaler_leaves_numbers():
    columns = fit_columns(FRAME, ["fare"], [], np.arange(8), "none")
    assert columns.encode(FRAME)[:, 0].tolist() == FRAME["fare"].tolist()


def test_a_missing_category_is_none_of_them():
    assert fit_columns(FRAME, [], ["port"], np.arange(8), "none").encode(FRAME)[3].tolist() == [0.0, 0.0, 0.0]


def test_columns_survive_plain_data():
    columns = fit_columns(FRAME, ["age"], ["port"], np.arange(8), "standard")
    assert Columns(**vars(columns)) == columns


def test_row_numbers_and_free_text_are_left_out():
    people = FRAME.assign(id=np.arange(1, 9), name=[f"person {i}" for i in range(8)])
    numeric, categorical, notes = choose_columns(people, "lived", ())
    assert numeric == ["age", "fare"] and categorical == ["port"]
    assert "'id' left out: it counts the rows" in notes[0] and "'name' left out: 8 different texts" in notes[1]


@pytest.mark.parametrize(
    ("values", "kind", "classes"),
    [
        (["no", "yes"] * 10, "binary", ("no", "yes")),
        ([True, False] * 10, "binary", ("False", "True")),
        ([1, 2, 10] * 10, "multiclass", ("1", "2", "10")),
        (["a", "b", "c"] * 10, "multiclass", ("a", "b", "c")),
        ([0.5, 1.0] * 10, "regression", ()),
        (list(range(30)), "regression", ()),
    ],
)
def test_the_kind_of_target(values, kind, classes):
    found, names, _ = read_target(pd.DataFrame({"y": values}), "y", "auto")
    assert (found, names) == (kind, classes)


def test_scales_come_from_the_training_part_alone(csv):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=200), "y": rng.normal(size=200)})
    task = Table(TableConfig(data=str(csv(frame)), target="y", quiet=True))
    x = task.data.train.x.numpy()
    assert abs(x.mean()) < 1e-6 and abs(x.std() - 1.0) < 1e-6
    assert abs(task.data.test.x.numpy().mean()) > 1e-3
    y = task.data.train.y.numpy()
    assert abs(y.mean()) < 1e-6 and abs(y.std() - 1.0) < 1e-6


def test_every_part_has_its_share_of_each_class_and_no_row_twice(csv):
    frame = pd.DataFrame({"x": np.arange(100) / 7.0, "y": ["rare"] * 20 + ["usual"] * 80})
    task = Table(TableConfig(data=str(csv(frame)), target="y", quiet=True, scaler="none"))
    parts = [p.x.flatten().tolist() for p in task.data[:3]]
    assert [len(p) for p in parts] == [70, 15, 15]
    assert sorted(sum(parts, [])) == pytest.approx((np.arange(100) / 7.0).tolist(), abs=1e-5)
    assert [int((p.y == 0).sum()) for p in task.data[:3]] == [14, 3, 3]


def test_a_bad_cell_names_its_row_in_the_file():
    frame = pd.DataFrame({"x": [1, 2, "three", 4, 5, 6, 7, 8, 9, 10, 11, 12]})
    with pytest.raises(UserError, match=r"column 'x' is numeric, but row 4 holds 'three'"):
        fit_columns(frame, ["x"], [], np.arange(12), "none")
