"""agent-gym sweep: spaces, the study, and a small search that is stopped and goes on."""

import json
import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from agent_gym.__main__ import main
from agent_gym.agents import AGENTS, config_class
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.commands.train import parse
from agent_gym.diagnosis.curves import read_curves
from agent_gym.ground.errors import UserError
from agent_gym.many.group import Group
from agent_gym.many.search import study as studies
from agent_gym.many.search.problem import Problem
from agent_gym.many.search.run import seconds
from agent_gym.many.search.running import Running
from agent_gym.many.search.space import Choice, Span, built_in, read_space, space_of
from agent_gym.many.search.sweep import Plan, Sweep
from agent_gym.many.worker import run_seed
from agent_gym.tasks import TASKS, task_class  # noqa: F401
from agent_gym.tasks import config_class as task_config

SPACE = {"learning_rate": {"low": 1e-3, "high": 1e-2, "log": True}, "num_steps": [16, 32]}


class Lowest:
    """Draws the lower end of everything, or the first choice."""

    def suggest_float(self, name, low, high, *, log):
        return low

    def suggest_int(self, name, low, high, *, log, step):
        return low

    def suggest_categorical(self, name, choices):
        assert all(choice is None or isinstance(choice, bool | int | float | str) for choice in choices)
        return choices[0]


@pytest.mark.parametrize("name", [name for name in AGENTS if name != "sb3"])
def test_every_agent_has_a_space_whose_ends_it_takes(name):
    config = config_class(name)()
    space = built_in(name, config)
    assert "learning_rate" in space and len(space) >= 3
    problem = Problem("agent", name, config, space, {})
    drawn = problem.settings({setting: what.draw(Lowest(), setting) for setting, what in space.items()})
    assert drawn.learning_rate == space["learning_rate"].low
    assert isinstance(drawn.hidden_sizes, tuple)


def test_what_only_numbers_have_is_not_searched_where_actions_are_choices():
    assert "log_std_init" not in built_in("ppo", PPOConfig(env="CartPole-v1"))
    assert "log_std_init" in built_in("ppo", PPOConfig(env="Pendulum-v1"))


@pytest.mark.parametrize("name", ["iris", "digits", "table"])
def test_tasks_have_spaces(name):
    assert name in TASKS and {"learning_rate", "batch_size"} <= built_in(name, task_config(name)()).keys()


