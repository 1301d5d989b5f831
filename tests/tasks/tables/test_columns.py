"""Encoding of tables against scikit-learn's own pipeline, and that only training rows set the scales."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from agent_gym.ground.errors import UserError
from agent_gym.tasks.tables.columns import Columns
from agent_gym.tasks.tables.kinds import Kinds, find_kinds
from agent_gym.tasks.tables.settings import TableConfig
from agent_gym.tasks.tables.table import Table
from agent_gym.tasks.tables.target import read_target

FRAME = pd.DataFrame(
    {
        "age": [22.0, None, 26.0, 35.0, 35.0, 54.0, 2.0, 27.0],
        "fare": [7, 71, 8, 53, 8, 51, 21, 11],
        "port": ["S", "C", "S", None, "Q", "S", "S", "C"],
        "lived": [0, 1, 1, 1, 0, 0, 0, 1],
    }
)


def fit(frame, train, scaler="none", **kinds):
    return Columns.fit(frame, Kinds(**kinds), train, scaler)


@pytest.mark.parametrize(("scaler", "sklearn_scaler"), [("standard", StandardScaler()), ("minmax", MinMaxScaler())])
def test_inputs_are_those_of_a_scikit_learn_pipeline(scaler, sklearn_scaler):
    train = np.arange(5)
    columns = fit(FRAME, train, scaler, numbers={"age": ".", "fare": "."}, categories=["port"])
    encoder = OneHotEncoder(categories=[["C", "Q", "S"]], handle_unknown="ignore", sparse_output=False)
    scaled = make_pipeline(SimpleImputer(strategy="median"), sklearn_scaler)
    pipeline = ColumnTransformer(
        [
            ("numbers", scaled, ["age", "fare"]),
            ("gaps", MissingIndicator(), ["age", "fare"]),
            ("port", encoder, ["port"]),
        ]
    )
    expected = pipeline.fit(FRAME.iloc[train]).transform(FRAME)
    assert np.allclose(columns.encode(FRAME), expected, atol=1e-6)


def test_no_scaler_leaves_numbers():
    columns = fit(FRAME, np.arange(8), numbers={"fare": "."})
    assert columns.encode(FRAME)[:, 0].tolist() == FRAME["fare"].tolist()


def test_a_missing_category_is_none_of_them_and_so_is_an_unseen_one():
    columns = fit(FRAME, np.arange(4), categories=["port"])  # C and S
    assert columns.encode(FRAME)[[3, 4]].tolist() == [[0.0, 0.0], [0.0, 0.0]]
    (note,) = columns.unseen(FRAME)
    assert "column 'port': 1 value(s)" in note and "'Q'" in note


def test_many_categories_are_numbers_of_vectors():
    frame = pd.DataFrame({"city": [f"c{i % 120}" for i in range(480)], "y": [0, 1] * 240})
    kinds = find_kinds(frame, "y")
    assert kinds.embedded == ["city"]
    columns = Columns.fit(frame, kinds, np.arange(240), "none")
    assert columns.embeddings == ((121, 23),)  # 1.6 * 120^0.56
    codes = columns.encode(frame.assign(city=["c0", "nowhere"] * 240))[:2, 0]
    assert codes.tolist() == [1.0, 0.0]


def test_words_are_those_of_scikit_learns_vectoriser():
    names = [f"{maker} {model}" for maker in ("ford", "honda", "fiat") for model in ("one", "two", "GT", "x7")] * 2
    frame = pd.DataFrame({"name": [f"{name} {i}" for i, name in enumerate(names)], "y": [0, 1] * 12})
    kinds = find_kinds(frame, "y")
    assert kinds.words == ["name"]
    columns = Columns.fit(frame, kinds, np.arange(24), "none")
    vectoriser = CountVectorizer(min_df=2, binary=True, token_pattern=r"\b\w+\b")
    assert np.array_equal(columns.encode(frame), vectoriser.fit_transform(frame["name"]).toarray())
    assert columns.words[0].known == tuple(vectoriser.get_feature_names_out())


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d.%m.%Y", "%Y년 %m월 %d일"])
def test_dates_become_their_parts(form):
    days = pd.date_range("2023-12-30", periods=5)
    frame = pd.DataFrame({"day": days.strftime(form), "y": range(5)})
    columns = Columns.fit(frame, find_kinds(frame, "y"), np.arange(5), "standard")
    parts = dict(zip(columns.dates[0].parts, columns.encode(frame).T, strict=True))
    assert parts["month 12"].tolist() == [1, 1, 0, 0, 0]
    assert parts["weekday Mon"].tolist() == [0, 0, 1, 0, 0]  # the first of 2024
    assert parts["days"] == pytest.approx((np.arange(5) - 2) / np.sqrt(2))
    assert "hour" not in parts and "month 7" not in parts  # nothing varies there


def test_columns_survive_plain_data():
    frame = FRAME.assign(day=pd.date_range("2024-01-01", periods=8).strftime("%Y-%m-%d"))
    kinds = find_kinds(frame, "lived")
    columns = Columns.fit(frame, kinds, np.arange(8), "standard")
    stored = asdict(columns)
    assert Columns.restored(stored, columns.width) == columns
    for damaged in (
        stored | {"numbers": stored["numbers"] | {"gaps": (7,)}},
        stored | {"categories": ({"name": "x", "known": ()},)},
    ):
        with pytest.raises(UserError):
            Columns.restored(damaged, columns.width)


def test_row_numbers_and_free_text_are_left_out():
    people = FRAME.assign(id=np.arange(1, 9), name=[f"person {i}" for i in range(8)])
    kinds = find_kinds(people, "lived")
    assert list(kinds.numbers) == ["age", "fare"] and kinds.categories == ["port"]
    assert "it counts the rows" in kinds.left_out["id"] and "8 different texts" in kinds.left_out["name"]


@pytest.mark.parametrize(
    ("name", "values"),
    [("row", np.random.default_rng(0).permutation(40)), ("CustomerId", np.arange(40) * 977 % 10_007)],
)
def test_shuffled_row_numbers_are_left_out(name, values):
    frame = pd.DataFrame({name: values, "x": np.arange(40) % 7, "y": [0, 1] * 20})
    assert list(find_kinds(frame, "y").left_out) == [name]
    assert list(find_kinds(frame[[name, "y"]], "y").numbers) == [name]  # nothing else is there


def test_a_constant_column_is_left_out():
    kinds = find_kinds(FRAME.assign(unit="cm", empty=None), "lived")
    assert kinds.left_out == {
        "unit": "it holds the one value 'cm' in every row",
        "empty": "it holds no value in every row",
    }


def test_flags_say_what_a_column_is():
    frame = pd.DataFrame({"zip": [12345, 23456, 34567] * 10, "note": ["a b", "b c", "c a"] * 10, "y": [0, 1, 1] * 10})
    kinds = find_kinds(frame, "y", categorical=("zip",), text=("note",))
    assert kinds.categories == ["zip"] and kinds.words == ["note"]
    columns = Columns.fit(frame, kinds, np.arange(30), "none")
    assert columns.categories[0].known == ("12345", "23456", "34567") and columns.width == 6
    with pytest.raises(UserError, match="--categorical 'area' is no column"):
        find_kinds(frame, "y", categorical=("area",))


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
    found, names, *_ = read_target(pd.DataFrame({"y": values}), "y", "auto")
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
        fit(frame, np.arange(12), numbers={"x": "."})
