"""The two commands as a user types them: what works, and one clear line with exit code 2 for what cannot."""

import json
import os

import gymnasium
import numpy as np
import pytest
import torch

import evaluate
import train
from agent_gym.training.score import shown

SMALL = ["--total-steps", "2048", "--num-envs", "8", "--num-steps", "32", "--eval-episodes", "4", "--num-epochs", "2"]


class Rude(gymnasium.Env):
    """Balances nothing; after `after` steps it raises or returns NaN."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, after=150, how="raise"):
        self.after, self.how, self.count = after, how, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.count += 1
        bad = self.count >= self.after
        if bad and self.how == "raise":
            raise RuntimeError("the motor is on fire")
        reward = float("nan") if bad and self.how == "reward" else 1.0
        obs = np.full(3, np.nan if bad and self.how == "obs" else 0.0, np.float32)
        return obs, reward, self.count % 10 == 0, False, {}


class OddSpace(gymnasium.Env):
    observation_space = gymnasium.Space((2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)


gymnasium.register("Test/Rude-v0", Rude)
gymnasium.register("Test/OddSpace-v0", OddSpace)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A short finished run."""
    path = tmp_path_factory.mktemp("runs") / "x"
    assert train.main(["ppo", *SMALL, "--run-dir", str(path), "--quiet", "--seed", "3"]) == 0
    return path


def refused(capsys, main, arguments) -> str:
    """Run a command that must be refused; returns its one line."""
    try:
        code = main([str(a) for a in arguments])
    except SystemExit as stop:  # the flag parser leaves by itself
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2 and "Traceback" not in captured.err
    return captured.err


def test_a_run_leaves_what_was_promised(finished):
    result = json.loads((finished / "result.json").read_text())
    fields = {"wall_time", "total_steps", "steps_per_second", "env", "agent", "episodes"}
    fields |= {"return_mean", "return_std", "return_iqm", "return_ci95", "length_mean", "episodes_cut"}
    fields |= {"seed", "date", "evaluation_time", "best_step", "last_return_mean"}
    assert fields <= set(result) and not set(result) - fields - {"sampled_return_mean", "sampled_return_ci95"}
    assert result["episodes"] == 4 and result["total_steps"] >= 2048
    assert result["return_mean"] == result["length_mean"]  # CartPole pays 1 a step
    config = json.loads((finished / "config.json").read_text())
    assert config["agent"] == "ppo" and config["seed"] == 3 and config["num_epochs"] == 2
    assert (finished / "checkpoints/last.pt").exists() and (finished / "checkpoints/best.pt").exists()
    assert not list(finished.rglob("*.tmp"))


def test_evaluate_prints_the_very_numbers_of_the_result(finished, capsys):
    assert evaluate.main([str(finished), "--episodes", "4", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    result = json.loads((finished / "result.json").read_text())
    assert printed == {name: result[name] for name in printed} and "return_mean" in printed


def test_tensorboard_holds_the_contracts_tags(finished):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished)).Reload()
    tags = set(events.Tags()["scalars"])
    assert tags >= {
        "rollout/episode_return",
        "rollout/episode_length",
        "eval/episode_return",
        "eval/episode_length",
        "train/loss",
        "train/policy_loss",
        "train/value_loss",
        "train/entropy",
        "train/approx_kl",
        "train/clip_fraction",
        "train/explained_variance",
        "train/grad_norm",
        "train/learning_rate",
        "time/steps_per_second",
    }
    steps = [event.step for event in events.Scalars("rollout/episode_return")]
    assert steps == sorted(set(steps)) and steps[-1] >= 2048


def test_resume_takes_no_name(finished, capsys):
    assert train.main(["ppo", "--resume", str(finished)]) == 2
    assert capsys.readouterr().err == "error: --resume goes on with what the run is: leave ppo out\n"


def test_resume_extends_a_finished_run(finished, capsys):
    before = json.loads((finished / "result.json").read_text())["total_steps"]
    assert train.main(["--resume", str(finished), "--total-steps", "4096", "--quiet"]) == 0
    result = json.loads((finished / "result.json").read_text())
    assert result["total_steps"] >= 4096 > before
    state = torch.load(finished / "checkpoints/last.pt", weights_only=True)
    assert state["agent"]["steps"] == result["total_steps"]


