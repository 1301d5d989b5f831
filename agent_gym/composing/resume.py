"""Going on with a run: its settings with what is to be different, checked before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from agent_gym.composing.registry import check_modules
from agent_gym.composing.restore import check_num_envs, restore_config
from agent_gym.ground.errors import UserError
from agent_gym.ground.settings import flag
from agent_gym.nets.ranks import RANKS
from agent_gym.storage.run import Run
from agent_gym.storage.unwritten import Unwritten


class Resumed(NamedTuple):
    """A run to go on with; the caller closes `run`."""

    kind: str
    """agent or task"""
    name: str
    config: Any
    run: Run


def reopen(path: Path, changes: dict[str, Any], *, given_env: bool = False) -> Resumed:
    """The run in `path` with other settings where `changes` has them. Raises UserError and leaves it as it was.

    `given_env`: the environment comes from a program and not from the run's settings.
    """
    run = Unwritten.reopen(path) if RANKS.rank else Run.reopen(path)
    try:
        stored = dict(run.state["config"])
        kind = "task" if "task" in stored else "agent"
        if not given_env:
            check_modules(stored, path)
        name = stored.pop(kind, None)
        if kind == "task" and "on_env_error" in changes:
            raise UserError(f"--on-env-error does not fit {name}, which has no environment")
        end, other = ("epochs", "total_steps") if "epochs" in stored else ("total_steps", "epochs")
        if other in changes:
            raise UserError(f"{flag(other)} does not fit {name}: expected {flag(end)}")
        config = restore_config(kind, name, stored | {"run_dir": str(path)} | changes)
        if kind == "agent":
            check_num_envs(config, run.state["agent"])
        refuse_going_back(kind, config, changes, run)
    except BaseException:
        run.close()
        raise
    return Resumed(kind, name, config, run)


def refuse_going_back(kind: str, config: Any, changes: dict[str, Any], run: Run) -> None:
    """Raise UserError for a new end that the run has passed."""
    done, end = run.state["agent"].get("steps"), "epochs" if hasattr(config, "epochs") else "total_steps"
    if end not in changes or not isinstance(done, int):
        return
    if end == "total_steps" and changes[end] < done:
        raise UserError(
            f"--total-steps {changes[end]:,}: {run.path} has {done:,} steps behind it already; expected more, such as "
            f"--total-steps {2 * done}"
        )
