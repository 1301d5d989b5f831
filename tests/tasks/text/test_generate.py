"""Language models: bits against sums by hand, streams against single steps, texts back without loss, bad input."""

import json
from math import log2

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import evaluate
import train
from agent_gym.tasks.text.alphabet import Alphabet
from agent_gym.tasks.text.copying import copied_bits
from agent_gym.tasks.text.generate import Generate, python_reference
from agent_gym.tasks.text.ngram import ngram_bits, xz_bits
from agent_gym.tasks.text.settings import GenerateConfig

SMALL = {"recurrent_size": 24, "embedding_size": 8, "length": 16, "batch_size": 8, "dropout": 0.0, "sample_length": 12}
ATTENTION = {"encoder": "transformer", "attention_size": 16, "attention_heads": 2, "attention_window": 8}


@pytest.fixture
def book(tmp_path):
    path = tmp_path / "book.txt"
    path.write_text("가나다라 마바사아 자차카타 파하.\n" * 80)
    return path


def test_bits_of_counts_are_those_written_out():
    rest = 1 / 0x110000
    a = (2 + 2 * rest) / 5  # after aab: two of three were a, two different ones were seen
    assert ngram_bits("aab", "a", 0) == pytest.approx(-log2(a))
    a_after_a = (1 + 2 * a) / (2 + 2)  # a and b followed a
    assert ngram_bits("aab", "a", 1) == pytest.approx(-log2(a))  # b had no follower
    assert ngram_bits("aaba", "a", 1) == pytest.approx(-log2((1 + 2 * (3 + 2 * rest) / 6) / (2 + 2)))
    assert a_after_a > a
    assert xz_bits("ab" * 500, "ab" * 500) < 0.1 < xz_bits("ab" * 500)


@pytest.mark.parametrize("tokens", [0, 300])
def test_a_text_comes_back_without_loss(tokens):
    text = "한국어와 English,\n\n  spaces\tand tabs… 🙂\n" * 4
    alphabet = Alphabet.of(text, tokens)
    numbers = alphabet.numbers(text)
    assert alphabet.text(numbers) == text and max(numbers) < len(alphabet)
    assert tokens == 0 or len(numbers) < len(text)


@pytest.mark.parametrize("flags", [{"encoder": "lstm"}, ATTENTION])
def test_a_stream_has_the_bits_of_its_single_steps(book, flags, monkeypatch):
    torch.manual_seed(0)
    task = Generate(GenerateConfig(data=str(book), **SMALL | flags))
    stream = task.streams[2][:40]
    model, total = task.model.eval(), 0.0
    state = model.encoder.initial_state(1)
    for now, following in zip(stream[:-1], stream[1:], strict=True):
        logits, state = model.step(now.view(1, 1), state)
        total -= F.log_softmax(logits[0, 0], 0)[following].item() / torch.log(torch.tensor(2.0)).item()
    monkeypatch.setattr("agent_gym.tasks.text.generate.TOGETHER", 7)
    chances = model.chances(stream)
    assert chances.shape == (39,) and -chances.log2().sum().item() == pytest.approx(total, rel=1e-5)


def test_what_stood_before_is_copied():
    before, stream = [1, 2, 3, 1, 2], [3, 1, 2]
    # After 2 3 and after 3 1 comes what came there; of copies of 3 and of 4 items nothing is known yet: one half each.
    assert copied_bits(np.full(2, 0.2), before, stream, 2) == pytest.approx(-2 * log2(0.5 + 0.5 * 0.2))
    assert copied_bits(np.full(2, 0.2), before, [7, 8, 9], 2) == pytest.approx(-2 * log2(0.2))  # nothing to copy
    text = np.random.default_rng(0).integers(50, size=3000).tolist()
    chances = np.full(499, 1 / 50)
    assert copied_bits(chances, text, text[1000:1500], 3) < 100 < 2800 < -np.log2(chances).sum()
    assert copied_bits(chances, text, [7, 8, 9, 10, 11] * 100, 3) < 150  # from the stream itself


def test_it_learns_a_text_by_heart_and_goes_on_with_it(book):
    torch.manual_seed(0)
    config = GenerateConfig(data=str(book), epochs=30, learning_rate=0.02, temperature=0.0, prompt="자차", **SMALL)
    task = Generate(config)
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    metrics = task.test()
    assert metrics["bits_per_character"] < 0.1 and metrics["ngram_bits_per_character"] < 0.2
    assert task.sample() == "자차카타 파하.\n가나다라 "
    assert task.sample() == task.sample() and list(task.samples()) == ["sample"]


def test_the_text_is_cut_anew_every_epoch_and_the_same_way_again(book):
    config = GenerateConfig(data=str(book), epochs=3, **SMALL)
    cuts = []
    for _ in range(2):
        task = Generate(config)
        starts = []
        while task.steps < task.total_steps:
            task.collect()
            starts.append(task.data.train.x[0, :, 0].tolist())
            task.steps += task.steps_per_epoch
        cuts.append(starts)
    assert cuts[0] == cuts[1] and len(set(map(tuple, cuts[0]))) > 1


def test_a_resumed_run_ends_as_an_unbroken_one(book, tmp_path, capsys):
    flags = ["generate", "--data", str(book), "--quiet", "--recurrent-size", "8", "--length", "16", "--tokens", "280"]
    flags += ["--schedule", "constant", "--sample-length", "20"]
    assert train.main([*flags, "--epochs", "4", "--run-dir", str(tmp_path / "a")]) == 0
    assert train.main([*flags, "--epochs", "2", "--run-dir", str(tmp_path / "b")]) == 0
    assert train.main(["--resume", str(tmp_path / "b"), "--epochs", "4", "--quiet"]) == 0
    results = [json.loads((tmp_path / name / "result.json").read_text())["metrics"] for name in "ab"]
    assert results[0] == results[1]
    assert "bits per character" in capsys.readouterr().out
    assert evaluate.main([str(tmp_path / "a"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == results[0]


def test_pythons_reference_is_there():
    assert len(python_reference()) > 300_000


def test_bad_input_is_named(book, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = {"one.txt": b"a" * 900, "short.txt": b"ab", "broken.txt": b"ab\xff" * 300, "empty.txt": b""}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for flags, message in (
        (["--data", "none.txt"], "none.txt cannot be read"),
        (["--data", "."], "cannot be read"),
        (["--data", "one.txt"], "holds 1 different characters"),
        (["--data", "empty.txt"], "holds 0 different characters"),
        (["--data", "short.txt"], "has 2 characters, too few"),
        (["--data", "broken.txt"], "is not UTF-8 text (byte 2)"),
        (["--data", str(book), "--length", "5000"], "too few for sequences of --length 5000"),
        (["--data", str(book), "--tokens", "9"], "--tokens 9: expected 256"),
        (["--data", str(book), "--temperature", "-1"], "--temperature -1"),
    ):
        assert train.main(["generate", *flags]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and message in lines[0], lines
    assert not (tmp_path / "runs").exists()
