"""The part of a text that answers a question, by the vectors of a sentence transformer alone.

The sentence whose vector is nearest to the question's; of it what the question does not say itself: the stretch behind
the last word that both have. Where there is none, or the question asks who, it is the stretch nearest to the question.
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
SUBJECTS = ("who", "whose", "which")  # what they ask for stands in front


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
    text = sentences[best]
    spans, said = stretches(question, text)
    behind = [span for span in spans if span[0] >= said]
    if behind and WORD.search(question).group().lower() not in SUBJECTS:
        spans = behind[:1]
    words = [text[slice(*span)] for span in spans]
    if len(words) > 1:
        words = [words[int((model.vectors(words) @ asked).argmax())]]
    return Answer(words[0] if words else text, text, nearness[best])


def stretches(question: str, sentence: str) -> tuple[list[tuple[int, int]], int]:
    """Where the sentence says what the question does not, without joints at the ends; and where the last word of the
    question ends in it that is no joint."""
    asked = {word.lower() for word in WORD.findall(question)}
    runs: list[list[re.Match]] = [[]]
    said = 0
    for word in WORD.finditer(sentence):
        if word.group().lower() in asked:
            runs.append([])
            said = said if word.group().lower() in JOINTS else word.end()
        else:
            runs[-1].append(word)
    spans = []
    for run in runs:
        while run and run[0].group().lower() in JOINTS:
            run = run[1:]
        while run and run[-1].group().lower() in JOINTS:
            run = run[:-1]
        if run:
            spans.append((run[0].start(), run[-1].end()))
    return spans, said
