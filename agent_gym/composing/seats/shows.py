"""A policy plays for spectators: in a window, in a browser, for a film. Imported where somebody watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_gym.composing.scores.playing import error_log, require_fit
from agent_gym.envs.adapters.gymnasium_env import SyncEnv
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import EVAL_SEED
from agent_gym.viewing.clip import Clip
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
    env = source.rows(SyncEnv(taps, source.id, policy.device), taps[0])
    env.recovery.report = error_log(how.follow)
    space = taps[0].action_space if env.members == 1 else policy.action_space
    try:
        require_fit(policy, env)
        names = action_names(taps[0], space, how.action_names)
        stage = Stage(source.id, space, names, (rows, columns), panel=not how.plain)
        show = Show(policy, env, taps, stage, seed=how.seed, explore=how.stochastic, episodes=how.episodes)
        if how.follow is not None:
            show.before_round = Follower(how.follow, how.checkpoint, policy, stage)
        title, fps = f"{name} on {source.id}", frame_rate(taps[0])
        training = how.follow is not None and not (how.follow / "result.json").exists()
        if video:
            show.episodes = how.episodes or len(taps)
            film(show, Path(video), fps)
        elif web:
            from agent_gym.viewing.browser import serve

            serve(show, title, fps, web)
        else:
            show.episodes = how.episodes or (0 if training else 5 * len(taps))
            watch(show, title, fps)
    finally:
        if not source.shared:
            env.close()
    return show.finished


def require_pictures(source: Any) -> None:
    """Raise UserError where the environments of `source` cannot be drawn on this machine."""
    prepare_headless()
    make_tap(source.single).close()


def film_episode(
    policy: Any, source: Any, path: Path, *, steps: int, seed: int, report: Any, interrupted: Callable[[], bool]
) -> Clip:
    """Record an episode of a policy that has learned from `steps` steps.

    Raises EnvFailure, which `report` is told, and Interrupted.
    """
    tap = make_tap(source.single)
    env = source.rows(SyncEnv([tap], source.id, policy.device), tap)
    env.recovery.report = report
    space = tap.action_space if env.members == 1 else policy.action_space
    try:
        stage = Stage(source.id, space, action_names(tap, space))
        stage.subtitle = f"step {steps:,}"
        clip = Clip(frame_rate(tap))
        show = Show(policy, env, [tap], stage, seed=seed, episodes=1)
        film(show, path, frame_rate(tap), clip, quiet=True, interrupted=interrupted)
        return clip
    finally:
        env.close()
