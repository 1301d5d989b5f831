"""Score, watch or record a trained run: python evaluate.py runs/x [--json] [--watch] [--video out.mp4].

A model of Stable-Baselines3: python evaluate.py MODEL.zip --env ID --algo PPO --trust.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import torch
import tyro

from agent_gym import tasks
from agent_gym.agents.settings.base import parse_env_kwargs
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.failures import ErrorLog
from agent_gym.envs.make import is_atari, make_env, make_single, scoring_backend
from agent_gym.envs.origin import check_origin
from agent_gym.envs.vector import EnvFailure
from agent_gym.ground.errors import UserError, one_line
from agent_gym.nets.encoders.make import has_image
from agent_gym.restore import restore_config, restore_policy
from agent_gym.storage.checkpoint import open_checkpoint
from agent_gym.storage.run import ERROR_LOG
from agent_gym.training.device import choose_device
from agent_gym.training.evaluation import EVAL_SEED, play
from agent_gym.viewing.browser import serve
from agent_gym.viewing.film import film, prepare_headless
from agent_gym.viewing.names import action_names
from agent_gym.viewing.overlay import Stage
from agent_gym.viewing.player import Follower, Show, frame_rate, make_tap, parse_grid
from agent_gym.viewing.window import require_display, watch

USER_ERRORS = (UserError, EnvFailure)


@dataclass(frozen=True)
class EvaluateConfig:
    """Score, watch or record a run."""

    run: tyro.conf.Positional[Path]
    """The run directory that train.py made, or a .zip that Stable-Baselines3 saved."""
    episodes: int = 0
    """Episodes to play; 0: 100 to score, 1 to record, 5 to watch, and no end in a browser or while the run trains."""
    json: bool = False
    """Print the score as one JSON object and nothing else."""
    watch: bool = False
    """Open a window: space pauses, arrows change the speed, N goes to the next episode, Q quits."""
    video: Annotated[str, tyro.conf.arg(metavar="FILE.mp4|FILE.gif")] = ""
    """Record to this file; needs no display."""
    web: Annotated[int, tyro.conf.arg(metavar="PORT")] = 0
    """Show in a browser on this machine, at http://127.0.0.1:PORT/."""
    grid: Annotated[str, tyro.conf.arg(metavar="ROWSxCOLUMNS")] = "1x1"
    """Play this many episodes at once, side by side."""
    plain: bool = False
    """The picture alone, without return, value and action probabilities."""
    action_names: Annotated[str, tyro.conf.arg(metavar="NAME,NAME,…")] = ""
    """What the panel calls the actions, or the parts of one; empty: as the environment or its documentation does."""
    drawing: Literal["auto", "full", "plain"] = "auto"
    """MuJoCo with shadows and reflections or without them; auto: without them where no graphics card is."""
    stochastic: bool = False
    """Sample actions as in training instead of taking the most likely; Atari games are always played so, since a
    fixed action can keep a game from ever starting."""
    checkpoint: Literal["best", "last"] = "best"
    """The best by evaluation during training, or the latest."""
    seed: int = EVAL_SEED
    """Seed of the episodes."""
    device: Literal["auto", "cpu", "cuda"] = "cpu"
    """Where the networks run."""
    env: str = ""
    """Environment of a .zip; a run knows its own."""
    env_kwargs: str = "{}"
    """Arguments of the environment of a .zip, as JSON."""
    algo: str = ""
    """Algorithm that made the .zip: PPO, SAC, …"""
    trust: bool = False
    """Open a .zip although its format can run code: only for files whose origin you know."""
    data: str = ""
    """New rows for the model of a task: a file as the task takes it."""
    predict: Annotated[str, tyro.conf.arg(metavar="OUT.csv")] = ""
    """Write the predictions for --data to this file."""


class Subject(NamedTuple):
    """What is evaluated: `load(env)` gives the agent for a vector environment."""

    name: str
    env: str
    env_kwargs: dict
    load: Callable


def main(argv: list[str]) -> int:
    try:
        return evaluate_run(tyro.cli(EvaluateConfig, args=argv))
    except USER_ERRORS as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def evaluate_run(args: EvaluateConfig) -> int:
    if args.episodes < 0 or args.seed < 0:
        raise UserError(f"--episodes {args.episodes} --seed {args.seed}: expected 0 or more")
    device = choose_device(args.device, native=False)
    torch.set_num_threads(1)
    if is_task(args.run):
        return evaluate_task(args, device)
    if args.data or args.predict:
        raise UserError(f"--data and --predict are for runs of a task, and {args.run} is none")
    is_model = args.algo or args.run.suffix == ".zip"
    subject = saved_model(args, device) if is_model else saved_run(args, device)
    name, env_id, env_kwargs, load = subject
    if args.watch or args.video or args.web:
        return perform(args, subject, device)

    episodes = args.episodes or 100
    backend = scoring_backend(env_id)
    env = make_env(
        env_id,
        min(episodes, 25),
        backend=backend,
        env_kwargs=env_kwargs,
        device=device,
        report=error_log(args.run),
    )
    try:
        score = play(load(env), env, episodes, seed=args.seed, explore=args.stochastic or is_atari(env_id))
    finally:
        env.close()
    if args.json:
        print(json.dumps({"env": env_id, "agent": name} | score.summary()))
    else:
        print(f"{name} on {env_id}: {score.text()}")
    return 0


