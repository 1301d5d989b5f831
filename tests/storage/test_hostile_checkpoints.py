"""Runs from strangers, whose checksum is right: taken as far as they fit, or refused with one line."""

import hashlib
import io
import os
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import evaluate
import train
from agent_gym.storage import tensor_file

FUZZ = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
AGENT = ["--total-steps", "128", "--num-envs", "2", "--num-steps", "32", "--num-epochs", "1", "--hidden-sizes", "4"]
RUNS = {
    "ppo": ["ppo", "--env", "CartPole-v1", *AGENT, "--eval-episodes", "1", "--eval-every", "128"],
    "memory": ["ppo", "--env", "Pendulum-v1", *AGENT, "--encoder", "gru", "--recurrent-size", "4", "--normalize-obs"],
    "table": ["heights", "--epochs", "2"],
    "images": ["digits", "--epochs", "1"],
    "series": ["series", "--num-series", "50", "--window", "5", "--horizon", "2", "--epochs", "1"],
}
ODD = [None, True, -1, 0, 2**31, 2**62, 10**30, -0.5, float("nan"), float("inf"), "", "x", "../../evil", "a\n\x1b[31m"]
ODD += [[], {}, (), [1, 2], {"a": 1}, (10**6, 10**6), (200_000, 200_000), [[1, 1, 1, 10**9]], "[" * 5000, "Pendulum-v1"]
ODD += [torch.zeros(3), torch.zeros(0), torch.tensor(7), torch.full((2, 2), float("nan")), torch.ones(4, 4).bool()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A small run of each kind, by name."""
    folder = tmp_path_factory.mktemp("runs")
    for name, flags in RUNS.items():
        assert train.main([*flags, "--quiet", "--run-dir", str(folder / name)]) == 0
    return folder


@pytest.fixture
def run(runs, tmp_path, monkeypatch):
    """A copy of the PPO run that a test may spoil."""
    monkeypatch.chdir(tmp_path)
    return copy_of(runs / "ppo", tmp_path / "run")


def copy_of(run: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(run, to)
    (to / "checkpoints" / "previous.pt").unlink(missing_ok=True)
    return to


def write(path: Path, tree: object) -> None:
    """What torch.save writes, with the right checksum, whatever is in it."""
    file = io.BytesIO()
    torch.save(tree, file)
    data = file.getvalue()
    digest = hashlib.sha256(data).digest()
    path.write_bytes(data[:-2] + tensor_file.TRAILER.to_bytes(2, "little") + tensor_file.MAGIC + digest)


def places(tree: object, path: tuple = ()):
    """The path of every part below `tree`."""
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list | tuple) else ()
    for key, part in parts:
        yield (*path, key)
        yield from places(part, (*path, key))


def part_of(tree, path: tuple):
    return part_of(tree[path[0]], path[1:]) if path else tree


def changed(tree, path: tuple, value, *, gone: bool = False):
    """A copy of `tree` with `value` at `path`, or without that key."""
    if not path:
        return value
    key, rest = path[0], path[1:]
    if isinstance(tree, tuple | list):
        return type(tree)(changed(v, rest, value) if i == key else v for i, v in enumerate(tree))
    copy = dict(tree)
    if gone and not rest:
        del copy[key]
    else:
        copy[key] = changed(copy[key], rest, value, gone=gone)
    return copy


@st.composite
def spoiled(draw, tree: dict, top: str) -> dict:
    """`tree` with one part below tree[top] missing, of another type, of another shape, or not finite."""
    path = (top, *draw(st.sampled_from(sorted(places(tree[top]), key=str))))
    old = part_of(tree, path)
    how = draw(st.sampled_from(["gone", "odd", "odd", "tensor"]))
    if how == "tensor" and isinstance(old, Tensor):
        longer = torch.cat([old.flatten(), old.flatten()])
        blank = torch.full_like(old, float("nan")) if old.is_floating_point() else torch.full_like(old, 77)
        return changed(tree, path, draw(st.sampled_from([longer, old.double(), old[None].clone(), blank])))
    return changed(tree, path, draw(st.sampled_from(ODD)), gone=how == "gone")


def refused(capsys, main, *arguments) -> str:
    """The line with which `main` refuses."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 1 and lines[0].startswith("error: ") and lines[0].isprintable() and len(lines[0]) < 1000, error
    return lines[0]


def done_or_refused(capsys, main, *arguments) -> None:
    capsys.readouterr()
    code = main([str(a) for a in arguments])
    error = capsys.readouterr().err.splitlines()
    lines = [line for line in error if not line.startswith(("warning: ", "saved at step "))]
    assert (code, len(lines)) in ((0, 0), (2, 1)), (code, error)
    assert all(line.startswith("error: ") and line.isprintable() and len(line) < 1000 for line in lines)


@pytest.mark.parametrize("name", RUNS)
def test_evaluating_any_run(runs, tmp_path, capsys, name):
    run = copy_of(runs / name, tmp_path / "run")
    good = tensor_file.read(run / "checkpoints" / "best.pt")

    @settings(FUZZ, max_examples=30)
    @given(st.sampled_from(["config", "config", "agent"]).flatmap(lambda top: spoiled(good, top)))
    def evaluate_it(tree):
        write(run / "checkpoints" / "best.pt", tree)
        done_or_refused(capsys, evaluate.main, run, *(["--episodes", "1"] if RUNS[name][0] == "ppo" else []))

    evaluate_it()


@pytest.mark.parametrize("name", ["ppo", "memory", "table"])
def test_going_on_with_any_run(runs, tmp_path, capsys, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = tensor_file.read(runs / name / "checkpoints" / "last.pt")
    good["agent"]["steps"] = 1  # so that there is something left to learn

    @settings(FUZZ, max_examples=20)
    @given(st.sampled_from(["config", "agent", "agent", "clock"]).flatmap(lambda top: spoiled(good, top)))
    def resume_it(tree):
        run = copy_of(runs / name, tmp_path / "run")
        write(run / "checkpoints" / "last.pt", tree)
        done_or_refused(capsys, train.main, "--resume", run, "--quiet")
        assert {p.name for p in tmp_path.iterdir()} == {"run"}  # nothing is written beside it

    resume_it()


@pytest.mark.parametrize("sizes", [(10**6, 10**6), (200_000, 200_000), (40_000,)])
def test_a_network_beyond_its_weights_is_not_made(run, capsys, sizes):
    path = run / "checkpoints" / "best.pt"
    write(path, changed(tensor_file.read(path), ("config", "hidden_sizes"), sizes))
    assert "the configuration makes a network of over" in refused(capsys, evaluate.main, run, "--episodes", "1")


def test_weights_that_are_no_numbers(run, capsys):
    path = run / "checkpoints" / "best.pt"
    tree = tensor_file.read(path)
    next(iter(tree["agent"]["model"].values())).view(-1)[0] = torch.nan
    write(path, tree)
    assert "NaN or infinite" in refused(capsys, evaluate.main, run, "--episodes", "1")


def test_more_environments_than_were_saved(run, capsys):
    path = run / "checkpoints" / "last.pt"
    write(path, changed(tensor_file.read(path), ("config", "num_envs"), 10**9))
    assert "not one of 1,000,000,000 environments" in refused(capsys, train.main, "--resume", run)


@pytest.mark.parametrize("text", ["[" * 100_000, "5", '"task"', "null", '{"task": ', "\0", "1" * 5000, '{"task": 1}'])
def test_any_configuration_file(run, capsys, text):
    (run / "config.json").write_text(text)
    done_or_refused(capsys, evaluate.main, run, "--episodes", "1")


@pytest.mark.parametrize("name", ["../evil.pt", "/tmp/evil.pt", "1.pt/../../evil.pt", "", ".", "1", "1.pt\0", 5, None])
def test_segments_are_names_of_files_in_their_folder(run, capsys, name):
    path = run / "checkpoints" / "last.pt"
    write(path, tensor_file.read(path) | {"segments": [{"name": name, "end": {}}]})
    assert "list of replay segments is damaged" in refused(capsys, train.main, "--resume", run)


@pytest.mark.parametrize("place", ["checkpoints/last.tmp", "result.json", ".pid", "events.out.tfevents.1.x", "videos"])
def test_links_out_of_the_run_are_not_written_through(run, capsys, tmp_path, place):
    target = tmp_path / "mine"
    target.write_text("precious")
    (run / place).unlink(missing_ok=True)
    (run / place).symlink_to(target)
    assert "is a link" in refused(capsys, train.main, "--resume", run)
    assert target.read_text() == "precious"


def test_a_pipe_for_a_checkpoint_is_not_waited_for(run, capsys):
    for name in ("best", "last"):
        (run / "checkpoints" / f"{name}.pt").unlink()
        os.mkfifo(run / "checkpoints" / f"{name}.pt")
    assert "it is no file" in refused(capsys, evaluate.main, run)
    assert "is a link or a device" in refused(capsys, train.main, "--resume", run)


@pytest.mark.parametrize(
    "wanted", ["run.payload:Id-v0", "payload:Id-v0", "antigravity:Id-v0", "unittest.__main__:Id-v0"]
)
def test_an_environment_that_comes_with_the_run_is_not_imported(run, capsys, tmp_path, monkeypatch, wanted):
    """The run holds a module, and lies where Python finds modules."""
    (run / "payload.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    for folder in (tmp_path, run):
        monkeypatch.syspath_prepend(folder)
    for name in ("best", "last"):
        path = run / "checkpoints" / f"{name}.pt"
        write(path, changed(tensor_file.read(path), ("config", "env"), wanted))
    for main, flags in ((evaluate.main, [run]), (train.main, ["--resume", run])):
        assert f"'{wanted}'" in refused(capsys, main, *flags)
    assert not (tmp_path / "ran").exists()


def test_an_environment_of_ones_own_is_imported(run, capsys, tmp_path, monkeypatch):
    (tmp_path / "own_envs.py").write_text("")  # registers nothing: CartPole is known anyway
    monkeypatch.syspath_prepend(tmp_path)
    path = run / "checkpoints" / "best.pt"
    write(path, changed(tensor_file.read(path), ("config", "env"), "own_envs:CartPole-v1"))
    assert evaluate.main([str(run), "--episodes", "1"]) == 0
