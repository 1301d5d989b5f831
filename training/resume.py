"""Where a run is, and how its trainee gets back to where it was stopped."""

from __future__ import annotations

import math
import sys
from typing import NamedTuple

import torch

from agent_gym.ground.errors import UserError
from agent_gym.ground.tensors import all_finite, require_like
from agent_gym.storage.provenance import differences, provenance, replace_generators
from agent_gym.storage.run import Run
from agent_gym.training.distributed import OTHERS, as_many, own_state
from agent_gym.training.loop import Meter, new_clock
from agent_gym.training.score import shown
from agent_gym.training.session import Session


class Position(NamedTuple):
    """Where a run is, beside its trainee; see loop.train."""

    clock: dict
    meter: Meter
    owed: list[str]


def go_on(session: Session, run: Run, device: torch.device) -> Position:
    """Bring the trainee to the checkpoint of `run`. Raises UserError where it cannot."""
    trainee = session.trainee
    run.made_with, was = provenance(device), run.state.get("made_with")
    try:
        trainee.begin()
        fresh = trainee.state_dict()
        if not as_many(run.state["agent"]):
            run.state["segments"] = []  # of other streams than there are now
        run.state["agent"] = own_state(run.state["agent"], fresh)
        fresh.pop(OTHERS, None)
        if isinstance(was, dict) and was.get("device") != run.made_with["device"]:
            replace_generators(run.state["agent"], fresh)
        require_like(run.state["agent"], fresh)
        clock = run.restore(trainee)
        clock, meter = new_clock() | {"asked": trainee.steps} | clock, Meter(trainee.steps)
        if not all_finite(list(trainee.model.parameters())) or not 0 <= trainee.steps < 2**62:
            raise ValueError("its weights or its steps are no finite numbers")
        if "meter" in run.state:  # not after a failure of an environment
            meter.load_state_dict(run.state["meter"])
        owed = [name for name in ("evaluate", "film") if name in run.state.get("owed", [])]
    except (UserError, *session.recoverable):
        raise
    except Exception as error:  # whatever a foreign file leads to
        reason = " ".join(str(error).split())[-200:] or type(error).__name__
        raise UserError(
            f"the checkpoint of {run.path} does not fit {session.subject} as it is now: {reason}"
        ) from error
    if changed := differences(was, run.made_with):
        print(f"warning: {changed}: the run goes on, but no longer bit for bit", file=sys.stderr)
    if session.scored and much_worse(clock["last"], clock["best"]):
        print(
            f"note: goes on from the last weights, which scored {shown(clock['last'])} (step {clock['last_step']:,}); "
            f"the best, {shown(clock['best'])}, are of step {clock['best_step']:,} and stay in best.pt until beaten",
            file=sys.stderr,
        )
    run.go_on(session.config, trainee.steps)
    return Position(clock, meter, owed)


def much_worse(last: float, best: float) -> bool:
    """Whether the last score lies below the best by more than a quarter of the larger one's size."""
    return math.isfinite(best) and best - last > 0.25 * max(abs(best), abs(last))
