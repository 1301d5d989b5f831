"""The Python face: learns, predicts, saves, loads and learns on, by the same path as the command."""

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from walk import Walk

import train
from agent_gym import A2C, DQN, PPO, PQN, SAC, SB3, TD3, UserError, evaluate, load
from agent_gym.composing.sources import require_open
from agent_gym.storage.checkpoint import open_checkpoint

SMALL = {"num_threads": 1, "quiet": True, "eval_episodes": 4, "device": "cpu"}


@pytest.fixture(scope="module")
def walker(tmp_path_factory) -> PPO:
    return PPO(Walk, seed=1, num_envs=8, **SMALL).learn(6000, run_dir=tmp_path_factory.mktemp("runs") / "walk")


def weights(run: Path) -> dict:
    return open_checkpoint(run, "last")["agent"]["model"]


SAME = {
    "ppo": (PPO, ["--env", "CartPole-v1", "--total-steps", "2048"], {"env": "CartPole-v1"}, 2048),
    "ppo lstm": (
        PPO,
        ["--env", "CartPole-v1", "--encoder", "lstm", "--total-steps", "2048", "--num-envs", "8"],
        {"env": "CartPole-v1", "encoder": "lstm", "num_envs": 8},
        2048,
    ),
    "a2c": (A2C, ["--env", "CartPole-v1", "--total-steps", "400"], {"env": "CartPole-v1"}, 400),
    "pqn": (PQN, ["--env", "CartPole-v1", "--total-steps", "2048"], {"env": "CartPole-v1"}, 2048),
    "dqn": (
        DQN,
        ["--env", "CartPole-v1", "--total-steps", "400", "--learning-starts", "100"],
        {"env": "CartPole-v1", "learning_starts": 100},
        400,
    ),
    "sac": (
        SAC,
        ["--env", "Pendulum-v1", "--total-steps", "220", "--learning-starts", "100", "--hidden-sizes", "8", "8"],
        {"env": "Pendulum-v1", "learning_starts": 100, "hidden_sizes": [8, 8]},
        220,
    ),
    "td3": (
        TD3,
        ["--env", "Pendulum-v1", "--total-steps", "220", "--learning-starts", "100", "--hidden-sizes", "8", "8"],
        {"env": "Pendulum-v1", "learning_starts": 100, "hidden_sizes": (8, 8)},
        220,
    ),
}


@pytest.mark.parametrize("case", SAME)
def test_the_command_and_the_face_give_the_same_bits(case, tmp_path, capsys):
    cls, flags, settings, steps = SAME[case]
    common = ["--seed", "3", "--num-threads", "1", "--eval-episodes", "4", "--quiet", "--device", "cpu"]
    assert train.main([cls.name, *flags, *common, "--run-dir", str(tmp_path / "command")]) == 0
    agent = cls(seed=3, **settings, **SMALL).learn(steps, run_dir=tmp_path / "face")
    ours, theirs = weights(tmp_path / "face"), weights(tmp_path / "command")
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    results = [json.loads((tmp_path / side / "result.json").read_text()) for side in ("command", "face")]
    assert results[0]["return_mean"] == results[1]["return_mean"] == agent.result["return_mean"]


def test_it_learns_an_environment_of_the_program(walker):
    assert walker.evaluate(10)["return_mean"] > 9.0
    assert walker.predict(np.array([0.8, 0.0], np.float32)) == (1, None)
    assert walker.predict(np.array([-0.8, 0.0], np.float32))[0] == 0


def test_a_batch_gives_what_its_observations_give(walker):
    batch = np.random.default_rng(0).uniform(-1, 1, (5, 2)).astype(np.float32)
    actions, _ = walker.predict(batch)
    assert actions.tolist() == [walker.predict(one)[0] for one in batch]


def test_replayed_predictions_are_the_policys_own(walker):
    policy, reset = walker._saved.policy, torch.ones(1, dtype=torch.bool)
    for obs in np.random.default_rng(1).uniform(-1, 1, (60, 2)).astype(np.float32):
        expected = policy.act(torch.from_numpy(obs[None]), policy.initial_state(1), reset)[0]
        assert walker.predict(obs)[0] == int(expected)
    assert walker._acting().quick.good


def test_lists_and_other_dtypes_are_observations_too(walker):
    assert walker.predict([0.8, 0.0])[0] == walker.predict(np.array([0.8, 0.0]))[0] == 1