@pytest.mark.parametrize(
    "env_id, encoder", [("AgentGym/CartPoleNoVel-v1", "lstm"), ("Pendulum-v1", "gru"), ("Acrobot-v1", "mlp")]
)
def test_other_environments_train_and_score(tmp_path, env_id, encoder):
    flags = ["ppo", "--env", env_id, "--encoder", encoder, *SMALL, "--quiet", "--run-dir", str(tmp_path / "run")]
    assert train.main(flags) == 0
    result = json.loads((tmp_path / "run/result.json").read_text())
    assert result["env"] == env_id and np.isfinite(result["return_mean"])


def test_video_without_a_display(finished, tmp_path, capsys):
    film = tmp_path / "out.gif"
    assert evaluate.main([str(finished), "--video", str(film)]) == 0
    import imageio.v3 as imageio

    frames = imageio.imread(film)
    assert len(frames) > 5 and frames[0].std() > 0
    assert list(tmp_path.iterdir()) == [film]


@pytest.mark.parametrize(
    "flags, words",
    [
        (["ppo", "--env", "CartPole-v7"], ["CartPole-v7", "CartPole-v1"]),
        (["ppo", "--env", "LunarLandr-v3"], ["LunarLandr-v3", "LunarLander-v3"]),
        (["ppo", "--env", "no_such_module:Thing-v0"], ["no_such_module"]),
        (["ppo", "--env-kwargs", "{continuous"], ["--env-kwargs", "{continuous", "JSON"]),
        (["ppo", "--env-kwargs", "[1]"], ["--env-kwargs", "[1]", "object"]),
        (["ppo", "--env-kwargs", '{"wind": 3}'], ["--env-kwargs", "wind"]),
        (["ppo", "--env", "Test/OddSpace-v0"], ["Space", "is not supported", "--wrapper"]),
        (["ppo", "--num-envs", "0"], ["--num-envs", "0"]),
        (["ppo", "--total-steps", "-5"], ["--total-steps", "-5"]),
        (["ppo", "--hidden-sizes", "0"], ["--hidden-sizes", "0"]),
        (["ppo", "--gamma", "1.5"], ["--gamma", "1.5"]),
        (["ppo", "--num-minibatches", "0"], ["--num-minibatches", "0"]),
        (["ppo", "--learning-rate", "0"], ["--learning-rate", "0"]),
        (["ppo", "--no-such-flag", "1"], ["no-such-flag"]),
        (["ppo", "--num-envs", "many"], ["many"]),
        (["ppoo"], ["ppoo", "did you mean ppo"]),
        (["ppo", "--backend", "native", "--env", "Pendulum-v1", "--env-kwargs", '{"g": 9.0}'], ["native"]),
    ],
)
def test_bad_training_flags(capsys, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    line = refused(capsys, train.main, flags)
    assert all(word in line for word in words), line
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_without_a_gpu(capsys, tmp_path):
    line = refused(capsys, train.main, ["ppo", "--device", "cuda", "--run-dir", tmp_path / "x"])
    assert "--device cuda" in line and "cpu" in line and not list(tmp_path.iterdir())


def test_missing_extra_names_the_install_line(capsys, monkeypatch):
    import sys

    for name in [n for n in sys.modules if n.split(".")[0] == "Box2D" or "envs.box2d" in n]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "Box2D", None)
    line = refused(capsys, train.main, ["ppo", "--env", "LunarLander-v3", "--backend", "sync"])
    assert "pip install 'agent-gym[box2d]'" in line


