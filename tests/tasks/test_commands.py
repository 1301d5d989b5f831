"""The commands as a user types them: train, resume, score, predict; and what a run leaves behind."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train
from agent_gym.tasks import TASKS
from benchmarks.learning.airline import airline


def printed(capsys, *arguments) -> dict:
    """What evaluate.py --json prints."""
    capsys.readouterr()
    assert evaluate.main([str(a) for a in arguments] + ["--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def iris(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "iris"
    assert train.main(["iris", "--epochs", "30", "--quiet", "--run-dir", str(path)]) == 0
    return path


def test_a_run_leaves_what_was_promised(iris):
    assert {p.name for p in (iris / "checkpoints").iterdir()} == {"last.pt", "previous.pt", "best.pt"}
    result = json.loads((iris / "result.json").read_text())
    fields = {"wall_time", "total_steps", "steps_per_second", "evaluation_time", "best_step", "seed", "date"}
    assert set(result) == fields | {"task", "metrics"}
    events = EventAccumulator(str(iris), size_guidance={"scalars": 0}).Reload()
    tags = set(events.Tags()["scalars"])
    assert {"train/loss", "train/accuracy", "val/loss", "val/accuracy", "val/f1", "val/roc_auc"} <= tags
    assert len(events.Scalars("val/loss")) == 30
    assert events.Scalars("val/loss")[-1].step == result["total_steps"]  # optimizer steps
    assert "test/confusion_matrix" in events.Tags()["images"]


def test_the_score_is_the_one_of_the_run(iris, capsys):
    score = printed(capsys, iris)
    assert set(score) == {"task", "metrics"} and score["task"] == "iris"
    assert score["metrics"] == json.loads((iris / "result.json").read_text())["metrics"]


def test_a_checkpoint_runs_no_code(iris):
    torch.load(iris / "checkpoints" / "best.pt", weights_only=True)


@pytest.mark.parametrize("name", TASKS)
def test_summaries(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = {"speech": ["--num-recordings", "100"], "detect": ["--num-canvases", "100"]}.get(name, [])
    if name == "table":
        pd.DataFrame({"x": np.arange(50) % 7, "y": np.arange(50) % 2}).to_csv("data.csv", index=False)
        flags = ["--data", "data.csv", "--target", "y"]
    assert train.main([name, "--summary", *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["layer", "output", "parameters"] in [line.split() for line in lines] and lines[-1].startswith("total")
    assert not (tmp_path / "runs").exists()


def test_agents_have_a_summary_too(capsys):
    assert train.main(["ppo", "--summary", "--hidden-sizes", "64", "64", "--share-encoder", "no"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split() == ["total", "9,155"]  # 2 (4·64+64 + 64·64+64) + 130 + 65


def test_resume_is_the_same_run(tmp_path):
    flags = ["iris", "--dropout", "0.2", "--quiet", "--epochs", "8", "--checkpoint-every", "4"]
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert train.main([*flags, "--run-dir", str(whole)]) == 0
    assert train.main([*flags, "--epochs", "4", "--run-dir", str(parts)]) == 0
    assert train.main(["--resume", str(parts), "--epochs", "8", "--quiet"]) == 0
    a, b = (torch.load(p / "checkpoints" / "last.pt", weights_only=True)["agent"] for p in (whole, parts))
    for name, value in a["model"].items():
        if torch.is_tensor(value):
            assert torch.equal(value, b["model"][name])
    assert a["steps"] == b["steps"]


@pytest.fixture(scope="module")
def survey(tmp_path_factory):
    """The run of a table of the airline survey's schema, with the raw rows."""
    folder = tmp_path_factory.mktemp("survey")
    frame = airline(4000, seed=1)
    frame.to_csv(folder / "survey.csv", index=False)
    flags = ["--target", "satisfaction", "--epochs", "8", "--quiet", "--run-dir", str(folder / "run")]
    assert train.main(["table", "--data", str(folder / "survey.csv"), *flags]) == 0
    (folder / "survey.csv").unlink()  # predictions need the checkpoint alone
    return folder