def test_saved_loaded_and_learning_on(walker, tmp_path):
    file = walker.save(tmp_path / "walk.pt")
    loaded = load(file, env=Walk)
    obs = np.array([0.3, 0.1], np.float32)
    assert loaded.predict(obs)[0] == walker.predict(obs)[0]
    same = loaded.inspect(obs)
    assert same["value"] == pytest.approx(walker.inspect(obs)["value"]) and same["probs"].sum() == pytest.approx(1.0)
    loaded.learn(2000, run_dir=tmp_path / "on")
    assert loaded.evaluate(10)["return_mean"] > 9.0


def test_a_second_learn_goes_on_as_resume_does(tmp_path, capsys):
    whole = PPO("CartPole-v1", seed=3, **SMALL)
    whole.learn(2048, run_dir=tmp_path / "face").learn(2048)
    flags = ["ppo", "--seed", "3", "--num-threads", "1", "--eval-episodes", "4", "--quiet", "--device", "cpu"]
    assert train.main([*flags, "--total-steps", "2048", "--run-dir", str(tmp_path / "command")]) == 0
    assert train.main(["--resume", str(tmp_path / "command"), "--total-steps", "4096", "--quiet"]) == 0
    ours, theirs = weights(tmp_path / "face"), weights(tmp_path / "command")
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs) and whole.steps == 4096


def test_a_memory_comes_back_and_is_forgotten_where_an_episode_starts(tmp_path):
    agent = PPO("AgentGym/CartPoleNoVel-v1", seed=0, **SMALL).learn(1024, run_dir=tmp_path / "x")
    obs = np.array([0.01, 0.02], np.float32)
    _, state = agent.predict(obs)
    _, later = agent.predict(obs, state)
    assert state.shape == later.shape == (1, agent._saved.policy.state_dim) and not np.allclose(state, later)
    _, fresh = agent.predict(obs, later, episode_start=True)
    np.testing.assert_allclose(fresh, state, rtol=1e-5)


class Spoken(Walk):
    observation_space = gymnasium.spaces.Text(5)

    def reset(self, **options):
        return "right", super().reset(**options)[1]

    def step(self, action):
        return "left", *super().step(action)[1:]


def test_texts_are_observations(tmp_path):
    agent = PPO(Spoken, seed=0, num_envs=2, num_steps=16, **SMALL).learn(32, run_dir=tmp_path / "x")
    action, _ = agent.predict("left")
    both, _ = agent.predict(["left", "right"])
    assert type(action) is int and both.tolist() == [action, agent.predict("right")[0]]
    with pytest.raises(UserError, match="the observation is a int: expected Text"):
        agent.predict(3)


@pytest.mark.parametrize("kind", ["function", "instance", "instance without a record", "vector"])
def test_environments_in_every_form(kind, tmp_path):
    made = {
        "function": lambda: gymnasium.wrappers.TimeLimit(Walk(), 5),
        "instance": gymnasium.make("CartPole-v1"),
        "instance without a record": Walk(),
        "vector": gymnasium.vector.SyncVectorEnv([Walk] * 3),
    }[kind]
    options = {"num_envs": 2} if kind == "function" else {}
    agent = PPO(made, seed=0, num_steps=16, num_minibatches=2, **options, **SMALL).learn(96, run_dir=tmp_path / "x")
    assert agent.steps >= 96 and agent.evaluate(2)["episodes"] == 2
    if kind.startswith("instance"):
        require_open(made)
        made.reset(seed=0)
        made.step(0)


def test_arguments_of_an_environment_that_are_no_json(tmp_path):
    gymnasium.register("Face/Walk-v0", Walk)
    agent = PPO("Face/Walk-v0", env_kwargs={"length": np.int64(4)}, seed=0, num_envs=2, num_steps=16, **SMALL)
    agent.learn(64, run_dir=tmp_path / "x")
    assert agent.result["length_mean"] == 4.0


def test_films(walker, tmp_path):
    file = walker.record(tmp_path / "walk.gif", plain=True)
    assert file.stat().st_size > 200


def test_stable_baselines3_inside(tmp_path):
    agent = SB3("CartPole-v1", algo="A2C", algo_kwargs={"n_steps": 5}, seed=0, **SMALL)
    agent.learn(200, run_dir=tmp_path / "x")
    action, _ = load(tmp_path / "x").predict(np.zeros(4, np.float32))
    assert action == agent.predict(np.zeros(4, np.float32))[0]


def test_functions_score_runs_and_files(walker, tmp_path):
    assert evaluate(walker, 3)["episodes"] == 3
    assert walker.evaluate(3)["agent"] == "ppo" and walker.evaluate(3)["env"] == "Walk"


def closed(env):
    env.close()
    return env


