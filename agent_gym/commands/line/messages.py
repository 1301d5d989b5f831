"""What goes wrong, as one line on standard error and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps

from agent_gym.ground.errors import SMALLER, UserError, one_line, out_of_memory
from agent_gym.ground.stdout import let_go, unread
from agent_gym.training.signals import leave_quietly

UNREAD = 141  # as a shell says of a program that SIGPIPE ended


def leave_until_ready() -> None:
    """While libraries are imported a signal ends the program at once, without a traceback."""
    leave_quietly()


def reported(main: Callable[[list[str]], int]) -> Callable[[list[str]], int]:
    """A command whose UserErrors, and memory that there is not, end it with one line and code 2; Ctrl-C with 130.

    However it was started, it finds the user's modules in the current folder: --env module:Id, --encoder module:Class.
    """

    @wraps(main)
    def run(argv: list[str]) -> int:
        if sys.path[:1] != [""]:
            sys.path.insert(0, "")
        try:
            return main(argv)
        except UserError as error:
            print(f"error: {one_line(error)}", file=sys.stderr)
            return 2
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            print(f"error: not enough memory ({one_line(error, 160)}): {SMALLER}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            return 130
        except BrokenPipeError:
            if not unread():
                raise
            let_go()
            return UNREAD

    return run
