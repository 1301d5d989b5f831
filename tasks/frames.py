"""Reading CSV files, with errors that name the row and the column."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rich.progress import open as open_with_bar

from tasks.config import TaskError


def read_csv(path: Path, *, text_columns: tuple[str, ...] = (), quiet: bool = False) -> pd.DataFrame:
    """The table in a CSV file (comma, semicolon or tab), read in one pass with a progress bar on a terminal.

    Columns named in `text_columns` stay text. Raises TaskError.
    """
    if not path.exists():
        raise TaskError(f"--data {path}: no such file; check the path")
    if path.is_dir():
        raise TaskError(f"--data {path} is a folder: expected a CSV file")
    try:
        with open(path, encoding="utf-8-sig") as file:
            header = file.readline()
        separator = max(",;\t", key=header.count)
        with open_with_bar(
            path, "rb", description=f"reading {path.name}", disable=quiet or not sys.stdout.isatty()
        ) as file:
            types = dict.fromkeys(text_columns, str)
            # skipinitialspace: "a, b" means "b"; low_memory: one type for a whole column
            options = {"skipinitialspace": True, "low_memory": False, "na_values": ["?"]}
            frame = pd.read_csv(file, sep=separator, dtype=types, **options)
    except pd.errors.EmptyDataError:
        raise TaskError(f"--data {path} is empty: expected a line of column names and rows below it") from None
    except pd.errors.ParserError as error:
        raise TaskError(
            f"--data {path} is no table ({str(error).strip().removeprefix('Error tokenizing data. ')})"
        ) from None
    except UnicodeDecodeError as error:
        raise TaskError(f"--data {path} is not UTF-8 text (byte {error.start}): save it as CSV with UTF-8") from None
    except OSError as error:
        raise TaskError(f"--data {path} cannot be read ({error.strerror}): mend its permissions") from None
    frame.columns = frame.columns.str.strip()
    if frame.empty:
        raise TaskError(f"--data {path} has column names but no rows: expected rows below them")
    return frame


def file_row(frame: pd.DataFrame, position: int) -> int:
    """The row as a spreadsheet numbers it: the header is row 1."""
    return int(frame.index[position]) + 2


def numbers(frame: pd.DataFrame, column: str) -> np.ndarray:
    """A numeric column as float64 [N], NaN where a cell is missing. Raises TaskError at the first other cell."""
    cells = frame[column]
    values = pd.to_numeric(cells, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = (np.isnan(values) & cells.notna().to_numpy()) | np.isinf(values)
    if wrong.any():
        position = int(wrong.argmax())
        raise TaskError(
            f"column {column!r} is numeric, but row {file_row(frame, position)} holds {str(cells.iloc[position])!r}: "
            "expected a finite number or an empty cell"
        )
    return values


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
    return bool(pd.to_numeric(known, errors="coerce").notna().mean() >= 0.9)
