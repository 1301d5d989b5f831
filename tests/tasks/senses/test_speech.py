"""Spectrograms against closed forms; digits by a formula; recordings from files."""

import wave

import numpy as np
import pytest
import torch

import evaluate
import train
from agent_gym.ground.errors import UserError
from agent_gym.tasks.senses.speech import BANDS, STEPS, mel_bands, read_folder, read_sound, spectrogram
from agent_gym.tasks.senses.voice import LENGTH, RATE, SAID, SOUNDS, WORDS, say


def write(path, sound, rate=RATE, channels=1, width=2):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes((np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes())
    return path


def test_a_tone_lies_in_the_band_of_its_pitch():
    time = torch.arange(LENGTH) / RATE
    edges = 700.0 * (10.0 ** (np.linspace(0.0, 2595.0 * np.log10(1.0 + RATE / 2 / 700.0), BANDS + 2) / 2595.0) - 1.0)
    for hertz in (300.0, 1000.0, 2500.0):
        picture = spectrogram(torch.sin(2 * torch.pi * hertz * time)[None])[0]
        assert picture.shape == (STEPS, BANDS)
        band = picture[STEPS // 2].argmax().item()
        assert edges[band] < hertz < edges[band + 2]
    assert mel_bands().shape == (129, BANDS)


def test_a_vowel_is_loud_at_its_resonances():
    assert len(SAID) == len(WORDS) == 10 and all(letter in SOUNDS for word in SAID for letter in word)
    power = np.mean([np.abs(np.fft.rfft(say(3, np.random.default_rng(n)))) ** 2 for n in range(20)], axis=0)
    frequency = np.fft.rfftfreq(LENGTH, 1.0 / RATE)
    near = power[(frequency > 200) & (frequency < 450)].mean()  # the first resonance of "ee" is at 270 Hz
    assert near > 5 * power[(frequency > 700) & (frequency < 1500)].mean()
    assert np.array_equal(say(8, np.random.default_rng(5)), say(8, np.random.default_rng(5)))


def test_recordings_are_learned_from_a_folder_and_one_is_recognised(tmp_path, capsys):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for n in range(200):
        write(folder / f"{n % 10}_voice_{n}.wav", say(n % 10, np.random.default_rng(n)))
    flags = ["--data", str(folder), "--epochs", "12", "--batch-size", "16", "--quiet", "--run-dir", str(tmp_path / "r")]
    assert train.main(["speech", *flags]) == 0
    out = capsys.readouterr().out
    assert float(next(line for line in out.splitlines() if "accuracy" in line).split()[1]) > 0.5
    sound = write(tmp_path / "new.wav", np.repeat(say(6, np.random.default_rng(1000)), 2), rate=2 * RATE)
    assert evaluate.main([str(tmp_path / "r"), "--data", str(sound), "--predict", str(tmp_path / "o.csv")]) == 0
    assert (tmp_path / "o.csv").read_text().startswith("predicted digit,probability\n")


def test_what_is_no_recording_is_refused(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF no sound")
    with pytest.raises(UserError, match="cannot be read as a WAV file"):
        read_sound(tmp_path / "a.wav")
    write(tmp_path / "b.wav", np.zeros(100), rate=500_000)
    with pytest.raises(UserError, match="500000 Hz"):
        read_sound(tmp_path / "b.wav")
    write(tmp_path / "c.wav", np.zeros(0))
    with pytest.raises(UserError, match="expected"):
        read_sound(tmp_path / "c.wav")
    with pytest.raises(UserError, match="expected a folder with 10"):
        read_folder(tmp_path)
    for n in range(10):
        write(tmp_path / f"x{n}.wav", np.ones(10))
    with pytest.raises(UserError, match="does not begin with a digit"):
        read_folder(tmp_path)
    long = np.concatenate((np.zeros(20_000), np.ones(LENGTH), np.zeros(9_000)))
    assert np.allclose(read_sound(write(tmp_path / "long.wav", long)), 1.0, atol=1e-3)  # the loudest stretch
