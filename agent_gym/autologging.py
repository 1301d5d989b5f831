"""Trackers for every run of a Python program, by one call."""

from __future__ import annotations

from agent_gym.ground.errors import UserError, nearest
from agent_gym.storage.trackers.tracker import TRACKERS, require_tracker
from agent_gym.training import running


def autolog(
    tracker: str = "mlflow",
    *,
    experiment: str = "",
    parent_run: str = "",
    log_models: bool = True,
    disable: bool = False,
) -> None:
    """From now on every run that names no tracker is followed by this one: agents, tasks and models alike.

    What --track does, with the same settings: `experiment`, `parent_run` to nest runs under, `log_models` for the
    exported model at the end. Within a run of the tracker that the program has open (`mlflow.start_run()`) everything
    goes into that one. `disable` ends it. Raises UserError where the tracker's package is missing.
    """
    running.AUTOLOG.clear()
    if disable:
        return
    if tracker not in TRACKERS:
        raise UserError(f"tracker {tracker!r}: expected one of {', '.join(TRACKERS)}{nearest(tracker, TRACKERS)}")
    require_tracker(tracker)
    names = {"track": tracker, "experiment": experiment, "parent_run": parent_run, "track_model": log_models}
    running.AUTOLOG.update(names)
