"""What `evaluate` does with its flags: a score, a show, or predictions."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from agent_gym.agents.sb3.config import SB3Config
from agent_gym.commands.playing.against_person import play_person
from agent_gym.commands.runs import measure
from agent_gym.composing.saved import open_saved
from agent_gym.composing.scores.playing import score
from agent_gym.composing.scores.task_scores import evaluate_task, is_task
from agent_gym.composing.seats.among import among, seats_of
from agent_gym.composing.seats.among import text as told_of
from agent_gym.composing.seats.duels import against_itself, duel, rules_of, text
from agent_gym.composing.seats.sitting import Sitting
from agent_gym.composing.sources import NamedSource
from agent_gym.envs.adapters.boundary.spaces import canonical, canonical_action
from agent_gym.ground.errors import UserError
from agent_gym.many.group import Group, is_group
from agent_gym.storage.checkpoint import require_run
from agent_gym.training.device import choose_device
from agent_gym.training.score import shown

if TYPE_CHECKING:
    from agent_gym.commands.playing.evaluate import EvaluateConfig


def run(args: EvaluateConfig) -> dict | None:
    """Do what is asked for and print it, or for --json the score as plain data."""
    if args.episodes < 0 or args.seed < 0:
        raise UserError(f"--episodes {args.episodes} --seed {args.seed}: expected 0 or more")
    if args.eval_max_steps < 0:
        raise UserError(f"--eval-max-steps {args.eval_max_steps}: expected 0 or more")
    if not args.run.exists():
        require_run(args.run)
    if is_group(args.run):
        return evaluate_group(args)
    device = choose_device(args.device).device
    torch.set_num_threads(1)
    if is_task(args.run):
        return evaluate_task(args, device)
    if args.data or args.predict:
        raise UserError(f"--data and --predict are for runs of a task, and {args.run} is none")
    if args.against and (args.watch or args.video or args.web):
        raise UserError("--against shows no picture: leave out --watch, --video and --web")
    if args.play and (args.video or (args.watch and args.web)):
        raise UserError("--play is in the terminal, with --watch in a window, with --web PORT in a browser: take one")
    if args.algo or args.run.suffix == ".zip":
        (name, policy, source), longest = saved_model(args, device), 0.0
    else:
        saved = open_saved(args.run, args.checkpoint, device)
        name, policy, source, longest = saved.name, saved.policy, NamedSource(saved.config), saved.longest
        if args.against or args.play:
            return meet(args, saved)
    folder = args.run if args.run.is_dir() else None
    if args.watch or args.video or args.web:
        return show(args, name, policy, against_itself(source, args.run), folder)
    result = score(
        policy,
        source,
        args.episodes or 100,
        seed=args.seed,
        stochastic=args.stochastic,
        run=folder,
        max_steps=args.eval_max_steps,
        longest=longest,
    )
    if not args.json:
        print("\n".join([f"{name} on {source.id}: {result.text()}", *result.notes()]))
    return {"env": source.id, "agent": name} | result.summary()


def evaluate_group(args: EvaluateConfig) -> dict | None:
    """The score of every seed of a group, and what they say together."""
    from agent_gym.many.train_group import said, together

    group = Group.open(args.run)
    one = group.folder(group.seeds[0])
    for name in ("watch", "video", "web", "play", "against", "data", "predict"):
        if getattr(args, name):
            raise UserError(f"--{name} takes one run, and {args.run} is a group of {len(group.seeds)}: such as {one}")
    found = []
    for seed in group.seeds:
        if not args.json:
            print(f"seed {seed}: ", end="", flush=True)
        found.append(run(replace(args, run=group.folder(seed))))
    name, scores = measure(found[0])[0], [measure(each)[1] for each in found]
    result = {"measure": name, "seeds": list(group.seeds), "scores": scores} | together(np.array(scores, dtype=float))
    if not args.json:
        print(said(result, group.stored.name))
    return {key: found[0][key] for key in ("env", "agent", "task") if key in found[0]} | result


def meet(args: EvaluateConfig, saved: Any) -> dict | None:
    """A match against another player, or a game against a person."""
    if args.against and (names := seats_of(saved.config)):
        result = among(saved, args.against, args.episodes or 100, args.seed, names)
        if not args.json:
            print(told_of(result))
        return result
    if args.against:
        result = duel(saved, args.run, args.against, args.episodes or 100, args.seed, args.checkpoint)
        if not args.json:
            print(text(result))
        return result
    side = ("first", "second").index(args.side)
    sitting = Sitting(rules_of(saved, "--play"), saved.policy, side, saved.policy.device)
    if args.watch or args.web:
        sit_down(args, sitting, f"{saved.name} on {sitting.game.id.rpartition('/')[2]}")
        return None
    ended = play_person(sitting)
    print({"won": "you won", "lost": "the agent won", "drawn": "a draw", "stopped": "stopped"}[ended])
    return None


def sit_down(args: EvaluateConfig, sitting: Sitting, title: str) -> None:
    """Games in a window or in a browser."""
    from agent_gym.viewing.at_the_board import BoardStage, play_in_browser, play_in_window  # with what draws
    from agent_gym.viewing.window import require_display

    stage = BoardStage(title, sitting)
    if args.web:
        play_in_browser(stage, title, args.web)
    else:
        require_display()
        play_in_window(stage, title)


def show(args: EvaluateConfig, name: str, policy: Any, source: Any, run: Path | None) -> None:
    """Play for spectators and print what came of it."""
    from agent_gym.composing.seats.shows import Performance, perform  # with what draws

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
        print(f"episode {number}: return {shown(episode_return)}, {length} steps")
    if args.video:
        print(f"recorded {args.video}")


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
