"""Trackers: what a real MLflow server and W&B's own file hold afterwards, against TensorBoard's; trackers that fail."""

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import train
from agent_gym import PPO, autolog
from agent_gym.agents import config_class
from agent_gym.ground.errors import UserError
from agent_gym.many.train_group import new_group
from agent_gym.many.worker import run_seed
from agent_gym.storage import tensor_file
from agent_gym.storage.events import EventFile
from agent_gym.storage.run import Run
from agent_gym.storage.trackers import follow, launch, tracker
from agent_gym.storage.trackers.points import Points

ROOT = Path(__file__).parents[2]
FLAGS = ["ppo", "--env", "CartPole-v1", "--num-envs", "8", "--num-steps", "32", "--num-epochs", "1", "--seed", "5"]
FLAGS += [
    "--no-track-model",
    "--hidden-sizes",
    "16",
    "--eval-episodes",
    "2",
    "--eval-every",
    "2048",
    "--checkpoint-every",
    "512",
]


TINY = {"hidden_sizes": (8,), "num_envs": 8, "num_steps": 32, "num_epochs": 1, "total_steps": 512, "quiet": True}
TINY |= {"eval_every": "never", "eval_episodes": 2, "seed": 5}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def answers(address: str) -> bool:
    try:
        urllib.request.urlopen(address, timeout=10).close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real MLflow server on SQLite; gives its own client."""
    import mlflow

    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        str(folder / "files"),
    ]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    uri = f"http://127.0.0.1:{port}"
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True)
    try:
        while not answers(f"{uri}/health"):  # on a busy machine it may take minutes
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        yield mlflow.MlflowClient(uri)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def tracked_at(server, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.tracking_uri)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "6")  # a busy machine answers late
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    return server


def patient(monkeypatch) -> None:
    """However busy the machine, a run waits until all is sent."""
    monkeypatch.setattr(launch, "DEAF", 900.0)
    monkeypatch.setattr(launch, "PATIENCE", 900.0)


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard's own reader finds."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}, purge_orphaned_data=False).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def kept_curves(client, run_id: str) -> dict[str, list[tuple[int, float]]]:
    tags = client.get_run(run_id).data.metrics
    histories = {tag: client.get_metric_history(run_id, tag) for tag in tags if not tag.startswith("result/")}
    return {tag: sorted((p.step, p.value) for p in points) for tag, points in histories.items()}


def record_of(run: Path, name: str = "mlflow") -> dict:
    return json.loads((run / "tracking" / f"{name}.json").read_text())["record"]


def artifacts(client, run_id: str) -> set[str]:
    return {
        file.path for folder in ("", "checkpoints", "videos") for file in client.list_artifacts(run_id, folder or None)
    }


@pytest.mark.parametrize("uri", ["sqlite:///{}/my.db", "file://{}/my.db", "{}/my.db"])
def test_what_runs_make_once_is_locked_beside_the_store(monkeypatch, tmp_path, uri):
    from agent_gym.storage.trackers.mlflow_tracker import alone

    monkeypatch.setattr("mlflow.get_tracking_uri", lambda: uri.format(tmp_path))
    assert alone().lock_file == str(tmp_path / ".my.db.lock")
    servers = set()
    for server in ("http://127.0.0.1:5000", "https://elsewhere"):
        monkeypatch.setattr("mlflow.get_tracking_uri", lambda server=server: server)
        servers.add(alone().lock_file)
    (only,) = servers
    assert Path(only).parent == Path(tempfile.gettempdir())  # one file, however many servers there are


def test_mlflow_holds_what_tensorboard_holds_once_after_a_resume_too(tracked_at, tmp_path, monkeypatch):
    patient(monkeypatch)
    run, names = tmp_path / "run", ["--experiment", "poles", "--run-name", "first", "--parent-run", "seeds"]
    flags = [*FLAGS, "--total-steps", "4096", "--run-dir", str(run), "--video-every", "4096", "--quiet"]
    assert train.main([*flags, "--track", "mlflow", *names]) == 0
    kept = tracked_at.get_run(record_of(run)["run"])
    assert kept_curves(tracked_at, kept.info.run_id) == curves(run)
    assert kept.info.status == "FINISHED" and kept.info.run_name == "first"
    assert tracked_at.get_experiment(kept.info.experiment_id).name == "poles"
    assert tracked_at.get_run(kept.data.tags["mlflow.parentRunId"]).info.run_name == "seeds"

    config, result = (json.loads((run / name).read_text()) for name in ("config.json", "result.json"))
    assert kept.data.params["learning_rate"] == str(config["learning_rate"])
    assert set(kept.data.params) == set(config) - {"track", "experiment", "run_name", "parent_run", "track_model"}
    assert kept.data.metrics["result/return_mean"] == result["return_mean"]
    assert kept.data.tags["agent"] == "ppo" and kept.data.tags["version.torch"] == version("torch")
    files = {"config.json", "result.json", "model_summary.txt", "checkpoints/best.pt", "videos/step-4096.mp4"}
    assert files <= artifacts(tracked_at, kept.info.run_id)
    copy = tracked_at.download_artifacts(kept.info.run_id, "checkpoints/best.pt", str(tmp_path))
    assert Path(copy).read_bytes() == (run / "checkpoints/best.pt").read_bytes()
    summary = tracked_at.download_artifacts(kept.info.run_id, "model_summary.txt", str(tmp_path))
    assert "encoder.mlp.0 (Dense)" in Path(summary).read_text()

    # From the checkpoint before, as after a kill: its steps come again, and the run goes on.
    shutil.move(run / "checkpoints/previous.pt", run / "checkpoints/last.pt")
    assert train.main(["--resume", str(run), "--num-threads", "1", "--quiet"]) == 0
    again = tracked_at.get_run(record_of(run)["run"])
    assert again.info.run_id == kept.info.run_id and again.data.tags["resumed.num_threads"] == "1"
    points, there = kept_curves(tracked_at, kept.info.run_id), curves(run)
    for speed in [tag for tag in there if tag.startswith("time/")]:  # measured anew
        assert [step for step, _ in points.pop(speed)] == [step for step, _ in there.pop(speed)]
    assert points == there


def test_seeds_are_runs_within_one_of_their_group(tracked_at, tmp_path, monkeypatch):
    patient(monkeypatch)
    config = config_class("ppo")(**TINY, track="mlflow", experiment="many", track_model=False)
    group = new_group("agent", "ppo", config, (0, 1), tmp_path / "pair")
    assert [run_seed(group, seed) for seed in group.seeds] == [0, 0]
    trial = new_group("agent", "ppo", config, (0,), tmp_path / "0007", of="hunt").stored.config
    assert (trial["parent_run"], trial["run_name"]) == ("hunt", "0007")
    experiment = tracked_at.get_experiment_by_name("many").experiment_id
    runs = {run.info.run_name: run for run in tracked_at.search_runs([experiment])}
    parents = {name: run.data.tags.get("mlflow.parentRunId") for name, run in runs.items()}
    above = runs["pair"].info.run_id
    assert parents == {"pair": None, "seed-0": above, "seed-1": above}


def test_autolog_goes_on_with_a_run_without_a_point_twice(tracked_at, tmp_path, monkeypatch):
    patient(monkeypatch)
    autolog(experiment="again", log_models=False)
    try:
        agent = PPO(**TINY).learn(1024, run_dir=tmp_path / "run").learn(1024)
    finally:
        autolog(disable=True)
    experiment = tracked_at.get_experiment_by_name("again").experiment_id
    (run,) = tracked_at.search_runs([experiment])
    points, there = kept_curves(tracked_at, run.info.run_id), curves(tmp_path / "run")
    final = "final/episode_return"
    assert points.pop(final)[1:] == there.pop(final)  # TensorBoard forgets the one before the resume
    assert agent.steps == 2048 and points == there and run.info.status == "FINISHED"


def rows(count: int, seed: int):
    """A border that no line is."""
    x = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    return x, (np.hypot(*x.T) > 1.1).astype(np.float32)


def test_autolog_follows_fit_within_a_run_of_the_programs(tracked_at, tmp_path, monkeypatch):
    """A course's first listing: MLflow's autolog around Keras's fit, scores of an evaluation beside it."""
    import mlflow
    from sklearn.metrics import roc_auc_score

    from agent_gym import Model
    from agent_gym.layers import Dense

    patient(monkeypatch)
    (x, y), (x_test, y_test) = rows(300, 0), rows(100, 1)
    mlflow.set_tracking_uri(tracked_at.tracking_uri)
    mlflow.set_experiment("course")
    autolog()
    try:
        with mlflow.start_run() as run:
            model = Model([Dense(16, activation="relu"), Dense(1, activation="sigmoid")])
            model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"], learning_rate=0.02)
            fitted = model.fit(
                x, y, epochs=12, batch_size=32, validation_split=0.2, verbose=0, run_dir=tmp_path / "run"
            )
            loss, accuracy = model.evaluate(x_test, y_test)
            mlflow.log_metrics(
                {"eval_accuracy": accuracy, "eval_roc_auc": roc_auc_score(y_test, model.predict(x_test))}
            )
    finally:
        autolog(disable=True)
    kept = tracked_at.get_run(run.info.run_id)
    assert kept.info.status == "FINISHED" and kept.data.params["epochs"] == "12"
    assert 0.8 < kept.data.metrics["eval_accuracy"] == accuracy and kept.data.metrics["eval_roc_auc"] > 0.9
    points = kept_curves(tracked_at, run.info.run_id)
    assert {tag: points[tag] for tag in points if not tag.startswith("eval_")} == curves(tmp_path / "run")
    assert [value for _, value in points["val/loss"]] == pytest.approx(fitted.history["val_loss"])
    assert {"config.json", "model_summary.txt", "result.json"} <= artifacts(tracked_at, run.info.run_id)
    loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    np.testing.assert_allclose(loaded.predict(x_test)["output"], model.predict(x_test), atol=1e-5)
    assert (
        model.fit(x, y, epochs=1, verbose=0, run_dir=tmp_path / "alone").run_dir.joinpath("tracking").exists() is False
    )


