"""Ten English digits said by a formula: a source (pulses or noise) and the resonances of a mouth that moves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RATE = 8000  # samples a second
LENGTH = 6400  # samples of a recording, 0.8 seconds
HOP = 40  # samples in which the mouth is taken to stand still
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Sound(NamedTuple):
    """A sound of speech."""

    milliseconds: float
    formants: tuple[float, float, float]
    """Resonances in Hz; of noise, its middle is the second."""
    voice: float = 1.0
    """Loudness of the pulses."""
    noise: float = 0.0
    """Loudness of the noise."""


# Formants of vowels as in Peterson and Barney 1952, rounded.
SOUNDS = {
    "i": Sound(110, (270, 2290, 3010)),
    "I": Sound(90, (390, 1990, 2550)),
    "e": Sound(100, (450, 2100, 2600)),
    "E": Sound(100, (530, 1840, 2480)),
    "a": Sound(110, (730, 1090, 2440)),
    "A": Sound(90, (640, 1190, 2390)),
    "o": Sound(110, (570, 840, 2410)),
    "u": Sound(120, (300, 870, 2240)),
    "w": Sound(70, (290, 610, 2150), 0.7),
    "r": Sound(80, (310, 1060, 1380), 0.7),
    "n": Sound(90, (250, 1450, 2300), 0.5),
    "v": Sound(60, (250, 1100, 2400), 0.4, 0.15),
    "z": Sound(90, (250, 3300, 3600), 0.3, 0.4),
    "s": Sound(120, (300, 3300, 3700), 0.0, 0.6),
    "f": Sound(100, (300, 2200, 3200), 0.0, 0.25),
    "T": Sound(90, (300, 1600, 3000), 0.0, 0.2),
    ".": Sound(50, (300, 1500, 2500), 0.0, 0.0),
    "t": Sound(25, (300, 3000, 3600), 0.0, 0.8),
    "k": Sound(25, (300, 1800, 2600), 0.0, 0.8),
}
SAID = ("zIrou", "wAn", ".tuu", "Trii", "foor", "faIv", "sI.ks", "sEvAn", "ee.t", "naIn")
WIDTHS = np.array((60.0, 100.0, 150.0))  # Hz of each resonance
STRENGTHS = np.array((1.0, 0.6, 0.3))


def say(digit: int, rng: np.random.Generator) -> np.ndarray:
    """A recording float32 [LENGTH] of one digit, by a voice, at a speed and in a room of its own."""
    mouth, pitch = rng.uniform(0.85, 1.2), rng.uniform(80.0, 240.0)
    sounds = [SOUNDS[letter] for letter in SAID[digit]]
    durations = np.array([s.milliseconds for s in sounds]) * rng.uniform(0.8, 1.2) * rng.uniform(0.8, 1.2, len(sounds))
    frames = np.maximum((durations * RATE / 1000.0 / HOP).astype(int), 2)
    frames = np.maximum((frames * min(1.0, LENGTH / HOP / frames.sum())).astype(int), 1)
    middles = np.cumsum(frames) - frames / 2.0
    time = np.arange(frames.sum())
    formants = np.stack([np.interp(time, middles, [s.formants[k] for s in sounds]) for k in range(3)], -1) * mouth
    voice, noise = (np.repeat([getattr(s, name) for s in sounds], frames) for name in ("voice", "noise"))
    voice, noise = (np.convolve(np.pad(x, 2, mode="edge"), np.ones(5) / 5, "valid") for x in (voice, noise))
    sound = pulses(formants, voice, pitch * np.linspace(1.05, 0.85, len(time)), rng) + hiss(formants, noise, rng)
    recording = np.zeros(LENGTH)
    start = rng.integers(0, LENGTH - len(sound) + 1)
    recording[start : start + len(sound)] = sound / np.abs(sound).max()
    room = rng.normal(size=LENGTH) * rng.uniform(0.003, 0.05)
    return (rng.uniform(0.3, 1.0) * (recording + room)).astype(np.float32)


def resonance(frequency: np.ndarray, formants: np.ndarray) -> np.ndarray:
    """How loud frequencies [..., 1] come out of a mouth with resonances [..., 3]: [...]."""
    peaks = STRENGTHS / (1.0 + ((frequency - formants) / WIDTHS) ** 2)
    return peaks.sum(-1)


def pulses(formants: np.ndarray, loudness: np.ndarray, pitch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The voiced part [frames * HOP]: harmonics of the pitch, each as loud as the mouth lets it be."""
    harmonics = np.arange(1, int(RATE / 2 / pitch.max()))
    frequency = pitch[:, None] * harmonics
    loud = resonance(frequency[..., None], formants[:, None, :]) * loudness[:, None] / np.sqrt(harmonics)
    steps = len(pitch) * HOP
    at = np.arange(steps) / HOP
    phase = 2.0 * np.pi * np.cumsum(np.interp(at, np.arange(len(pitch)), pitch)) / RATE
    loud = np.repeat(loud, HOP, axis=0)
    return (loud * np.sin(phase[:, None] * harmonics + rng.uniform(0, 2 * np.pi, len(harmonics)))).sum(-1)


def hiss(formants: np.ndarray, loudness: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The noisy part [frames * HOP]: pieces of noise around the second resonance, faded into each other."""
    frequency = np.fft.rfftfreq(2 * HOP, 1.0 / RATE)
    shape = np.exp(-(((frequency - formants[:, 1:2]) / 800.0) ** 2)) * loudness[:, None]
    phases = np.exp(2j * np.pi * rng.random(shape.shape))
    pieces = np.fft.irfft(shape * phases, axis=1) * np.hanning(2 * HOP) * HOP
    sound = np.zeros((len(pieces) + 1) * HOP)
    sound[:-HOP] += pieces[:, :HOP].ravel()
    sound[HOP:] += pieces[:, HOP:].ravel()
    return sound[:-HOP]
