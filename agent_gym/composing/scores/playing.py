"""A policy plays for a score."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from agent_gym.envs.failures import ErrorLog
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import EVAL_SEED
from agent_gym.storage.files import ERROR_LOG
from agent_gym.training.evaluation import episode_limit, play
from agent_gym.training.score import Score


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


def error_log(run: Path | None) -> ErrorLog:
    """Where the traceback of an environment that fails is written down: in the run directory, if there is one."""
    log = ErrorLog(restart=False)
    if run is not None and run.is_dir():
        log.open(run / ERROR_LOG)
    return log
