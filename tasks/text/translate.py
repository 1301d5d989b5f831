"""From one sequence to another with attention: Korean number words to digits and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from gymnasium import spaces
from torch import Tensor, nn

from agent_gym.ground.errors import UserError
from agent_gym.ground.plain import short
from agent_gym.nets.encoders.text.translator import Translator
from agent_gym.nets.learner.learner import Stats
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.split import split_rows
from agent_gym.tasks.task import Dataset, Part, Task
from agent_gym.tasks.text.alphabet import Alphabet
from agent_gym.tasks.text.numbers import LARGEST, korean
from agent_gym.tasks.text.settings import TranslateConfig

EDGE = "\n"  # begins and ends what is written
TOGETHER = 2048


class TranslationModel(Predictor):
    """x [..., S + T]: a source and what is written so far -> logits [..., T, n] of what comes next."""

    def build_encoder(self, space: spaces.Space, config: TranslateConfig) -> nn.Module:
        return Translator(self.spec.tokens, config.embedding_size, config.dropout, config.encoder_settings())

    def forward(self, obs: Tensor) -> Tensor:
        length = self.spec.shape[0] // 2
        source, target = obs.flatten(0, -2).t().split(length)
        read, state = self.encoder.read(source)
        features, _, _ = self.encoder.write(target, state, read, known(source))
        return self.head(features).transpose(0, 1).unflatten(0, obs.shape[:-1])

    @torch.no_grad()
    def translated(self, source: Tensor, edge: int) -> tuple[Tensor, Tensor]:
        """The likeliest tokens [B, T] for sources [B, S], 0 behind the end, and where each looked [B, T, S]."""
        self.eval()
        source, length = source.t(), self.spec.shape[0] // 2
        read, state = self.encoder.read(source)
        there = known(source)
        token = torch.full((1, source.shape[1]), edge, device=source.device)
        done = torch.zeros_like(token, dtype=torch.bool)
        written, looked = [], []
        for _ in range(length):
            features, state, look = self.encoder.write(token, state, read, there)
            token = self.head(features).argmax(-1)
            done = done | (token == edge)
            written.append(token.masked_fill(done, 0))
            looked.append(look)
            if done.all():
                break
        return torch.cat(written).t(), torch.cat(looked, dim=1)


def known(source: Tensor) -> Tensor:
    """[B, S]: where sources [S, B] have a token, at least at their end."""
    there = source.t() != 0
    there[:, -1] = True
    return there


class Translate(Task):
    """Pairs of texts; one network goes both ways, since words and digits share no letter."""

    config: TranslateConfig
    network = TranslationModel

    @property
    def subject(self) -> str:
        return "numbers"

    def enough_epochs(self) -> int:
        """About 1,000 optimizer steps."""
        return max(round(1000 / self.steps_per_epoch), 1)

    def load(self) -> tuple[Spec, Dataset]:
        config = self.config
        if config.data:
            raise UserError(f"--data {config.data}: translate makes its numbers itself; leave it out")
        chosen = numbers(config.num_numbers, config.seed)
        rows = split_rows(config, len(chosen))
        self.pairs = [[pair for n in chosen[part] for pair in both_ways(int(n))] for part in rows]
        self.alphabet = Alphabet(EDGE + "".join(sorted({*"0123456789", *"".join(map(korean, chosen[rows[0]]))})))
        length = max(len(text) for pair in both_ways(LARGEST) for text in pair) + 1
        count = len(self.alphabet)
        spec = Spec("language", (2 * length,), count, target="translation", text=asdict(self.alphabet), tokens=count)
        shares = " / ".join(f"{len(part):,}" for part in rows)
        notes = (f"{shares} different numbers up to {LARGEST:,}, in words and in digits, to train / validate / test",)
        return spec, Dataset(*(self.part(pairs, length) for pairs in self.pairs), notes)

    def part(self, pairs: list[tuple[str, str]], length: int) -> Part:
        """Pairs as inputs [N, 2 * length] and what is to be written [N, length], 0 behind its end."""
        x, y = np.zeros((len(pairs), 2 * length), np.int64), np.zeros((len(pairs), length), np.int64)
        x[:, :length] = sources(self.alphabet, [source for source, _ in pairs], length)
        for row, (_, target) in enumerate(pairs):
            tokens = self.alphabet.numbers(EDGE + target + EDGE)
            x[row, length : length + len(tokens) - 1] = tokens[:-1]
            y[row, : len(tokens) - 1] = tokens[1:]
        return Part(torch.from_numpy(x), torch.from_numpy(y))

    def loss_of(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Cross-entropy per letter of the target, its end included."""
        return F.cross_entropy(outputs.flatten(0, -2), y.flatten(), ignore_index=0)

    def quick_stats(self, outputs: Tensor, y: Tensor) -> Stats:
        right = (outputs.argmax(-1) == y) | (y == 0)
        return {"exact_match": right.all(-1).float().mean()}

    def scores(self, outputs: Tensor, y: Tensor) -> dict[str, float]:
        return {name: float(value) for name, value in self.quick_stats(outputs, y).items()}

    def test(self) -> dict[str, float]:
        """Shares of the test pairs whose every letter is right, written without help."""
        pairs = self.pairs[2]
        written = translations(self.model, self.alphabet, [source for source, _ in pairs])
        right = np.array([w == target for w, (_, target) in zip(written, pairs, strict=True)])
        self.wrong = [(s, w, t) for (s, t), w in zip(pairs, written, strict=True) if w != t][:5]
        digits = {"to_digits": right[::2], "to_words": right[1::2]}
        each = {f"exact_match_{name}": float(part.mean()) for name, part in digits.items()}
        return {"exact_match": float(right.mean())} | each

    @property
    def headline(self) -> str:
        return "exact_match"

    def samples(self) -> dict[str, str]:
        """Some numbers of the validation part, for TensorBoard."""
        pairs = self.pairs[1][:6]
        written = translations(self.model, self.alphabet, [source for source, _ in pairs])
        return {"sample": "\n".join(f"    {s} → {w}  ({t})" for (s, t), w in zip(pairs, written, strict=True))}

    def images(self) -> dict[str, np.ndarray]:
        """Where it looked for each letter that it wrote."""
        from agent_gym.tasks.plots import attention_image

        images = {}
        for name, (source, _) in zip(("to_digits", "to_words"), both_ways(int(LARGEST * 0.83)), strict=True):
            tokens = self.sources([source])
            written, looked = self.model.translated(tokens, self.alphabet.numbers(EDGE)[0])
            text = self.alphabet.text([t for t in written[0].tolist() if t])
            weights = looked[:, : len(text) + 1, -len(source) :].flip(-1)  # sources are read from their end
            images[f"test/attention_{name}"] = attention_image([weights.cpu().numpy()], [*text, "end"], list(source))
        return images

    def sources(self, texts: list[str]) -> Tensor:
        length = self.model.spec.shape[0] // 2
        return torch.from_numpy(sources(self.alphabet, texts, length)).to(self.device)

    def report(self, metrics: dict[str, float]) -> str:
        lines = [f"{name:>24} {value:.4f}" for name, value in metrics.items()]
        lines += [f"{source} → {written}, right is {target}" for source, written, target in self.wrong]
        examples = [source for source, _ in self.pairs[2][:4]]
        written = translations(self.model, self.alphabet, examples)
        return "\n".join([*lines, *(f"{s} → {w}" for s, w in zip(examples, written, strict=True))])


