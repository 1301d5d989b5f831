"""Flags: numbers as people write them, mistakes in one line, nothing without effect, and all of it at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent_gym.agents import AGENTS, config_class
from agent_gym.agents.presets import table
from agent_gym.agents.settings.dqn import DQNConfig
from agent_gym.agents.settings.ppo import PPOConfig
from agent_gym.commands.line.flags import known_flags, number, read_flags
from agent_gym.commands.train import parse
from agent_gym.composing.presets import preset
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import check_effects
from agent_gym.tasks import TASKS
from agent_gym.tasks import config_class as task_config

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e6", 10**6),
        ("100k", 10**5),
        ("1_000_000", 10**6),
        ("2.5M", 2_500_000),
        ("-3", -3),
        ("0.5k", 500),
        ("1B", 10**9),
    ],
)
def test_numbers_as_people_write_them(text, value):
    assert number(text, int) == value and type(number(text, int)) is int
    assert read_flags(PPOConfig, [f"--eval-every={text}"], prog="x")[0].eval_every == value if value > 0 else True
    assert number(text, float) == float(value)


@pytest.mark.parametrize("text", ["1.5", "1e-3", "k", "", "one", "nan", "inf", "1e400", "0x10", "1 000"])
def test_what_is_no_whole_number(text):
    with pytest.raises((ValueError, OverflowError)):
        number(text, int)


def test_shells_complete_the_command(capsys, tmp_path):
    with pytest.raises(SystemExit) as done:
        parse("ppo", ["--tyro-print-completion", "bash"])
    assert not done.value.code
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out)
    words = "COMP_WORDS=(agent-gym train ppo --learning-r); COMP_CWORD=3"
    asked = f"source {script}; {words}; $(complete -p agent-gym | cut -d' ' -f3); echo ${{COMPREPLY[@]}}"
    found = subprocess.run(["bash", "-c", asked], capture_output=True, text=True)
    assert found.stdout.split() == ["--learning-rate"], found.stderr


def test_a_command_line_and_what_it_sets():
    argv = "--total-steps 50k --num_envs 2 --hidden-sizes 1e2 64 --no-normalize-advantage --seed=1_0 --gamma .9"
    argv = argv.split()
    config, given = read_flags(PPOConfig, argv, prog="x", default=PPOConfig(env="X", gamma=0.5))
    assert (config.total_steps, config.num_envs, config.hidden_sizes, config.seed) == (50_000, 2, (100, 64), 10)
    assert config.env == "X" and config.gamma == 0.9 and config.normalize_advantage is False
    assert given == {"total_steps", "num_envs", "hidden_sizes", "normalize_advantage", "seed", "gamma"}
    argv = ["--conv-layers", "16", "3", "2", "1", "8", "3", "1", "0", "--atari.frame-skip", "2"]
    layers = read_flags(PPOConfig, argv, prog="x")[0]
    assert layers.conv_layers == ((16, 3, 2, 1), (8, 3, 1, 0)) and layers.atari.frame_skip == 2


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("--lerning-rate 3", "unknown flag --lerning-rate; did you mean --learning-rate?"),
        ("--atari.frame-skp 3", "did you mean --atari.frame-skip"),
        ("--xyzzy", r"unknown flag --xyzzy \(train.py ppo --help lists them\)"),
        ("--total-steps many", "--total-steps many: expected a whole number such as 50000, 50k or 5e4"),
        ("--total-steps 1.5", "--total-steps 1.5: expected a whole number"),
        (
            "--eval-every nevr",
            "--eval-every nevr: expected auto, never or a whole.*did you mean never?",
        ),
        ("--gamma high", "--gamma high: expected a number such as"),
        ("--encoder gur", "--encoder.*gur.*did you mean gru?"),
        ("--optimizer adm", "--optimizer adm: expected one of adam, .*did you mean adam"),
        ("--gamma", "--gamma lacks its value: expected a number"),
        ("--env --seed 3", "--env lacks its value"),
        ("--quiet yes", "'yes' belongs to no flag: --quiet takes no value, and its opposite is --no-quiet"),
        ("--seed 1 dqn", "'dqn' comes too late: the agent or task is the first argument"),
        ("seed", "'seed' belongs to no flag; did you mean --seed"),
        ("--conv-layers 1 2 3", "--conv-layers"),
        ("--hidden-sizes wide", "--hidden-sizes"),
    ],
)
def test_mistakes_are_one_line(argv, says):
    with pytest.raises(UserError, match=says) as error:
        read_flags(PPOConfig, argv.split(), prog="train.py ppo", first=("dqn",))
    assert "\n" not in str(error.value) and "│" not in str(error.value)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("ppoo", "'ppoo' is no agent or task.*did you mean ppo"),
        ("iriss", "did you mean iris?"),
        ("ppo --env CartPol-v1", "unknown environment 'CartPol-v1'; did you mean CartPole-v1"),
        ("dqn --env AgentGym/Snak-v0", "AgentGym/Snake-v0"),
        ("ppo --seed 1 --env Pendulm-v1", "Pendulum-v1"),
        ("ppo --lerning-rate 1 --env CartPol-v1", "--learning-rate"),
        ("iris --epoch 3", "did you mean --epochs"),
        (
            "ppo --recurrent-size 32",
            "--recurrent-size has no effect with --encoder auto: it goes with --encoder rnn, lstm",
        ),
        ("ppo --encoder lstm --attention-heads 2", "it goes with --encoder transformer"),
        ("ppo --encoder mlp --conv-layers 8 3 1 0", "it goes with another --encoder than linear, mlp"),
        (
            "dqn --priority-alpha 0.5",
            "--priority-alpha has no effect with --prioritized False: it goes with --prioritized",
        ),
        ("dqn --burn-in 4", "it goes with --encoder rnn, lstm, gru or transformer"),
        ("ppo --freeze-encoder", "has no effect without --encoder-from"),
        ("ppo --experiment poles", "it goes with another --track than none"),
        ("iris --optimizer sgd --eps 1e-3", "it goes with --optimizer adam, adamw or rmsprop"),
        ("sac --alpha 0.2 --target-entropy -1", "it goes with --alpha 0.0"),
        ("sb3 --hidden-sizes 32", "--hidden-sizes has no effect with --encoder auto"),
    ],
)
def test_did_you_mean_in_every_position_and_flags_without_effect(command, says):
    name, *flags = command.split()
    with pytest.raises(UserError, match=says):
        parse(name, flags)


@pytest.mark.parametrize("name", [*AGENTS, *TASKS])
def test_presets_and_defaults_are_never_called_idle(name):
    """Only what the user gives is judged; every flag is known with its type."""
    settings = task_config(name) if name in TASKS else config_class(name)
    assert {"--seed", "--quiet", "--run-dir"} <= known_flags(settings).keys()
    check_effects(settings(), ())
    for values in [*table(name).get("env", {}).values(), *table(name).get("published", {}).values()]:
        check_effects(settings(**values), values.keys())


def test_the_opening_names_what_differs_and_whose_it_is():
    parsed = parse(
        "ppo", ["--env", "CartPole-v1", "--gamma", "0.99", "--seed", "3", "--total-steps", "4k", "--encoder", "lstm"]
    )
    preset, yours = parsed.notes
    assert preset.startswith("preset for CartPole-v1: ") and "learning_rate 0.01" in preset
    assert "gamma" not in preset and "num_envs" not in preset  # the user's own; in the first line
    assert yours == "yours: encoder lstm, gamma 0.99"


QUICK = """
import contextlib, io, json, runpy, sys
for sys.argv in json.loads(sys.argv[1]):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), contextlib.suppress(SystemExit):
        runpy.run_path(sys.argv[0], run_name="__main__")
    heavy = {"torch", "sklearn", "pandas", "tensorboard", "PIL", "imageio", "werkzeug"} & sys.modules.keys()
    print(json.dumps([out.getvalue(), sorted(heavy)]))