def test_run_directory_that_is_taken_or_unwritable(capsys, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken/thesis.txt").write_text("years of work")
    line = refused(capsys, train.main, ["ppo", *SMALL, "--run-dir", tmp_path / "taken"])
    assert "taken" in line and "not empty" in line and "--resume" in line
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["thesis.txt"]
    (tmp_path / "file").write_text("")
    line = refused(capsys, train.main, ["ppo", *SMALL, "--run-dir", tmp_path / "file/run"])
    assert "file/run" in line and "--run-dir" in line


@pytest.mark.parametrize("main, flag", [(train.main, ["--resume"]), (evaluate.main, [])])
def test_no_run_or_a_broken_one(capsys, tmp_path, main, flag):
    assert "no run" in refused(capsys, main, [*flag, tmp_path / "nothing"])
    (tmp_path / "empty").mkdir()
    assert "no run" in refused(capsys, main, [*flag, tmp_path / "empty"])
    checkpoints = tmp_path / "broken/checkpoints"
    checkpoints.mkdir(parents=True)
    for name in ("last", "best"):
        (checkpoints / f"{name}.pt").write_bytes(os.urandom(3000))
    assert "not a readable checkpoint" in refused(capsys, main, [*flag, tmp_path / "broken"])


def test_cut_checkpoint(capsys, finished, tmp_path):
    import shutil

    shutil.copytree(finished, tmp_path / "cut")
    for path in (tmp_path / "cut/checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "not a readable checkpoint" in refused(capsys, evaluate.main, [tmp_path / "cut"])


def test_watch_without_a_display(capsys, monkeypatch, finished):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    line = refused(capsys, evaluate.main, [finished, "--watch"])
    assert "display" in line and "--video" in line


def test_unknown_film_type(capsys, finished, tmp_path):
    line = refused(capsys, evaluate.main, [finished, "--video", tmp_path / "out.avi"])
    assert ".avi" in line and ".mp4" in line and not list(tmp_path.iterdir())


@pytest.mark.parametrize("how, word", [("raise", "the motor is on fire"), ("reward", "NaN"), ("obs", "NaN")])
def test_an_environment_that_fails_leaves_the_last_good_state(capsys, tmp_path, how, word):
    flags = ["ppo", "--env", "Test/Rude-v0", *SMALL, "--run-dir", tmp_path / "run"]
    flags += ["--env-kwargs", json.dumps({"how": how, "after": 100}), "--eval-every", "4096", "--backend", "sync"]
    line = refused(capsys, train.main, flags)
    assert "Test/Rude-v0" in line and "step 100" in line and word in line
    state = torch.load(tmp_path / "run/checkpoints/last.pt", weights_only=True)["agent"]
    assert 0 < state["steps"] <= 100 * 8
    assert all(torch.isfinite(x).all() for x in state["model"].values())


def test_a_diverging_loss_stops_the_run_and_keeps_the_checkpoint(capsys, tmp_path):
    flags = ["ppo", "--env", "Pendulum-v1", *SMALL, "--run-dir", tmp_path / "run", "--learning-rate", "1e18"]
    line = refused(capsys, train.main, [*flags, "--max-grad-norm", "0", "--schedule", "constant", "--num-epochs", "8"])
    assert "not finite" in line and "--learning-rate" in line


class Fading(gymnasium.Env):
    """Pays less with every step that any of its kind has made, so that the first evaluation is the best."""

    observation_space = gymnasium.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(3, np.float32), {}

    def step(self, action):
        self.count += 1
        Fading.steps += 1
        return np.zeros(3, np.float32), 1.0 / (1.0 + Fading.steps / 100), self.count == 10, False, {}


gymnasium.register("Test/Fading-v0", Fading)


def test_the_score_says_whose_it_is_and_what_the_last_is_compared_with(tmp_path, capsys):
    path, flags = tmp_path / "run", ["--eval-every", "512", "--periodic-eval-episodes", "2"]
    Fading.steps = 0
    assert train.main(["ppo", "--env", "Test/Fading-v0", *SMALL, *flags, "--run-dir", str(path), "--quiet"]) == 0
    result = json.loads((path / "result.json").read_text())
    assert result["best_step"] == 512
    score, last = result["return_mean"], result["last_return_mean"]
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("best"))
    said, _, best = line.partition(", where the best had ")
    assert said == f"best (step 512) {shown(score)}, last {shown(last)} in its last evaluation"
    assert float(best) > last >= score  # of one kind: the score is of later, leaner episodes
