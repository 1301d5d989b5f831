"""Spreadsheets and Parquet files, by libraries that are asked for when a file needs them."""

from __future__ import annotations

import io
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import reason

SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # .xlsx, .ods; .xls
PARQUET = b"PAR1"
MAX_CELLS = 100  # for each byte of a file


def is_binary(start: bytes) -> bool:
    """Whether a file that begins so is read here."""
    return start.startswith((*SPREADSHEETS, PARQUET))


def read_binary(file: BinaryIO, size: int, path: Path, most_small: int) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The cells below the names in the first row of the first sheet, or of a Parquet file, and notes.

    At most `most_small` cells, or MAX_CELLS a byte. Raises UserError.
    """
    parquet = file.read(4).startswith(PARQUET)
    file.seek(0)
    package, kind = ("pyarrow", "Parquet files") if parquet else ("python_calamine", "spreadsheets")
    if find_spec(package) is None:
        raise UserError(
            f"--data {path}: {kind} need {package.replace('_', '-')}: pip install 'agent-gym[tables]', or save it "
            "as CSV"
        )
    room = max(MAX_CELLS * size, most_small)
    try:
        return _parquet(file, room) if parquet else _spreadsheet(file, room)
    except UserError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # whatever a foreign file leads to
        raise UserError(f"--data {path} cannot be read ({reason(error)}): save it again, or as CSV") from None


def _too_large(rows: int, columns: int) -> UserError:
    return UserError(
        f"the file declares {rows:,} rows of {columns:,} columns, far more than its size holds: save it again"
    )


def _parquet(file: BinaryIO, room: int) -> tuple[pd.DataFrame, tuple[str, ...]]:
    from pyarrow import parquet

    table = parquet.ParquetFile(file)
    rows, columns = table.metadata.num_rows, table.metadata.num_columns
    if rows * columns > room:
        raise _too_large(rows, columns)
    names = table.schema_arrow.names
    frame = table.read().to_pandas()
    if set(names) - set(map(str, frame.columns)):
        frame = frame.reset_index()
    frame = frame.rename(columns=str)
    for column in frame.columns[frame.dtypes.map(lambda t: isinstance(t, pd.CategoricalDtype))]:
        frame[column] = frame[column].astype(frame[column].cat.categories.dtype)
    return frame, ()


def _spreadsheet(file: BinaryIO, room: int) -> tuple[pd.DataFrame, tuple[str, ...]]:
    from python_calamine import load_workbook

    book = load_workbook(io.BytesIO(file.read()))
    sheet = book.get_sheet_by_index(0)
    if sheet.height * sheet.width > room:
        raise _too_large(sheet.height, sheet.width)
    rows = sheet.to_python(skip_empty_area=True)
    notes = (
        ()
        if len(book.sheet_names) == 1
        else (f"read the first of {len(book.sheet_names)} sheets, {book.sheet_names[0]!r}",)
    )
    if not rows:
        return pd.DataFrame(), notes
    cells = [[None if cell == "" else cell for cell in row] for row in rows[1:]]
    frame = pd.DataFrame(cells, columns=[str(name) for name in rows[0]], dtype=object)
    return frame, notes
