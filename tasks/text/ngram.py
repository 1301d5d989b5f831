"""What a language model has to beat: counts of what followed the same few characters, and a compressor."""

from __future__ import annotations

import lzma
from collections import Counter, defaultdict
from math import log2


def ngram_bits(train: str, test: str, order: int = 5) -> float:
    """Bits per character of `test` by Witten and Bell's interpolation (1991) of counts after up to `order` characters.

    A character that `train` lacks is one of all others that Unicode has.
    """
    following: list[dict[str, Counter]] = [defaultdict(Counter) for _ in range(order + 1)]
    for k, contexts in enumerate(following):
        for i in range(k, len(train)):
            contexts[train[i - k : i]][train[i]] += 1
    totals = [{context: counts.total() for context, counts in contexts.items()} for contexts in following]
    text, bits = train[-order:] + test, 0.0
    for i in range(len(text) - len(test), len(text)):
        chance = 1.0 / 0x110000
        for k in range(order + 1):
            context = text[i - k : i]
            counts = following[k].get(context)
            if counts is None:
                break
            chance = (counts[text[i]] + len(counts) * chance) / (totals[k][context] + len(counts))
        bits -= log2(chance)
    return bits / len(test)


def xz_bits(text: str, before: str = "") -> float:
    """Bits per character that xz at its best adds for `text`, with `before` in front of it."""
    return 8.0 * (_xz(before + text) - (_xz(before) if before else 0)) / len(text)


def _xz(text: str) -> int:
    return len(lzma.compress(text.encode("utf-8", "surrogatepass"), preset=9 | lzma.PRESET_EXTREME))
