"""How texts become inputs: a bag of words, tokens in order, or the vectors of a sentence transformer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.feature_extraction.text import CountVectorizer
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import from_plain, short
from agent_gym.tasks.text.pretrained import minilm
from agent_gym.tasks.text.tokens import Tokens, padded

HAS_WORDS = re.compile(r"\w")


@dataclass(frozen=True)
class TextInputs:
    """Plain data, kept in the checkpoint."""

    column: str
    """Column that holds the texts."""
    kind: str
    """words: numbers of words, as often as they occur; tokens: in order; vectors: of a sentence transformer."""
    length: int
    """Words or tokens of a text that are read, or numbers in its vector."""
    words: tuple[str, ...] = ()
    """Of a bag of words, in the order of their numbers."""
    tokenizer: str = ""
    """JSON of the library tokenizers."""
    model: str = ""
    """Folder of the sentence transformer; empty: the installed package's."""
    decimal: str = ""
    """Character before decimals in the target; empty: it is text."""

    @classmethod
    def fit(
        cls, texts: Sequence[str], column: str, encoder: str, size: int, length: int, model: str, decimal: str
    ) -> TextInputs:
        """From the texts to train on: up to `size` words or tokens. Raises UserError."""
        if encoder == "minilm":
            sentences = minilm(model)
            if length > sentences.longest:
                raise UserError(
                    f"--max-length {length}: the sentence transformer reads {sentences.longest} tokens at most"
                )
            return cls(column, "vectors", sentences.model.sizes.hidden_size, model=model, decimal=decimal)
        if encoder == "bow":
            words = _words(texts, column, size)
            longest = max(map(len, _bags(texts, words)), default=1)
            return cls(column, "words", max(longest, 1), words=words, decimal=decimal)
        tokens, tokenizer = Tokens.learned(texts, size)
        rows = tokens.split(texts)
        _require_several(tokens.names(sorted(set().union(*rows))), column)
        longest = max(map(len, rows))
        return cls(column, "tokens", min(longest, length), tokenizer=tokenizer, decimal=decimal)

    @classmethod
    def restored(cls, stored: dict, width: int) -> TextInputs:
        """From the plain data of a checkpoint whose network takes `width` inputs. Raises UserError."""
        try:
            inputs = from_plain(cls, stored)
        except TypeError as error:
            raise UserError(f"the checkpoint's vocabulary is damaged ({error}): use another checkpoint") from None
        if inputs.kind not in ("words", "tokens", "vectors") or inputs.length != width:
            raise UserError("the checkpoint's vocabulary does not fit its network: use another checkpoint")
        return inputs

    @property
    def vocabulary(self) -> int:
        """Tokens that there are, 0 among them for none; 0 for vectors."""
        if self.kind == "words":
            return len(self.words) + 1
        return len(Tokens(self.tokenizer)) if self.kind == "tokens" else 0

    def encode(self, texts: Sequence[str], most: int, quiet: bool = True) -> Tensor:
        """[N, length]: int64 tokens, or floats. Of a text `most` tokens are read by a sentence transformer."""
        if self.kind == "vectors":
            # Of variance 1, as layers expect.
            return minilm(self.model).vectors(texts, most, quiet) * self.length**0.5
        rows = _bags(texts, self.words) if self.kind == "words" else Tokens(self.tokenizer).split(texts)
        return torch.from_numpy(padded(rows, self.length))

    def cut(self, texts: Sequence[str]) -> int:
        """How many of the texts are longer than what is read."""
        if self.kind != "tokens":
            return 0
        return sum(len(row) > self.length for row in Tokens(self.tokenizer).split(texts))


def require_words(texts: Sequence[str | None], rows: Sequence[int], column: str) -> None:
    """Raise UserError for the first text without a letter or a digit; `rows`: as the file numbers them."""
    for text, row in zip(texts, rows, strict=True):
        if not HAS_WORDS.search(text):
            raise UserError(
                f"column {column!r}, row {row}: {short(text)} is a text without words: mend it, or add --skip-wordless "
                "to leave such rows out"
            )


def _require_several(names: Sequence[str], column: str) -> None:
    if len(names) < 2:
        what = f"one word, {short(names[0])}" if names else "no word"
        raise UserError(f"the texts of column {column!r} hold {what}: nothing to tell them apart by")


def _words(texts: Sequence[str], column: str, size: int) -> tuple[str, ...]:
    try:
        words = CountVectorizer(max_features=size).fit(texts).get_feature_names_out()
    except ValueError:  # of one letter each, or none
        words = []
    _require_several(words, column)
    return tuple(map(str, words))


def _bags(texts: Sequence[str], words: Sequence[str]) -> list[list[int]]:
    """The numbers of the words of each text, from 1 on, a word that occurs twice twice."""
    counts = CountVectorizer(vocabulary=list(words)).transform(texts).tocsr()
    starts, columns, times = counts.indptr, counts.indices, counts.data
    return [np.repeat(columns[a:b] + 1, times[a:b]).tolist() for a, b in zip(starts[:-1], starts[1:], strict=True)]
