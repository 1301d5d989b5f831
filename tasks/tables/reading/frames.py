"""Reading a table of any common form, with errors that name the row and the column."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import wrap_file

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short
from agent_gym.tasks.tables.reading.binary import is_binary, read_binary
from agent_gym.tasks.tables.reading.dialect import Dialect, find_dialect, without_comments
from agent_gym.tasks.tables.reading.source import Source, as_utf8, unpacked

MAX_COLUMNS = 50_000  # each takes a thousand bytes before its first row
SMALL = 10**7  # cells that any file may have


def read_table(
    path: Path, *, text_columns: tuple[str, ...] = (), encoding: str = "", quiet: bool = False
) -> pd.DataFrame:
    """The table in a text file (separated by commas, semicolons, tabs, bars or spaces), spreadsheet or Parquet file.

    It may be packed (gzip, zip, bzip2, xz); `encoding` "" finds out. Columns named in `text_columns` stay text.
    `frame.attrs` holds "notes", lines that tell what was made of the file, and "decimal", the character before
    decimals where a cell leaves that open. Raises UserError, and takes memory in proportion to the file's size.
    """
    try:
        source = unpacked(path)
        with closing(source.file):
            start = source.file.read(4)
            source.file.seek(0)
            if is_binary(start):
                frame, notes = read_binary(source.file, source.size, path, SMALL)
                decimal = "."
            else:
                source = as_utf8(source, path, encoding)
                frame, notes, decimal = _read_text(source, path, text_columns, quiet)
    except pd.errors.EmptyDataError:
        raise UserError(f"--data {path} is empty: expected a line of column names and rows below it") from None
    except pd.errors.ParserWarning:
        raise UserError(f"--data {path} has rows of more cells than there are column names: mend the header") from None
    except (pd.errors.ParserError, csv.Error) as error:
        raise UserError(
            f"--data {path} is no table ({str(error).strip().removeprefix('Error tokenizing data. ')})"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"--data {path} is not UTF-8 text (byte {error.start}): give its --encoding") from None
    except OSError as error:
        raise UserError(f"--data {path} cannot be read ({error.strerror}): mend that, or choose another") from None
    require_names(list(frame.columns), path)
    frame.columns = frame.columns.str.strip()
    if frame.empty:
        raise UserError(f"--data {path} has column names but no rows: expected rows below them")
    frame.attrs |= {"notes": notes, "decimal": decimal}
    return frame


def require_names(names: list[str], path: Path) -> None:
    """Refuse two columns of one name, and too many of them. Raises UserError."""
    if len(names) > MAX_COLUMNS:
        raise UserError(f"--data {path} has {len(names):,} columns: expected at most {MAX_COLUMNS:,}")
    seen: dict[str, int] = {}
    for number, name in enumerate(map(str.strip, names), 1):
        if name and name in seen:
            raise UserError(
                f"--data {path}: columns {seen[name]} and {number} are both named {short(name)}: expected different "
                "names"
            )
        seen[name] = number


def _read_text(
    source: Source, path: Path, text_columns: tuple[str, ...], quiet: bool
) -> tuple[pd.DataFrame, tuple[str, ...], str]:
    """The rows of a text table, notes and the character before decimals."""
    dialect = find_dialect(source.file)
    require_names(list(dialect.header), path)
    file, comments = without_comments(source.file, dialect)
    begin = file.tell()
    # skipinitialspace: "a, b" means "b"; low_memory: one type for a whole column; index_col: no column is an index
    options = {"skipinitialspace": True, "low_memory": False, "na_values": ["?"], "index_col": False}
    options |= {"sep": dialect.separator, "dtype": dict.fromkeys(text_columns, str)}
    # A cell takes a byte in a whole row; in short rows it takes none, but 8 bytes here.
    most = (4 * source.size + SMALL) // max(len(dialect.header), 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        bar = wrap_file(file, source.size, description=f"reading {path.name}", disable=quiet or not sys.stdout.isatty())
        with bar as shown:
            frame = pd.read_csv(shown, nrows=most + 1, **options)
        words = [c for c, cells in frame.items() if _has_bools(cells)]
        if words:  # pandas has made True of TRUE and true
            file.seek(begin)
            again = pd.read_csv(file, nrows=most + 1, usecols=words, **options | {"dtype": str})
            frame[words] = again[words]
    if len(frame) > most:
        raise UserError(
            f"--data {path} has {len(dialect.header):,} columns, and rows that nearly all lack most of them"
        )
    frame.index = _lines(len(frame), dialect, comments)
    notes = source.notes
    if dialect.comments + len(comments):
        notes += (f"{dialect.comments + len(comments):,} lines that begin with # are comments",)
    fractions = any(cells.dtype.kind == "f" and (cells.dropna() % 1 != 0).any() for _, cells in frame.items())
    return frame, notes, "," if dialect.separator == ";" and not fractions else "."


def _has_bools(cells: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(cells):
        return True
    return cells.dtype == object and any(isinstance(cell, bool) for cell in cells)


def _lines(rows: int, dialect: Dialect, comments: list[int]) -> np.ndarray:
    """The index that `file_row` turns into the line of each row."""
    lines = np.arange(rows + len(comments)) + dialect.skipped
    return np.delete(lines, [number - 1 for number in comments if number <= len(lines)])[:rows]


def file_row(frame: pd.DataFrame, position: int) -> int:
    """The row as a spreadsheet numbers it: the header is row 1."""
    return int(frame.index[position]) + 2


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message, a few of them."""
    names = list(names)
    rest = f", … ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(map(short, names[:most])) + rest
