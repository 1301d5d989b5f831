"""Score, watch or record a trained run: python evaluate.py runs/x [--json] [--watch] [--video out.mp4].

A model of Stable-Baselines3: python evaluate.py MODEL.zip --env ID --algo PPO --trust.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import torch
import tyro

from agent_gym.against_person import play_person
from agent_gym.agents.sb3.config import SB3Config
from agent_gym.duels import duel, rules_of, text
from agent_gym.envs.adapters.spaces import canonical, canonical_action
from agent_gym.ground.errors import UserError
from agent_gym.messages import reported
from agent_gym.playing import Performance, perform, score
from agent_gym.saved import open_saved
from agent_gym.sources import NamedSource
from agent_gym.task_scores import evaluate_task, is_task
from agent_gym.training.device import choose_device
from agent_gym.training.evaluation import EVAL_SEED


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
    against: Annotated[str, tyro.conf.arg(metavar="RUN|random|greedy|mcts-N")] = ""
    """A match at a two-player game, with both colours, against another run or a player by name."""
    play: bool = False
    """Play against it yourself, in the terminal."""
    side: Literal["first", "second"] = "first"
    """Whether you begin."""
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


@reported
def main(argv: list[str]) -> int:
    args = tyro.cli(EvaluateConfig, args=argv)
    if args.episodes < 0 or args.seed < 0:
        raise UserError(f"--episodes {args.episodes} --seed {args.seed}: expected 0 or more")
    device = choose_device(args.device, native=False)
    torch.set_num_threads(1)
    if is_task(args.run):
        return evaluate_task(args, device)
    if args.data or args.predict:
        raise UserError(f"--data and --predict are for runs of a task, and {args.run} is none")
    if (args.against or args.play) and (args.watch or args.video or args.web):
        raise UserError("--against and --play show no picture: leave out --watch, --video and --web")
    if args.algo or args.run.suffix == ".zip":
        name, policy, source = saved_model(args, device)
    else:
        saved = open_saved(args.run, args.checkpoint, device)
        name, policy, source = saved.name, saved.policy, NamedSource(saved.config)
        if args.against or args.play:
            return meet(args, saved)
    run = args.run if args.run.is_dir() else None
    if args.watch or args.video or args.web:
        return show(args, name, policy, source, run)
    result = score(policy, source, args.episodes or 100, seed=args.seed, stochastic=args.stochastic, run=run)
    if args.json:
        print(json.dumps({"env": source.id, "agent": name} | result.summary()))
    else:
        print(f"{name} on {source.id}: {result.text()}")
    return 0


def meet(args: EvaluateConfig, saved: Any) -> int:
    """A match against another player, or a game against a person."""
    if args.against:
        result = duel(saved, args.run, args.against, args.episodes or 100, args.seed, args.checkpoint)
        print(json.dumps(result) if args.json else text(result))
        return 0
    game = rules_of(saved, "--play")
    ended = play_person(game, saved.policy, side=("first", "second").index(args.side), device=saved.policy.device)
    print({"won": "you won", "lost": "the agent won", "drawn": "a draw", "stopped": "stopped"}[ended])
    return 0


def show(args: EvaluateConfig, name: str, policy: Any, source: Any, run: Path | None) -> int:
    """Play for spectators and print what came of it."""
    how = Performance(
        episodes=args.episodes,
        grid=args.grid,
        plain=args.plain,
        stochastic=args.stochastic,
        seed=args.seed,
        action_names=args.action_names,
        drawing=args.drawing,
        follow=run,
        checkpoint=args.checkpoint,
    )
    finished = perform(name, policy, source, how, window=args.watch, video=args.video, web=args.web)
    for number, episode_return, length in finished:
        print(f"episode {number}: return {episode_return:.1f}, {length} steps")
    if args.video:
        print(f"recorded {args.video}")
    return 0


def saved_model(args: EvaluateConfig, device: torch.device) -> tuple[str, Any, NamedSource]:
    """A model of Stable-Baselines3, which is imported for nothing else."""
    from agent_gym.agents.sb3.saved_model import check_model, load_model, normalizer_path

    check_model(args.run, args.algo, args.trust)
    if not args.env:
        raise UserError(f"{args.run} does not say where it acts: add --env with a Gymnasium id")
    found = normalizer_path(args.run, args.env)
    print(f"observations {f'normalised by {found}' if found else 'as they are: no VecNormalize file'}", file=sys.stderr)
    source = NamedSource(SB3Config(env=args.env, env_kwargs=args.env_kwargs, algo=args.algo))
    single = source.single()
    single.close()
    spaces = {"obs_space": canonical(single.observation_space), "action_space": canonical_action(single.action_space)}
    return f"sb3 {args.algo}", load_model(args.run, args.algo, SimpleNamespace(id=args.env, **spaces), device), source
