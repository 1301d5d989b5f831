"""Which digit was said: a picture of the sound, then the networks that see and remember."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from agent_gym.ground.errors import UserError
from agent_gym.nets.learner.learner import Stats
from agent_gym.nets.settings import MEMORY
from agent_gym.tasks.plots import gallery_image
from agent_gym.tasks.predictor import Predictor, Spec
from agent_gym.tasks.senses.settings import SpeechConfig
from agent_gym.tasks.senses.voice import LENGTH, RATE, WORDS, say
from agent_gym.tasks.split import split_rows
from agent_gym.tasks.task import Dataset, Part, Task

WINDOW, HOP = 256, 80  # samples: 32 ms seen at once, every 10 ms
BANDS = 32
STEPS = 1 + LENGTH // HOP
MAX_SECONDS = 60  # of one recording
MAX_FILES = 50_000


def mel_bands() -> Tensor:
    """Triangles [WINDOW / 2 + 1, BANDS] that gather frequencies as an ear does: even in 2595 log10(1 + f / 700)."""
    edges = 700.0 * (10.0 ** (torch.linspace(0.0, 2595.0 * np.log10(1.0 + RATE / 2 / 700.0), BANDS + 2) / 2595.0) - 1.0)
    frequency = torch.linspace(0.0, RATE / 2, WINDOW // 2 + 1)[:, None]
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    return torch.minimum((frequency - low) / (middle - low), (high - frequency) / (high - middle)).clamp(min=0.0)


def spectrogram(sound: Tensor) -> Tensor:
    """Sounds [N, LENGTH] -> log loudness [N, STEPS, BANDS] by time and pitch, mean 0 and deviation 1 in each."""
    spectrum = torch.stft(sound, WINDOW, HOP, window=torch.hann_window(WINDOW), return_complex=True).abs().square()
    picture = (spectrum.transpose(1, 2) @ mel_bands() + 1e-6).log()
    return (picture - picture.mean((1, 2), keepdim=True)) / (picture.std((1, 2), keepdim=True) + 1e-6)


class Speech(Task):
    """Pictures of sounds [N, STEPS, BANDS]; for a network with memory they are sequences."""

    config: SpeechConfig

    @property
    def subject(self) -> str:
        return Path(self.config.data).name if self.config.data else "formula"

    def load(self) -> tuple[Spec, Dataset]:
        config = self.config
        if config.data:
            sounds, labels = read_folder(Path(config.data))
        else:
            labels = np.arange(config.num_recordings) % len(WORDS)
            sounds = np.stack([say(k, np.random.default_rng((config.seed, n))) for n, k in enumerate(labels)])
        x, y = spectrogram(torch.from_numpy(sounds)), torch.from_numpy(labels.astype(np.int64))
        rows = split_rows(config, len(y), labels)
        sequence = config.encoder in MEMORY
        shape = (BANDS,) if sequence else (STEPS, BANDS)
        spec = Spec("multiclass", shape, len(WORDS), sequence=sequence, classes=WORDS, target="digit")
        shares = " / ".join(f"{len(part):,}" for part in rows)
        note = f"{shares} recordings of {LENGTH / RATE} s to train / validate / test, as {STEPS} x {BANDS} pictures"
        return spec, Dataset(*(Part(x[part], y[part]) for part in rows), (note,))

    def loss(self, x: Tensor, y: Tensor) -> tuple[Tensor, Stats]:
        """A network with memory tells after the last step."""
        outputs = last(self.model.rows(x), self.model.spec)
        return self.loss_of(outputs, y), self.quick_stats(outputs.detach(), y)

    def judged(self, part: Part) -> tuple[Tensor, Tensor]:
        outputs, y = super().judged(part)
        return last(outputs, self.model.spec), y

    def images(self) -> dict[str, np.ndarray]:
        from agent_gym.tasks.plots import confusion_image

        outputs, y = self.judged(self.data.test)
        first = [int((y == k).nonzero()[0]) for k in y.unique()]
        pictures = [self.data.test.x[row].T.flip(0).cpu().numpy() for row in first]
        titles = [WORDS[k] for k in y.unique().tolist()]
        matrix = confusion_image(self.model.probabilities(outputs).numpy(), y.numpy(), 0.5, WORDS)
        return {
            "test/confusion_matrix": matrix,
            "test/sounds": gallery_image(pictures, titles, columns=5, colours="magma"),
        }


def last(outputs: Tensor, spec: Spec) -> Tensor:
    """[B, C] of a picture; of a sequence [B, T, C] what was said after its last step."""
    return outputs[:, -1] if spec.sequence else outputs


def read_sound(path: Path) -> np.ndarray:
    """A WAV file as float32 [LENGTH] at RATE, the loudest stretch of a longer one. Raises UserError."""
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width, count = (
                file.getframerate(),
                file.getnchannels(),
                file.getsampwidth(),
                file.getnframes(),
            )
            if width != 2 or not 1000 <= rate <= 192_000 or not 1 <= count <= rate * MAX_SECONDS:
                raise UserError(
                    f"{path}: {8 * width} bits, {rate} Hz, {count / max(rate, 1):.1f} s: expected 16 bits, "
                    f"1,000 to 192,000 Hz and at most {MAX_SECONDS} s"
                )
            data = file.readframes(count)
    except (OSError, EOFError, wave.Error) as error:
        raise UserError(f"{path} cannot be read as a WAV file ({error}): expected 16-bit PCM") from None
    sound = np.frombuffer(data[: len(data) // (2 * channels) * 2 * channels], "<i2").reshape(-1, channels).mean(1)
    if not len(sound):
        raise UserError(f"{path} holds no sound: expected 16-bit PCM")
    steps = np.arange(0, len(sound), rate / RATE)
    sound = np.interp(steps, np.arange(len(sound)), sound / 32768.0)
    if len(sound) > LENGTH:
        energy = np.concatenate(([0.0], np.cumsum(np.square(sound))))
        start = int((energy[LENGTH:] - energy[:-LENGTH]).argmax())
        sound = sound[start : start + LENGTH]
    before = (LENGTH - len(sound)) // 2
    return np.pad(sound, (before, LENGTH - len(sound) - before)).astype(np.float32)


def read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Sounds [N, LENGTH] and digits [N] of files named like the Free Spoken Digit Dataset's, 7_jackson_32.wav."""
    files = sorted(folder.glob("*.wav"))[: MAX_FILES + 1] if folder.is_dir() else []
    if not 10 <= len(files) <= MAX_FILES:
        raise UserError(f"--data {folder} holds {len(files):,} WAV files: expected a folder with 10 to {MAX_FILES:,}")
    labels = []
    for file in files:
        digit, mark, _ = file.name.partition("_")
        if not mark or digit not in list("0123456789"):
            raise UserError(f"{file} does not begin with a digit and _: expected names like 7_anything.wav")
        labels.append(int(digit))
    return np.stack([read_sound(file) for file in files]), np.array(labels)


def predict(model: Predictor, config: SpeechConfig, path: Path) -> tuple[pd.DataFrame, dict[str, float]]:
    """The digit said in a WAV file. Raises UserError."""
    picture = spectrogram(torch.from_numpy(read_sound(path))[None])
    if tuple(picture.shape[1:])[-len(model.spec.shape) :] != tuple(model.spec.shape):
        raise UserError("the checkpoint's weights are for other pictures of sounds: use another checkpoint")
    outputs = last(model.outputs(picture), model.spec)
    probabilities, digits = model.probabilities(outputs).max(-1)
    return pd.DataFrame({"predicted digit": digits.numpy(), "probability": probabilities.numpy()}), {}
