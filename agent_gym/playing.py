"""A policy plays: for a score, in a window, in a browser or for a film."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.envs.failures import ErrorLog
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import EVAL_SEED
from agent_gym.storage.run import ERROR_LOG
from agent_gym.training.evaluation import episode_limit, play
from agent_gym.training.score import Score
from agent_gym.viewing.browser import serve
from agent_gym.viewing.film import film, prepare_headless
from agent_gym.viewing.names import action_names
from agent_gym.viewing.overlay import Stage
from agent_gym.viewing.player import Follower, Show, frame_rate, make_tap, parse_grid
from agent_gym.viewing.window import require_display, watch


@dataclass(frozen=True)
class Performance:
    """How a policy is shown."""

    episodes: int = 0
    """0: 1 each to record, 5 to watch, and no end in a browser or while a run trains."""
    grid: str = "1x1"
    plain: bool = False
    stochastic: bool = False
    seed: int = EVAL_SEED
    action_names: str = ""
    drawing: str = "auto"
    follow: Path | None = None
    """A run directory whose newer checkpoints are taken between episodes."""
    checkpoint: str = "best"


def require_fit(policy: Any, env: Any) -> None:
    """Raise UserError where an environment is another one than the policy has learned in."""
    for what, learned, here in (
        ("observations", policy.obs_space, env.obs_space),
        ("actions", policy.action_space, env.action_space),
    ):
        if learned != here:
            raise UserError(f"the policy was trained with {what} {learned}, and {env.id} has {here} now")


def score(
    policy: Any,
    source: Any,
    episodes: int,
    *,
    seed: int = EVAL_SEED,
    stochastic: bool = False,
    run: Path | None = None,
    max_steps: int = 0,
    longest: float = 0.0,
) -> Score:
    """The score of `episodes` episodes; `run`: a run directory for tracebacks of environments that fail.

    Episodes are cut after `max_steps` (0: see `episode_limit`, `longest` being the longest in training).
    """
    torch.set_num_threads(1)
    limit = episode_limit(max_steps, source.step_limit, longest)
    options = {"seed": seed, "explore": stochastic or source.samples, "max_steps": limit}
    if source.shared:
        env = source.training(policy.device, error_log(run))
        require_fit(policy, env)
        return play(policy, env, episodes, **options)
    with closing(source.scoring(min(episodes, source.at_once), policy.device, error_log(run))) as env:
        require_fit(policy, env)
        return play(policy, env, episodes, **options)


def perform(
    name: str, policy: Any, source: Any, how: Performance, *, window: bool = False, video: str = "", web: int = 0
) -> list[tuple[int, float, int]]:
    """Play in a window, for a film or in a browser; number, return and length of each finished episode."""
    if sum(map(bool, (window, video, web))) > 1:
        raise UserError("--watch, --video and --web: give one of them")
    if window:
        require_display()
    prepare_headless()
    rows, columns = parse_grid(how.grid)
    taps = [make_tap(source.single, how.drawing) for _ in range(rows * columns)]
    env = SyncEnv(taps, source.id, policy.device)
    env.recovery.report = error_log(how.follow)
    try:
        require_fit(policy, env)
        names = action_names(taps[0], taps[0].action_space, how.action_names)
        stage = Stage(source.id, taps[0].action_space, names, (rows, columns), panel=not how.plain)
        show = Show(policy, env, taps, stage, seed=how.seed, explore=how.stochastic, episodes=how.episodes)
        if how.follow is not None:
            show.before_round = Follower(how.follow, how.checkpoint, policy, stage)
        title, fps = f"{name} on {source.id}", frame_rate(taps[0])
        training = how.follow is not None and not (how.follow / "result.json").exists()
        if video:
            show.episodes = how.episodes or len(taps)
            film(show, Path(video), fps)
        elif web:
            serve(show, title, fps, web)
        else:
            show.episodes = how.episodes or (0 if training else 5 * len(taps))
            watch(show, title, fps)
    finally:
        if not source.shared:
            env.close()
    return show.finished


def error_log(run: Path | None) -> ErrorLog:
    """Where the traceback of an environment that fails is written down: in the run directory, if there is one."""
    log = ErrorLog(restart=False)
    if run is not None and run.is_dir():
        log.open(run / ERROR_LOG)
    return log