def test_a_loop_of_torch_logs_our_model_by_hand(tracked_at, tmp_path, monkeypatch):
    """A course's second listing: parameters, summary, losses and the model logged around a loop of one's own."""
    import mlflow

    from agent_gym import Model
    from agent_gym.layers import Dense

    monkeypatch.chdir(tmp_path)
    x, y = (torch.from_numpy(part) for part in rows(200, 2))
    mlflow.set_tracking_uri(tracked_at.tracking_uri)
    mlflow.set_experiment("course")
    model = Model([Dense(8, activation="relu", input_shape=(2,)), Dense(1)])
    optimizer = torch.optim.Adam(model.module.parameters(), lr=0.05)
    with mlflow.start_run() as run:
        mlflow.log_params({"epochs": 3, "learning_rate": 0.05, "batch_size": len(x), "loss": "BCEWithLogitsLoss"})
        Path("model_summary.txt").write_text(model.summary(show=False))
        mlflow.log_artifact("model_summary.txt")
        for epoch in range(3):
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model.module(x).squeeze(1), y)
            loss.backward()
            optimizer.step()
            mlflow.log_metric("loss", loss.item(), step=epoch)
        model.export("model.onnx")
        mlflow.log_artifact("model.onnx")
        mlflow.pytorch.log_model(model.module, name="model", input_example=x.numpy())
    kept = tracked_at.get_run(run.info.run_id)
    assert kept.data.params["loss"] == "BCEWithLogitsLoss"
    losses = [value for _, value in kept_curves(tracked_at, run.info.run_id)["loss"]]
    assert len(losses) == 3 and losses[2] < losses[0]
    assert {"model_summary.txt", "model.onnx"} <= artifacts(tracked_at, run.info.run_id)
    loaded = mlflow.pytorch.load_model(f"runs:/{run.info.run_id}/model")
    torch.testing.assert_close(loaded(x), model.module(x))


