"""What each column of a table is: a number, a date, a category, words, or nothing to learn from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short
from agent_gym.tasks.tables.cells import number_format, texts
from agent_gym.tasks.tables.dates import date_form
from agent_gym.tasks.tables.reading.frames import listed

ONE_HOT = 100  # different texts; more of them are embedded
MAX_WORDS = 2000
MAX_NUMBERS = 2**27  # of words times rows
COMMON = 0.95  # a word in more of the rows than this tells nothing
ID_NAME = re.compile(
    r"(?i)(?:unnamed: 0|index|id|idx|rownames?|row[ _]?(?:id|number|num|no)|no\.?|번호|순번|.*[ _.-]id|.*Id)"
)
WORD = r"(?u)\b\w+\b"


@dataclass
class Kinds:
    """The columns to learn from by kind, and a note for each one left out."""

    numbers: dict[str, str] = field(default_factory=dict)
    """Name: the character before decimals."""
    dates: dict[str, str] = field(default_factory=dict)
    """Name: the form."""
    categories: list[str] = field(default_factory=list)
    embedded: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Name: why."""

    @property
    def notes(self) -> list[str]:
        found = [f"column {name!r} left out: {why}" for name, why in self.left_out.items()]
        found += [f"column {name!r} holds dates: its parts are inputs" for name in self.dates]
        found += [f"column {name!r} holds texts: its words are inputs" for name in self.words]
        return found

    @property
    def names(self) -> list[str]:
        """All that is learned from."""
        return [*self.numbers, *self.dates, *self.categories, *self.embedded, *self.words]


def find_kinds(
    frame: pd.DataFrame,
    target: str,
    ignore: tuple[str, ...] = (),
    categorical: tuple[str, ...] = (),
    text: tuple[str, ...] = (),
) -> Kinds:
    """What the columns beside `target` and `ignore` are; `categorical` and `text` are so whatever they hold.

    Raises UserError where a name is no column or nothing is left.
    """
    flags = {"--target": (target,), "--ignore": ignore, "--categorical": categorical, "--text": text}
    for flag, names in flags.items():
        for name in names:
            if name not in frame.columns:
                raise UserError(f"{flag} {name!r} is no column of the table: expected one of {listed(frame.columns)}")
    kinds, counters = Kinds(), {}
    for column in frame.columns:
        if column == target or column in ignore:
            continue
        cells = frame[column]
        count = cells.nunique()
        if count <= 1:
            value = f"the one value {short(str(cells.dropna().iloc[0]))}" if count else "no value"
            kinds.left_out[column] = f"it holds {value} in every row"
        elif column in text:
            kinds.words.append(column)
        elif column in categorical:
            (kinds.categories if count <= ONE_HOT else kinds.embedded).append(column)
        elif form := date_form(cells):
            kinds.dates[column] = form
        elif decimal := number_format(cells, frame.attrs.get("decimal", ".")):
            if why := _counts_rows(cells):
                kinds.left_out[column] = why
                counters[column] = decimal
            else:
                kinds.numbers[column] = decimal
        else:
            _take_text(kinds, frame, column)
    if not kinds.names:  # a counter alone may be a time
        for column, decimal in counters.items():
            kinds.numbers[column] = decimal
            del kinds.left_out[column]
    if not kinds.names:
        why = "; ".join(kinds.notes[:3])
        raise UserError(
            f"no column is left to predict {target!r} from: expected one with numbers or categories"
            + (f" ({why})" if why else "")
        )
    return kinds


def _counts_rows(cells: pd.Series) -> str:
    """Why a column of numbers only numbers the rows, in any order; "" for any other."""
    if not pd.api.types.is_integer_dtype(cells) or len(cells) < 3 or cells.duplicated().any():
        return ""
    span = int(cells.max()) - int(cells.min()) + 1
    if (np.diff(cells.to_numpy()) == 1).all() or (len(cells) >= 20 and span == len(cells)):
        return "it counts the rows"
    if ID_NAME.fullmatch(str(cells.name)):
        return "it is another number in every row, and named as one that tells rows apart"
    return ""


def _take_text(kinds: Kinds, frame: pd.DataFrame, column: str) -> None:
    cells = frame[column]
    count, rows = cells.nunique(), len(cells)
    repeated = count <= max(rows // 2, 2)
    if repeated and count <= ONE_HOT:
        kinds.categories.append(column)
        return
    written = texts(frame, column)
    vocabulary, share = find_words(written)
    if vocabulary and share >= 0.5 and (not repeated or len(vocabulary) < count):
        kinds.words.append(column)
    elif repeated:
        kinds.embedded.append(column)
    else:
        kinds.left_out[column] = f"{count:,} different texts with few words in common; --text or --categorical take it"


def find_words(written: np.ndarray) -> tuple[tuple[str, ...], float]:
    """The words that occur in several of the texts (None: missing) and not in nearly all, at most MAX_WORDS.

    Also the share of the texts that hold one of them.
    """
    known = [cell for cell in written if cell is not None]
    most = min(MAX_WORDS, max(MAX_NUMBERS // max(len(written), 1), 100))
    counter = CountVectorizer(token_pattern=WORD, binary=True)
    try:
        counts = counter.fit_transform(known)
    except ValueError:  # not one word
        return (), 0.0
    rows_with = np.asarray(counts.sum(0)).ravel()
    useful = np.flatnonzero((rows_with >= 2) & (rows_with <= COMMON * len(known)))
    useful = np.sort(useful[np.argsort(-rows_with[useful], kind="stable")[:most]])
    share = float((counts[:, useful].sum(1) > 0).mean()) if len(useful) else 0.0
    return tuple(counter.get_feature_names_out()[useful].tolist()), share
