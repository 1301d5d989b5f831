"""Exported files act as the policies do, without torch; what cannot be is said in one line."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import torch
from gymnasium import spaces
from scipy.stats import ks_2samp

from agent_gym.agents import agent_class, config_class
from agent_gym.commands.export import export_policy, export_run
from agent_gym.commands.export import main as export
from agent_gym.composing.saved import Saved
from agent_gym.composing.scores.exported import for_env, play, require_spaces
from agent_gym.composing.scores.exported import main as evaluate_exported
from agent_gym.envs.adapters.boundary.spaces import ObsLayout, canonical, canonical_action
from agent_gym.envs.conventions.masks import take_mask
from agent_gym.export.acting import Acting
from agent_gym.export.exported import KEY, ExportedPolicy
from agent_gym.export.files import write_graph
from agent_gym.ground.errors import UserError
from train import main as train

ROOT = Path(__file__).parents[2]
VECTOR, IMAGE = spaces.Box(-2, 2, (4,), np.float64), spaces.Box(0, 255, (16, 16, 3), np.uint8)
MIXED = spaces.Dict(
    {
        "camera": IMAGE,
        "speed": spaces.Box(-np.inf, np.inf, (3,), np.float64),
        "gear": spaces.Discrete(4, start=2),
        "switches": spaces.Tuple((spaces.MultiDiscrete([3, 2]), spaces.MultiBinary(3), spaces.Box(0, 1, ()))),
    }
)
BOX = spaces.Box(np.array([-2, 0], np.float32), np.array([3, 0.5], np.float32))
WITHOUT_TORCH = """
import sys
class NoTorch:
    def find_spec(self, name, *others):
        assert name.partition(".")[0] != "torch"
