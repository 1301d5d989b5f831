"""train.py sb3 and evaluate.py MODEL.zip from the command line: results, files, and one clear line for bad input."""

import json
import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import evaluate
import train
from agent_gym.agents.sb3.saved_model import fits, load_model, normalizer_path
from agent_gym.envs.make import make_env
from agent_gym.ground.settings import EVAL_SEED
from agent_gym.training.evaluation import play

SMALL = '{"n_steps": 16, "batch_size": 32, "n_epochs": 2}'


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "sb3"
    flags = ["--total-steps", "512", "--algo-kwargs", SMALL, "--eval-episodes", "4", "--quiet", "--run-dir", str(path)]
    assert train.main(["sb3", "--algo", "PPO", *flags]) == 0
    return path


def test_run_directory_is_that_of_any_agent(run, capsys):
    result = json.loads((run / "result.json").read_text())
    assert result["agent"] == "sb3" and result["total_steps"] == 512 and result["episodes"] == 4
    config = json.loads((run / "config.json").read_text())
    assert config["algo"] == "PPO" and json.loads(config["zoo_kwargs"])["gamma"] == 0.98  # the Zoo's
    events = EventAccumulator(str(run)).Reload().Tags()["scalars"]
    tags = {"rollout/episode_return", "eval/episode_return", "time/steps_per_second", "train/approx_kl"}
    assert tags | {"train/policy_loss", "train/value_loss", "train/entropy", "train/learning_rate"} <= set(events)
    for name in ("best", "last"):
        torch.load(run / "checkpoints" / f"{name}.pt", weights_only=True)
    capsys.readouterr()
    assert evaluate.main([str(run), "--episodes", "4", "--json"]) == 0
    score = json.loads(capsys.readouterr().out)
    assert score["return_mean"] == result["return_mean"]


def test_resume_trains_on(run, capsys):
    assert train.main(["--resume", str(run), "--total-steps", "640", "--quiet"]) == 0
    assert json.loads((run / "result.json").read_text())["total_steps"] == 640


