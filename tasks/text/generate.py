"""A language model: what follows in a text, one character or token after the other."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.base import Encoder
from agent_gym.nets.encoders.make import MEMORIES
from agent_gym.nets.encoders.text.sequence import TokenStem
from agent_gym.nets.learner.learner import Stats
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.task import Dataset, Part, Task
from agent_gym.tasks.text.alphabet import Alphabet
from agent_gym.tasks.text.copying import copied_bits
from agent_gym.tasks.text.ngram import ngram_bits, xz_bits
from agent_gym.tasks.text.settings import GenerateConfig

MAX_CHARACTERS = 2**26
TOGETHER = 256  # steps of a stream in one call
COPIED_CHARACTERS, COPIED_TOKENS = 5, 2  # that have to be the same before the next one is copied


class LanguageModel(Predictor):
    """Tokens of a stream [T, B, 1] to logits of the next one, with a memory of those before."""

    def build_encoder(self, space: spaces.Space, config: GenerateConfig) -> Encoder:
        attends = config.encoder == "transformer"
        size = config.attention_size if attends else config.embedding_size
        return MEMORIES[config.encoder](TokenStem(self.spec.tokens, size, config.dropout), config.encoder_settings())

    def step(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [T, B, n] after tokens [T, B], and the state after the last; state [B, S]."""
        reset = torch.zeros(tokens.shape, dtype=torch.bool, device=tokens.device)
        features, state = self.encoder(tokens.unsqueeze(-1), state, reset)
        return self.head(features), state

    @torch.no_grad()
    def chances(self, tokens: Tensor) -> Tensor:
        """The probability float64 [T - 1] of each token of a stream [T] after the first, on the CPU."""
        self.eval()
        state, parts = self.encoder.initial_state(1), []
        for first in range(0, len(tokens) - 1, TOGETHER):
            part = tokens[first : first + TOGETHER + 1]
            logits, state = self.step(part[:-1, None], state)
            parts.append(logits[:, 0].double().softmax(-1).gather(-1, part[1:, None]).squeeze(-1).cpu())
        return torch.cat(parts)

    @torch.no_grad()
    def go_on(self, tokens: list[int], count: int, temperature: float, generator: torch.Generator) -> list[int]:
        """`count` tokens after those given, drawn at a temperature (0: the likeliest)."""
        self.eval()
        device = self.head.weight.device
        logits, state = self.step(torch.tensor(tokens, device=device)[:, None], self.encoder.initial_state(1))
        drawn: list[int] = []
        while len(drawn) < count:
            scores = logits[-1, 0].float().cpu()
            if temperature == 0.0:
                drawn.append(int(scores.argmax()))
            else:
                chances = (scores / temperature).softmax(-1)
                drawn.append(int(torch.multinomial(chances, 1, generator=generator)))
            logits, state = self.step(torch.tensor([[drawn[-1]]], device=device), state)
        return drawn