sys.meta_path.insert(0, NoTorch())
from agent_gym.composing.scores.exported import main
sys.exit(main(sys.argv[1:]))
"""
PARTS = spaces.Dict(
    {
        "tool": spaces.Discrete(3, start=4),
        "arm": spaces.Tuple((BOX, spaces.MultiBinary(2))),
        "force": spaces.Box(-1, 2, (1,), np.float64),
    }
)
CHOICES = spaces.Tuple((spaces.Discrete(3, start=1), spaces.Dict({"a": spaces.MultiDiscrete([2, 4])})))
CASES = [
    ("ppo", VECTOR, PARTS, "gru", {}),
    ("sac", VECTOR, PARTS, "mlp", {}),
    ("a2c", VECTOR, CHOICES, "mlp", {}),
    ("ppo", VECTOR, spaces.Discrete(3, start=5), "mlp", {"normalize_obs": True}),
    ("ppo", MIXED, BOX, "lstm", {"normalize_obs": True}),
    ("ppo", VECTOR, spaces.MultiDiscrete([3, 2], start=[1, 4]), "rnn", {}),
    ("dqn", IMAGE, spaces.Discrete(3), "cnn", {}),
    ("sac", VECTOR, BOX, "gru", {}),
    (
        "bc",
        VECTOR,
        BOX,
        "transformer",
        {"attention_layers": 1, "attention_size": 8, "attention_window": 4, "data": "none"},
    ),
    ("td3", VECTOR, BOX, "mlp", {}),
]


def make_policy(agent: str, obs_space, action_space, encoder: str, settings: dict):
    torch.manual_seed(1)
    config = config_class(agent)(encoder=encoder, hidden_sizes=(16,), recurrent_size=8, **settings)
    policy = agent_class(agent).policy_class(canonical(obs_space), canonical_action(action_space), config)
    for parameter in policy.parameters():
        parameter.data.mul_(3.0)  # actions that differ
    return policy


def observations(space, count: int):
    """What the environment gives, and the tensors that our policies take."""
    space.seed(0)
    layout = ObsLayout(space)
    for _ in range(count):
        obs = space.sample()
        arrays = layout.empty(1)
        layout.put(arrays, 0, obs)
        yield obs, layout.tensors(arrays)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[3]}")
def test_an_exported_policy_acts_as_the_policy(case, tmp_path):
    agent, obs_space, action_space, encoder, settings = case
    policy = make_policy(*case)
    if "normalize_obs" in settings:
        for _, obs in observations(obs_space, 20):
            policy.obs_norm.update(obs)
    file = tmp_path / "policy.onnx"
    write_graph(Acting(policy, obs_space, action_space), file, {"agent": agent})
    exported, state, memory = ExportedPolicy(file), policy.initial_state(1), None
    assert [f.name for f in tmp_path.iterdir()] == ["policy.onnx"] and exported.about["agent"] == agent
    start, chosen = np.asarray(getattr(action_space, "start", 0)), []
    for step, (raw, obs) in enumerate(observations(obs_space, 120)):
        action, memory = exported.predict(raw, memory, step % 40 == 0)
        expected, state, _ = policy.act(obs, state, torch.tensor([step % 40 == 0]))
        np.testing.assert_allclose(action, expected[0].numpy() + start, atol=1e-5)
        assert action_space.contains(for_env(action, action_space))
        chosen.append(action)
    assert np.unique(np.stack(chosen), axis=0).shape[0] > 1 and exported.about["memory"] == (
        0 if encoder in ("mlp", "cnn") else {"lstm": 16, "transformer": 2 * 3 * 8 + 1}.get(encoder, 8)
    )


def test_sampled_actions_come_as_often_as_the_policy_draws_them(tmp_path):
    policy = make_policy("ppo", VECTOR, spaces.Discrete(3), "mlp", {})
    file = tmp_path / "policy.onnx"
    write_graph(Acting(policy, VECTOR, spaces.Discrete(3), sampled=True), file, {})
    exported = ExportedPolicy(file, seed=3)
    raw, obs = next(observations(VECTOR, 1))
    probs = policy.inspect(obs, policy.initial_state(1), torch.tensor([True]))["probs"][0].numpy()
    drawn = np.bincount([exported.predict(raw)[0] for _ in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(drawn, probs, atol=4 * 0.5 / np.sqrt(4000))
    assert {int(exported.predict(raw, deterministic=True)[0]) for _ in range(20)} == {int(probs.argmax())}


@pytest.mark.parametrize("agent", ["ppo", "sac"])
def test_sampled_actions_of_several_parts_come_as_often_as_the_policy_draws_them(agent, tmp_path):
    policy = make_policy(agent, VECTOR, PARTS, "mlp", {})
    write_graph(Acting(policy, VECTOR, PARTS, sampled=True), tmp_path / "policy.onnx", {})
    exported, (raw, obs) = ExportedPolicy(tmp_path / "policy.onnx", seed=3), next(observations(VECTOR, 1))
    count = 4000
    ours = np.stack([exported.predict(raw)[0] for _ in range(count)])
    state, reset = policy.initial_state(count), torch.ones(count, dtype=torch.bool)
    generator = torch.Generator().manual_seed(5)
    theirs = policy.act(obs.expand(count, -1), state, reset, explore=True, generator=generator)[0].numpy()
    for column in range(ours.shape[1]):  # three choices, then three numbers
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 1e-3, column
    same = [exported.predict(raw, deterministic=True)[0] for _ in range(2)]
    expected = policy.act(obs, state[:1], reset[:1])[0][0].numpy()
    np.testing.assert_array_equal(*same)
    np.testing.assert_allclose(same[0], expected, atol=1e-5)


class Shut(gymnasium.Env):
    """Pays for the choices that are allowed alone; says which by any of the three conventions."""

    observation_space = spaces.Dict({"seen": VECTOR})
    action_space = spaces.MultiDiscrete([3, 2])

    def __init__(self, told: str) -> None:
        self.told = told
        if told == "obs":
            mask = spaces.Box(0, 1, (5,), np.int8)
            self.observation_space = spaces.Dict({"seen": VECTOR, "action_mask": mask})
        elif told == "method":
            self.action_masks = lambda: self.mask

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = 20
        return self._tell()

    def step(self, action):
        first, second = action
        allowed = self.mask[first] and self.mask[3 + second]
        self.left -= 1
        obs, info = self._tell()
        return obs, float(allowed), False, self.left == 0, info

    def _tell(self):
        self.mask = np.ones(5, np.int8)
        self.mask[[self.np_random.integers(3), 3 + self.np_random.integers(2)]] = 0
        obs = {"seen": self.np_random.uniform(-2, 2, 4)} | ({"action_mask": self.mask} if self.told == "obs" else {})
        return obs, {"action_mask": self.mask} if self.told == "info" else {}


@pytest.mark.parametrize(("agent", "told"), [("ppo", "obs"), ("ppo", "info"), ("dqn", "method")])
def test_an_exported_policy_takes_masks_as_the_environment_tells_them(agent, told, tmp_path):
    source = SimpleNamespace(id="Shut-v0", single=lambda: take_mask(Shut(told), "auto"))
    policy = make_policy(agent, Shut.observation_space, Shut.action_space, "mlp", {})
    saved = Saved(agent, SimpleNamespace(action_mask="auto"), policy, (Shut.observation_space, Shut.action_space), 0)
    export_policy(saved, source, tmp_path / "policy.onnx", False, {})
    exported, env = ExportedPolicy(tmp_path / "policy.onnx"), Shut(told)
    require_spaces(exported, env, "Shut-v0")
    assert exported.mask == 5 and (play(exported, env, 10, seed=0).returns == 20.0).all()
    saved.config.action_mask = "no"
    export_policy(saved, source, tmp_path / "policy.onnx", False, {})
    assert ExportedPolicy(tmp_path / "policy.onnx").mask == 0


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "run"
    flags = ["--total-steps", "4096", "--num-envs", "8", "--num-steps", "32", "--eval-episodes", "2", "--quiet"]
    assert train(["ppo", "--env", "CartPole-v1", *flags, "--run-dir", str(path)]) == 0
    export_run(path, path / "policy.onnx")
    return path


def test_a_run_is_scored_from_its_file_where_torch_is_not(run, capsys):
    assert export([str(run), str(run / "policy.pt2")]) == 0
    program = torch.export.load(run / "policy.pt2", extra_files=(extra := {KEY: ""}))
    assert json.loads(extra[KEY])["env"] == "CartPole-v1"
    exported, env = ExportedPolicy(run / "policy.onnx"), gymnasium.make("CartPole-v1")
    returns = []
    for seed in range(7, 10):
        obs, over, total = env.reset(seed=seed)[0], False, 0.0
        while not over:
            (action,) = program.module()(torch.from_numpy(obs[None]))
            assert action.item() == exported.predict(obs)[0]
            obs, reward, terminated, truncated, _ = env.step(action.item())
            total, over = total + reward, terminated or truncated
        returns.append(total)

    command = [
        sys.executable,
        "-c",
        WITHOUT_TORCH,
        str(run / "policy.onnx"),
        "--episodes",
        "3",
        "--seed",
        "7",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    found = json.loads(done.stdout)
    assert found["return_mean"] == np.mean(returns) and found["agent"] == "ppo" and found["env"] == "CartPole-v1"
    film = run / "film.gif"
    assert evaluate_exported([str(run / "policy.onnx"), "--video", str(film), "--seed", "7"]) == 0
    assert f"episode 1: return {returns[0]:.1f}" in capsys.readouterr().out and film.stat().st_size > 1000


def test_an_exported_table_takes_raw_numbers_and_codes(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.normal(50, 20, 120), "colour": rng.choice(["red", "green", "blue"], 120)})
    frame["good"] = np.where((frame["size"] > 50) ^ (frame["colour"] == "red"), "yes", "no")
    frame.loc[::10, "size"] = np.nan
    frame.to_csv(tmp_path / "t.csv", index=False)
    flags = ["--data", str(tmp_path / "t.csv"), "--target", "good", "--epochs", "20", "--quiet", "--hidden-sizes", "8"]
    assert train(["table", *flags, "--run-dir", str(tmp_path / "run")]) == 0
    export_run(tmp_path / "run", tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    about = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    codes = [[about["codes"]["colour"].index(colour)] for colour in frame["colour"]]
    feeds = {"numbers": frame[["size"]].to_numpy(np.float32), "codes": np.array(codes)}
    chosen, probabilities = session.run(None, feeds)

    from evaluate import main as evaluate  # the command's own predictions

    new = ["--data", str(tmp_path / "t.csv"), "--predict", str(tmp_path / "out.csv")]
    assert evaluate([str(tmp_path / "run"), *new]) == 0
    expected = pd.read_csv(tmp_path / "out.csv")
    assert [about["classes"][c] for c in chosen] == expected["predicted good"].tolist()
    np.testing.assert_allclose(probabilities[:, 1], expected["probability of yes"], atol=1e-5)


def refused(capsys, command, *arguments: object) -> str:
    assert command([str(argument) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1, error
    return error


def test_what_cannot_be_is_refused_in_one_line(run, tmp_path, capsys, monkeypatch):
    assert "expected a name that ends in .onnx or .pt2" in refused(capsys, export, run, tmp_path / "policy.h5")
    assert "policy.onnx" in refused(capsys, export, run, tmp_path / "absent" / "policy.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"no graph")
    assert "is no ONNX file" in refused(capsys, evaluate_exported, tmp_path / "bad.onnx", "--env", "CartPole-v1")
    assert "there is no file" in refused(capsys, evaluate_exported, tmp_path / "no.onnx", "--env", "CartPole-v1")
    assert "another obs space" in refused(capsys, evaluate_exported, run / "policy.onnx", "--env", "Pendulum-v1")
    assert "cannot be made" in refused(capsys, evaluate_exported, run / "policy.onnx", "--env", "No-v0")
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install 'agent-gym[export]'" in refused(capsys, export, run, tmp_path / "policy.onnx")
    assert not list(tmp_path.glob("**/policy*"))
    source = type("Source", (), {"id": "Env-v0"})
    policy = type("Foreign", (), {"exportable": False})()
    with pytest.raises(UserError, match="sb3 for Env-v0 cannot be"):
        export_policy(Saved("sb3", None, policy, (VECTOR, BOX), 0), source, tmp_path / "p.pt2", False, {})