def test_a_killed_run_is_told_of_as_one(tracked_at, tmp_path):
    run = Run.create(tmp_path / "run", {"agent": "ppo", "env": "CartPole-v1"})
    run.log({"train/loss": 0.5}, 7)
    command = [sys.executable, "-m", "agent_gym.storage.trackers.follow", str(run.path), "mlflow"]
    said = json.dumps([run.config, ""]) + "\n"  # and then no more
    subprocess.run(command, input=said, text=True, check=True, cwd=ROOT)
    run.close()
    kept = tracked_at.get_run(record_of(run.path)["run"])
    assert kept.info.status == "KILLED" and kept.data.metrics == {"train/loss": 0.5}


def test_a_tracker_that_cannot_be_reached_is_told_of_once_and_changes_nothing(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    monkeypatch.chdir(tmp_path)
    for name, lines in (("none", 0), ("mlflow", 1)):
        patient(monkeypatch)
        assert train.main([*FLAGS, "--total-steps", "2048", "--quiet", "--track", name, "--run-dir", name]) == 0
        error = capfd.readouterr().err
        assert error.count("\n") == error.count("warning: --track mlflow: ") == lines, error
    a, b = (tensor_file.read(tmp_path / name / "checkpoints/last.pt")["agent"]["model"] for name in ("mlflow", "none"))
    assert all(torch.equal(a[key], b[key]) for key in a)


class Flaky:
    """A tracker that fails at every second call, in the middle of what it does."""

    def __init__(self):
        self.record, self.points, self.files, self.ending, self.calls = {}, [], [], None, 0

    def fail(self):
        self.calls += 1
        if self.calls % 2:
            raise ConnectionError("gone for a moment")

    def open(self, about, record):
        assert record in ({}, {"run": "1"})
        self.record = {"run": "1"}
        self.fail()

    def last_steps(self):
        return {}

    def log(self, points):
        self.fail()
        self.points += points

    def add(self, file, folder):
        self.fail()
        self.files.append(file.name)

    def close(self, ending):
        self.fail()
        self.ending = ending


def test_what_a_failing_tracker_missed_is_sent_later_and_once(tmp_path, monkeypatch, capsys):
    flaky = Flaky()
    monkeypatch.setattr(follow, "make_tracker", lambda name: flaky)
    monkeypatch.setattr(follow, "PAUSES", (0.0, 0.0))
    run = Run.create(tmp_path / "run", {"agent": "ppo", "env": "CartPole-v1", "track": "mlflow"})
    (run.path / "tracking").mkdir()
    follower = follow.Follower(run.path, "mlflow", run.config)
    for step in range(2000):
        run.log({"train/loss": step / 4}, step)
        if step % 300 == 0:
            follower.attempt()
    tries = 0
    while not follower.attempt("stopped"):
        tries += 1
    run.close()
    assert tries > 1 and flaky.ending == "stopped" and flaky.files == ["config.json"]
    assert [(p.tag, p.step, p.value) for p in flaky.points] == [("train/loss", s, s / 4) for s in range(2000)]
    assert capsys.readouterr().err.count("warning: --track mlflow: gone for a moment") == 1


def test_points_that_are_half_written_come_when_they_are_whole(tmp_path):
    run = Run.create(tmp_path / "run", {})
    run.log({"a": 1.0, "b": 2.0}, 1)
    run.log({"a": 3.0}, 2)
    path = run.events.path
    whole, points = path.read_bytes(), Points(tmp_path / "run")
    path.write_bytes(whole[:-7])
    assert [(p.tag, p.step, p.value) for p in points.new()] == [("a", 1, 1.0), ("b", 1, 2.0)]
    path.write_bytes(whole)
    assert [(p.tag, p.step, p.value) for p in points.new()] == [("a", 2, 3.0)]
    run.close()
    later = EventFile(tmp_path / "run")  # of a resumed run
    later.close()
    assert points.new() == []


def wandb_records(path: Path) -> list:
    """W&B's offline file: a LevelDB log of protocol buffers."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, record, records = path.read_bytes(), 7, b"", []
    while position < len(data):
        if 32768 - position % 32768 < 7:
            position += 32768 - position % 32768
        _, length, kind = struct.unpack("<IHB", data[position : position + 7])
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            records.append(Record.FromString(record))
            record = b""
    return records


def test_wandb_writes_offline_what_tensorboard_holds(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    patient(monkeypatch)
    monkeypatch.chdir(tmp_path)
    flags = [*FLAGS, "--total-steps", "4096", "--run-dir", "run", "--track", "wandb", "--experiment", "poles"]
    assert train.main([*flags, "--quiet"]) == 0
    assert train.main(["--resume", "run", "--total-steps", "6144", "--quiet"]) == 0
    records = [r for path in sorted(tmp_path.glob("wandb/offline-*/*.wandb")) for r in wandb_records(path)]
    runs = [r.run for r in records if r.WhichOneof("record_type") == "run"]
    first, name = runs[0], record_of(tmp_path / "run", "wandb")["run"]
    assert {(run.run_id, run.project) for run in runs} == {(name, "poles")}
    assert {c.key: c.value_json for c in first.config.update}["learning_rate"] == '"0.01"'
    kept = {}
    for history in (r.history for r in records if r.WhichOneof("record_type") == "history"):
        for item in history.item:
            tag = item.key or item.nested_key[0]
            if not tag.startswith(("_", "result/")):
                kept.setdefault(tag, []).append((history.step.num, json.loads(item.value_json)))
    there, final = curves(tmp_path / "run"), "final/episode_return"
    assert kept.pop(final)[1:] == there.pop(final)  # TensorBoard forgets the one before the resume
    assert kept == there


def test_a_missing_package_is_named_with_its_line(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(tracker.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package mlflow: pip install 'agent-gym\[mlflow\]'"):
        tracker.require_tracker("mlflow")
    assert train.main([*FLAGS, "--track", "wandb", "--run-dir", str(tmp_path / "run")]) == 2
    assert "pip install 'agent-gym[wandb]'" in capsys.readouterr().err and not (tmp_path / "run").exists()
