"""Data sets from the command line: recorded, learned from by every agent, gone on with, and refused."""

import json
import shutil
from pathlib import Path

import h5py
import minari
import numpy as np
import pytest
import torch

import train
from agent_gym import BC, TD3BC, DAgger
from agent_gym.commands.playing.record import main as record
from agent_gym.storage import tensor_file

SMALL = ["--hidden-sizes", "16", "--batch-size", "16", "--eval-episodes", "2", "--eval-every", "never", "--quiet"]
FLAGS = [*SMALL, "--total-steps", "64"]


def lean(obs):
    """Push the cart to where the pole leans."""
    return int(obs[2] + 0.3 * obs[3] > 0)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Minari's folder with two sets."""
    patch = pytest.MonkeyPatch()
    folder = tmp_path_factory.mktemp("sets")
    patch.setenv("MINARI_DATASETS_PATH", str(folder))
    lean_name = f"{__name__}:lean"
    assert record([lean_name, "--env", "CartPole-v1", "--episodes", "4", "--dataset", "pole/lean-v0"]) == 0
    assert record(["random", "--env", "Pendulum-v1", "--episodes", "2", "--dataset", "swing/random/v0"]) == 0
    yield folder
    patch.undo()


def test_a_recorded_set_is_minaris_and_holds_what_was_played(sets):
    data = minari.load_dataset("pole/lean-v0")
    assert data.total_episodes == 4 and data.env_spec.id == "CartPole-v1"
    env = data.recover_environment()
    for episode in data.iterate_episodes():
        seed = next(iter(data.storage.get_episode_metadata([episode.id])))["seed"]
        obs, _ = env.reset(seed=seed)
        for t, action in enumerate(episode.actions):
            np.testing.assert_array_equal(episode.observations[t], obs)
            assert action == lean(obs)
            obs, reward, terminated, truncated, _ = env.step(action)
            assert (episode.rewards[t], episode.terminations[t], episode.truncations[t]) == (
                reward,
                terminated,
                truncated,
            )
        assert terminated or truncated
        np.testing.assert_array_equal(episode.observations[-1], obs)
    swing = minari.load_dataset("swing/random-v0")
    assert swing.total_steps == 400 and all(e.truncations[-1] and not e.terminations[-1] for e in swing)
    assert not list(sets.glob(".recording*"))


def test_agents_in_python_learn_in_the_environment_of_their_data(sets, tmp_path):
    settings = {"hidden_sizes": (8,), "batch_size": 16, "eval_every": "never", "eval_episodes": 1, "quiet": True}
    agent = TD3BC(data="minari:swing/random-v0", **settings).learn(64, run_dir=tmp_path / "run")
    assert agent.config.env == "Pendulum-v1" and agent.predict(np.zeros(3, np.float32))[0].shape == (1,)
    assert BC("CartPole-v1", data="minari:pole/lean-v0").config.env == "CartPole-v1"
    assert DAgger(teacher=str(tmp_path / "run")).config.env == "Pendulum-v1"


def weights(run: Path) -> dict:
    return tensor_file.read(run / "checkpoints/last.pt")["agent"]["model"]


AGENTS = [
    ("bc", "pole/lean-v0", []),
    ("bc", "pole/lean-v0", ["--encoder", "gru", "--recurrent-size", "8", "--sequence-length", "8", "--burn-in", "2"]),
    ("bc", "swing/random-v0", ["--head", "squashed"]),
    ("iql", "pole/lean-v0", []),
    ("iql", "swing/random-v0", ["--encoder", "gru", "--recurrent-size", "4", "--sequence-length", "4"]),
    ("cql", "pole/lean-v0", []),
    ("cql", "swing/random-v0", ["--conservative-actions", "2"]),
    ("td3bc", "swing/random-v0", []),
    ("dqn", "pole/lean-v0", ["--conservative", "1", "--prioritized", "--priority-beta", "1", "--schedule", "constant"]),
]


@pytest.mark.parametrize(
    "name, data, flags", AGENTS, ids=lambda part: "-".join(part) if isinstance(part, list) else part
)
def test_a_run_that_stopped_goes_on_to_the_same_bits(sets, tmp_path, name, data, flags):
    flags = [name, "--data", f"minari:{data}", *SMALL, *flags]
    assert train.main([*flags, "--total-steps", "96", "--run-dir", str(tmp_path / "whole")]) == 0
    assert train.main([*flags, "--total-steps", "64", "--run-dir", str(tmp_path / "part")]) == 0
    assert train.main(["--resume", str(tmp_path / "part"), "--total-steps", "96", "--quiet"]) == 0
    a, b = weights(tmp_path / "whole"), weights(tmp_path / "part")
    assert a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    result = json.loads((tmp_path / "whole/result.json").read_text())
    assert result["total_steps"] == 96 and result["env"] == ("CartPole-v1" if "pole" in data else "Pendulum-v1")


