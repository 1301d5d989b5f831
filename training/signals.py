"""Ctrl-C and SIGTERM: the first asks the loop to stop and save, the second leaves at once."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable

SIGNALS = (signal.SIGINT, signal.SIGTERM)
LOOK = 1.0  # seconds between looks at what takes long
LONG = 60.0  # seconds that a step may take before it is told
WAITING = 8.0  # the same after a signal
STOPPING = "stopping: saves as soon as the running step is done; a second Ctrl-C leaves at once"


def leave_quietly() -> None:
    """Until something else is set: a signal ends the program at once, without a traceback. For imports."""

    def leave(number: int, frame: object) -> None:
        say("stopped: nothing was running")
        os._exit(128 + number)

    for number in SIGNALS:
        signal.signal(number, leave)


def say(text: str) -> None:
    """A line on standard error, from whatever thread, with nothing in between that could block or fail."""
    try:
        os.write(2, f"\n{text}\n".encode(errors="replace"))
    except OSError:  # closed: there is nobody to tell
        return


class StopSignal:
    """Truthy once SIGINT or SIGTERM arrived. `exit_code` is 130 or 143, as a shell expects.

    A thread answers signals within a second even while the main thread is inside a library's own code, where Python
    handles none. Where one listens already, those that begin later hear what it hears; whether to stop, they learn when
    it is settled, so that all of them stop in the same round. `busy(seconds)` says what has been running for longer, if
    anything; each such thing is told once.
    """

    listening: StopSignal | None = None

    def __init__(self, busy: Callable[[float], str] = lambda seconds: "") -> None:
        self.received, self.decided = 0, False
        self.busy = busy
        self.outer: StopSignal | None = None

    def __enter__(self) -> StopSignal:
        main = threading.current_thread() is threading.main_thread()  # no other can listen
        if main and StopSignal.listening is not None:
            self.outer, self._previous = StopSignal.listening, {}
            return self
        self._previous = {number: signal.signal(number, self._handle) for number in (SIGNALS if main else ())}
        if not main:
            return self
        StopSignal.listening = self
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._woken = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._previous:
            return
        StopSignal.listening = None
        signal.set_wakeup_fd(self._woken)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._done.set()
        self._writer.close()  # wakes the thread
        self._thread.join()
        self._reader.close()

    def _listen(self) -> None:
        heard, told, since = 0, "", 0.0
        while not self._done.is_set():
            ready, _, _ = select.select([self._reader], [], [], LOOK)
            numbers = [n for n in self._reader.recv(64) if n in SIGNALS] if ready else []
            for number in numbers:
                if heard:
                    os._exit(128 + number)
                heard, since = number, time.monotonic()
                say(STOPPING)
            text = self.busy(WAITING if heard else LONG)
            if heard and not text and time.monotonic() - since > WAITING:
                text = "what is being computed has to come to its end first"
            if text and text != told:
                told = text
                say(text)

    def _handle(self, number: int, frame: object) -> None:
        self.received = self.received or number

    def asked(self) -> bool:
        """Whether a signal arrived."""
        return self._heard != 0

    def settle(self) -> bool:
        """Decide, for all that hear of signals from here, whether to stop."""
        self.decided = self.received != 0
        return self.decided

    def __bool__(self) -> bool:
        return self.received != 0 if self.outer is None else self.outer.decided

    @property
    def exit_code(self) -> int:
        return 128 + self._heard if self._heard else 0

    @property
    def _heard(self) -> int:
        return self.received if self.outer is None else self.outer.received
