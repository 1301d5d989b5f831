"""From the columns of a table to the inputs of a network: plain data, kept in the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import from_plain, short
from agent_gym.tasks.tables.cells import numbers, texts
from agent_gym.tasks.tables.dates import FORMS, PARTS, SCALED, date_parts, dates
from agent_gym.tasks.tables.kinds import MAX_WORDS, WORD, Kinds, find_words
from agent_gym.tasks.tables.reading.frames import listed

MAX_EMBEDDING = 50  # numbers that stand for a category


@dataclass(frozen=True)
class Numbers:
    """Columns of numbers: filled and scaled, and whether the cell was empty where some were in training."""

    names: tuple[str, ...] = ()
    decimal: tuple[str, ...] = ()
    """Character before decimals."""
    fill: tuple[float, ...] = ()
    """Stands in for a missing number: the training part's median."""
    shift: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    """An input is number * scale + shift."""
    gaps: tuple[int, ...] = ()
    """Positions in `names` of the columns with an input that is 1 where the cell is empty."""

    @property
    def width(self) -> int:
        return len(self.names) + len(self.gaps)

    def sound(self) -> bool:
        lengths = {len(self.names), len(self.decimal), len(self.fill), len(self.shift), len(self.scale)}
        return len(lengths) == 1 and all(0 <= gap < len(self.names) for gap in self.gaps)

    def figures(self) -> tuple[float, ...]:
        return (*self.fill, *self.shift, *self.scale)

    @classmethod
    def fit(cls, frame: pd.DataFrame, kinds: dict[str, str], train: np.ndarray, scaler: str) -> Numbers:
        if not kinds:
            return cls()
        values = np.stack([numbers(frame, column, kinds[column]) for column in kinds], axis=1)[train]
        imputer = SimpleImputer(strategy="median", keep_empty_features=True).fit(values)
        shift, scale = _scales(imputer.transform(values), scaler)
        gaps = np.flatnonzero(np.isnan(values).any(0))
        decimal, fill = tuple(kinds.values()), tuple(imputer.statistics_.tolist())
        return cls(tuple(kinds), decimal, fill, shift, scale, tuple(gaps.tolist()))

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        values = [numbers(frame, name, decimal) for name, decimal in zip(self.names, self.decimal, strict=True)]
        values = np.stack(values, axis=1) if values else np.zeros((len(frame), 0))
        empty = np.isnan(values)
        values = np.where(empty, np.array(self.fill), values) * np.array(self.scale) + np.array(self.shift)
        return np.concatenate((values, empty[:, list(self.gaps)]), axis=1)


@dataclass(frozen=True)
class Dates:
    """A column of dates: the parts that vary in training."""

    name: str
    form: str
    """As `pandas.to_datetime` takes it."""
    parts: tuple[str, ...]
    fill: tuple[float, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]

    @property
    def width(self) -> int:
        return len(self.parts)

    def sound(self) -> bool:
        lengths = {len(self.parts), len(self.fill), len(self.shift), len(self.scale)}
        return len(lengths) == 1 and set(self.parts) <= set(PARTS) and self.form in FORMS

    def figures(self) -> tuple[float, ...]:
        return (*self.fill, *self.shift, *self.scale)

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, form: str, train: np.ndarray) -> Dates:
        known = date_parts(dates(frame, name, form)).iloc[train]
        known = known[[part for part in known if known[part].nunique() > 1]]
        fill = np.array([known[part].median() if part in SCALED else 0.0 for part in known])
        shift, scale = _scales(np.where(known.isna(), fill, known), "standard")
        fixed = [part not in SCALED for part in known]
        shift, scale = np.where(fixed, 0.0, shift).tolist(), np.where(fixed, 1.0, scale).tolist()
        return cls(name, form, tuple(known), tuple(fill.tolist()), tuple(shift), tuple(scale))

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        values = date_parts(dates(frame, self.name, self.form))[list(self.parts)].to_numpy()
        values = np.where(np.isnan(values), np.array(self.fill), values)
        return values * np.array(self.scale) + np.array(self.shift)


@dataclass(frozen=True)
class Known:
    """A column of texts, of which those in training are known."""

    name: str
    known: tuple[str, ...]

    @property
    def width(self) -> int:
        return len(self.known)

    def sound(self) -> bool:
        return bool(self.known) and len(set(self.known)) == len(self.known)

    def figures(self) -> tuple[float, ...]:
        return ()


@dataclass(frozen=True)
class Category(Known):
    """A column of few texts, one-hot; what was not there in training is none of them, like an empty cell."""

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, train: np.ndarray) -> Category:
        return cls(name, _known(frame, name, train))

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        encoder = OneHotEncoder(categories=[list(self.known)], handle_unknown="ignore", sparse_output=False)
        encoder.fit(np.array([[self.known[0]]], dtype=object))
        return encoder.transform(texts(frame, self.name).astype(object)[:, None])


@dataclass(frozen=True)
class Embedded(Known):
    """A column of many texts, each a vector that is learned; 0 stands for what was not there in training."""

    size: int
    """Numbers in each vector."""

    @property
    def width(self) -> int:
        return 1

    def sound(self) -> bool:
        return super().sound() and 1 <= self.size <= MAX_EMBEDDING

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, train: np.ndarray) -> Embedded:
        known = _known(frame, name, train)
        return cls(name, known, min(MAX_EMBEDDING, round(1.6 * len(known) ** 0.56)))  # the rule of fast.ai

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        return (pd.Index(self.known).get_indexer(pd.Index(texts(frame, self.name), dtype=object)) + 1.0)[:, None]


