"""Of what mood a text is: agent-gym sentiment "TEXT" …"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from agent_gym.commands.line.messages import reported
from agent_gym.ground.errors import UserError


@dataclass(frozen=True)
class SentimentConfig:
    """The class of each text and its probability: by a bag of words learned at once from 5,000 reviews of foods,
    by a run of the task `text`, or by a classifier of Hugging Face in a local folder."""

    texts: tyro.conf.Positional[tuple[str, ...]]
    """Texts to judge."""
    run: str = ""
    """Directory of a run of the task text."""
    model: str = ""
    """Folder of a model of Hugging Face (AutoModelForSequenceClassification)."""
    json: bool = False
    """Print one JSON list and nothing else."""


@reported
def main(argv: list[str]) -> int:
    args = tyro.cli(SentimentConfig, args=argv, prog="agent-gym sentiment")
    from agent_gym.tasks.text.inputs import HAS_WORDS

    for text in args.texts:
        if not HAS_WORDS.search(text):
            raise UserError(f"{text!r} is a text without words: expected a sentence")
    if args.run and args.model:
        raise UserError("--run and --model: give one of them")
    results = _by_model(args) if args.model else _by_run(args) if args.run else _by_reviews(args)
    if args.json:
        print(json.dumps([{"label": label, "score": score} for label, score in results]))
    else:
        for text, (label, score) in zip(args.texts, results, strict=True):
            print(f"{label:>10} {score:.4f}  {text}")
    return 0


def _by_model(args: SentimentConfig) -> list[tuple[str, float]]:
    from agent_gym.tasks.text.hugging_face import classify

    return classify(args.model, list(args.texts))


def _by_run(args: SentimentConfig) -> list[tuple[str, float]]:
    from agent_gym.commands.pipelines.runs import open_text_run

    model, config = open_text_run(Path(args.run), "text")
    return _judged(model, config.max_length, args.texts)


def _by_reviews(args: SentimentConfig) -> list[tuple[str, float]]:
    import torch

    from agent_gym.tasks.text.classify import Text
    from agent_gym.tasks.text.settings import TextConfig

    torch.manual_seed(0)
    task = Text(TextConfig(val_split=0.0, test_split=0.0, epochs=8))
    while task.steps < task.total_steps:
        task.collect()
        task.update()
    return _judged(task.model, task.config.max_length, args.texts)


def _judged(model, length: int, texts: tuple[str, ...]) -> list[tuple[str, float]]:
    from agent_gym.tasks.text.inputs import TextInputs

    spec = model.spec
    if not spec.classes:
        raise UserError("the run predicts a number: expected one of classes")
    inputs = TextInputs.restored(spec.text, spec.shape[0])
    chances = model.probabilities(model.outputs(inputs.encode(list(texts), length)))
    if chances.shape[1] == 1:
        chances = chances.new_tensor([[1.0 - float(p), float(p)] for p in chances[:, 0]])
    return [(spec.classes[int(row.argmax())], float(row.max())) for row in chances]
