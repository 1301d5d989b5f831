"""The commands sentiment, question-answering and text-generation, with ours and with small models of transformers."""

import json

import pytest
import torch
import transformers

import train
from agent_gym.__main__ import main
from agent_gym.tasks.text.answers import stretches

TEXTS = ["one two three four", "five six seven", "one six"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 40}


@pytest.fixture
def saved(tmp_path):
    """Save a small model of a class of transformers with a tokenizer; gives its folder and the model."""

    def save(cls, config):
        import tokenizers

        words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *" ".join(TEXTS).split()])}
        inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
        inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]")
        tokenizer.save_pretrained(tmp_path / "model")
        torch.manual_seed(0)
        model = cls(config).eval()
        model.save_pretrained(tmp_path / "model")
        return tmp_path / "model", model, tokenizer

    return save


def output(capsys, *flags) -> str:
    capsys.readouterr()
    assert main([str(flag) for flag in flags]) == 0
    return capsys.readouterr().out


def refused(capsys, *flags) -> str:
    capsys.readouterr()
    assert main([str(flag) for flag in flags]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_the_answer_is_what_the_question_does_not_say(capsys):
    context = "It is fun. Hugging Face is an open-source community for machine learning. Paris is in France."
    flags = ("question-answering", "--question", "What is Hugging Face?", "--context", context, "--json")
    result = json.loads(output(capsys, *flags))
    assert result["answer"] == "an open-source community for machine learning"
    work = "My name is Sylvain and I work at Hugging Face in Brooklyn"
    spans, said = stretches("Where do I work?", work)
    assert [work[slice(*span)] for span in spans] == ["My name is Sylvain", "Hugging Face in Brooklyn"]
    assert work[:said].endswith("I work")
    result = json.loads(output(capsys, *flags[:1], "--question", "Where do I work?", "--context", work, "--json"))
    assert result["answer"] == "Hugging Face in Brooklyn"


def test_a_classifier_in_a_folder(saved, capsys):
    config = transformers.BertConfig(**SIZES, id2label={0: "BAD", 1: "GOOD"}, max_position_embeddings=16)
    folder, model, tokenizer = saved(transformers.BertForSequenceClassification, config)
    with torch.no_grad():
        expected = model(**tokenizer(TEXTS[0], return_tensors="pt")).logits[0].softmax(-1)
    result = json.loads(output(capsys, "sentiment", TEXTS[0], "--model", folder, "--json"))[0]
    assert result["label"] == ("BAD", "GOOD")[int(expected.argmax())]
    assert result["score"] == pytest.approx(float(expected.max()), rel=1e-5)
    assert "17 tokens, and the model" in refused(capsys, "sentiment", "one " * 17, "--model", folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-20])
    assert "cannot be used" in refused(capsys, "sentiment", TEXTS[0], "--model", folder)
    weights.unlink()
    assert "has no *.safetensors" in refused(capsys, "sentiment", TEXTS[0], "--model", folder)


def test_a_model_that_answers_in_a_folder(saved, capsys):
    config = transformers.BertConfig(**SIZES, max_position_embeddings=32)
    folder, _, _ = saved(transformers.BertForQuestionAnswering, config)
    flags = ("--question", "six", "--context", TEXTS[0], "--model", folder, "--json")
    result = json.loads(output(capsys, "question-answering", *flags))
    assert result["answer"] and result["answer"] in TEXTS[0] and 0 < result["score"] <= 1


def test_a_model_that_goes_on_in_a_folder(saved, capsys):
    sizes = {"n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": 40, "n_positions": 24}
    folder, model, tokenizer = saved(transformers.GPT2LMHeadModel, transformers.GPT2Config(**sizes))
    flags = ("text-generation", "one two", "--model", folder, "--length", "5")
    tokens = tokenizer("one two", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        for _ in range(5):
            tokens = torch.cat((tokens, model(tokens).logits[:, -1:].argmax(-1)), dim=1)
    expected = tokenizer.decode(tokens[0], skip_special_tokens=True)
    assert output(capsys, *flags, "--temperature", "0").strip() == expected.strip()
    assert output(capsys, *flags, "--seed", "1") == output(capsys, *flags, "--seed", "1")
    assert "--length 50" in refused(capsys, *flags[:-1], "50")


def test_runs_of_ours(csv, tmp_path, capsys):
    data = csv({"t": ["good fine", "bad poor"] * 30, "y": ["up", "down"] * 30})
    run = tmp_path / "run"
    flags = ["--data", str(data), "--text", "t", "--target", "y", "--epochs", "20", "--learning-rate", "0.1"]
    assert train.main(["text", *flags, "--quiet", "--run-dir", str(run)]) == 0
    result = json.loads(output(capsys, "sentiment", "a good one", "so bad", "--run", run, "--json"))
    assert [part["label"] for part in result] == ["up", "down"] and result[0]["score"] > 0.8
    assert "expected a run of the task generate" in refused(capsys, "text-generation", "a", "--run", run)


def test_bad_input_is_named(capsys, tmp_path):
    assert "text without words" in refused(capsys, "sentiment", "!!")
    assert "nothing is downloaded" in refused(capsys, "sentiment", "good", "--model", "distilbert-base-uncased")
    assert "give one of --context" in refused(capsys, "question-answering", "--question", "who?")
    assert "--question is a text without words" in refused(
        capsys, "question-answering", "--question", "?", "--context", "one"
    )
    assert "the prompt is empty" in refused(capsys, "text-generation", "")
    assert "is no run" in refused(capsys, "text-generation", "a", "--run", tmp_path)
