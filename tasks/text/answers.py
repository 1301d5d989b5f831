"""The part of a text that answers a question, by the vectors of a sentence transformer alone.

The sentence whose vector is nearest to the question's; of it the longest stretches that the question does not say
itself, and of those the one nearest to the question.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from agent_gym.ground.errors import UserError
from agent_gym.tasks.text.pretrained import SentenceModel

SENTENCE = re.compile(r"(?<=[.!?。])\s+|\n+")
WORD = re.compile(r"\w+(?:['’-]\w+)*")
JOINTS = (
    *("and", "or", "but", "so", "that", "which", "who", "is", "are", "was", "were", "am", "be", "been", "has", "have"),
    *("had", "do", "does", "did", "in", "on", "at", "by", "to", "of", "from", "with", "for", "as", "it", "its"),
)


class Answer(NamedTuple):
    """A span of the text, the sentence that it stands in, and the sentence's nearness to the question, -1 to 1."""

    text: str
    sentence: str
    nearness: float


def find_answer(model: SentenceModel, question: str, context: str) -> Answer:
    """The answer in `context`. Raises UserError for texts without words."""
    for name, text in (("question", question), ("context", context)):
        if not WORD.search(text):
            raise UserError(f"--{name} is a text without words: expected a sentence")
    sentences = [part.strip() for part in SENTENCE.split(context) if WORD.search(part)]
    asked, *found = model.vectors([question, *sentences])
    nearness = [float(vector @ asked) for vector in found]
    best = max(range(len(sentences)), key=nearness.__getitem__)
    spans = stretches(question, sentences[best])
    if len(spans) > 1:
        near = model.vectors(spans) @ asked
        spans = [spans[int(near.argmax())]]
    return Answer(spans[0] if spans else sentences[best], sentences[best], nearness[best])


def stretches(question: str, sentence: str) -> list[str]:
    """Stretches of a sentence without a word of the question, and without joints at their ends."""
    said = {word.lower() for word in WORD.findall(question)}
    runs: list[list[re.Match]] = [[]]
    for word in WORD.finditer(sentence):
        if word.group().lower() in said:
            runs.append([])
        else:
            runs[-1].append(word)
    spans = []
    for run in runs:
        while run and run[0].group().lower() in JOINTS:
            run = run[1:]
        while run and run[-1].group().lower() in JOINTS:
            run = run[:-1]
        if run:
            spans.append(sentence[run[0].start() : run[-1].end()])
    return spans
