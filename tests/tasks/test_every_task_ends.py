"""Every task as a command, from its first step to the report, and its checkpoint scored again."""

import json

import pytest

import evaluate
import train

SHORT = {
    "gan": "--total-steps 4 --width 8 --depth 1 --eval-every 4",
    "gan --data digits": "--total-steps 2 --width 8 --depth 1 --components 4 --eval-every 2",
    "diffusion": "--total-steps 2 --width 8 --depth 1 --noise-steps 10 --eval-every 2",
    "diffusion --data digits": "--total-steps 2 --width 8 --depth 1 --noise-steps 10 --eval-every 2",
    "translate": "--num-numbers 40 --epochs 1 --recurrent-size 8",
    "generate": "--epochs 1 --recurrent-size 4 --embedding-size 4 --length 60 --sample-length 10",
    "series": "--num-series 40 --epochs 1 --encoder linear",
    "text": "--data texts.csv --text words --target good --epochs 2",
    "heights": "--epochs 3",
    "xor": "--epochs 3",
    "lesson gradients": "--total-steps 2 --layers 3 --width 8",
    "lesson likelihood": "--epochs 3",
    "lesson batching": "--batch-sizes 1 10 --total-steps 2 --rows 10 --descent-steps 2",
    "lesson curves": "--total-steps 5",
    "lesson memory": "--total-steps 3 --lengths 8 --size 4 --encoders rnn transformer",
}
"""What makes them short; table, detect, speech, digits and lesson convolution have tests of their own."""


@pytest.mark.parametrize("name", SHORT)
def test_a_run_ends_and_scores_the_same_again(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.csv").write_text("words,good\n" + "so good,yes\nso bad,no\n" * 30)
    (tmp_path / "book.txt").write_text("the cat sat on the mat. " * 60)
    flags = SHORT[name].split() + (["--data", "book.txt"] if name == "generate" else [])
    assert train.main([*name.split(), *flags, "--quiet", "--run-dir", "run"]) == 0
    metrics = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]
    capsys.readouterr()
    assert evaluate.main(["run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["metrics"] == metrics
