"""Dates and times in the forms that people write, and their parts as inputs of a network."""

from __future__ import annotations

import numpy as np
import pandas as pd

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short
from agent_gym.tasks.tables.cells import MISSING, MOST, texts_of
from agent_gym.tasks.tables.reading.frames import file_row

ISO = "ISO8601"  # 2024-01-31, 2024-01-31T12:30, with or without seconds and zone
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
_DAYS = [f"%Y{s}%m{s}%d" for s in "/."]
_DAYS += [f"{a}{s}{b}{s}%{y}" for y in "Yy" for s, a, b in (("/", "%m", "%d"), ("/", "%d", "%m"), (".", "%d", "%m"))]
_DAYS += [f"{a}-{b}-%{y}" for y in "Yy" for a, b in (("%d", "%m"), ("%m", "%d"), ("%d", "%b"))]
_DAYS += [
    "%Y년 %m월 %d일",
    "%Y년%m월%d일",
    "%Y. %m. %d.",
    "%Y. %m. %d",
    "%b %d, %Y",
    "%B %d, %Y",
    "%b %d %Y",
    "%d %b %Y",
]
_DAYS += ["%d %B %Y"]
_FORMS = [
    ISO,
    *(day + time for time in _TIMES for day in _DAYS),
    "%b %Y",
    "%B %Y",
    "%Y년 %m월",
    "%m/%Y",
    "%H:%M",
    "%H:%M:%S",
]
FORMS = (*_FORMS, "%Y%m%d")
SAMPLE = 200

MONTHS = tuple(f"month {m}" for m in range(1, 13))
WEEKDAYS = tuple(f"weekday {d}" for d in ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
SCALED = ("year", "days", "hour")
PARTS = (*SCALED, *MONTHS, *WEEKDAYS, "season sin", "season cos", "time sin", "time cos")


def date_form(cells: pd.Series) -> str:
    """The form of a column of dates or times, as `pandas.to_datetime` takes it; "" for any other column.

    Nine in ten known cells have to be in it; of several forms (1/2/2024) the first listed, month before day.
    """
    if pd.api.types.is_bool_dtype(cells):
        return ""
    known = pd.Series(texts_of(cells)).dropna()
    known = known[~known.str.lower().isin(MISSING)]
    if pd.api.types.is_numeric_dtype(cells):
        plausible = len(known) and known.str.fullmatch(r"(?:19|20)\d\d[01]\d[0-3]\d").all()
        return "%Y%m%d" if plausible and _parse(known, "%Y%m%d").notna().all() else ""
    if not len(known):
        return ""
    sample = known.sample(min(SAMPLE, len(known)), random_state=0)
    if (
        sample.str.contains(r"\d.*[-/.:년월, ].*\d|[A-Za-z]{3} \d{4}", regex=True).mean() < MOST
        or sample.str.len().max() > 40
    ):
        return ""
    shares = {form: _parse(sample, form).notna().mean() for form in _FORMS}
    for form in sorted(shares, key=shares.__getitem__, reverse=True)[:4]:
        if shares[form] >= MOST and _parse(known, form).notna().mean() >= MOST:
            return form
    return ""


def _parse(cells: pd.Series, form: str) -> pd.Series:
    zoned = cells.str.replace(r"(?<=\d)\s*(?:Z|[+-]\d\d:?\d\d)$", "", regex=True) if form == ISO else cells
    return pd.to_datetime(zoned, format=form, errors="coerce")  # the clock of the place, whatever its zone


def dates(frame: pd.DataFrame, column: str, form: str) -> pd.Series:
    """A column of dates as timestamps [N], NaT where a cell is missing. Raises UserError at the first other cell."""
    cells = pd.Series(texts_of(frame[column]), dtype=object)
    times = _parse(cells.astype("str"), form)
    wrong = (times.isna() & cells.notna() & ~cells.astype("str").str.lower().isin(MISSING)).to_numpy()
    if wrong.any():
        position = int(wrong.argmax())
        like = "2024-01-31" if form == ISO else pd.Timestamp(2024, 1, 31, 12, 30).strftime(form)
        raise UserError(
            f"column {column!r} holds dates, but row {file_row(frame, position)} holds "
            f"{short(str(cells.iloc[position]))}: expected one like {like}, or an empty cell"
        )
    return times


def date_parts(times: pd.Series) -> pd.DataFrame:
    """Timestamps [N] -> the columns PARTS: years, days since 1970, the hour, and what comes round again.

    A missing date has NaN in the numbers, and is no month and no weekday.
    """
    known = times.notna().to_numpy()
    clock = times.dt
    hour = (clock.hour + clock.minute / 60.0 + clock.second / 3600.0).to_numpy(np.float64)
    days = ((times - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)).to_numpy(np.float64)
    season = 2.0 * np.pi * clock.dayofyear.to_numpy(np.float64) / 365.25
    parts = {"year": clock.year.to_numpy(np.float64), "days": np.floor(days), "hour": hour}
    parts |= {name: (clock.month == m).to_numpy(np.float64) for m, name in enumerate(MONTHS, 1)}
    parts |= {name: (clock.weekday == d).to_numpy(np.float64) for d, name in enumerate(WEEKDAYS)}
    for name, angle in (("season", season), ("time", 2.0 * np.pi * hour / 24.0)):
        parts[f"{name} sin"] = np.where(known, np.sin(angle), 0.0)
        parts[f"{name} cos"] = np.where(known, np.cos(angle), 0.0)
    return pd.DataFrame(parts)[list(PARTS)]
