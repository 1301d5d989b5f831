"""A common start for environments that can only begin together, without cutting an episode."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from agent_gym.envs.adapters.episodes.record import Record
    from agent_gym.envs.adapters.singles import Batch

RENEW_AFTER = 20_000  # steps since the common start that are played again rather than to wait for a new one


class Drain:
    """While it is open, environments whose episode has ended are held back until all have; then all begin anew.

    What has to be played again after a restart of the program grows with each step since the common start. Waiting
    costs the steps of those that wait, and no episode is cut. It is not opened before every environment has ended an
    episode since the start: those that never end are not waited for.
    """

    def __init__(self, num_envs: int, renew_after: int = RENEW_AFTER) -> None:
        self.renew_after = renew_after
        self.open, self.held = False, np.zeros(num_envs, np.bool_)

    def ask(self, record: Record) -> None:
        """Open it where what would have to be played again is long."""
        self.open = self.open or (len(record) >= self.renew_after and bool(record.ended.all()))

    def close(self) -> None:
        self.open = False
        self.held[:] = False

    def hold(self, batch: Batch) -> Batch:
        """The batch with the steps of those that wait marked as leading nowhere; whoever has just ended waits too."""
        waiting = self.held.copy()
        valid = np.ones_like(waiting) if batch.valid is None else batch.valid.copy()
        self.held |= valid & (batch.terminated | batch.truncated)
        valid[waiting] = False
        batch.reward[waiting], batch.terminated[waiting], batch.truncated[waiting] = 0.0, False, False
        return batch._replace(valid=valid)
