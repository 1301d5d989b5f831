"""agent-gym as a command: its parts, and a wheel that brings one name and works in an empty folder."""

import json
import os
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

from agent_gym.__main__ import main
from agent_gym.commands.line.messages import reported

ROOT = Path(__file__).parent.parent.parent
SMALL = ["--quiet", "--num-threads", "1", "--eval-episodes", "4", "--device", "cpu", "--total-steps", "512"]


def test_what_there_is(capsys):
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"ppo", "sac", "sb3"} <= found["agents"].keys() and "iris" in found["tasks"]
    assert "CartPole-v1" in found["presets"]["ppo"] and "AgentGym/Snake-v0" in found["environments"]
    assert main(["list"]) == 0 and "Proximal policy optimisation" in capsys.readouterr().out


def test_a_table_of_runs(tmp_path, capsys):
    for seed, rate in (("1", "0.001"), ("2", "0.002")):
        flags = ["--seed", seed, "--learning-rate", rate, "--run-dir", str(tmp_path / "runs" / f"s{seed}"), *SMALL]
        assert main(["train", "a2c", *flags]) == 0
    capsys.readouterr()
    assert main(["runs", str(tmp_path / "runs"), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["run"] for row in rows} == {"s1", "s2"} and rows[0]["score"] >= rows[1]["score"]
    assert {row["settings"]["learning_rate"] for row in rows} == {0.001, 0.002}
    assert all(row["steps"] >= 512 and row["on"] == "CartPole-v1" for row in rows)
    assert main(["runs", str(tmp_path / "runs"), "--sort", "name"]) == 0
    table = capsys.readouterr().out  # no terminal: nothing is cut off
    assert "s2" in table and "learning_rate=" in table and "…" not in table
    other = ["iris", "--epochs", "1", "--run-dir", str(tmp_path / "runs" / "iris"), "--quiet"]
    assert main(["train", *other]) == 0 and capsys.readouterr().out
    assert main(["runs", str(tmp_path / "runs"), "--json"]) == 0
    settings = {row["run"]: row["settings"] for row in json.loads(capsys.readouterr().out)}
    assert settings["s1"] == {"learning_rate": 0.001} and settings["iris"] == {}


@pytest.mark.parametrize(
    "argv, words",
    [
        (["trian"], "did you mean train"),
        (["runs", "nowhere"], "nowhere is no folder"),
        (["evaluate", "nowhere"], "nowhere is no run directory"),
    ],
)
def test_bad_words_are_one_line(argv, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_help_lists_the_commands(capsys):
    assert main([]) == 0 and "evaluate" in capsys.readouterr().out


def test_the_wheel_brings_one_name_and_works_in_an_empty_folder(tmp_path):
    wheels, site, empty = tmp_path / "wheels", tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip"]
    source = tmp_path / "source"
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    for name in filter(None, tracked):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/images")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [*pip, "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(wheels), str(source)]
    made = subprocess.run(build, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr[-2000:]
    (wheel,) = wheels.glob("*.whl")
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"agent_gym"}
    install = [*pip, "install", "--no-deps", "-q", "--target", str(site), str(wheel)]
    subprocess.run(install, check=True, capture_output=True)
    (empty / "envs").mkdir()  # a folder of the user's by the name of one of our rooms
    env = {**os.environ, "PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    others = "import agent_gym.ground.errors as there; from agent_gym.__main__ import main; print(there.__file__); "
    others += "sys.exit(main(['evaluate', 'x', '--episodes', '2', '--json']) or main(['list']))"
    for argv in (["-m", "agent_gym", "train", "ppo", *SMALL, "--run-dir", "x"], ["-c", f"import sys; {others}"]):
        done = subprocess.run([sys.executable, *argv], cwd=empty, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    assert str(site) in done.stdout


def test_every_command_finds_modules_of_the_current_folder(tmp_path, monkeypatch):
    (tmp_path / "stands_here.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])  # as a script's path is, without ""
    assert reported(lambda argv: int(import_module("stands_here").__name__ != "stands_here"))([]) == 0
    monkeypatch.delitem(sys.modules, "stands_here")
