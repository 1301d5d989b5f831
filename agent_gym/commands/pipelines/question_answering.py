"""What in a text answers a question: agent-gym question-answering --question "…" --context "…"."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from agent_gym.commands.line.messages import reported
from agent_gym.ground.errors import UserError


@dataclass(frozen=True)
class AnswerConfig:
    """The sentence of a text that is nearest to a question, and what in it the question does not say itself; or the
    span that a model of Hugging Face in a local folder chooses."""

    question: str
    """What is asked."""
    context: str = ""
    """The text that holds the answer."""
    data: str = ""
    """File with that text, in UTF-8, instead of --context."""
    model: str = ""
    """Folder of a model of Hugging Face (AutoModelForQuestionAnswering); empty: sentence vectors of MiniLM."""
    json: bool = False
    """Print one JSON object and nothing else."""


@reported
def main(argv: list[str]) -> int:
    args = tyro.cli(AnswerConfig, args=argv, prog="agent-gym question-answering")
    if bool(args.context) == bool(args.data):
        raise UserError("the text to answer from: give one of --context TEXT and --data FILE")
    if args.data:
        from agent_gym.tasks.text.generate import read_text

        context = read_text(Path(args.data))
    else:
        context = args.context
    if args.model:
        from agent_gym.tasks.text.hugging_face import answer

        text, score = answer(args.model, args.question, context)
        result = {"answer": text, "score": score}
    else:
        from agent_gym.tasks.text.answers import find_answer
        from agent_gym.tasks.text.pretrained import minilm

        found = find_answer(minilm(""), args.question, context)
        result = {"answer": found.text, "sentence": found.sentence, "score": found.nearness}
    if args.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        for name, value in result.items():
            print(f"{name:>10} {value if isinstance(value, str) else f'{value:.4f}'}")
    return 0
