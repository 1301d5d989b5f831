"""What a user can get wrong: exit code 2, one line that names the row or the column, nothing left behind."""

import gzip

import numpy as np
import pytest
import torch

import evaluate
import train

GOOD = {"size": [1.0, 2.5, 3.0, 4.0] * 10, "colour": ["red", "blue"] * 20, "kind": ["a", "b", "b", "a"] * 10}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def refused(capsys, main, *arguments) -> str:
    """The line that `main` prints when it refuses; there is no other, no traceback and no run."""
    assert main([str(a) for a in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def refuses_table(capsys, path, *flags, target="kind"):
    line = refused(capsys, train.main, "table", "--data", path, "--target", target, "--run-dir", "run", *flags)
    assert not path.parent.joinpath("run").exists()
    return line


def test_missing_file(capsys, tmp_path):
    line = refused(capsys, train.main, "table", "--data", tmp_path / "none.csv", "--target", "x")
    assert "none.csv: no such file" in line


def test_no_file_named(capsys):
    assert "needs --data FILE.csv" in refused(capsys, train.main, "table")


def test_a_folder_for_a_file(capsys, tmp_path):
    assert "is a folder" in refused(capsys, train.main, "table", "--data", tmp_path, "--target", "x")


def test_empty_csv(capsys, csv):
    assert "is empty" in refuses_table(capsys, csv(""))


def test_a_header_without_rows(capsys, csv):
    assert "no rows" in refuses_table(capsys, csv("size,kind\n"))


def test_a_ragged_row(capsys, csv):
    assert "line 3" in refuses_table(capsys, csv("size,kind\n1,a\n2,b,c\n"))


def test_no_text(capsys, tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"size,kind\n\xff\xfe\x00,1\n")
    assert "not UTF-8 text" in refuses_table(capsys, path)


def test_no_target_named(capsys, csv):
    line = refused(capsys, train.main, "table", "--data", csv(GOOD))
    assert "--target is missing: expected one of 'size', 'colour', 'kind'" in line


def test_absent_target(capsys, csv):
    line = refuses_table(capsys, csv(GOOD), target="sort")
    assert "--target 'sort' is no column" in line and "'size', 'colour', 'kind'" in line


def test_nothing_but_columns_of_one_value(capsys, csv):
    line = refuses_table(capsys, csv({"unit": ["cm"] * 40, "kind": GOOD["kind"]}))
    assert "no column is left" in line and "column 'unit' left out: it holds the one value 'cm'" in line


def test_a_target_with_one_class(capsys, csv):
    assert "target 'kind' has one class, 'a'" in refuses_table(capsys, csv(GOOD | {"kind": ["a"] * 40}))


def test_an_empty_target(capsys, csv):
    assert "target 'kind' is empty in every row" in refuses_table(capsys, csv(GOOD | {"kind": [None] * 40}))


def test_text_in_a_numeric_column(capsys, csv):
    sizes = [*map(str, GOOD["size"][:-1]), "tall"]
    line = refuses_table(capsys, csv(GOOD | {"size": sizes}))
    assert "column 'size' is numeric, but row 41 holds 'tall'" in line


def test_an_infinite_number(capsys, csv):
    assert "row 41 holds 'inf'" in refuses_table(capsys, csv(GOOD | {"size": [*GOOD["size"][:-1], float("inf")]}))


def test_too_few_rows(capsys, csv):
    path = csv({"size": [1.0, 2.0], "kind": ["a", "b"]})
    assert "too few to split" in refuses_table(capsys, path, "--val-split", "0.4", "--test-split", "0.5")


def test_a_loss_that_does_not_fit(capsys):
    line = refused(capsys, train.main, "diabetes", "--loss", "binary_crossentropy")
    assert "--loss binary_crossentropy does not fit a regression target: expected one of mae, mse" in line


def test_splits_that_leave_nothing(capsys):
    line = refused(capsys, train.main, "iris", "--val-split", "0.5", "--test-split", "0.5")
    assert "leave no row to train on" in line


@pytest.mark.parametrize("flag", ["--learning-rate", "--recurrent-size"])
def test_a_size_of_zero(capsys, flag):
    assert f"{flag} 0" in refused(capsys, train.main, "iris", flag, "0")


def test_freezing_nothing(capsys):
    assert "--freeze-encoder has no effect with" in refused(capsys, train.main, "iris", "--freeze-encoder")


@pytest.fixture
def trained(csv, tmp_path, capsys):
    """The run of a small table."""
    run = tmp_path / "good"
    flags = ("--target", "kind", "--epochs", "1", "--quiet", "--run-dir", str(run))
    assert train.main(["table", "--data", str(csv(GOOD)), *flags]) == 0
    capsys.readouterr()
    return run


def test_an_unseen_category_counts_as_missing(capsys, csv, trained):
    path = csv({"size": [1.0, 2.0], "colour": ["red", "green"]}, "new.csv")
    assert evaluate.main([str(trained), "--data", str(path), "--predict", "out.csv"]) == 0
    note = "note: column 'colour': 1 value(s) that were not there in training, such as 'green', count as missing"
    assert capsys.readouterr().err.strip() == note


def test_another_tables_columns(capsys, csv, trained):
    path = csv({"weight": [1.0], "colour": ["red"]}, "new.csv")
    line = refused(capsys, evaluate.main, trained, "--data", path, "--predict", "out.csv")
    assert "lacks the column(s) 'size'" in line and "it has 'weight', 'colour'" in line


def test_text_for_a_number_at_prediction(capsys, csv, trained):
    path = csv({"size": ["tall"], "colour": ["red"]}, "new.csv")
    line = refused(capsys, evaluate.main, trained, "--data", path, "--predict", "out.csv")
    assert "column 'size' is numeric, but row 2 holds 'tall'" in line


def test_an_unknown_class_to_score(capsys, csv, trained):
    path = csv({"size": [1.0], "colour": ["red"], "kind": ["z"]}, "new.csv")
    assert "row 2: 'z' is no class of the model" in refused(capsys, evaluate.main, trained, "--data", path)


def test_predictions_of_nothing(capsys, trained):
    assert "--predict has no effect without --data" in refused(capsys, evaluate.main, trained, "--predict", "out.csv")


def test_predictions_that_cannot_be_written(capsys, csv, trained):
    path = csv({"size": [1.0], "colour": ["red"]}, "new.csv")
    line = refused(capsys, evaluate.main, trained, "--data", path, "--predict", "none/out.csv")
    assert "--predict none/out.csv cannot be written" in line


def test_watching_a_task(capsys, trained):
    assert "nothing to watch" in refused(capsys, evaluate.main, trained, "--watch")


@pytest.mark.parametrize("flags", [("--web", "8080"), ("--grid", "2x2"), ("--episodes", "3"), ("--stochastic",)])
def test_flags_that_do_nothing_for_a_task(capsys, trained, flags):
    assert f"{flags[0]} " in refused(capsys, evaluate.main, trained, *flags)


def test_steps_for_a_task(capsys, trained):
    line = refused(capsys, train.main, "--resume", trained, "--total-steps", "10")
    assert "expected --epochs" in line


def test_another_network_than_the_encoder(capsys, trained):
    line = refused(capsys, train.main, "iris", "--encoder-from", trained, "--hidden-sizes", "16", "--run-dir", "run")
    assert "(64, 3) there and (16, 4) here" in line


@pytest.mark.parametrize(("run", "message"), [("none", "no checkpoint there"), ("broken", "not a readable checkpoint")])
def test_no_run_for_an_encoder(capsys, tmp_path, run, message):
    (tmp_path / "broken" / "checkpoints").mkdir(parents=True)
    (tmp_path / "broken" / "checkpoints" / "best.pt").write_bytes(b"no checkpoint")
    assert message in refused(capsys, train.main, "iris", "--encoder-from", tmp_path / run)


def test_no_folder_of_digits(capsys):
    assert "--data nowhere is no folder" in refused(capsys, train.main, "digits", "--data", "nowhere")


def test_a_folder_without_digits(capsys, tmp_path):
    line = refused(capsys, train.main, "digits", "--data", tmp_path)
    assert "lacks train-images-idx3-ubyte" in line


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0\x08\x01" + bytes(12), "magic number 0x00000801: expected 0x00000803"),
        (b"\0\0\x08\x03\0\0\0\x02\0\0\0\x1c\0\0\0\x1c" + bytes(28 * 28), "truncated"),
    ],
)
def test_a_bad_file_of_digits(capsys, tmp_path, content, message):
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x02ab")
    assert message in refused(capsys, train.main, "digits", "--data", tmp_path)


