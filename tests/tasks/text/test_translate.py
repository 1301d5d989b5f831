"""Number words by hand, attention by its equations, sources read from their end, and a small run."""

import pytest
import torch

import train
from agent_gym.ground.errors import UserError
from agent_gym.nets.encoders.text.translator import Translator
from agent_gym.nets.settings import EncoderSettings
from agent_gym.tasks.text.alphabet import Alphabet
from agent_gym.tasks.text.numbers import LARGEST, korean
from agent_gym.tasks.text.settings import TranslateConfig
from agent_gym.tasks.text.translate import Translate, both_ways, known, numbers, sources, translations

WORDS = {
    0: "영", 7: "칠", 10: "십", 11: "십일", 19: "십구", 20: "이십", 100: "백", 101: "백일", 111: "백십일",
    1000: "천", 1234: "천이백삼십사", 10_000: "만", 10_001: "만일", 12_034: "만이천삼십사", 20_000: "이만",
    110_000: "십일만", 1_000_000: "백만", 10_010_001: "천일만일", 36_524_198: "삼천육백오십이만사천백구십팔",
    99_999_999: "구천구백구십구만구천구백구십구",
}  # fmt: skip


def test_number_words_are_those_of_a_korean():
    assert {number: korean(number) for number in WORDS} == WORDS and max(WORDS) == LARGEST
    drawn = numbers(500, 3)
    assert len(set(drawn.tolist())) == len(drawn) and drawn.max() <= LARGEST
    assert len({korean(int(n)) for n in drawn}) == len(drawn)


def test_attention_is_that_of_its_equations():
    torch.manual_seed(0)
    net = Translator(9, 4, 0.0, EncoderSettings(encoder="gru", recurrent_size=6))
    source, target = torch.randint(1, 9, (5, 2)), torch.randint(1, 9, (3, 2))
    source[:2, 1] = 0
    read, state = net.read(source)
    features, _, looked = net.write(target, state, read, known(source))
    written = net.writer(target.unsqueeze(-1), state, torch.zeros(3, 2, dtype=torch.bool))[0]
    for b, start in ((0, 0), (1, 2)):
        for t in range(3):
            scores = torch.stack([written[t, b] @ net.match.weight.t() @ read[b, s] for s in range(start, 5)])
            weights = scores.softmax(0)
            torch.testing.assert_close(looked[b, t, start:], weights, atol=1e-6, rtol=1e-5)
            context = weights @ read[b, start:]
            expected = torch.tanh(net.join(torch.cat((context, written[t, b]))))
            torch.testing.assert_close(features[t, b], expected, atol=1e-6, rtol=1e-5)
    assert (looked[1, :, :2] == 0).all()


def test_sources_are_read_from_their_end_and_targets_end_with_an_edge():
    alphabet = Alphabet("\n0123")
    assert sources(alphabet, ["123", "0"], 4).tolist() == [[0, 5, 4, 3], [0, 0, 0, 2]]
    task = Translate(TranslateConfig(num_numbers=60))
    words, digits = both_ways(int(task.pairs[0][0][1]))
    assert task.pairs[0][:2] == [words, digits]
    x, y = task.data.train.x[0], task.data.train.y[0]
    length = len(y)
    assert task.alphabet.text(x[:length].tolist()[::-1]).strip("\ufffd") == words[0]
    assert task.alphabet.text(x[length:].tolist()).rstrip("\ufffd") == "\n" + words[1]
    assert task.alphabet.text(y.tolist()).rstrip("\ufffd") == words[1] + "\n"
    tests = {source for source, _ in task.pairs[2]}
    assert not tests & {source for source, _ in task.pairs[0]}  # unseen


def test_it_learns_and_says_where_it_looked():
    torch.manual_seed(0)
    flags = {"recurrent_size": 32, "batch_size": 32, "epochs": 8, "learning_rate": 1e-2}
    task = Translate(TranslateConfig(num_numbers=300, **flags))
    before = -task.evaluate()[0]
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    assert -task.evaluate()[0] < 0.5 * before and 0.0 <= task.test()["exact_match"] <= 1.0
    assert set(task.images()) == {"test/attention_to_digits", "test/attention_to_words"}
    assert "→" in task.samples()["sample"] and "→" in task.report(task.test())


def test_bad_input_is_named(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task = Translate(TranslateConfig(num_numbers=60))
    for text in ("hello", "1" * 40, ""):
        with pytest.raises(UserError, match="line 2"):
            translations(task.model, task.alphabet, ["12", text])
    assert train.main(["translate", "--data", "x.csv"]) == 2
    assert "makes its numbers itself" in capsys.readouterr().err
    assert train.main(["translate", "--num-numbers", "3"]) == 2
    assert "--num-numbers 3" in capsys.readouterr().err
