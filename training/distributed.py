"""One run on several ranks: each trains on its own part, and the first writes, scores and speaks for all."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from agent_gym.ground.errors import Interrupted, UserError
from agent_gym.nets.ranks import RANKS
from agent_gym.training.loop import Moment, Pause
from agent_gym.training.signals import StopSignal

OTHERS = "ranks"  # in the first rank's state: the states of the others


class AgreedPause(Pause):
    """The first rank's clock decides for all."""

    def over(self, step: int) -> bool:
        return bool(RANKS.first(super().over(step)))


class AgreedStop(StopSignal):
    """Around the sessions of all ranks: a signal that one of them got stops all, in the same round."""

    def agree(self) -> None:
        """Decide, before each round, whether to stop."""
        self.received = int(RANKS.largest(self.received)[0])
        self.settle()


def spread(trainee: Any) -> None:
    """Have a trainee that is built but not begun train with those of the other ranks."""
    for learner in getattr(trainee, "learners", None) and trainee.learners.values() or [trainee.learner]:
        RANKS.first_(learner.parameters.data)
    if hasattr(trainee, "start_from_weights"):
        trainee.start_from_weights()
    update, state_dict = trainee.update, trainee.state_dict

    def reduced() -> dict[str, Tensor] | None:
        stats = update()
        if not stats:  # nothing was due, for none of them
            return stats
        values = RANKS.mean_(torch.stack([value.float() for value in stats.values()]))
        return dict(zip(stats, values.unbind(), strict=True))

    def whole() -> dict:
        state = state_dict()
        return state | {OTHERS: RANKS.of_others(state)}

    trainee.update, trainee.state_dict = reduced, whole


def own_state(state: dict, fresh: dict) -> dict:
    """This rank's part of a stored state; `fresh` is the state that it would begin with.

    Where another number of ranks has stored it, what they learned together goes on and new episodes begin.
    """
    others = state.get(OTHERS, [])
    if not isinstance(others, list) or not all(isinstance(other, dict) for other in others):
        raise TypeError("the states of its ranks are none")
    mine = {name: part for name, part in state.items() if name != OTHERS}
    if as_many(state):
        return mine if RANKS.rank == 0 else others[RANKS.rank - 1]
    if RANKS.rank == 0:
        print(
            f"warning: the run was on {number(len(others) + 1)} and goes on with {RANKS.size}: new episodes begin, a "
            "replay buffer fills anew, and it goes on no longer bit for bit",
            file=sys.stderr,
        )
    anew = {"env": None, "rollout": {}} | {name: fresh.get(name) for name in ("replay", "waiting", "unmeasured")}
    return fitted(mine, fresh) | {name: part for name, part in anew.items() if name in fresh}


def number(ranks: int) -> str:
    return f"{ranks} rank{'s' if ranks > 1 else ''}"


def as_many(state: dict) -> bool:
    """Whether as many ranks as there are now have stored it."""
    return len(state.get(OTHERS, [])) == RANKS.size - 1


def fitted(stored: Any, fresh: Any) -> Any:
    """What is stored where it is built like what is fresh, else that: counts of environments differ."""
    if isinstance(fresh, dict) and isinstance(stored, dict):
        return {
            name: fitted(stored[name], part) if name in stored else part
            for name, part in fresh.items()
            if name != OTHERS
        } | {name: part for name, part in stored.items() if name not in fresh}
    if isinstance(fresh, Tensor) and isinstance(stored, Tensor):
        grown = fresh.numel() == 0 and stored.numel() > 0  # with the run
        return stored if grown or stored.shape == fresh.shape else fresh
    return stored


def by_the_first(look: Callable[[Moment], Any], *, everywhere: bool) -> Callable[[Moment], Any]:
    """A look at the trainee that only the first rank takes; the others wait, and learn the score.

    `everywhere`: all look, since that changes the trainee, and take the first one's score.
    """

    def agreed(moment: Moment) -> Any:
        outcome, found, score, error = 0, None, 0.0, None
        if RANKS.rank == 0 or everywhere:
            try:
                found = look(moment)
                outcome, score = (1, found[0]) if found is not None else (0, 0.0)
            except Interrupted:
                outcome = 2
            except Exception as failure:
                outcome, error = 3, failure
        outcome, score = int(RANKS.first(outcome)), RANKS.first(score)
        if error is not None:
            raise error
        if outcome == 2:
            raise Interrupted
        if outcome == 3:
            raise UserError("the evaluation failed on the first rank, which says why")
        if outcome == 0:
            return None
        return score, found[1] if found is not None else {}

    return agreed


def ranked(session: Any) -> Any:
    """A session for this rank."""
    spread(session.trainee)
    looks = {"evaluate": by_the_first(session.evaluate, everywhere=not session.scored)}
    if RANKS.rank:
        looks |= {"samples": dict, "notes": (), "config": session.config | {"track": "none", "quiet": True}}
    else:
        looks["notes"] = (*session.notes, f"{RANKS.size} ranks, of which this is the first")
    pause = AgreedPause((session.pause or Pause(0.0 if session.checkpoint_every else 1.0)).seconds)
    return replace(session, recoverable=(), pause=pause, **looks)