def test_more_labels_than_digits(capsys, tmp_path):
    image = b"\0\0\x08\x03\0\0\0\x01\0\0\0\x1c\0\0\0\x1c" + bytes(28 * 28)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(image)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01\0\0\0\x02ab")
    line = refused(capsys, train.main, "digits", "--data", tmp_path)
    assert "holds 1 images" in line and "2 labels" in line


@pytest.mark.parametrize(
    ("values", "flags", "message"),
    [
        ({"a": [1.0] * 200, "b": [2.0] * 200}, (), "--column is missing: expected one of 'a', 'b'"),
        ({"a": range(200)}, ("--column", "z"), "--column 'z' is no column"),
        ({"a": [1.0] * 200}, (), "holds the one value 1 in every row"),
        ({"a": range(20)}, ("--window", "50"), "20 values, too few for windows of 50 steps"),
        ({"a": [None] * 20, "b": range(20)}, ("--column", "a"), "is empty in every row"),
        ({"a": range(200)}, ("--relative", "ratio"), "--relative ratio needs values above 0, and a goes down to 0"),
        ({"a": [0.5] * 19 + ["x"]}, (), "row 21 holds 'x'"),
    ],
)
def test_a_bad_series(capsys, csv, values, flags, message):
    assert message in refused(capsys, train.main, "series", "--data", csv(values), *flags)


def test_a_convolution_over_a_series(capsys):
    assert "--encoder cnn" in refused(capsys, train.main, "series", "--encoder", "cnn")


def test_numbers_that_explode(capsys, csv):
    rng = np.random.default_rng(0)
    path = csv({"x": rng.normal(size=60), "y": rng.normal(size=60)})
    torch.manual_seed(0)
    flags = ("--optimizer", "sgd", "--learning-rate", "1e30", "--quiet")
    line = refused(capsys, train.main, "table", "--data", path, "--target", "y", *flags)
    assert "not finite" in line and "--learning-rate" in line
