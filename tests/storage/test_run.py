"""Run directories: one process each, one curve, and disks that fail."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins import base_plugin
from tensorboard.plugins.hparams import backend_context, metadata

import evaluate
import train
from agent_gym.ground.errors import UserError
from agent_gym.ground.libraries import PACKAGES
from agent_gym.storage import tensor_file
from agent_gym.storage.charts import AGENT_CHARTS, TASK_CHARTS
from agent_gym.storage.checkpoint import latest_checkpoint
from agent_gym.storage.lock import RunLock
from agent_gym.storage.provenance import differences, provenance
from agent_gym.storage.run import Run, default_run_dir
from agent_gym.viewing.film import Film
from benchmarks import killing

ROOT = Path(__file__).parents[2]
FLAGS = ["ppo", "--env", "CartPole-v1", "--num-envs", "8", "--num-steps", "32", "--num-epochs", "1", "--seed", "5"]
FLAGS += ["--hidden-sizes", "16", "--eval-episodes", "2", "--eval-every", "2048", "--checkpoint-every", "512"]
IN_AN_EVALUATION = killing.Spot("agent_gym.training.loop:look", 3)
CLOCK = {"wall_time": 1.0, "best": 0.0}


def start(*flags: object, cwd: Path) -> tuple[BaseProcess, Path]:
    """A training process, and the file that it writes its errors to."""
    errors = cwd / f"errors-{len(list(cwd.iterdir()))}.txt"
    return killing.fork("train", [*map(str, flags), "--quiet"], cwd, cwd / "output.txt", errors), errors


@contextmanager
def room(limit: int) -> Iterator[None]:
    """No file grows beyond `limit` bytes, which to a program is the same as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def wait_for(path: Path, process: BaseProcess, errors: Path) -> None:
    while not path.exists():
        assert process.exitcode is None, errors.read_text()
        time.sleep(0.01)


def refused(capsys, flags: list[str]) -> str:
    """What training that cannot be says, in one line."""
    capsys.readouterr()
    assert train.main([*flags, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    return error


def curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Every tag's points, apart from the time that they took; nothing is purged for the reader."""
    events = EventAccumulator(str(run), size_guidance={"scalars": 0}, purge_orphaned_data=False).Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("time/")]
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in tags}


