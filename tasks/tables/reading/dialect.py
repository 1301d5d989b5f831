"""Where the cells of a text table are: lines to skip, the separator, the names of the columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

SAMPLE = 50  # lines that tell the separator
SEPARATORS = ",;\t|"
BLANKS = r"\s+"


class Dialect(NamedTuple):
    """How to read a text table."""

    separator: str
    """One character, or BLANKS for any number of spaces."""
    header: tuple[str, ...]
    """Names of the columns as they stand there."""
    start: int
    """Byte at which the line of names begins."""
    skipped: int
    """Lines above it."""
    comments: int
    """Of these, lines that begin with #."""


def find_dialect(file: BinaryIO) -> Dialect:
    """The dialect of UTF-8 text from where `file` stands. Raises csv.Error where it is no table."""
    separator, skipped, comments = "", 0, 0
    start, line = file.tell(), file.readline()
    while line:
        text = line.decode("utf-8").rstrip("\r\n")
        declared = re.fullmatch(r'"?sep=(.)"?', text)
        if declared and not skipped:
            separator = declared[1]
        elif text.startswith("#") and not _names_the_next_line(text, file):
            comments += 1
        elif text.strip():
            break
        skipped, start = skipped + 1, file.tell()
        line = file.readline()
    file.seek(start)
    lines = [line.decode("utf-8") for line in islice(iter(file.readline, b""), SAMPLE)]
    separator = separator or _separator(lines)
    header = tuple(next(cells(lines, separator), []))
    return Dialect(separator, header, start, skipped, comments)


def _names_the_next_line(text: str, file: BinaryIO) -> bool:
    """Whether a line that begins with # has as many cells as the one below: names, not a comment."""
    position = file.tell()
    below = file.readline().decode("utf-8").strip()
    file.seek(position)
    counts = [text.count(s) for s in SEPARATORS if text.count(s) == below.count(s) > 0]
    return bool(counts) and not below.startswith("#")


def cells(lines: list[str], separator: str) -> Iterator[list[str]]:
    """Rows of cells; empty lines are left out."""
    if separator == BLANKS:
        rows = csv.reader((" ".join(line.split()) for line in lines), delimiter=" ")
    else:
        rows = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    return (row for row in rows if row)


def _separator(lines: list[str]) -> str:
    """The separator that cuts the sample into rows of one length, the longest where several do."""

    def agreement(separator: str) -> tuple[float, int]:
        try:
            rows = list(cells(lines, separator))
        except csv.Error:
            return -1.0, 0
        width = len(rows[0]) if rows else 0
        rows = rows[:-1] if len(rows) == SAMPLE else rows  # a cell of several lines may be cut off
        same = [len(row) in (width, width + 1) for row in rows[1:]]
        return (round(sum(same) / max(len(same), 1), 1) if width > 1 else -1.0), width

    found = {separator: agreement(separator) for separator in SEPARATORS}
    best = max(found, key=found.__getitem__)
    if found[best][0] < 0.0:  # none cuts the first line
        share, width = agreement(BLANKS)
        return BLANKS if share == 1.0 and width > 1 and len(lines) > 2 else ","
    return best


def without_comments(file: BinaryIO, dialect: Dialect) -> tuple[BinaryIO, list[int]]:
    """The text from the names on without lines that begin with # and have other cells than names; their numbers.

    `file` itself, at the names, where there are none.
    """
    file.seek(dialect.start)
    if not any(line.startswith(b"#") for line in islice(file, 1, None)):
        file.seek(dialect.start)
        return file, []
    file.seek(dialect.start)
    kept, left_out = io.BytesIO(), []
    for number, line in enumerate(file):
        row = next(cells([line.decode("utf-8")], dialect.separator), []) if number and line.startswith(b"#") else None
        if row is not None and len(row) != len(dialect.header):
            left_out.append(number)
        else:
            kept.write(line)
    kept.seek(0)
    return kept, left_out