def error_log(run: Path) -> ErrorLog:
    """Where the traceback of an environment that fails is written down: in the run directory, if there is one."""
    log = ErrorLog(restart=False)
    if run.is_dir():
        log.open(run / ERROR_LOG)
    return log


def perform(args: EvaluateConfig, subject: Subject, device: torch.device) -> int:
    """Play in a window, for a film or in a browser."""
    if sum(map(bool, (args.watch, args.video, args.web))) > 1:
        raise UserError("--watch, --video and --web: give one of them")
    if args.watch:
        require_display()
    prepare_headless()
    rows, columns = parse_grid(args.grid)
    make = partial(make_single, subject.env, subject.env_kwargs)
    taps = [make_tap(make, args.drawing) for _ in range(rows * columns)]
    env = SyncEnv(taps, subject.env, device)
    env.recovery.report = error_log(args.run)
    try:
        agent = subject.load(env)
        names = action_names(taps[0], taps[0].action_space, args.action_names)
        stage = Stage(subject.env, taps[0].action_space, names, (rows, columns), panel=not args.plain)
        show = Show(agent, env, taps, stage, seed=args.seed, explore=args.stochastic, episodes=args.episodes)
        if args.run.is_dir():
            show.before_round = Follower(args.run, args.checkpoint, agent, stage)
        title, fps = f"{subject.name} on {subject.env}", frame_rate(taps[0])
        training = args.run.is_dir() and not (args.run / "result.json").exists()
        if args.video:
            show.episodes = args.episodes or len(taps)
            film(show, Path(args.video), fps)
        elif args.web:
            serve(show, title, fps, args.web)
        else:
            show.episodes = args.episodes or (0 if training else 5 * len(taps))
            watch(show, title, fps)
    finally:
        env.close()
    for number, episode_return, length in show.finished:
        print(f"episode {number}: return {episode_return:.1f}, {length} steps")
    if args.video:
        print(f"recorded {args.video}")
    return 0


def saved_run(args: EvaluateConfig, device: torch.device) -> Subject:
    """The agent of a run directory."""
    checkpoint = open_checkpoint(args.run, args.checkpoint)
    stored = dict(checkpoint["config"])
    name = stored.pop("agent", None)
    config = restore_config("agent", name, stored)
    check_origin(config.env, args.run)

    def load(env):
        torch.set_num_threads(config.threads(has_image(env.obs_space)))
        weights = checkpoint["agent"].get("model")
        return restore_policy(name, config, env.obs_space, env.action_space, weights, device)

    return Subject(name, config.env, config.make_kwargs(is_atari(config.env)), load)


def saved_model(args: EvaluateConfig, device: torch.device) -> Subject:
    """A model of Stable-Baselines3, which is imported for nothing else."""
    from agent_gym.agents.sb3.saved_model import check_model, load_model, normalizer_path

    check_model(args.run, args.algo, args.trust)
    if not args.env:
        raise UserError(f"{args.run} does not say where it acts: add --env with a Gymnasium id")
    found = normalizer_path(args.run, args.env)
    print(f"observations {f'normalised by {found}' if found else 'as they are: no VecNormalize file'}", file=sys.stderr)
    name = f"sb3 {args.algo}"
    return Subject(
        name, args.env, parse_env_kwargs(args.env_kwargs), lambda env: load_model(args.run, args.algo, env, device)
    )


def is_task(run: Path) -> bool:
    """Whether a run directory is a task's; anything unclear is left to those who open the checkpoint."""
    try:
        config = json.loads((run / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(config, dict) and "task" in config


def evaluate_task(args: EvaluateConfig, device: torch.device) -> int:
    """Score a task's model on its own test rows or on new ones, or predict new ones."""
    if args.watch or args.video:
        raise UserError(f"{args.run} is the run of a task: nothing to watch; --data NEW.csv --predict OUT.csv predicts")
    if args.predict and not args.data:
        raise UserError("--predict OUT.csv needs the rows to predict: add --data NEW.csv")
    checkpoint = open_checkpoint(args.run, args.checkpoint)
    stored = dict(checkpoint["config"])
    name = stored.pop("task", None)
    config = restore_config("task", name, stored)
    torch.set_num_threads(config.num_threads or 1)
    weights = checkpoint["agent"].get("model")
    if not args.data:
        task = tasks.load_task(name, config, weights, device)
        metrics = task.test()
        text = task.report(metrics)
    else:
        frame, metrics = tasks.predict(name, config, weights, Path(args.data), device)
        text = f"{len(frame):,} rows predicted"
        if args.predict:
            write_csv(frame, Path(args.predict))
        if not args.predict and not metrics:
            raise UserError(f"{args.data} has no target to score against: add --predict OUT.csv for the predictions")
        if metrics:
            text += "\n" + "\n".join(f"{key:>12} {value:.5g}" for key, value in metrics.items())
    print(json.dumps({"task": name, "metrics": metrics}) if args.json else text)
    return 0


def write_csv(frame, path: Path) -> None:
    try:
        frame.to_csv(path, index=False)
    except OSError as error:
        raise UserError(f"--predict {path} cannot be written ({error.strerror}): choose another path") from None
