"""How much of a run is done, for what changes over it, and what becomes of that when its end moves."""

from __future__ import annotations

from typing import Literal

Over = Literal["rest", "whole"]


class Course:
    """`progress(steps)` goes from 0 to 1 over a run of `total` steps.

    A run that is resumed with another end goes on from where it was, over the rest, or, with `over` "whole", as if the
    new end had been the plan from the start.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.start, self.done = 0, 0.0  # from this step on the rest, 1 - done, is spread over what is left

    def __call__(self, steps: int) -> float:
        left = max(self.total - self.start, 1)
        return min(self.done + (1.0 - self.done) * max(steps - self.start, 0) / left, 1.0)

    def state_dict(self) -> dict:
        return {"total": self.total, "start": self.start, "done": self.done}

    def load_state_dict(self, state: dict, steps: int, over: Over) -> str:
        """Go on at `steps`; returns a line about it where the end has moved. Raises ValueError for no possible course.

        `total` stays the one of now.
        """
        before = Course(int(state["total"]))
        before.start, before.done = int(state["start"]), float(state["done"])
        if before.total < 0 or before.start < 0 or not 0.0 <= before.done <= 1.0:
            raise ValueError("its progress is none")
        if before.total == self.total:
            self.start, self.done = before.start, before.done
            return ""
        was = before(steps)
        if over == "whole":
            return (
                f"schedules: spread over all {self.total:,} steps, as --schedule-over whole says: they go back from "
                f"{was:.0%} to {self(steps):.0%} of their way"
            )
        self.start, self.done = steps, was
        if was >= 1.0:
            return (
                "schedules (learning rate, exploration, …) have come to their end and stay there; --schedule-over "
                f"whole spreads them over all {self.total:,} steps instead"
            )
        return (
            f"schedules go on from where they are, {was:.0%} of their way, over the {self.total - steps:,} steps left; "
            f"--schedule-over whole spreads them over all {self.total:,} instead"
        )