class Generate(Task):
    """A text cut into sequences; the first part trains, the last is judged, as one stream."""

    config: GenerateConfig
    network = LanguageModel
    predicts = False  # it goes on with a text: agent-gym text-generation --run RUN

    @property
    def subject(self) -> str:
        return Path(self.config.data).stem if self.config.data else "python"

    def enough_epochs(self) -> int:
        """About 400 optimizer steps, but at least 2 passes and at most 200."""
        return min(max(round(400 / self.steps_per_epoch), 2), 200)

    def load(self) -> tuple[Spec, Dataset]:
        config = self.config
        if 0 < config.tokens < 256:
            raise UserError(f"--tokens {config.tokens}: expected 256 (each byte is one) or more, or 0 for characters")
        text = read_text(Path(config.data)) if config.data else python_reference()
        ends = np.cumsum([1.0 - config.val_split - config.test_split, config.val_split]) * len(text)
        first, second = ends.round().astype(int).tolist()
        train = text[:first]
        self.texts = train, text[first:second] or train, text[second:] or text[first:second] or train
        self.alphabet = Alphabet.of(train, config.tokens)
        self.streams = [torch.tensor(self.alphabet.numbers(part)) for part in self.texts]
        if len(self.streams[0]) <= config.length + 1 or min(map(len, self.streams)) < 2:
            raise UserError(
                f"the text has {len(text):,} characters, too few for sequences of --length {config.length}: give more, "
                "or a smaller --length"
            )
        count = len(self.alphabet)
        spec = Spec("language", (1,), count, sequence=True, target="text", text=asdict(self.alphabet), tokens=count)
        shares = " / ".join(f"{len(part):,}" for part in self.texts)
        unit = "tokens" if config.tokens else "characters"
        notes = (f"{shares} characters to train / validate / test, {count:,} different {unit}",)
        parts = [self.windows(stream, 0) for stream in self.streams]
        return spec, Dataset(*parts, notes)

    def windows(self, stream: Tensor, offset: int) -> Part:
        """Sequences one behind the other from `offset` on, and what follows each of their tokens."""
        length = min(self.config.length, len(stream) - 1)
        rows = max((len(stream) - 1 - offset) // length, 1)
        offset = min(offset, len(stream) - 1 - rows * length)
        x = stream[offset : offset + rows * length].view(rows, length, 1)
        return Part(x, stream[offset + 1 : offset + 1 + rows * length].view(rows, length))

    def collect(self) -> dict[str, float]:
        """Every epoch cuts the text at other places, which the seed and the epoch determine."""
        epoch = self.steps // self.steps_per_epoch
        if epoch != self.order_of:
            room = len(self.streams[0]) - 1 - self.rows * self.config.length
            offset = int(np.random.default_rng((self.config.seed, epoch)).integers(0, room + 1))
            part = self.windows(self.streams[0], offset)
            self.data = self.data._replace(train=Part(*(t.to(self.device) for t in part)))
        return super().collect()

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy per token, in nats."""
        return F.cross_entropy(outputs.flatten(0, -2), y.flatten())

    def quick_stats(self, outputs: Tensor, y: Tensor) -> Stats:
        return {"accuracy": (outputs.argmax(-1) == y).float().mean()}

    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        """Of the validation part, each sequence by itself."""
        tokens_each = len(self.streams[1]) / len(self.texts[1])  # character
        bits = self.loss_of(outputs, y).item() / math.log(2.0)
        return self.quick_stats(outputs, y) | {"bits_per_character": bits * tokens_each}

    def test(self) -> dict[str, float]:
        """Bits per character of the test part: the model's, and those of what it has to beat."""
        train, _, test = self.texts
        stream = self.streams[2]
        unknown = 0 if self.alphabet.tokenizer else int((stream == 0).sum())
        chances = self.model.chances(stream.to(self.device)).numpy()
        order = COPIED_TOKENS if self.alphabet.tokenizer else COPIED_CHARACTERS
        copied = copied_bits(chances, self.streams[0].tolist(), stream.tolist(), order)
        which = unknown * math.log2(0x110000)  # characters that it has no name for
        return {
            "bits_per_character": float(which - np.log2(chances).sum()) / len(test),
            "copying_bits_per_character": (which + copied) / len(test),
            "ngram_bits_per_character": ngram_bits(train, test),
            "xz_bits_per_character": xz_bits(test),
            "xz_after_training_text_bits_per_character": xz_bits(test, train),
        }

    @property
    def headline(self) -> str:
        return "bits_per_character"

    def sample(self) -> str:
        """What the model goes on with after the prompt; the seed and the step determine it."""
        config = self.config
        prompt = config.prompt or "\n"
        start = self.alphabet.numbers(prompt)
        if not start:
            raise UserError(f"--prompt {config.prompt!r} is empty: expected a text")
        generator = torch.Generator().manual_seed(config.seed + self.steps)
        drawn = self.model.go_on(start, config.sample_length, config.temperature, generator)
        return (config.prompt + self.alphabet.text(drawn)).strip("\n")

    def samples(self) -> dict[str, str]:
        """A sample for TensorBoard, as code, so that lines stay lines."""
        return {"sample": "\n".join(f"    {line}" for line in self.sample().splitlines())}

    def images(self) -> dict[str, np.ndarray]:
        return {}

    def report(self, metrics: dict[str, float]) -> str:
        rows = (
            ("this model", metrics["bits_per_character"]),
            ("this model, copying from the training text", metrics["copying_bits_per_character"]),
            ("5 characters before, counted", metrics["ngram_bits_per_character"]),
            ("xz", metrics["xz_bits_per_character"]),
            ("xz that has seen the training text", metrics["xz_after_training_text_bits_per_character"]),
        )
        lines = [f"{'bits per character of the test part':>43}", *(f"{name:>43} {bits:.3f}" for name, bits in rows)]
        return "\n".join([*lines, "", f"a sample at temperature {self.config.temperature:g}:", "", self.sample()])


def python_reference() -> str:
    """The topics of Python's own help, in order."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in topics)


def read_text(path: Path) -> str:
    """A text file. Raises UserError."""
    try:
        if path.stat().st_size > 4 * MAX_CHARACTERS:
            raise UserError(f"--data {path} is larger than {4 * MAX_CHARACTERS:,} bytes: give a part of it")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"--data {path} cannot be read ({error.strerror}): expected a text file") from None
    except UnicodeDecodeError as error:
        raise UserError(f"--data {path} is not UTF-8 text (byte {error.start}): save it as UTF-8") from None