@dataclass(frozen=True)
class Words(Known):
    """A column of texts: for each word whether it is there."""

    def sound(self) -> bool:
        return super().sound() and len(self.known) <= MAX_WORDS

    @classmethod
    def fit(cls, frame: pd.DataFrame, name: str, train: np.ndarray) -> Words:
        known, _ = find_words(texts(frame, name)[train])
        if not known:
            raise UserError(f"column {name!r} has no word that several rows share: add --ignore {name!r}")
        return cls(name, known)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        written = ["" if cell is None else cell for cell in texts(frame, self.name)]
        counter = CountVectorizer(token_pattern=WORD, binary=True, vocabulary=self.known, dtype=np.float32)
        return counter.transform(written).toarray()


@dataclass(frozen=True)
class Columns:
    """How the rows of a table become inputs, those of `embedded` last."""

    numbers: Numbers = Numbers()
    dates: tuple[Dates, ...] = ()
    categories: tuple[Category, ...] = ()
    words: tuple[Words, ...] = ()
    embedded: tuple[Embedded, ...] = ()
    decimal: str = "."
    """Character before decimals in the target."""

    @classmethod
    def fit(cls, frame: pd.DataFrame, kinds: Kinds, train: np.ndarray, scaler: str, decimal: str = ".") -> Columns:
        """Medians, scales, categories and words from the rows `train` alone."""
        return cls(
            Numbers.fit(frame, kinds.numbers, train, scaler),
            tuple(Dates.fit(frame, name, form, train) for name, form in kinds.dates.items()),
            tuple(Category.fit(frame, name, train) for name in kinds.categories),
            tuple(Words.fit(frame, name, train) for name in kinds.words),
            tuple(Embedded.fit(frame, name, train) for name in kinds.embedded),
            decimal,
        )

    @classmethod
    def restored(cls, stored: dict, width: int) -> Columns:
        """From the plain data of a checkpoint whose network takes `width` inputs. Raises UserError."""
        try:
            columns = from_plain(cls, stored)
        except TypeError as error:
            raise UserError(f"the checkpoint's columns are damaged ({error}): use another checkpoint") from None
        if not all(part.sound() and np.isfinite(part.figures()).all() for part in columns.parts()):
            raise UserError("the checkpoint's columns contradict each other: use another checkpoint")
        if columns.width != width:
            raise UserError(f"the checkpoint's columns make {columns.width} inputs, and its network takes {width}")
        return columns

    def parts(self) -> Iterator[Numbers | Dates | Known]:
        """In the order of the inputs."""
        yield self.numbers
        yield from (*self.dates, *self.categories, *self.words, *self.embedded)

    @property
    def width(self) -> int:
        return sum(part.width for part in self.parts())

    @property
    def of_inputs(self) -> tuple[str, ...]:
        """The column that each input is made of."""
        numbers = self.numbers
        found = [*numbers.names, *(numbers.names[gap] for gap in numbers.gaps)]
        return (*found, *(part.name for part in self.parts() if part is not numbers for _ in range(part.width)))

    @property
    def embeddings(self) -> tuple[tuple[int, int], ...]:
        """Of each of the last inputs how many values it may have, and the length of the vector for each."""
        return tuple((len(part.known) + 1, part.size) for part in self.embedded)

    @property
    def text_columns(self) -> tuple[str, ...]:
        """What a file to predict is to hold as it is written."""
        commas = [n for n, mark in zip(self.numbers.names, self.numbers.decimal, strict=True) if mark == ","]
        return (*commas, *(part.name for part in (*self.dates, *self.categories, *self.words, *self.embedded)))

    def layout(self) -> dict:
        """What a network is made for: all but the figures that scale its inputs."""
        fixed = [
            {k: v for k, v in asdict(part).items() if k in ("name", "parts", "known", "size")} for part in self.parts()
        ]
        return {"numbers": [self.numbers.names, self.numbers.gaps], "others": fixed}

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Raw rows -> inputs [N, width] float32. Raises UserError with the row or the column."""
        wanted = (*self.numbers.names, *(part.name for part in self.parts() if part is not self.numbers))
        if missing := [name for name in wanted if name not in frame.columns]:
            raise UserError(
                f"the table lacks the column(s) {listed(missing)} that the model was trained on; "
                f"it has {listed(frame.columns)}"
            )
        return np.concatenate([part.encode(frame).astype(np.float32) for part in self.parts()], axis=1)

    def unseen(self, frame: pd.DataFrame) -> list[str]:
        """A note for each column of categories with values that were not there in training."""
        notes = []
        for part in (*self.categories, *self.embedded):
            cells = texts(frame, part.name)
            strange = ~np.isin(cells.astype(object), [*part.known, None])
            if strange.any():
                first = short(str(cells[strange.argmax()]))
                notes.append(
                    f"column {part.name!r}: {int(strange.sum()):,} value(s) that were not there in training, such as "
                    f"{first}, count as missing"
                )
        return notes


def _known(frame: pd.DataFrame, name: str, train: np.ndarray) -> tuple[str, ...]:
    return tuple(sorted({cell for cell in texts(frame, name)[train] if cell is not None})) or ("",)


def _scales(values: np.ndarray, scaler: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """shift and scale of each column of values [N, C] without gaps."""
    if not values.shape[1] or scaler == "none":
        return (0.0,) * values.shape[1], (1.0,) * values.shape[1]
    if scaler == "standard":
        fitted = StandardScaler().fit(values)
        return tuple((-fitted.mean_ / fitted.scale_).tolist()), tuple((1.0 / fitted.scale_).tolist())
    fitted = MinMaxScaler().fit(values)
    return tuple(fitted.min_.tolist()), tuple(fitted.scale_.tolist())
