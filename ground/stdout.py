"""Standard output for one object and nothing else, whatever libraries print."""

from __future__ import annotations

import atexit
import ctypes
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

STDIN, STDOUT, STDERR = 0, 1, 2


@contextmanager
def reserved_stdout() -> Iterator[None]:
    """In this context whatever is printed goes to standard error: by Python, by C libraries, by child processes.

    What they print later, while the process ends, goes there too.
    """
    flush()
    kept = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        flush()  # C's buffer too, before its file is the old one again
        os.dup2(kept, STDOUT)
        os.close(kept)
        atexit.register(_reserve_for_good)


def unread() -> bool:
    """Whether standard output is a pipe whose reader has gone, as `head` does."""
    look = select.poll()
    look.register(sys.stdout.fileno(), 0)  # errors are told in any case
    return any(event & select.POLLERR for _, event in look.poll(0))


def let_go() -> None:
    """From now on what is printed goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def flush() -> None:
    """Empty the buffers of Python's and of C's standard output."""
    sys.stdout.flush()
    with suppress(OSError, AttributeError, TypeError):  # systems whose C library has no such name
        ctypes.CDLL(None).fflush(None)


def _reserve_for_good() -> None:
    flush()
    os.dup2(STDERR, STDOUT)