BAD = {
    "an unknown setting": (
        lambda a: PPO(Walk, learning_rat=1e-3),
        "no setting 'learning_rat'; did you mean learning_rate",
    ),
    "a wrong type": (lambda a: PPO(Walk, num_envs="8"), "num_envs: '8', expected int"),
    "out of range": (lambda a: PPO(Walk, gamma=1.5), "--gamma 1.5: expected 0 to 1"),
    "before it has learned": (lambda a: PPO(Walk).predict([0.0, 0.0]), "has learned nothing yet"),
    "another shape": (lambda a: a.predict(np.zeros(3)), r"the observation is of shape \(3,\)"),
    "another type": (lambda a: a.predict("left"), "the observation is a str"),
    "not a number": (lambda a: a.predict(np.full(2, np.nan, np.float32)), "the observation holds NaN"),
    "not a number in a list": (lambda a: a.predict([[0.0, 0.0], [0.0, np.nan]]), "the observation holds NaN"),
    "a closed environment": (lambda a: PPO(closed(gymnasium.make("CartPole-v1"))), "is closed: hand over"),
    "closed environments": (lambda a: PPO(closed(gymnasium.vector.SyncVectorEnv([Walk]))), "is closed: hand over"),
    "no environment": (lambda a: PPO(3), "env int: expected an id, a class"),
    "an unknown id": (lambda a: PPO("CartPole-v9"), "did you mean"),
    "another number of environments": (lambda a: PPO(Walk(), num_envs=4), "num_envs 4"),
    "actions that it cannot choose": (lambda a: TD3("CartPole-v1", quiet=True).learn(2000), "td3 cannot .* dqn"),
    "a state of another shape": (lambda a: a.predict([0.0, 0.0], state=np.zeros((1, 5))), "state of shape"),
    "no such run": (lambda a: load("nowhere"), "nowhere is no run directory"),
    "no episodes": (lambda a: a.evaluate(0), "episodes 0"),
    "an unknown option": (lambda a: a.record("x.gif", gird="2x2"), "no option 'gird'; did you mean grid"),
    "a folder to save to": (lambda a: a.save("."), "is a folder"),
    "a callback without methods": (lambda a: PPO(Walk).learn(100, callbacks=[3]), "has none of the methods"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(case, walker, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    action, words = BAD[case]
    with pytest.raises(UserError, match=words) as error:
        action(walker)
    assert "\n" not in str(error.value)


class Looking:
    def __init__(self):
        self.seen = []

    def on_start(self, run):
        self.seen.append(("start", run.steps))

    def on_rollout(self, run):
        self.seen.append(("rollout", run.steps))

    def on_update(self, run):
        self.seen.append(("update", run.scalars["train/loss"]))

    def on_evaluation(self, run):
        self.seen.append(("evaluation", run.scalars["eval/episode_return"]))

    def on_checkpoint(self, run):
        self.seen.append(("checkpoint", (run.path / "checkpoints" / "last.pt").exists()))

    def on_end(self, run):
        self.seen.append(("end", (run.path / "result.json").exists()))


def test_callbacks_look_and_change_no_bit(tmp_path):
    look = Looking()
    settings = {"env": "CartPole-v1", "seed": 3, **SMALL}
    PPO(**settings).learn(4096, run_dir=tmp_path / "alone")
    PPO(**settings).learn(4096, run_dir=tmp_path / "watched", callbacks=[look])
    ours, theirs = weights(tmp_path / "alone"), weights(tmp_path / "watched")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    kinds = [kind for kind, _ in look.seen]
    assert kinds[0] == "start" and kinds[-1] == "end" and {"rollout", "update", "evaluation", "checkpoint"} < set(kinds)


def test_callbacks_log_ask_and_stop(tmp_path):
    class Busy:
        def on_rollout(self, run):
            run.log({"mine/steps": run.steps})
            run.log_text("mine/words", "hello")
            run.log_image("mine/picture", np.zeros((4, 4, 3), np.uint8))
            if run.steps >= 1024:
                run.stop()

    agent = PPO("CartPole-v1", seed=3, **SMALL).learn(100_000, run_dir=tmp_path / "x", callbacks=[Busy()])
    assert agent.steps == 1024 and agent.result["episodes"] == 4
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "x")).Reload()
    assert [e.value for e in events.Scalars("mine/steps")] == [1024.0] and "mine/picture" in events.Tags()["images"]


def test_a_callback_that_raises_leaves_a_run_to_go_on_with(tmp_path):
    class Broken:
        def on_update(self, run):
            raise ZeroDivisionError("mine")

    agent = PPO("CartPole-v1", seed=3, **SMALL)
    with pytest.raises(ZeroDivisionError, match="mine"):
        agent.learn(4096, run_dir=tmp_path / "x", callbacks=[Broken()])
    assert train.main(["--resume", str(tmp_path / "x"), "--quiet"]) == 0
