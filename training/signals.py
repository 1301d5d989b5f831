"""Ctrl-C and SIGTERM: the first asks the loop to stop and save, the second leaves at once."""

from __future__ import annotations

import os
import signal


class StopSignal:
    """Truthy once SIGINT or SIGTERM arrived. `exit_code` is 130 or 143, as a shell expects."""

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> StopSignal:
        self._previous = {s: signal.signal(s, self._handle) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        if self.received:
            os._exit(128 + number)
        self.received = number

    def __bool__(self) -> bool:
        return self.received != 0

    @property
    def exit_code(self) -> int:
        return 128 + self.received if self.received else 0