def test_cloning_and_a_teacher_give_the_scripted_policy(sets, tmp_path):
    flags = ["--eval-episodes", "3", "--eval-every", "never", "--quiet", "--hidden-sizes", "32"]
    data = ["--data", str(sets / "pole/lean-v0")]
    assert train.main(["bc", *data, *flags, "--total-steps", "1500", "--run-dir", str(tmp_path / "bc")]) == 0
    assert json.loads((tmp_path / "bc/result.json").read_text())["return_mean"] > 400
    taught = ["--teacher", f"{__name__}:lean", "--env", "CartPole-v1", "--num-envs", "4", "--train-every", "64"]
    whole = ["dagger", *taught, *flags, "--utd", "0.5", "--run-dir", str(tmp_path / "dagger")]
    assert train.main([*whole, "--total-steps", "2048"]) == 0
    assert json.loads((tmp_path / "dagger/result.json").read_text())["return_mean"] > 400
    # A run as teacher, which goes on as exactly.
    of_run = ["dagger", "--teacher", str(tmp_path / "bc"), *SMALL, "--num-envs", "2", "--train-every", "32"]
    of_run += ["--teacher-decay", "0.5"]
    assert train.main([*of_run, "--total-steps", "256", "--run-dir", str(tmp_path / "a")]) == 0
    assert train.main([*of_run, "--total-steps", "128", "--run-dir", str(tmp_path / "b")]) == 0
    assert train.main(["--resume", str(tmp_path / "b"), "--total-steps", "256", "--quiet"]) == 0
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert all(torch.equal(a[key], b[key]) for key in a)


STARTS = [
    ("bc", "pole/lean-v0", [], "ppo", "encoder, head"),
    ("bc", "swing/random-v0", ["--head", "squashed"], "sac", "encoder, head"),
    ("bc", "swing/random-v0", ["--head", "deterministic"], "td3", "encoder, head"),
    ("cql", "swing/random-v0", [], "sac", "critic.heads, encoder, head"),
    ("td3bc", "swing/random-v0", [], "td3", "critic.heads, encoder, head"),
    ("dqn", "pole/lean-v0", [], "dqn", "encoder, head"),
]


@pytest.mark.parametrize("first, data, flags, then, parts", STARTS)
def test_a_run_starts_from_the_weights_of_another(sets, tmp_path, capsys, first, data, flags, then, parts):
    run = tmp_path / "first"
    assert train.main([first, "--data", f"minari:{data}", *FLAGS, *flags, "--run-dir", str(run)]) == 0
    begin = [then, "--start-from", str(run), "--total-steps", "200", "--eval-episodes", "2", "--eval-every", "never"]
    begin += ["--learning-rate", "1e-20"] + ([] if then == "ppo" else ["--learning-starts", "199"])
    capsys.readouterr()
    assert train.main([*begin, "--run-dir", str(tmp_path / "then")]) == 0
    told = capsys.readouterr().out
    assert f"from {run}: {parts}" in told and ("CartPole-v1" if "pole" in data else "Pendulum-v1") in told
    a, b = weights(run), weights(tmp_path / "then")
    shared = [key for key in b if key in a and key.startswith("network.") and "norm" not in key]
    assert shared and all(torch.allclose(a[key], b[key]) for key in shared)
    assert tensor_file.read(tmp_path / "then/checkpoints/last.pt")["config"]["hidden_sizes"] == (16,)