def both_ways(number: int) -> tuple[tuple[str, str], tuple[str, str]]:
    """A number from words to digits, and back."""
    return (korean(number), str(number)), (str(number), korean(number))


def numbers(count: int, seed: int) -> np.ndarray:
    """Up to `count` different numbers, as many of each length as there are."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, len(str(LARGEST)), count)
    return rng.permutation(np.unique((10.0 ** (lengths + rng.random(count))).astype(np.int64) % (LARGEST + 1)))


def sources(alphabet: Alphabet, texts: list[str], length: int) -> np.ndarray:
    """Texts from their end [N, length], so that a letter's place is known when it is read; 0 in front."""
    tokens = np.zeros((len(texts), length), np.int64)
    for row, text in enumerate(texts):
        tokens[row, length - len(text) :] = alphabet.numbers(text)[::-1]
    return tokens


def translations(model: TranslationModel, alphabet: Alphabet, texts: list[str]) -> list[str]:
    """What the model writes for each text. Raises UserError for a text that is too long or has unknown letters."""
    length, edge = model.spec.shape[0] // 2, alphabet.numbers(EDGE)[0]
    for row, text in enumerate(texts):
        if not 1 <= len(text) <= length or 0 in alphabet.numbers(text) or EDGE in text:
            raise UserError(
                f"line {row + 1}, {short(text)}: expected a number in Korean words or in digits, of at most "
                f"{length} letters"
            )
    device = model.head.weight.device
    written: list[str] = []
    for first in range(0, len(texts), TOGETHER):
        part = torch.from_numpy(sources(alphabet, texts[first : first + TOGETHER], length)).to(device)
        for row in model.translated(part, edge)[0].tolist():
            written.append(alphabet.text([token for token in row if token]))
    return written


def predict(model: TranslationModel, config: TranslateConfig, path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """Translations of the lines of a text file. Raises UserError."""
    from agent_gym.tasks.text.generate import read_text

    lines = [line.strip() for line in read_text(path).splitlines() if line.strip()]
    alphabet = Alphabet.restored(model.spec.text)
    return pd.DataFrame({"source": lines, "translation": translations(model, alphabet, lines)}), {}
