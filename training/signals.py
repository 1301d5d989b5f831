"""Ctrl-C and SIGTERM: the first asks the loop to stop and save, the second leaves at once."""

from __future__ import annotations

import os
import signal
import threading


class StopSignal:
    """Truthy once SIGINT or SIGTERM arrived. `exit_code` is 130 or 143, as a shell expects."""

    def __init__(self) -> None:
        self.received = 0

    def __enter__(self) -> StopSignal:
        main = threading.current_thread() is threading.main_thread()  # no other can listen
        both = (signal.SIGINT, signal.SIGTERM) if main else ()
        self._previous = {number: signal.signal(number, self._handle) for number in both}
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
