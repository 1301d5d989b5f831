"""What a program of the user's does while a run trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from agent_gym.ground.errors import UserError
from agent_gym.storage.run import Run

MOMENTS = ("on_start", "on_rollout", "on_update", "on_evaluation", "on_checkpoint", "on_end")


class CallbackFailed(Exception):
    """A callback raised; its own exception is the cause. The run is saved before this goes on."""


class RunView:
    """A run as callbacks see it; every method may be called at any moment.

    Attributes: `steps` so far; `scalars`, the latest value by tag; `agent`, the agent or task that is trained (its
    `policy` acts); `path` of the run directory; `say(text)`, a line for the reader, once.
    """

    def __init__(self, trainee: Any, run: Run, clock: dict, say: Callable[[str], None]) -> None:
        self.agent, self.path, self._clock, self.say = trainee, run.path, clock, say
        self.scalars: dict[str, float] = {}
        self.asked: set[str] = set()
        self._run = run

    @property
    def steps(self) -> int:
        return self.agent.steps

    @property
    def seconds(self) -> float:
        """Seconds of training so far, without evaluation."""
        return self._clock["wall_time"]

    def log(self, scalars: dict[str, float]) -> None:
        """Write scalars under their tags at the present step."""
        self._run.log(scalars, self.steps)

    def log_image(self, tag: str, picture: np.ndarray) -> None:
        """Write a picture, uint8 [H, W, 3]."""
        self._run.show({tag: picture}, self.steps)

    def log_text(self, tag: str, text: str) -> None:
        """Write a text, which TensorBoard shows as Markdown."""
        self._run.log_text(tag, text, self.steps)

    def write_text(self, name: str, text: str) -> None:
        """Write a file of text in the run directory."""
        self._run.write_text(name, text)

    def evaluate(self) -> None:
        """Ask for an evaluation after the present update."""
        self.asked.add("evaluation")

    def checkpoint(self) -> None:
        """Ask for a checkpoint after the present update."""
        self.asked.add("checkpoint")

    def stop(self) -> None:
        """Ask the run to end after the present update: it is saved, evaluated and finished there."""
        self.asked.add("stop")

    def take(self, wish: str) -> bool:
        """Whether something was asked for since the last time."""
        asked = wish in self.asked
        self.asked.discard(wish)
        return asked


class Callbacks:
    """Plain objects with any of MOMENTS as methods, each called with the RunView.

    They are not saved. One that only looks changes nothing: the run ends in the same bits as without it.
    """

    def __init__(self, callbacks: Iterable[Any] = ()) -> None:
        """Raises UserError for an object that has none of the methods."""
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if not any(callable(getattr(callback, moment, None)) for moment in MOMENTS):
                raise UserError(
                    f"callback {type(callback).__name__} has none of the methods {', '.join(MOMENTS)}: name one of them"
                )
        self.view: RunView | None = None

    def __bool__(self) -> bool:
        return bool(self.callbacks)

    def begin(self, trainee: Any, run: Run, clock: dict, say: Callable[[str], None] = lambda text: None) -> None:
        self.view = RunView(trainee, run, clock, say)
        self.at("on_start")

    def at(self, moment: str, scalars: dict[str, float] | None = None) -> None:
        """Call all that have a method for this moment. Raises CallbackFailed."""
        if not self.callbacks:
            return
        self.view.scalars |= scalars or {}
        for callback in self.callbacks:
            method = getattr(callback, moment, None)
            if method is None:
                continue
            try:
                method(self.view)
            except Exception as error:
                raise CallbackFailed(f"{type(callback).__name__}.{moment}") from error

    def take(self, wish: str) -> bool:
        """Whether a callback has asked for "evaluation", "checkpoint" or "stop"."""
        return bool(self.callbacks) and self.view.take(wish)
