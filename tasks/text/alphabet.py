"""Text to numbers and back without loss: characters, or tokens learned from the text."""

from __future__ import annotations

from dataclasses import dataclass

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import from_plain
from agent_gym.tasks.text.tokens import Tokens

UNKNOWN = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Alphabet:
    """Plain data, kept in the checkpoint. Number 0 stands for a character that the training part does not have."""

    characters: str = ""
    """Those of numbers 1 and on, where numbers are characters."""
    tokenizer: str = ""
    """JSON of the library tokenizers, where they are tokens."""

    @classmethod
    def of(cls, text: str, tokens: int) -> Alphabet:
        """Of the text to train on: its characters, or up to `tokens` tokens of it. Raises UserError."""
        if len(set(text)) < 2:
            raise UserError(f"the text to train on holds {len(set(text))} different characters: expected two or more")
        if not tokens:
            return cls(characters="".join(sorted(set(text))))
        return cls(tokenizer=Tokens.without_loss(text, tokens))

    @classmethod
    def restored(cls, stored: dict) -> Alphabet:
        """From the plain data of a checkpoint. Raises UserError."""
        try:
            return from_plain(cls, stored)
        except TypeError as error:
            raise UserError(f"the checkpoint's alphabet is damaged ({error}): use another checkpoint") from None

    @property
    def tokens(self) -> Tokens | None:
        return Tokens(self.tokenizer) if self.tokenizer else None

    def __len__(self) -> int:
        return len(self.tokens) if self.tokenizer else len(self.characters) + 1

    def numbers(self, text: str) -> list[int]:
        """The numbers of a text."""
        if self.tokenizer:
            return self.tokens.split([text])[0]
        number = {character: index + 1 for index, character in enumerate(self.characters)}
        return [number.get(character, 0) for character in text]

    def text(self, numbers: list[int]) -> str:
        """What numbers stand for."""
        if self.tokenizer:
            return self.tokens.text(numbers)
        letters = UNKNOWN + self.characters
        return "".join(letters[number] for number in numbers)
