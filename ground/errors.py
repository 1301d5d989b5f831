"""The one exception for what a user can mend."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable
from pathlib import Path

MENDS = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free space there"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "mend its permissions"),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR, errno.ESTALE), "its folder is gone: bring it back"),
}

SMALLER = "fewer --num-envs, smaller batches or a smaller network take less"


def without_addresses(text: str) -> str:
    """What Python prints of functions and objects, without where they lie in memory."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", text)


class UserError(Exception):
    """Bad usage or bad input: one line that names the value, what was expected and how to mend it."""


def unwritable(what: str, path: Path, error: OSError, then: str) -> UserError:
    """For a failed write: `what` could not be written to `path`; `then` is what to do once that is mended."""
    mend = MENDS.get(error.errno, "mend that")
    return UserError(f"cannot write {what} {path} ({error.strerror or error}): {mend}, then {then}")


def one_line(error: BaseException, length: int = 600) -> str:
    """What an error says, without line ends and control characters, which foreign files may have put there."""
    text = " ".join(str(error).split())
    text = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:length]) + "…" * (len(text) > length)
    return text or type(error).__name__


def out_of_memory(error: BaseException) -> bool:
    """Whether memory was asked for that there is not; torch says so in words alone."""
    words = ("not enough memory", "can't allocate memory", "out of memory", "multiplication overflow")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


class Interrupted(Exception):
    """A signal to stop came in the middle of what can be done again: it is given up, and nothing has changed."""


def nearest(word: str, known: Iterable[str]) -> str:
    """ "; did you mean …?" with the known words nearest to `word`, or nothing."""
    names = {name.lower(): name for name in known}
    near = [names[match] for match in difflib.get_close_matches(word.lower(), names, n=3, cutoff=0.6)]
    return f"; did you mean {' or '.join(near)}?" if near else ""
