"""Texts against scikit-learn's vectorisers and logistic regression; vocabularies, Korean, commands and bad input."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.feature_extraction.text import CountVectorizer

import evaluate
import train
from agent_gym.nets.encoders.text.sequence import SequenceEncoder
from agent_gym.nets.settings import EncoderSettings
from agent_gym.tasks.text.classify import Text
from agent_gym.tasks.text.inputs import TextInputs
from agent_gym.tasks.text.settings import TextConfig
from agent_gym.tasks.text.tokens import Tokens, padded

GOOD = ["정말 재미있는 영화였다", "배우들의 연기가 훌륭하다", "다시 보고 싶은 영화다", "감동적이고 아름답다"]
BAD = ["지루해서 잠이 왔다", "돈이 아까운 영화였다", "이야기가 엉망이다", "다시는 보고 싶지 않다"]
ENDS = ["", " 그리고 음악도 좋았다", " 친구와 같이 봤다", " 주말에 집에서", " 오늘 극장에서", " 또", " 참", " 진짜"]


@pytest.fixture
def korean(csv):
    """64 short reviews; the first sentence decides."""
    texts = [text + end for text in (*GOOD, *BAD) for end in ENDS]
    return csv({"review": texts, "score": ["good"] * 32 + ["bad"] * 32})


def learn(config: TextConfig) -> Text:
    torch.manual_seed(config.seed)
    task = Text(config)
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    return task


def test_a_bag_of_words_is_linear_in_scikit_learns_counts(korean):
    task = learn(TextConfig(data=str(korean), text="review", target="score", epochs=2))
    words = list(TextInputs.restored(task.model.spec.text, task.data.test.x.shape[1]).words)
    counts = CountVectorizer().fit(task.texts[0])
    assert words == counts.get_feature_names_out().tolist()
    weight = task.model.encoder.words.weight[1:, 0].detach() * task.model.head.weight[0, 0].detach()
    expected = counts.transform(task.texts[2]).toarray() @ weight.double().numpy() + task.model.head.bias.item()
    np.testing.assert_allclose(task.model.outputs(task.data.test.x)[:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("encoder", ["bow", "gru", "transformer"])
def test_it_learns_what_korean_texts_say(korean, encoder):
    flags = {"epochs": 25, "batch_size": 8, "learning_rate": 5e-3, "attention_size": 16, "recurrent_size": 16}
    task = learn(TextConfig(data=str(korean), text="review", target="score", encoder=encoder, dropout=0.0, **flags))
    scores = task.test()
    assert scores["accuracy"] >= 0.9 and scores["majority_accuracy"] == pytest.approx(0.5, abs=0.1)
    assert scores["logistic_accuracy"] >= 0.9
    images = task.images()
    assert ("test/attention" in images) == (encoder == "transformer")


def test_sentence_vectors_are_inputs_of_a_linear_network(csv):
    path = csv({"t": ["what a lovely film", "an awful, boring film"] * 12, "y": ["a", "b"] * 12})
    task = learn(TextConfig(data=str(path), text="t", target="y", encoder="minilm", epochs=30))
    assert task.data.train.x.shape[1] == 384 and task.test()["accuracy"] == 1.0


def test_the_vocabulary_is_that_of_the_texts_to_train_on(csv):
    texts = [f"word{i % 3} common" for i in range(40)]
    path = csv({"t": texts, "y": ["a", "b"] * 20})
    task = Text(TextConfig(data=str(path), text="t", target="y"))
    task.texts[2][0] = "unseen common"
    inputs = TextInputs.restored(task.model.spec.text, task.data.test.x.shape[1])
    assert inputs.encode(["unseen common"], 9)[0].tolist() == inputs.encode(["common"], 9)[0].tolist()
    tokens = Text(TextConfig(data=str(path), text="t", target="y", encoder="gru"))
    again = Tokens(tokens.model.spec.text["tokenizer"])
    assert again.names(again.split(["common"])[0]) == ["common"]
    assert again.split(["漢"])[0] == [1]


def test_korean_texts_have_tokens_of_their_own():
    tokens, _ = Tokens.learned(GOOD + BAD, 500)
    for row, text in zip(tokens.split(GOOD), GOOD, strict=True):
        assert 1 not in row and "".join(tokens.names(row)) == text.replace(" ", "")


def test_padding_changes_nothing():
    torch.manual_seed(0)
    for name in ("lstm", "transformer"):
        encoder = SequenceEncoder(20, 9, EncoderSettings(name, attention_size=8, attention_heads=2)).eval()
        alone = torch.randint(1, 20, (1, 1, 4))
        beside = torch.zeros(1, 2, 9, dtype=torch.int64)
        beside[0, 0, :4], beside[0, 1] = alone[0, 0], torch.randint(1, 20, (9,))
        features = [encoder(x, torch.zeros(x.shape[1], 0), torch.zeros(1, x.shape[1]))[0] for x in (alone, beside)]
        torch.testing.assert_close(features[0][0, 0], features[1][0, 0], atol=1e-6, rtol=1e-5)
    assert padded([[5, 6], [7, 8, 9, 10]], 3).tolist() == [[5, 6, 0], [7, 8, 9]]


def test_commands_train_resume_score_and_predict(korean, tmp_path, capsys):
    run, out = tmp_path / "run", tmp_path / "out.csv"
    flags = ["--data", str(korean), "--text", "review", "--target", "score", "--encoder", "lstm"]
    assert train.main(["text", *flags, "--epochs", "2", "--quiet", "--run-dir", str(run)]) == 0
    assert train.main(["--resume", str(run), "--epochs", "3", "--quiet"]) == 0
    capsys.readouterr()
    assert evaluate.main([str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == json.loads((run / "result.json").read_text())["metrics"]
    korean.rename(tmp_path / "moved.csv")
    assert evaluate.main([str(run), "--data", str(tmp_path / "moved.csv"), "--predict", str(out)]) == 0
    table = pd.read_csv(out)
    assert list(table) == ["predicted score", "probability of bad", "probability of good"] and len(table) == 64


def refused(capsys, *flags) -> str:
    assert train.main([str(flag) for flag in flags]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_bad_input_is_named(csv, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = csv({"t": ["one two", "two three"] * 20, "y": ["a", "b"] * 20})
    assert "--text is missing" in refused(capsys, "text", "--data", good, "--target", "y")
    assert "--target 'z' is no column" in refused(capsys, "text", "--data", good, "--text", "t", "--target", "z")
    empty = csv({"t": ["one two", "?! …", *["two three"] * 38], "y": ["a", "b"] * 20}, "empty.csv")
    columns = ("--text", "t", "--target", "y")
    assert "column 't', row 3" in refused(capsys, "text", "--data", empty, *columns)
    Text(TextConfig(data=str(empty), text="t", target="y", skip_wordless=True))
    same = csv({"t": ["aa"] * 40, "y": ["a", "b"] * 20}, "same.csv")
    for encoder in ("bow", "gru"):
        assert "one word, 'aa'" in refused(capsys, "text", "--data", same, *columns, "--encoder", encoder)
    assert "--max-length 600" in refused(
        capsys, "text", "--data", good, *columns, "--encoder", "minilm", "--max-length", "600"
    )
    assert "nothing is downloaded" in refused(
        capsys, "text", "--data", good, *columns, "--encoder", "minilm", "--model", "bert-base"
    )
    assert not (tmp_path / "runs").exists()
