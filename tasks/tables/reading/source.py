"""A table as a seekable file of UTF-8 text, whatever it is packed in and however its letters are encoded."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO, NamedTuple

from agent_gym.ground.errors import UserError

MAX_RATIO = 200  # of a packed file's content to its size; long runs of one value reach 100
SMALL = 2**24  # bytes that any packed file may unpack to
CHUNK = 2**20
PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
MARKS = {  # byte order marks, the longer first
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
GUESSES = {"cp949": "Korean (cp949)", "cp1252": "Western European (cp1252)"}  # what is strict about its bytes first


class Source(NamedTuple):
    """An open file, of UTF-8 where `text` is true, its size in bytes, and what was done to get there."""

    file: BinaryIO
    size: int
    notes: tuple[str, ...] = ()


def unpacked(path: Path) -> Source:
    """The bytes of a file, out of gzip, bzip2, xz or a zip of one file. Raises UserError, OSError."""
    if path.is_dir():
        raise UserError(f"--data {path} is a folder: expected a file with a table")
    if not path.is_file():
        raise UserError(f"--data {path}: no such file; check the path")
    file, size = path.open("rb"), path.stat().st_size
    start = file.read(6)
    file.seek(0)
    opener = next((opener for magic, opener in PACKED.items() if start.startswith(magic)), None)
    if start.startswith(b"PK\x03\x04"):
        opener = _only_member(file, path)
    if opener is None:
        return Source(file, size)
    room = max(MAX_RATIO * size, SMALL)
    try:
        with file, opener(file) as inner:
            content = inner.read(room + 1)
    except (EOFError, OSError, ValueError, RuntimeError, NotImplementedError, zlib.error, lzma.LZMAError) as error:
        raise UserError(f"--data {path} is damaged or locked ({_first_line(error)}): pack it again") from None
    except zipfile.BadZipFile as error:
        raise UserError(f"--data {path} is damaged ({_first_line(error)}): pack it again") from None
    if len(content) > room:
        raise UserError(f"--data {path} unpacks to more than {MAX_RATIO} times its size: unpack it yourself")
    return Source(io.BytesIO(content), len(content))


def _only_member(file: BinaryIO, path: Path):
    """How to open the one file in a zip archive; None where the archive is a spreadsheet. Raises UserError."""
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise UserError(f"--data {path} is damaged ({_first_line(error)}): pack it again") from None
    if any(name.startswith("xl/") or name == "mimetype" for name in archive.namelist()):
        file.seek(0)
        return None
    inside = [entry.filename for entry in archive.infolist() if not entry.is_dir() and "__MACOSX" not in entry.filename]
    if len(inside) != 1:
        raise UserError(f"--data {path} holds {len(inside)} files: expected a zip of one table")
    return lambda _: archive.open(inside[0])


def as_utf8(source: Source, path: Path, encoding: str) -> Source:
    """The same as UTF-8 text, at its first character. Raises UserError where it is no text.

    `encoding` "": UTF-8, UTF-16 and UTF-32 by their marks; other bytes as Korean, then as Western European.
    """
    file, size, notes = source
    start = file.read(4)
    file.seek(0)
    if not encoding:
        encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), "")
    try:
        known = codecs.lookup(encoding or "utf-8").name
    except LookupError:
        raise UserError(
            f"--encoding {encoding!r} is not known: expected utf-8, utf-16, cp949, latin-1 or another of Python's"
        ) from None
    if known in ("utf-8", "utf-8-sig"):
        broken = _first_broken_byte(file)
        file.seek(3 if start.startswith(codecs.BOM_UTF8) else 0)
        if broken is None:
            return source
        if encoding:
            raise UserError(f"--data {path} is not {encoding} text (byte {broken}): choose another --encoding")
    content = file.read()
    if not encoding:
        encoding = _guess(content)
        if not encoding:
            raise UserError(
                f"--data {path} is not UTF-8 text (byte {broken}), nor a table in another form: save it as CSV with "
                "UTF-8, or give its --encoding"
            )
        notes += (f"read as {GUESSES[encoding]}, since it is not UTF-8; --encoding chooses another",)
    try:
        content = content.decode(encoding).encode("utf-8")
    except (UnicodeError, TypeError, ValueError, LookupError, AssertionError) as error:
        raise UserError(
            f"--data {path} is not {encoding} text ({_first_line(error)}): choose another --encoding"
        ) from None
    return Source(io.BytesIO(content), len(content), notes)


def _first_broken_byte(file: BinaryIO) -> int | None:
    decoder, seen = codecs.getincrementaldecoder("utf-8")(), 0
    while True:
        chunk = file.read(CHUNK)
        before = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            return seen - before + error.start
        if not chunk:
            return None
        seen += len(chunk)


def _guess(content: bytes) -> str:
    if b"\0" in content:
        return ""
    for encoding in GUESSES:
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            continue
        return encoding
    return ""


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