def test_after_a_kill_and_a_torn_checkpoint_the_curve_is_that_of_an_unbroken_run(tmp_path):
    flags = [*FLAGS, "--total-steps", "16384"]
    assert train.main([*flags, "--run-dir", str(tmp_path / "alone"), "--quiet"]) == 0
    broken = killing.start([*flags, "--run-dir", "broken"], tmp_path, tmp_path / "broken.txt", IN_AN_EVALUATION)
    broken.join()
    assert broken.exitcode == -signal.SIGKILL
    last = tmp_path / "broken/checkpoints/last.pt"
    last.write_bytes(last.read_bytes()[:-1])
    again, errors = start("--resume", "broken", cwd=tmp_path)
    again.join()
    error = errors.read_text()
    assert again.exitcode == 0 and error.count("\n") == 1 and "warning" in error

    expected, found = curves(tmp_path / "alone"), curves(tmp_path / "broken")
    assert expected == found and len(expected["rollout/episode_return"]) > 30
    for points in found.values():
        assert (np.diff([step for step, _ in points]) > 0).all()
    a, b = (tensor_file.read(tmp_path / name / "checkpoints/last.pt")["agent"]["model"] for name in ("alone", "broken"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_second_process_is_refused_and_a_vanished_directory_stops_the_first(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("agent_gym.storage.lock.PATIENCE", 0.1)
    run = tmp_path / "run"
    process, errors = start(*FLAGS, "--total-steps", 10**8, "--run-dir", run, cwd=tmp_path)
    wait_for(run / "checkpoints/last.pt", process, errors)
    wait_for(run / "checkpoints/best.pt", process, errors)
    before = {path.name for path in run.iterdir()}
    for flags in (["--resume", str(run)], [*FLAGS, "--run-dir", str(run)]):
        assert f"{run} is in use by process {process.pid}" in refused(capsys, flags)
    assert {path.name for path in run.iterdir()} == before and process.exitcode is None
    assert evaluate.main([str(run), "--episodes", "1"]) == 0

    os.rename(run, tmp_path / "elsewhere")
    process.join()
    error = errors.read_text()
    assert process.exitcode == 2 and error.startswith("error: cannot write") and error.count("\n") == 1
    assert "No such file or directory" in error and "folder is gone" in error
    capsys.readouterr()
    assert latest_checkpoint(tmp_path / "elsewhere")[1] == "last" and capsys.readouterr().err == ""
    assert "is not empty" in refused(capsys, [*FLAGS, "--run-dir", str(tmp_path / "elsewhere")])


def test_a_lock_outlives_no_forked_child_of_a_killed_process(tmp_path):
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom agent_gym.storage.lock import RunLock\n"
        "lock = RunLock(Path(sys.argv[1]))\nif os.fork() == 0: time.sleep(1)\nelse:\n print(flush=True); time.sleep(60)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE)
    process.stdout.readline()
    with pytest.raises(UserError, match=f"in use by process {process.pid}"):
        RunLock(tmp_path)
    process.kill()
    process.wait()
    RunLock(tmp_path).release()
    process.stdout.close()


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    (tmp_path / "thesis.tex").touch()
    assert train.main([*FLAGS, "--run-dir", str(tmp_path)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_disk_that_fills_up_stops_the_run_and_keeps_the_checkpoint(tmp_path, capsys):
    run = tmp_path / "run"
    assert train.main([*FLAGS, "--total-steps", "2048", "--run-dir", str(run), "--quiet"]) == 0
    good, files = (run / "checkpoints/last.pt").read_bytes(), set((run / "checkpoints").iterdir())
    more = ["--resume", str(run), "--total-steps", "4096"]
    for limit, what in ((len(good) // 2, "last.pt"), (100, "TensorBoard events")):
        with room(limit):
            error = refused(capsys, more)
        assert what in error and "free space" in error and f"--resume {run}" in error
        assert (run / "checkpoints/last.pt").read_bytes() == good
        assert set((run / "checkpoints").iterdir()) == files
    assert train.main(more) == 0


def test_a_disk_that_is_full_from_the_start(tmp_path, capsys):
    with room(300):
        assert "free space" in refused(capsys, [*FLAGS, "--run-dir", str(tmp_path / "run")])
    assert {path.name for path in (tmp_path / "run").iterdir()} <= {".lock", ".pid"}
    assert train.main([*FLAGS, "--total-steps", "512", "--run-dir", str(tmp_path / "run"), "--quiet"]) == 0


def test_a_film_that_finds_no_room_is_not_kept(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (20, 64, 64, 3), dtype=np.uint8)
    for limit in (0, 5000):
        with room(limit), pytest.raises(UserError, match="cannot write the film.*free space"):  # noqa: SIM117
            with Film(tmp_path / "a.mp4", 25) as film:
                for picture in noise:
                    film.add(picture)
        assert list(tmp_path.iterdir()) == []


def test_a_read_only_folder(tmp_path, monkeypatch, capsys):
    """As for a user who may not write there; the superuser may, whatever the permissions."""
    run = Run.create(tmp_path / "run", {"seed": 1})
    run.save_last({"agent": {}, "clock": CLOCK})
    run.close()

    def refuse(path: object, flags: int, *rest: object, **options: object) -> int:
        if flags & (os.O_CREAT | os.O_RDWR | os.O_WRONLY):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *rest, **options)

    real = os.open
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UserError, match="Permission denied.*mend its permissions"):
        Run.reopen(tmp_path / "run")
    with pytest.raises(UserError, match="Permission denied.*mend its permissions"):
        Run.create(tmp_path / "new", {"seed": 1})


def test_every_write_is_one_clear_line(tmp_path):
    """Each kind of file, written to a run directory that has become a file."""
    run = Run.create(tmp_path / "run", {"seed": 1})
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").touch()
    writes = {
        "events.out": lambda: run.log({"train/loss": 1.0}, 1),
        "TensorBoard": lambda: run.show({"picture": np.zeros((2, 2, 3), np.uint8)}, 1),
        "last.pt": lambda: run.save_last({"agent": {}, "clock": CLOCK}),
        "best.pt": lambda: run.save_best({"agent": {}}),
        "result.json": lambda: run.finish({}, "score", 1.0, 1),
        "videos": lambda: run.make_folder("videos"),
    }
    for name, write in writes.items():
        with pytest.raises(UserError, match=f"cannot write .*{name}.*: its folder is gone"):
            write()
    run.close()
    assert (tmp_path / "run").read_bytes() == b""


def test_images_and_hyperparameters_reach_tensorboard(tmp_path):
    run = Run.create(tmp_path / "run", {"seed": 1, "learning_rate": 0.5, "env": "X", "quiet": True})
    run.show({"picture": np.zeros((4, 6, 3), np.uint8)}, 7)
    run.log_gif("film", b"GIF89a", 6, 4, 8)
    run.finish({"a": 1}, "final/score", 3.5, 9)
    run.close()
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert [(i.step, i.width, i.height) for tag in ("picture", "film") for i in events.Images(tag)] == [
        (7, 6, 4),
        (8, 6, 4),
    ]
    assert events.Scalars("final/score")[0].step == 9 and json.loads((run.path / "result.json").read_text()) == {"a": 1}
    assert EventAccumulator(str(run.path / "final")).Reload().Scalars("final/score")[0].step == 9


def hparams_table(folder: Path) -> tuple[set[str], list[str], dict[str, dict]]:
    """Columns, metrics and rows of TensorBoard's HParams, as its own plugin makes them of a folder of runs."""
    events = EventMultiplexer().AddRunsFromDirectory(str(folder)).Reload()
    provider = MultiplexerDataProvider(events, str(folder))
    context = backend_context.Context(base_plugin.TBContext(data_provider=provider))
    found = context.hparams_metadata(RequestContext(), "")
    nothing = provider.list_hyperparameters(RequestContext(), experiment_ids=[""])
    experiment = context.experiment_from_metadata(RequestContext(), "", True, found, nothing)
    rows = {
        run: metadata.parse_session_start_info_plugin_data(tags[metadata.SESSION_START_INFO_TAG]).hparams
        for run, tags in found.items()
        if metadata.SESSION_START_INFO_TAG in tags
    }
    return {info.name for info in experiment.hparam_infos}, [info.name.tag for info in experiment.metric_infos], rows


def test_the_table_of_hyperparameters_has_the_columns_of_all_runs_and_final_scores_alone(tmp_path):
    for name, config in (("a", {"seed": 1, "clip_coef": 0.2}), ("b", {"seed": 2, "tau": 0.1})):
        run = Run.create(tmp_path / name, config)
        run.log({"train/loss": 1.0, "eval/episode_return": 2.0}, 5)
        run.finish({}, "final/score", 3.5, 9)
    columns, metrics, rows = hparams_table(tmp_path)
    assert columns == {"seed", "clip_coef", "tau"} and metrics == ["final/score"]
    assert {run: values["seed"].number_value for run, values in rows.items()} == {"a/final": 1, "b/final": 2}

    run.config = {"seed": 7}  # a run that went on
    run.finish({}, "final/score", 4.5, 12)
    assert hparams_table(tmp_path)[2]["b/final"]["seed"].number_value == 7
    run.close()
    assert [e.step for e in EventAccumulator(str(tmp_path / "b/final")).Reload().Scalars("final/score")] == [12]


def test_agents_and_tasks_have_charts_of_their_own_that_match_what_they_log(tmp_path):
    """Against the tags of real runs: no axis is shared but by losses of a value, or by lengths."""
    logged = {}
    for kind, flags in (("agent", [*FLAGS, "--total-steps", "512"]), ("task", ["iris", "--epochs", "2"])):
        assert train.main([*flags, "--run-dir", str(tmp_path / kind), "--quiet"]) == 0
        logged[kind] = EventAccumulator(str(tmp_path / kind)).Reload().Tags()["scalars"]
    for kind, layout in (("agent", AGENT_CHARTS), ("task", TASK_CHARTS)):
        charts = [chart for category in layout.values() for chart in category.values()]
        matches = [[tag for tag in logged[kind] if any(re.match(e, tag) for e in chart[1])] for chart in charts]
        alone = {"train/approx_kl", "train/grad_norm", "train/policy_loss"} if kind == "agent" else {"train/grad_norm"}
        assert all([tag] in matches for tag in alone)
        shown = {tag for tags in matches for tag in tags}
        final = {tag for tag in logged[kind] if tag.startswith(("final/", "test/"))}
        assert set(logged[kind]) - shown <= {"train/loss", *final} and sum(bool(tags) for tags in matches) >= 7
    first = next(iter(TASK_CHARTS.values()))
    assert next(iter(first.values())) == ["Multiline", ["val/loss"]]
    shared = AGENT_CHARTS.keys() & TASK_CHARTS.keys()  # TensorBoard merges these
    assert all(AGENT_CHARTS[name] == TASK_CHARTS[name] for name in shared)


def test_runs_are_grouped_by_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = default_run_dir("AgentGym/Snake-v0", "ppo", 3)
    assert re.fullmatch(r"runs/AgentGym-Snake-v0/ppo-s3-\d{8}-\d{6}", str(path))
    path.mkdir(parents=True)
    monkeypatch.setattr("time.strftime", lambda form: path.name.removeprefix("ppo-s3-"))
    assert str(default_run_dir("AgentGym/Snake-v0", "ppo", 3)) == f"{path}-2"


def test_another_device_takes_its_own_generators(tmp_path, capsys):
    """A checkpoint as a GPU writes it: its generators have 16 bytes, not 5,056."""
    run = tmp_path / "run"
    assert train.main([*FLAGS, "--total-steps", "512", "--run-dir", str(run), "--quiet"]) == 0
    path = run / "checkpoints/last.pt"
    state = tensor_file.read(path)
    assert state["agent"]["generator"].shape == state["agent"]["env"]["generator"].shape == (5056,)
    for part in (state["agent"], state["agent"]["env"]):
        part["generator"] = torch.zeros(16, dtype=torch.uint8)
    state["made_with"]["device"] = "cuda"
    tensor_file.write(path, state)
    assert train.main(["--resume", str(run), "--total-steps", "1024", "--quiet"]) == 0
    assert "device was cuda, now cpu" in capsys.readouterr().err
    assert tensor_file.read(path)["agent"]["steps"] == 1024


def test_what_changes_rounding_is_told(tmp_path, capsys, monkeypatch):
    now = provenance(torch.device("cpu"))
    assert {"device": "cpu", "threads": str(torch.get_num_threads()), "torch": version("torch")}.items() <= now.items()
    assert differences(now, now) == "" and differences(None, now) == ""
    monkeypatch.setitem(PACKAGES, "a_simulator", "a-simulator")
    before = now | {"torch": "2.6.0", "a-simulator": "3.1", "unknown": "1", 7: "x"}
    told = differences(before, now)
    assert told == f"torch was 2.6.0, now {version('torch')}, a-simulator was 3.1, now not in use"

    run = tmp_path / "run"
    assert train.main([*FLAGS, "--total-steps", "512", "--run-dir", str(run), "--quiet"]) == 0
    assert train.main(["--resume", str(run), "--total-steps", "1024", "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    try:
        assert train.main(["--resume", str(run), "--total-steps", "2048", "--num-threads", "2", "--quiet"]) == 0
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert capsys.readouterr().err == "warning: threads was 1, now 2: the run goes on, but no longer bit for bit\n"
    assert train.main(["--resume", str(run), "--quiet"]) == 0  # the new number has come to stay
    torch.set_num_threads(1)
    assert capsys.readouterr().err == ""
