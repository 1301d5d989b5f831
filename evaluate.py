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

import tasks
from agents import agent_class, restore_config
from agents.config import ConfigError, parse_env_kwargs
from envs.gymnasium_env import SyncEnv
from envs.make import make_env, make_single
from envs.vector import EnvFailure, EnvSpecError
from nets.base import UnsupportedSpace
from nets.transfer import TransferError
from training.device import choose_device
from training.errors import UserError
from training.evaluation import EVAL_SEED, play
from training.run import open_checkpoint
from training.video import Film, FrameTap, prepare_headless, render_mode, require_display

USER_ERRORS = (UserError, ConfigError, EnvSpecError, UnsupportedSpace, EnvFailure, tasks.TaskError, TransferError)


@dataclass(frozen=True)
class EvaluateConfig:
    """Score, watch or record a run."""

    run: tyro.conf.Positional[Path]
    """The run directory that train.py made, or a .zip that Stable-Baselines3 saved."""
    episodes: int = 0
    """Episodes to play; 0: 100 to score, 1 to record, 5 to watch."""
    json: bool = False
    """Print the score as one JSON object and nothing else."""
    watch: bool = False
    """Open a window."""
    video: Annotated[str, tyro.conf.arg(metavar="FILE.mp4|FILE.gif")] = ""
    """Record to this file; needs no display."""
    stochastic: bool = False
    """Sample actions as in training instead of taking the most likely."""
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
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def evaluate_run(args: EvaluateConfig) -> int:
    if args.episodes < 0 or args.seed < 0:
        raise UserError(f"--episodes {args.episodes} --seed {args.seed}: expected 0 or more")
    device = choose_device(args.device, native=False)
    torch.set_num_threads(1)
    is_task = (args.run / "config.json").exists() and "task" in open_checkpoint(args.run, args.checkpoint)["config"]
    if is_task:
        return evaluate_task(args, device)
    if args.data or args.predict:
        raise UserError(f"--data and --predict are for runs of a task, and {args.run} is none")
    is_model = args.algo or args.run.suffix == ".zip"
    name, env_id, env_kwargs, load = saved_model(args, device) if is_model else saved_run(args, device)
    single = partial(make_single, env_id, env_kwargs)

    def show(mode: str, episodes: int, on_frame) -> None:
        env = single(render_mode=mode)
        if on_frame is not None:
            env = FrameTap(env, episodes, on_frame)
        vector = SyncEnv([env], env_id, device)
        try:
            score = play(load(vector), vector, episodes, seed=args.seed, explore=args.stochastic)
        finally:
            vector.close()
        for number, (value, length) in enumerate(zip(*score, strict=True), 1):
            print(f"episode {number}: return {value:.1f}, {length} steps")

    if args.watch:
        require_display()
    if args.watch or args.video:
        env = single()
        metadata = env.metadata
        env.close()
    if args.watch:
        show(render_mode(metadata, "human", env_id), args.episodes or 5, None)
        return 0
    if args.video:
        prepare_headless()
        mode = render_mode(metadata, "rgb_array", env_id)
        with Film(Path(args.video), metadata.get("render_fps") or 30) as film:
            show(mode, args.episodes or 1, film.add)
        print(f"recorded {args.video}")
        return 0

    episodes = args.episodes or 100
    env = make_env(env_id, min(episodes, 25), backend="sync", env_kwargs=env_kwargs, device=device)
    try:
        score = play(load(env), env, episodes, seed=args.seed, explore=args.stochastic)
    finally:
        env.close()
    if args.json:
        print(json.dumps({"env": env_id, "agent": name} | score.summary()))
    else:
        print(f"{name} on {env_id}: {score.text()}")
    return 0


def saved_run(args: EvaluateConfig, device: torch.device) -> Subject:
    """The agent of a run directory."""
    checkpoint = open_checkpoint(args.run, args.checkpoint)
    stored = dict(checkpoint["config"])
    name = stored.pop("agent")
    config = restore_config(name, stored)
    torch.set_num_threads(config.num_threads or 1)

    def load(env):
        agent = agent_class(name)(config, env, device)
        try:
            agent.model.load_state_dict(checkpoint["agent"]["model"])
        except (RuntimeError, KeyError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(f"the checkpoint of {args.run} does not fit {config.env} as it is now: {reason}") from None
        return agent

    return Subject(name, config.env, parse_env_kwargs(config.env_kwargs), load)


def saved_model(args: EvaluateConfig, device: torch.device) -> Subject:
    """A model of Stable-Baselines3, which is imported for nothing else."""
    from agents.sb3_model import SavedModel, check_model, normalizer_path

    check_model(args.run, args.algo, args.trust)
    if not args.env:
        raise UserError(f"{args.run} does not say where it acts: add --env with a Gymnasium id")
    found = normalizer_path(args.run, args.env)
    print(f"observations {f'normalised by {found}' if found else 'as they are: no VecNormalize file'}", file=sys.stderr)
    name = f"sb3 {args.algo}"
    return Subject(
        name, args.env, parse_env_kwargs(args.env_kwargs), lambda env: SavedModel(args.run, args.algo, env, device)
    )


def evaluate_task(args: EvaluateConfig, device: torch.device) -> int:
    """Score a task's model on its own test rows or on new ones, or predict new ones."""
    if args.watch or args.video:
        raise UserError(f"{args.run} is the run of a task: there is nothing to watch; --data NEW.csv --predict OUT.csv predicts")
    if args.predict and not args.data:
        raise UserError("--predict OUT.csv needs the rows to predict: add --data NEW.csv")
    checkpoint = open_checkpoint(args.run, args.checkpoint)
    stored = dict(checkpoint["config"])
    name = stored.pop("task")
    config = tasks.restore_config(name, stored)
    torch.set_num_threads(config.num_threads or 1)
    weights = checkpoint["agent"]["model"]
    if not args.data:
        task = tasks.task_class(name)(config, device)
        task.model.load_state_dict(weights)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
