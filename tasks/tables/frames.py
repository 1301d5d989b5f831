"""Reading CSV files, with errors that name the row and the column."""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import open as open_with_bar

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short

MAX_COLUMNS = 50_000  # each takes a thousand bytes before its first row
SMALL = 10**7  # cells that any file may have
LARGEST = 1e30  # of numbers: sums and squares stay finite, and so do the float32 that a network takes


def read_table(path: Path, *, text_columns: tuple[str, ...] = (), quiet: bool = False) -> pd.DataFrame:
    """The table in a CSV file (comma, semicolon or tab), read in one pass with a progress bar on a terminal.

    Columns named in `text_columns` stay text. Raises UserError, and takes memory in proportion to the file's size.
    """
    # skipinitialspace: "a, b" means "b"; low_memory: one type for a whole column; index_col: no column is an index
    options = {"skipinitialspace": True, "low_memory": False, "na_values": ["?"], "index_col": False}
    options["dtype"] = dict.fromkeys(text_columns, str)
    try:
        if path.is_dir():
            raise UserError(f"--data {path} is a folder: expected a CSV file")
        if not path.is_file():
            raise UserError(f"--data {path}: no such file; check the path")
        options["sep"] = _separator(path)
        columns = len(pd.read_csv(path, nrows=0, **options).columns)
        # A cell takes a byte in a whole row; in short rows it takes none, but 8 bytes here.
        most = (4 * path.stat().st_size + SMALL) // columns
        with (
            open_with_bar(
                path, "rb", description=f"reading {path.name}", disable=quiet or not sys.stdout.isatty()
            ) as f,
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(f, nrows=most + 1, **options)
    except pd.errors.EmptyDataError:
        raise UserError(f"--data {path} is empty: expected a line of column names and rows below it") from None
    except pd.errors.ParserWarning:
        raise UserError(f"--data {path} has rows of more cells than there are column names: mend the header") from None
    except (pd.errors.ParserError, csv.Error) as error:
        raise UserError(
            f"--data {path} is no table ({str(error).strip().removeprefix('Error tokenizing data. ')})"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"--data {path} is not UTF-8 text (byte {error.start}): save it as CSV with UTF-8") from None
    except OSError as error:
        raise UserError(f"--data {path} cannot be read ({error.strerror}): mend that, or choose another") from None
    frame.columns = frame.columns.str.strip()
    if frame.empty:
        raise UserError(f"--data {path} has column names but no rows: expected rows below them")
    if len(frame) > most:
        raise UserError(f"--data {path} has {columns:,} columns, and rows that nearly all lack most of them")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise UserError(f"--data {path} has two columns named {short(twice)}: expected different names")
    return frame


def _separator(path: Path) -> str:
    """Comma, semicolon or tab, as the header has it. Raises UserError for a header beyond any table."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
        separator = max(",;\t", key=first.count)
        file.seek(0)
        rows = csv.reader(file, delimiter=separator, skipinitialspace=True)
        columns = len(next((row for row in rows if row), []))
    if columns > MAX_COLUMNS:
        raise UserError(f"--data {path} has {columns:,} columns: expected at most {MAX_COLUMNS:,}")
    return separator


def file_row(frame: pd.DataFrame, position: int) -> int:
    """The row as a spreadsheet numbers it: the header is row 1."""
    return int(frame.index[position]) + 2


def numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    """A numeric column as float64 [N], NaN where a cell is missing. Raises UserError at the first other cell."""
    cells = frame[column]
    values = _as_numbers(cells).to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = (np.isnan(values) & cells.notna().to_numpy()) | (np.abs(values) > LARGEST)
    if wrong.any():
        position = int(wrong.argmax())
        cell = short(str(cells.iloc[position]))
        raise UserError(
            f"column {column!r} is numeric, but row {file_row(frame, position)} holds {cell}: "
            f"expected a finite number up to {LARGEST:g}, or an empty cell"
        )
    return values


def _as_numbers(cells: pd.Series) -> pd.Series:
    """Cells as numbers, NaN where they are none."""
    try:
        return pd.to_numeric(cells, errors="coerce")
    except (OverflowError, ValueError):  # whole numbers beyond any float, of thousands of digits
        return pd.to_numeric(cells.map(str, na_action="ignore"), errors="coerce")


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names for a message, a few of them."""
    names = list(names)
    rest = f", … ({len(names):,} in all)" if len(names) > most else ""
    return ", ".join(map(short, names[:most])) + rest


def texts(frame: pd.DataFrame, column: str) -> np.ndarray:
    """A column as text [N], None where a cell is missing."""
    cells = frame[column]
    return np.where(cells.notna(), cells.astype(str).str.strip(), None)


def is_numeric(cells: pd.Series) -> bool:
    """Whether a column is meant to be numbers: nine in ten of its cells are."""
    if pd.api.types.is_bool_dtype(cells):
        return False
    if pd.api.types.is_numeric_dtype(cells):
        return True
    known = cells.dropna()
    return bool(_as_numbers(known).notna().mean() >= 0.9)
