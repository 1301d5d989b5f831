"""What cells mean: numbers as people write them, and words."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short
from agent_gym.tasks.tables.reading.frames import file_row

LARGEST = 1e30  # of numbers: sums and squares stay finite, and so do the float32 that a network takes
MOST = 0.9  # of the cells have to be numbers for a column of numbers
LONGEST = 60  # letters of a number that is not plainly written
MISSING = {"", "-", "–", "—", ".", "..", "...", "n/a", "na", "nan", "null", "none", "#n/a", "?", "없음"}

_MONEY = r"(?:US\$|[$€£¥₩₹₽₺₫₪฿₴￥￦]|(?:USD|EUR|GBP|JPY|KRW|CNY|CHF|INR|AUD|CAD)(?![A-Za-z]))"
_GROUPS = "[{}'’ \u00a0\u202f]"  # between thousands
_POINT = rf"(?:\d+|[1-9]\d{{0,2}}(?:{_GROUPS.format(',')}\d{{3}})+)?(?:\.\d*)?(?:[eE][+-]?\d+)?"
_COMMA = rf"(?:\d+|[1-9]\d{{0,2}}(?:{_GROUPS.format('.')}\d{{3}})+)?(?:,\d*)?(?:[eE][+-]?\d+)?"
_CELL = re.compile(
    rf"(?P<open>\()?\s*(?P<sign>[+\-−])?\s*{_MONEY}?\s*(?P<minus>[+\-−])?\s*"
    r"(?P<number>[\d.,'’ \u00a0\u202f]*\d[.,]?(?:[eE][+-]?\d+)?)\s*"
    rf"(?P<unit>{_MONEY}|[%‰°²³/\w]*[^\W\d][²³\w/]*|%|‰)?\s*(?P<close>\))?"
)
_DECIMAL = {".": re.compile(_POINT), ",": re.compile(_COMMA)}


def number_format(cells: pd.Series, decimal: str = ".") -> str:
    """The character before decimals, "." or ",", of a column that is meant to be numbers; "" for any other column.

    Nine in ten known cells have to be numbers: with thousands between commas, blanks or apostrophes, a sign of money
    or percent, or one unit that all share. `decimal` decides where cells leave it open, as 1,234 does.
    """
    if pd.api.types.is_bool_dtype(cells):
        return ""
    if pd.api.types.is_numeric_dtype(cells):
        return "."
    known = pd.Series(texts_of(cells)).dropna()
    known = known[~known.str.lower().isin(MISSING)]
    if not len(known):
        return ""
    if as_numbers(known).notna().mean() == 1.0 and not (decimal == "," and known.str.contains(",").any()):
        return "."
    counts = known.value_counts()
    parts = [_match(cell) for cell in counts.index]
    units = {part["unit"] for part in parts if part and part["unit"]}
    if len(units) > 1:
        parts = [None if part and part["unit"] else part for part in parts]
    written = [part["number"] if part else None for part in parts]
    shares = {
        mark: sum(n for text, n in zip(written, counts, strict=True) if text and form.fullmatch(text)) / counts.sum()
        for mark, form in _DECIMAL.items()
    }
    best = decimal if shares["."] == shares[","] else max(shares, key=shares.__getitem__)
    return best if shares[best] >= MOST else ""


def numbers(frame: pd.DataFrame, column: str, decimal: str | None = None) -> np.ndarray:
    """A numeric column as float64 [N], NaN where a cell is missing. Raises UserError at the first other cell.

    `decimal`: the character before decimals; None: what most cells say.
    """
    cells = frame[column]
    if pd.api.types.is_numeric_dtype(cells) and not pd.api.types.is_bool_dtype(cells):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = np.abs(values) > LARGEST
    else:
        if decimal is None:
            decimal = number_format(cells, frame.attrs.get("decimal", "."))
        values, missing = parsed(texts_of(cells), decimal or ".")
        wrong = (np.isnan(values) & ~missing) | (np.abs(values) > LARGEST)
    if wrong.any():
        position = int(wrong.argmax())
        cell = short(str(cells.iloc[position]))
        raise UserError(
            f"column {column!r} is numeric, but row {file_row(frame, position)} holds {cell}: "
            f"expected a finite number up to {LARGEST:g}, or an empty cell"
        )
    return values


def parsed(cells: np.ndarray, decimal: str) -> tuple[np.ndarray, np.ndarray]:
    """Texts [N] (None: missing) as numbers [N], NaN where they are none, and which of them tell of a gap."""
    uniques, places = np.unique(["" if cell is None else cell for cell in cells], return_inverse=True)
    values = as_numbers(pd.Series(uniques)).to_numpy(dtype=np.float64, na_value=np.nan, copy=True)
    for index in range(len(uniques)):
        if np.isnan(values[index]) or (decimal == "," and "." in uniques[index]):
            values[index] = _number(uniques[index], decimal, values[index])
    missing = np.array([text.lower() in MISSING for text in uniques])
    return values[places], missing[places]


def _match(text: str) -> re.Match | None:
    return _CELL.fullmatch(text) if len(text) <= LONGEST else None


def _number(text: str, decimal: str, otherwise: float) -> float:
    part = _match(text)
    if not part or not _DECIMAL[decimal].fullmatch(part["number"]):
        return otherwise
    digits = re.sub(r"[^\d.,eE+-]", "", part["number"]).replace("," if decimal == "." else ".", "")
    try:
        value = float(digits.replace(",", "."))
    except (ValueError, OverflowError):
        return otherwise
    negative = sum((part["sign"] in ("-", "−"), part["minus"] in ("-", "−"), bool(part["open"] and part["close"])))
    return -value if negative % 2 else value


def as_numbers(cells: pd.Series) -> pd.Series:
    """Plainly written cells as numbers, NaN where they are none."""
    try:
        return pd.to_numeric(cells, errors="coerce")
    except (OverflowError, ValueError):  # whole numbers beyond any float, of thousands of digits
        return pd.to_numeric(cells.map(str, na_action="ignore"), errors="coerce")


def texts(frame: pd.DataFrame, column: str) -> np.ndarray:
    """A column as text [N], None where a cell is missing."""
    return texts_of(frame[column])


def texts_of(cells: pd.Series) -> np.ndarray:
    """Cells as text [N] without blanks around, None where one is missing; whole numbers have no decimals."""
    known = cells.notna().to_numpy()
    if pd.api.types.is_float_dtype(cells):
        whole = known & (cells % 1 == 0).to_numpy() & (cells.abs() < 2**53).to_numpy()
        written = [f"{cell:.0f}" if is_whole else str(cell) for cell, is_whole in zip(cells, whole, strict=True)]
        return np.where(known, np.array(written, dtype=object), None)
    return np.where(known, cells.astype(str).str.strip().to_numpy(dtype=object), None)