"""
SHOWS = {
    "train.py ppo --env LunarLander-v3 --help": "(default: 1000000)",  # the preset's
    "train.py ppo --help": "(default: 0.01)",
    "train.py dqn --env CartPole-v1 --help": "--buffer-size",
    "train.py iris --help": "--epochs",
    "train.py --help": "breast-cancer",
    "train.py ppo --lerning-rate 1": "did you mean --learning-rate?",
    "train.py ppo --env CartPol-v1": "did you mean CartPole-v1",
    "evaluate.py --help": "--action-names",
    "evaluate.py runs/x --vidoe a.mp4": "did you mean --video",
}


@pytest.fixture(scope="module")
def told():
    """What each command prints and imports, one after the other in a process of their own."""
    argv = [sys.executable, "-c", QUICK, json.dumps([command.split() for command in SHOWS])]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(SHOWS, map(json.loads, done.stdout.splitlines()), strict=True))


@pytest.mark.parametrize("command", SHOWS)
def test_help_and_usage_errors_import_nothing_heavy(told, command):
    """torch alone takes seconds: without it they come in well under one."""
    text, heavy = told[command]
    assert SHOWS[command] in " ".join(text.replace("│", " ").split()) and heavy == []


@pytest.mark.parametrize("name", ["total_steps", "learning_rate", "buffer_size"])
def test_help_shows_what_the_run_will_use(name, capsys):
    values = parse("dqn", ["--env", "CartPole-v1"]).config
    with pytest.raises(SystemExit):
        parse("dqn", ["--env", "CartPole-v1", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    shown = text.split(f"--{name.replace('_', '-')} ")[1].split("(default: ")[1].split(")")[0]
    assert float(shown) == getattr(values, name)
    assert name == "buffer_size" or getattr(values, name) != getattr(DQNConfig(), name)  # the preset's


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--resum", "runs/x"], "did you mean --resume or"),
        (["CartPole-v1"], "'CartPole-v1' belongs to no flag; did you mean --env CartPole-v1?"),
        (["my.module:Maze"], "did you mean --env my.module:Maze?"),
        (["--freeze-encoder"], "--freeze-encoder has no effect without --encoder-from"),
    ],
)
def test_what_was_meant(argv, says):
    with pytest.raises(UserError) as caught:
        parse("ppo", argv)
    assert says in str(caught.value)


def test_something_is_seen_before_an_environment_is_imported(capsys):
    """Its module and torch take seconds; the command says what it does in the meantime, once."""
    seen = []
    preset("ppo", PPOConfig, {"env": "gymnasium:LunarLander-v3"}, seen.append)
    assert seen == ["gymnasium:LunarLander-v3"]  # a preset, but the module has to be looked into
    parse("ppo", ["--env", "FrozenLake-v1"])
    assert capsys.readouterr().out == "looking at FrozenLake-v1\n"
    for flags in (["--env", "FrozenLake-v1", "--quiet"], ["--env", "CartPole-v1"]):
        parse("ppo", flags)
        assert capsys.readouterr().out == ""