def test_raw_rows_are_predicted(survey, capsys, tmp_path):
    new = airline(500, seed=2)
    new.drop(columns="satisfaction").sample(frac=1.0, axis=1, random_state=0).to_csv(tmp_path / "new.csv", index=False)
    out = tmp_path / "out.csv"
    arguments = [survey / "run", "--data", tmp_path / "new.csv", "--predict", out]
    assert evaluate.main([str(a) for a in arguments]) == 0
    predictions = pd.read_csv(out)
    assert list(predictions.columns) == [
        "predicted satisfaction",
        "probability of dissatisfied",
        "probability of satisfied",
    ]
    assert len(predictions) == 500
    assert accuracy_score(new["satisfaction"], predictions["predicted satisfaction"]) > 0.8
    # with the target, the same rows are scored, and scikit-learn agrees
    new.to_csv(tmp_path / "new.csv", index=False)
    metrics = printed(capsys, survey / "run", "--data", tmp_path / "new.csv")["metrics"]
    expected = roc_auc_score(new["satisfaction"] == "satisfied", predictions["probability of satisfied"])
    assert metrics["roc_auc"] == pytest.approx(expected, abs=1e-4)


def test_titanic_like_rows_train(tmp_path, capsys):
    rng = np.random.default_rng(0)
    rows = 300
    sex = rng.choice(["male", "female"], rows)
    age = np.where(rng.random(rows) < 0.2, np.nan, rng.integers(1, 80, rows))
    frame = pd.DataFrame(
        {
            "PassengerId": np.arange(1, rows + 1),
            "Survived": ((sex == "female") ^ (rng.random(rows) < 0.1)).astype(int),
            "Pclass": rng.integers(1, 4, rows),
            "Name": [f"Passenger, Number {i}" for i in range(rows)],
            "Sex": sex,
            "Age": age,
            "Fare": rng.exponential(30.0, rows),
            "Cabin": np.where(rng.random(rows) < 0.8, None, "C1"),
            "Embarked": rng.choice(["S", "C", "Q", None], rows),
        }
    )
    frame["Cabin"] = np.where(frame["Cabin"].isna(), None, rng.choice(["C1", "B2", "D3"], rows))
    frame.to_csv(tmp_path / "titanic.csv", index=False)
    flags = ["--target", "Survived", "--epochs", "20", "--run-dir", str(tmp_path / "run")]
    assert train.main(["table", "--data", str(tmp_path / "titanic.csv"), *flags]) == 0
    out = capsys.readouterr().out
    assert "'PassengerId' left out" in out and "'Name' left out" in out and "majority" in out
    assert json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]["accuracy"] > 0.8


def test_a_series_of_ones_own_is_forecast(tmp_path, capsys):
    steps = np.arange(600)
    values = 20.0 + 5.0 * np.sin(2 * np.pi * steps / 24)
    pd.DataFrame({"day": steps, "degrees": values}).to_csv(tmp_path / "weather.csv", index=False)
    flags = ["--column", "degrees", "--window", "24", "--horizon", "3", "--encoder", "linear", "--batch-size", "16"]
    flags += ["--epochs", "60", "--learning-rate", "0.01", "--quiet", "--run-dir", str(tmp_path / "run")]
    assert train.main(["series", "--data", str(tmp_path / "weather.csv"), *flags]) == 0
    out = tmp_path / "out.csv"
    arguments = [tmp_path / "run", "--data", tmp_path / "weather.csv", "--predict", out]
    assert evaluate.main([str(a) for a in arguments]) == 0
    forecast = pd.read_csv(out)
    expected = 20.0 + 5.0 * np.sin(2 * np.pi * np.arange(600, 603) / 24)
    assert np.allclose(forecast["predicted degrees"], expected, atol=0.2)
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert "test/forecast" in events.Tags()["images"]