def refused(capsys, command, *flags: object) -> str:
    assert command([str(flag) for flag in flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    return error


def damaged(sets: Path, folder: Path, change) -> Path:
    """A copy of a set in which `change(file)` has been at work."""
    shutil.copytree(sets / "pole/lean-v0", folder)
    path = folder / "data/main_data.hdf5"
    with h5py.File(path, "a") as file:
        change(file)
    return folder


def test_what_is_no_data_set_is_refused_in_one_line(sets, tmp_path, capsys):
    def bc(data, *flags) -> str:
        run = tmp_path / "run"
        error = refused(capsys, train.main, "bc", "--data", data, *FLAGS, "--run-dir", run, *flags)
        assert not run.exists()
        return error

    assert "no data set minari:pole/laen-v0" in (told := bc("minari:pole/laen-v0")) and "pole/lean-v0" in told
    assert "no data set in" in bc(tmp_path / "absent")
    assert "it was recorded in CartPole-v1" in bc("minari:pole/lean-v0", "--env", "Acrobot-v1")
    assert "td3bc cannot act" in refused(capsys, train.main, "td3bc", "--data", "minari:pole/lean-v0", *FLAGS)
    nan = damaged(sets, tmp_path / "nan", lambda file: file["episode_1/observations"].__setitem__((2, 1), np.nan))
    assert "episode 1 holds NaN" in bc(nan)
    far = damaged(sets, tmp_path / "far", lambda file: file["episode_0/actions"].__setitem__(0, 7))
    assert "actions outside Discrete(2)" in bc(far)
    early = damaged(sets, tmp_path / "early", lambda file: file["episode_0/terminations"].__setitem__(0, True))
    assert "goes on behind an end" in bc(early)
    lacks = damaged(sets, tmp_path / "lacks", lambda file: file.__delitem__("episode_2"))
    assert "is damaged" in bc(lacks)
    torn = damaged(sets, tmp_path / "torn", lambda file: None)
    path = torn / "data/main_data.hdf5"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "is damaged or of another kind" in bc(torn)
    meta = torn / "data/metadata.json"
    about = json.loads(meta.read_text())
    meta.write_text(json.dumps({**about, "total_episodes": 0}))
    assert "is empty" in bc(torn)
    meta.write_text(json.dumps({k: v for k, v in about.items() if k != "action_space"}))
    assert "does not say its action_space" in bc(torn)
    meta.write_text("{")
    assert "is damaged" in bc(torn)


def test_a_set_that_changed_and_a_missing_package_stop_a_run(sets, tmp_path, capsys, monkeypatch):
    mine = tmp_path / "mine"
    shutil.copytree(sets / "pole/lean-v0", mine)
    assert train.main(["bc", "--data", str(mine), *FLAGS, "--run-dir", str(tmp_path / "run")]) == 0
    with h5py.File(mine / "data/main_data.hdf5", "a") as file:
        file["episode_0/rewards"][0] = 2.0
    resume = ["--resume", str(tmp_path / "run"), "--total-steps", "256", "--quiet"]
    assert "has changed since the run began" in refused(capsys, train.main, *resume)
    monkeypatch.setattr("agent_gym.storage.datasets.find_spec", lambda name: None)
    assert "pip install 'agent-gym[offline]'" in refused(capsys, train.main, "bc", "--data", mine, *FLAGS)
    played = ["random", "--env", "CartPole-v1", "--dataset", "pole/new-v0"]
    assert "pip install 'agent-gym[offline]'" in refused(capsys, record, *played)


def fails(obs):
    raise ValueError("no idea")


def test_recording_refuses_and_leaves_nothing_behind(sets, tmp_path, capsys):
    before = sorted(sets.rglob("*"))
    play = ["random", "--env", "CartPole-v1", "--episodes", "2", "--dataset"]
    assert "is there already" in refused(capsys, record, *play, "pole/lean-v0")
    assert "is no id of a data set" in refused(capsys, record, *play, "../pole-v0")
    assert "add --env" in refused(capsys, record, "random", "--dataset", "pole/new-v0")
    assert "no idea" in refused(capsys, record, f"{__name__}:fails", "--env", "CartPole-v1", "--dataset", "pole/new-v0")
    assert "unknown environment" in refused(capsys, record, "random", "--env", "Pole-v9", "--dataset", "pole/new-v0")
    assert refused(capsys, record, tmp_path / "absent", "--dataset", "pole/new-v0")
    assert sorted(sets.rglob("*")) == before


def wrong(obs):
    return 5


def test_a_teacher_that_is_none_and_weights_that_do_not_fit(sets, tmp_path, capsys):
    def told(*flags) -> str:
        error = refused(capsys, train.main, *flags, *FLAGS, "--run-dir", tmp_path / "run")
        shutil.rmtree(tmp_path / "run", ignore_errors=True)
        return error

    dagger = ["dagger", "--env", "CartPole-v1", "--teacher"]
    assert "gave 5, which is no action of Discrete(2)" in told(*dagger, f"{__name__}:wrong")
    assert "no idea" in told(*dagger, f"{__name__}:fails")
    assert "cannot be imported" in told(*dagger, "absent_module:teach")
    assert "absent" in told(*dagger, tmp_path / "absent")
    run = tmp_path / "swing"
    assert train.main(["td3bc", "--data", "minari:swing/random-v0", *FLAGS, "--run-dir", str(run)]) == 0
    other = ["td3", "--start-from", run, "--env", "MountainCarContinuous-v0", "--learning-starts", "10"]
    assert "has the shape" in told(*other)
    assert "--teacher" in told(*dagger, run)
    assert "absent" in told("td3", "--start-from", tmp_path / "absent", "--learning-starts", "10")