def test_a_space_from_yaml(tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(
        "learning-rate: {low: 1e-4, high: 1e-2, log: true}\nnum_steps: [32, 64]\nhidden_sizes: [[32], [64, 64]]\n"
    )
    space = read_space(path, PPOConfig())
    assert space["learning_rate"] == Span(1e-4, 1e-2, True)  # which YAML takes for words
    assert space["num_steps"] == Choice((32, 64)) and space["hidden_sizes"].draw(Lowest(), "x") == [32]
    assert space_of({"num_epochs": {"low": 1, "high": 9, "step": 2}}, PPOConfig(), "x")["num_epochs"] == Span(
        1, 9, step=2
    )


@pytest.mark.parametrize(
    "space, words",
    [
        ({"learning_rat": [1e-3]}, "did you mean learning_rate"),
        ({"seed": [1, 2]}, "no setting 'seed' to search"),
        ({"gamma": {"low": 0.9, "high": 1.5}}, "gamma cannot be 1.5"),
        ({"gamma": {"low": 0.99, "high": 0.9}}, "the lower first"),
        ({"gamma": {"low": 0.0, "high": 0.9, "log": True}}, "above 0"),
        ({"gamma": {"high": 0.9}}, "expected {low:"),
        ({"gamma": 0.9}, "expected {low:"),
        ({"gamma": []}, "no choices"),
        ({"gamma": [0.9, 0.9]}, "a choice twice"),
        ({"num_steps": ["many"]}, "num_steps cannot be 'many'"),
        ({"activation": ["relu", "rleu"]}, "activation cannot be 'rleu'"),
    ],
)
def test_impossible_spaces_are_one_line(space, words):
    with pytest.raises(UserError) as told:
        space_of(space, PPOConfig(), "space.yaml")
    assert words in str(told.value) and "space.yaml" in str(told.value) and "\n" not in str(told.value)


def test_a_trial_is_scored_by_what_all_seeds_have():
    running = Running(None, None, {0: {10: 1.0, 20: 3.0, 30: 5.0}, 1: {10: 3.0, 20: 5.0}})
    assert running.stage() == (10, 2.0)
    running.reported = 10
    assert running.stage() == (20, 4.0)
    running.reported = 20
    agent, task = (Problem(kind, "x", PPOConfig(total_steps=80), {}, {}) for kind in ("agent", "task"))
    assert running.stage() is None and (running.place(agent), running.place(task)) == (16, 2)
    assert running.value() == 4.0  # of 3, 5 and 3, 5 the middle half
    running.scores[1][30] = float("nan")
    assert running.stage() is None
    with pytest.raises(UserError, match="no finite"):
        running.value()


def test_seeds_that_cannot_be_one_program_get_a_process_each(tmp_path):
    class Pool:
        def start(self, *parts):
            (_, seeds), *_ = parts
            return SimpleNamespace(parts=parts, seeds=seeds, seed=seeds[0], alone="")

    config = PPOConfig(run_dir=str(tmp_path))
    plan = Plan(trials=1, seeds=2, jobs=0, seconds=0.0)
    study = SimpleNamespace(get_trials=lambda deepcopy: [SimpleNamespace(intermediate_values={})])
    sweep = Sweep(tmp_path, Problem("agent", "ppo", config, {}, {}), study, plan, quiet=True)
    sweep.pool = Pool()
    sweep.begin([SimpleNamespace(number=0, study=None, params={})])
    (running,) = sweep.running
    (worker,) = running.workers
    assert worker.seeds == (0, 1) and sweep.together
    worker.alone = "memories are trained run by run"
    sweep.hear(worker, 0, stopping=False)
    assert [each.seeds for each in running.workers] == [(0,), (1,)]
    assert not sweep.together and Group.open(tmp_path / "trials" / "0000").stored.together == ()


def test_times():
    assert [seconds(text) for text in ("", "90s", "30m", "1.5h", "7")] == [0.0, 90.0, 1800.0, 5400.0, 7.0]
    for text in ("soon", "-3m", "0"):
        with pytest.raises(UserError, match="--time"):
            seconds(text)


def test_storages_that_cannot_be_used(tmp_path, monkeypatch):
    corrupt, locked = tmp_path / "corrupt.db", tmp_path / "locked.db"
    corrupt.write_bytes(b"no database at all" * 100)
    with pytest.raises(UserError, match="corrupt.db cannot be used"):
        studies.open_study(str(corrupt), {"agent": "ppo"}, "none", 100, 0)
    studies.open_study(str(locked), {"agent": "ppo", "space": {}}, "none", 100, 0)
    with pytest.raises(UserError, match='its agent is "ppo", not "sac"'):
        studies.open_study(str(locked), {"agent": "sac", "space": {}}, "none", 100, 0)
    monkeypatch.setattr(studies, "BUSY", 0.2)
    holder = sqlite3.connect(locked, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(UserError, match="locked"):
        studies.open_study(str(locked), {"agent": "ppo", "space": {}}, "none", 100, 0)
    holder.close()


def test_bad_words_are_one_line(tmp_path, capsys):
    (tmp_path / "space.yaml").write_text("gamma: [0.9, 0.99]\n")
    (tmp_path / "preset.yaml").write_text("agent: sac\nsettings: {gamma: 0.9}\n")
    space = ["--space", str(tmp_path / "space.yaml")]
    for argv, words in (
        (["sweep", "ppo", "--env", "CartPole-v1", "--trials", "0"], "--trials 0"),
        (["sweep", "ppo", "--env", "CartPole-v1", "--pruner", "hyperbnd"], "did you mean hyperband"),
        (["sweep", "ppo", "--env", "CartPole-v1", "--space", "nowhere.yaml"], "nowhere.yaml cannot be read"),
        (["sweep", "ppo", "--env", "CartPole-v1", *space, "--gamma", "0.9"], "fixed and searched"),
        (["sweep", "--trials", "3"], "agent or a task first"),
        (["sweep", "sb3", "--env", "CartPole-v1", "--algo", "PPO"], "no built-in space"),
        (["train", "ppo", "--preset", str(tmp_path / "preset.yaml")], "is for sac, not ppo"),
    ):
        assert main(argv) == 2
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1, err


def test_a_search_goes_on_and_its_preset_trains(tmp_path, capsys):
    folder, space = tmp_path / "s", tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump(SPACE))
    argv = ["sweep", "a2c", "--env", "CartPole-v1", "--space", str(space), "--run-dir", str(folder), "--num-envs", "4"]
    argv += [
        "--total-steps",
        "400",
        "--device",
        "cpu",
        "--seeds-per-trial",
        "2",
        "--fresh-seeds",
        "1",
        "--pruner",
        "none",
    ]
    assert main([*argv, "--trials", "1"]) == 0
    # A process that was killed leaves a trial behind that the study holds for running.
    problem = json.loads(
        json.dumps(
            studies.optuna.load_study(study_name=studies.NAME, storage=f"sqlite:///{folder}/study.db").user_attrs
        )
    )
    study = studies.open_study(str(folder / "study.db"), problem["problem"], "none", 400, 0)
    left = study.ask()
    left.suggest_categorical("num_steps", [16, 32])
    capsys.readouterr()
    assert main([*argv, "--trials", "2"]) == 0
    out = capsys.readouterr().out
    assert f"trial {left.number}: " in out and "1 trials there already" in out
    trials = study.get_trials()
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    for number in range(2):  # both seeds of a trial were one program
        group = Group.open(folder / "trials" / f"{number:04d}")
        assert group.stored.together == ((0, 1),) and sorted(group.results()) == [0, 1]
    found = json.loads((folder / "sweep.json").read_text())
    assert found["score"] == max(trial.value for trial in trials) and len(found["fresh"]["scores"]) == 1
    assert found["fresh"]["seeds"] == [1000] and (folder / "report.html").read_text().count("data:image/png") == 3
    preset = yaml.safe_load((folder / "best.yaml").read_text())
    assert preset["settings"] == found["settings"] | {"num_envs": 4, "total_steps": 400, "device": "cpu"}
    parsed = parse("a2c", ["--preset", str(folder / "best.yaml"), "--num-envs", "2"])
    assert parsed.config.learning_rate == found["settings"]["learning_rate"]
    assert (parsed.config.num_envs, parsed.config.total_steps, parsed.config.env) == (2, 400, "CartPole-v1")


def test_trials_that_differ_in_numbers_are_one_program(tmp_path):
    space, folder = tmp_path / "space.yaml", tmp_path / "search"
    space.write_text(yaml.safe_dump({"learning_rate": SPACE["learning_rate"], "gamma": [0.9, 0.99]}))
    argv = ["sweep", "a2c", "--env", "CartPole-v1", "--space", str(space), "--num-envs", "4", "--total-steps", "400"]
    argv += ["--device", "cpu", "--seeds-per-trial", "1", "--fresh-seeds", "0", "--pruner", "none", "--trials", "3"]
    assert main([*argv, "--run-dir", str(folder), "--quiet"]) == 0
    study = studies.optuna.load_study(study_name=studies.NAME, storage=f"sqlite:///{folder}/study.db")
    groups = [Group.open(path) for path in sorted(folder.glob("trials/*"))]
    assert len(groups) == 3 and len(list(folder.glob("trials/*/logs/*"))) == 1  # one process
    for trial, group in zip(study.trials, groups, strict=True):
        assert group.stored.config["learning_rate"] == trial.params["learning_rate"]
        alone = Group.create(tmp_path / str(trial.number), "agent", "a2c", group.stored.config, (0,))
        assert run_seed(alone, 0) == 0
        scores = read_curves(alone.folder(0))["eval/episode_return"].values
        assert trial.value == pytest.approx(np.mean(scores[-2:]), rel=0.05)


def test_trials_of_one_program_have_all_else_in_common(tmp_path):
    started = []

    class Pool:
        workers: list = []

        def start(self, *parts):
            started.append(SimpleNamespace(parts=parts, seeds=parts[0][1], alone="", problem=lambda: "NaN", kill=None))
            return started[-1]

    config = PPOConfig(run_dir=str(tmp_path))
    problem = Problem("agent", "ppo", config, space_of(SPACE | {"gamma": [0.9, 0.99]}, config, "x"), {})
    study = studies.open_study(str(tmp_path / "study.db"), problem.plain(), "none", 100, 0)
    sweep = Sweep(tmp_path, problem, study, Plan(trials=3, seeds=1, jobs=0, seconds=0.0, several=3), quiet=True)
    sweep.pool = Pool()
    sweep.begin(sweep.asked())
    drawn = [trial.params for trial in study.trials]
    assert len(drawn) == 3 and len({trial["num_steps"] for trial in drawn}) == 1
    assert len({trial["learning_rate"] for trial in drawn}) == 3
    (together,) = started
    assert [group.path.name for group, _ in together.parts] == ["0000", "0001", "0002"] and not sweep.wanted()

    # One of them is pruned, another fails: those that are left go on, each by itself.
    study.tell(sweep.running[0].trial, state=studies.TrialState.PRUNED)
    sweep.leave(sweep.running[0])
    assert together.parts[0][0].given_up and len(sweep.running) == 3
    sweep.hear(together, 2, stopping=False)
    assert len(started) == 1 and sweep.wanted() == 2 and sweep.running == []
    for _ in range(2):
        sweep.begin(sweep.asked())
    assert [[group.path.name for group, _ in each.parts] for each in started[1:]] == [["0001"], ["0002"]]
    sweep.hear(started[1], 2, stopping=False)
    assert [trial.state.name for trial in study.trials] == ["PRUNED", "FAIL", "RUNNING"]
    assert [running.group.path.name for running in sweep.running] == ["0002"] and sweep.several == 3


def test_trials_that_were_left_over_go_on_together_where_they_are_alike(tmp_path):
    config = PPOConfig(run_dir=str(tmp_path))
    problem = Problem("agent", "ppo", config, space_of(SPACE, config, "x"), {})
    study = studies.open_study(str(tmp_path / "study.db"), problem.plain(), "none", 100, 0)
    sweep = Sweep(tmp_path, problem, study, Plan(trials=9, seeds=1, jobs=0, seconds=0.0, several=3), quiet=True)
    for steps in (16, 32, 16, 16, 16):
        with studies.holding(study, {"num_steps": steps}):
            sweep.drawn(study.ask())
    sweep.left_over, sweep.apart = studies.unfinished(study), {3}
    asked = [[trial.number for trial in sweep.asked()] for _ in range(3)]
    assert asked == [[0, 2, 4], [1], [3]] and sweep.left_over == []
