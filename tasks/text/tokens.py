"""Texts to numbers of tokens by the library `tokenizers`, the only module that knows it.

Byte-pair encoding (Sennrich et al. 2016) splits rare words into parts, so it needs no list of words of a language.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import reason

PADDING, UNKNOWN = "[PAD]", "[UNK]"  # tokens 0 and 1
ALPHABET = 3000  # different characters that a vocabulary starts from


def library() -> Any:
    """The library. Raises UserError with the line that installs it."""
    try:
        import tokenizers
    except ImportError:
        raise UserError("tokens need the library tokenizers: pip install 'agent-gym[text]'") from None
    return tokenizers


class Tokens:
    """A tokenizer, made of the library's JSON `text`. Raises UserError where it is damaged, and says so of `name`."""

    def __init__(self, text: str, name: str = "the tokenizer") -> None:
        try:
            self.tokenizer = library().Tokenizer.from_str(text)
        except UserError:
            raise
        except BaseException as error:  # the library's own, and whatever a foreign file leads to
            if isinstance(error, KeyboardInterrupt):
                raise
            raise UserError(f"{name} is damaged ({reason(error)}): use another checkpoint or model") from None
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    def __len__(self) -> int:
        return self.tokenizer.get_vocab_size()

    def split(self, texts: Sequence[str]) -> list[list[int]]:
        """The tokens of each text, as many as there are."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch(list(texts))]

    def names(self, numbers: Sequence[int]) -> list[str]:
        """What tokens stand for."""
        return [self.tokenizer.id_to_token(int(number)) or "" for number in numbers]

    def spans(self, text: str) -> list[tuple[int, int]]:
        """First and last character of each token of a text."""
        return self.tokenizer.encode(text).offsets

    @classmethod
    def learned(cls, texts: Sequence[str], size: int) -> tuple[Tokens, str]:
        """A vocabulary of up to `size` tokens from texts, and the JSON that makes it again. Raises UserError."""
        lib = library()
        tokenizer = lib.Tokenizer(lib.models.BPE(unk_token=UNKNOWN))
        tokenizer.normalizer = lib.normalizers.Sequence([lib.normalizers.NFKC(), lib.normalizers.Lowercase()])
        tokenizer.pre_tokenizer = lib.pre_tokenizers.Whitespace()
        trainer = lib.trainers.BpeTrainer(
            vocab_size=size, special_tokens=[PADDING, UNKNOWN], limit_alphabet=ALPHABET, show_progress=False
        )
        tokenizer.train_from_iterator(texts, trainer)
        text = tokenizer.to_str()
        return cls(text), text

    def text(self, numbers: Sequence[int]) -> str:
        """The text of tokens that lost nothing."""
        return self.tokenizer.decode([int(number) for number in numbers], skip_special_tokens=False)

    @classmethod
    def without_loss(cls, text: str, size: int) -> str:
        """The JSON of up to `size` tokens, pieces of a text's bytes that give back all of it."""
        lib = library()
        tokenizer = lib.Tokenizer(lib.models.BPE())
        tokenizer.pre_tokenizer = lib.pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = lib.decoders.ByteLevel()
        trainer = lib.trainers.BpeTrainer(
            vocab_size=size, initial_alphabet=sorted(lib.pre_tokenizers.ByteLevel.alphabet()), show_progress=False
        )
        tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
        return tokenizer.to_str()


def padded(rows: Sequence[Sequence[int]], length: int) -> np.ndarray:
    """Tokens [N, length] int64, 0 behind the end; what is longer is cut."""
    numbers = np.zeros((len(rows), length), dtype=np.int64)
    for row, tokens in zip(numbers, rows, strict=True):
        row[: min(len(tokens), length)] = tokens[:length]
    return numbers