def test_encoder_moves_from_a_native_run(tmp_path, capsys):
    native, ours = tmp_path / "native", tmp_path / "ours"
    common = ["--eval-episodes", "1", "--quiet", "--total-steps", "128", "--hidden-sizes", "16", "16"]
    assert train.main(["ppo", "--num-envs", "4", "--num-steps", "16", "--run-dir", str(native), *common]) == 0
    flags = ["--encoder", "mlp", "--encoder-from", str(native), "--freeze-encoder", "--algo-kwargs", SMALL]
    assert train.main(["sb3", "--run-dir", str(ours), *flags, *common]) == 0
    there = torch.load(native / "checkpoints/best.pt", weights_only=True)["agent"]["model"]
    here = torch.load(ours / "checkpoints/best.pt", weights_only=True)["agent"]["model"]
    weight = "encoder.mlp.0.weight"
    assert torch.equal(here[f"network.features_extractor.{weight}"], there[f"network.{weight}"])
    capsys.readouterr()
    assert train.main(["sb3", *flags, "--hidden-sizes", "8", "8", "--run-dir", str(tmp_path / "x"), "--quiet"]) == 2
    one_line(capsys, r"\(16, 4\) there and \(8, 4\) here")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A model with VecNormalize, trained by Stable-Baselines3 alone, and its own score beside it."""
    folder = tmp_path_factory.mktemp("models")
    venv = VecNormalize(make_vec_env("CartPole-v1", 4, seed=0))
    # Normalised observations matter: the model is lost without the file.
    algorithm = PPO("MlpPolicy", venv, n_steps=64, n_epochs=4, seed=0, device="cpu").learn(2048)
    algorithm.save(folder / "cart.zip")
    venv.save(str(folder / "vecnormalize.pkl"))
    venv.training = venv.norm_reward = False
    venv.seed(EVAL_SEED)
    np.savetxt(folder / "returns", evaluate_policy(algorithm, venv, 40, return_episode_rewards=True)[0])
    return folder / "cart.zip"


def test_saved_model_acts_as_in_stable_baselines3(model, capsys):
    env = make_env("CartPole-v1", 3, backend="sync")
    saved = load_model(model, "PPO", env, torch.device("cpu"))
    reference = PPO.load(model, device="cpu")
    venv = VecNormalize.load(str(model.with_name("vecnormalize.pkl")), make_vec_env("CartPole-v1", 3))
    obs = np.random.default_rng(0).normal(size=(200, 3, 4)).astype(np.float32)
    for batch in obs:
        action, _, _ = saved.act(torch.from_numpy(batch), torch.zeros(3, 0), torch.zeros(3).bool(), explore=False)
        np.testing.assert_array_equal(action, reference.predict(venv.normalize_obs(batch), deterministic=True)[0])
    flags = ["--env", "CartPole-v1", "--algo", "PPO", "--trust", "--episodes", "40", "--json"]
    assert evaluate.main([str(model), *flags]) == 0
    captured = capsys.readouterr()
    score = json.loads(captured.out)
    assert "vecnormalize.pkl" in captured.err
    returns = np.loadtxt(model.with_name("returns"))  # other episodes: the means agree within their errors
    error = np.hypot(score["return_std"], returns.std()) / np.sqrt(40)
    assert abs(score["return_mean"] - returns.mean()) < 4 * error + 1.0


def test_saved_model_can_be_filmed(model, tmp_path, capsys):
    film = tmp_path / "film.gif"
    flags = ["--env", "CartPole-v1", "--algo", "PPO", "--trust", "--video", str(film)]
    assert evaluate.main([str(model), *flags]) == 0
    assert film.stat().st_size > 1000


class Picture(gymnasium.Env):
    """A 36 × 36 image with channels last, which Stable-Baselines3 turns round."""

    observation_space, action_space = spaces.Box(0, 255, (36, 36, 3), np.uint8), spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        return self.observation_space.sample(), 1.0, False, True, {}


def test_saved_image_model_takes_channels_last(tmp_path):
    from agent_gym.envs.adapters.gymnasium_env import SyncEnv

    PPO("CnnPolicy", Picture(), n_steps=8, device="cpu").save(tmp_path / "m.zip")
    env = SyncEnv([Picture()])
    saved = load_model(tmp_path / "m.zip", "PPO", env, torch.device("cpu"))
    assert play(saved, env, 3, seed=0).returns.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "name", ["vecnormalize.pkl", "walk_vecnormalize.pkl", "walk/vecnormalize.pkl", "Walk-v1/vecnormalize.pkl"]
)
def test_normalizer_is_found_by_its_names(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    assert normalizer_path(tmp_path / "walk.zip", "Walk-v1") is None
    (tmp_path / name).touch()
    assert normalizer_path(tmp_path / "walk.zip", "Walk-v1") == tmp_path / name


def test_normalizer_of_a_checkpoint_callback(tmp_path):
    (tmp_path / "rl_model_vecnormalize_500_steps.pkl").touch()
    assert normalizer_path(tmp_path / "rl_model_500_steps.zip", "X-v0") is not None


def test_fits_compares_shapes_and_keys():
    box = spaces.Box(-1, 1, (3,))
    assert fits(box, spaces.Box(-9, 9, (3,))) and not fits(box, spaces.Box(-1, 1, (4,)))
    assert fits(spaces.Dict({"a": box}), spaces.Dict({"a": box})) and not fits(spaces.Dict({"a": box}), box)


def one_line(capsys, pattern: str) -> None:
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and re.search(pattern, lines[0]), lines


BAD_TRAINING = {
    "unknown algorithm": (["--algo", "PPPO"], "PPO, A2C, DQN, SAC, TD3, DDPG, TQC"),
    "not JSON": (["--algo-kwargs", "{n"], "not JSON"),
    "not an object": (["--algo-kwargs", "3"], "not a JSON object"),
    "unknown argument": (["--algo-kwargs", '{"gama": 1}'], "'gama'.*gamma"),
    "a flag of ours": (["--algo-kwargs", '{"n_envs": 1}'], "--num-envs"),
    "bad schedule": (["--algo-kwargs", '{"learning_rate": "lin_fast"}'], "lin_"),
    "bad value": (["--algo-kwargs", '{"learning_rate": "fast"}'], "fast"),
    "bad activation": (["--algo-kwargs", '{"policy_kwargs": {"activation_fn": "sine"}}'], "relu"),
    "bad normalize": (["--algo-kwargs", '{"normalize": 5}'], "normalize"),
    "action space": (["--algo", "SAC"], "Discrete.*DQN"),
    "masks": (["--algo", "MaskablePPO"], r"action_masks\(\)"),
    "memory in the extractor": (["--encoder", "lstm"], "RecurrentPPO"),
    "extractor of ARS": (["--algo", "ARS", "--encoder", "mlp"], "ARS"),
    "weights for its own network": (["--encoder-from", "runs/x"], "--encoder mlp"),
    "late resets": (["--backend", "gymnasium"], "--backend sync"),
}


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_training_input(case, tmp_path, capsys):
    flags, pattern = BAD_TRAINING[case]
    assert train.main(["sb3", "--run-dir", str(tmp_path / "run"), "--quiet", *flags]) == 2
    one_line(capsys, pattern)
    assert not (tmp_path / "run").exists()


def test_missing_contrib(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(__import__("sys").modules, "sb3_contrib", None)
    flags = ["--algo", "TQC", "--env", "Pendulum-v1", "--run-dir", str(tmp_path / "run"), "--quiet"]
    assert train.main(["sb3", *flags]) == 2
    one_line(capsys, r"pip install 'agent-gym\[sb3-contrib\]'")


def test_model_is_not_opened_without_trust(model, capsys):
    assert evaluate.main([str(model), "--env", "CartPole-v1", "--algo", "PPO"]) == 2
    one_line(capsys, "can run any code.*--trust")


def test_bad_models(model, tmp_path, capsys):
    trusted = ["--env", "CartPole-v1", "--trust"]
    text, other_zip = tmp_path / "text.zip", tmp_path / "other.zip"
    text.write_text("no zip")
    with __import__("zipfile").ZipFile(other_zip, "w") as archive:
        archive.writestr("a.txt", "nothing")
    cases = [
        ([str(tmp_path / "absent.zip"), "--algo", "PPO", *trusted], "absent.zip is no run directory|no file"),
        ([str(text), "--algo", "PPO", *trusted], "no model"),
        ([str(other_zip), "--algo", "PPO", *trusted], "no model"),
        ([str(model), *trusted], "--algo"),
        ([str(model), "--algo", "PPPO", *trusted], "expected one of PPO"),
        ([str(model), "--algo", "PPO", "--trust"], "--env"),
        ([str(model), "--algo", "PPO", "--trust", "--env", "CartPol-v1"], "CartPole-v1"),
    ]
    for flags, pattern in cases:
        capsys.readouterr()
        assert evaluate.main(flags) == 2, flags
        lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("observations")]
        assert len(lines) == 1 and re.search(pattern, lines[0]), lines


def test_models_for_other_spaces(model, tmp_path, capsys):
    SAC("MlpPolicy", "Pendulum-v1", device="cpu", buffer_size=10).save(tmp_path / "sac.zip")
    cases = [
        ([str(model), "--algo", "PPO", "--env", "Acrobot-v1"], r"observations Box\(4,\).*Box\(6,\)"),
        ([str(tmp_path / "sac.zip"), "--algo", "SAC", "--env", "MountainCarContinuous-v0"], "observations"),
        ([str(tmp_path / "sac.zip"), "--algo", "PPO", "--env", "Pendulum-v1"], "--algo the one that made it"),
    ]
    for flags, pattern in cases:
        capsys.readouterr()
        assert evaluate.main([*flags, "--trust", "--episodes", "1"]) == 2, flags
        assert re.search(pattern, capsys.readouterr().err)
