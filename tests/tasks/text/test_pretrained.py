"""BERT against the library transformers, MiniLM against the similarities that its card gives, and damaged files."""

import pytest
import torch
from transformers import BertConfig, BertModel

from agent_gym.ground.errors import UserError
from agent_gym.tasks.text.pretrained import load_bert, minilm
from agent_gym.tasks.text.tokens import Tokens


@pytest.fixture
def folder(tmp_path):
    """A small BERT with a tokenizer, as `transformers` saves it."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    sizes = BertConfig(vocab_size=60, max_position_embeddings=12, **sizes)
    BertModel(sizes).save_pretrained(tmp_path)
    _, text = Tokens.learned(["one two three", "three four"], 60)
    (tmp_path / "tokenizer.json").write_text(text)
    return tmp_path


def test_bert_equals_the_library_transformers(folder):
    ours, theirs = load_bert(folder).eval(), BertModel.from_pretrained(folder).eval()
    tokens = torch.randint(1, 60, (3, 7))
    known = torch.arange(7) < torch.tensor([[7], [4], [1]])
    expected = theirs(tokens, attention_mask=known.long()).last_hidden_state
    torch.testing.assert_close(ours(tokens, known)[known], expected[known], atol=1e-6, rtol=1e-5)


def test_minilm_gives_the_similarities_of_its_card():
    sentences = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    vectors = minilm("").vectors(sentences)
    cosines = (vectors @ vectors.t()).numpy()  # of vectors of length 1
    assert cosines[0, 1] == pytest.approx(0.6660, abs=1e-3)
    assert cosines[0, 2] == pytest.approx(0.1046, abs=1e-3)
    assert cosines[1, 2] == pytest.approx(0.1411, abs=1e-3)


def test_a_text_longer_than_the_model_reads_is_refused_or_cut(folder):
    model = minilm(str(folder))
    with pytest.raises(UserError, match="text 2 has 13 tokens, and the model of .* reads 12"):
        model.vectors(["one", " ".join(["one"] * 13)])
    assert model.vectors(["one", " ".join(["one"] * 13)], 5).shape == (2, 16)


def test_damaged_files_are_named(folder):
    path = folder / "model.safetensors"
    good = path.read_bytes()
    for damaged in (good[:50], good[:-9], b"\xff" * 64, b""):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="model.safetensors is damaged"):
            load_bert(folder)
    path.write_bytes(good)
    config = folder / "config.json"
    text = config.read_text()
    for wrong, message in (
        (text.replace('"hidden_size": 16', '"hidden_size": 160000'), "does not fit its config.json"),
        (text.replace('"bert"', '"gpt2"'), "is no BERT"),
        ("[]", "is no BERT"),
        ("{", "is no BERT"),
    ):
        config.write_text(wrong)
        with pytest.raises(UserError, match=message) as error:
            load_bert(folder)
        assert "\n" not in str(error.value)
    path.unlink()
    config.write_text(text)
    with pytest.raises(UserError, match="no such file"):
        load_bert(folder)
    (folder / "tokenizer.json").write_text('{"model": 3}')
    with pytest.raises(UserError, match="tokenizer is damaged"):
        Tokens((folder / "tokenizer.json").read_text())
