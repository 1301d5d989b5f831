"""What a language model gains where it may copy: the place where the last few items stood before tells the next one."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import numpy as np

LONGEST = 512  # match that is still counted


class _Trust:
    """How often a copy was right, by the length of its match: a share learned as the stream goes by."""

    def __init__(self) -> None:
        self.right, self.wrong = ([0.4] * (4 * LONGEST.bit_length() + 1) for _ in range(2))

    @staticmethod
    def bucket(length: int) -> int:
        return int(4.0 * log2(length))

    def share(self, bucket: int) -> float:
        return self.right[bucket] / (self.right[bucket] + self.wrong[bucket])

    def learn(self, bucket: int, right: float) -> None:
        """`right`: the probability that it was the copy that said what came."""
        self.right[bucket] += right
        self.wrong[bucket] += 1.0 - right


def copied_bits(chances: np.ndarray, before: Sequence[int], stream: Sequence[int], order: int) -> float:
    """Bits that `stream` takes after its first item, by a model that gives what comes probabilities chances [T - 1].

    Where the last `order` items stood before, in `before` or earlier in the stream, what followed there counts with the
    share of copies of such a length that were right so far; the model has the rest. This is the match model of
    compressors (Mahoney 2005) beside a network.
    """
    items = [*before, *stream]
    seen = {tuple(items[i - order : i]): i for i in range(order, len(before) + 1)}
    trust, bits, source, length = _Trust(), 0.0, 0, 0
    for i, chance in enumerate(chances.tolist(), len(before) + 1):
        source, length = (source, length + 1) if source and items[source - 1] == items[i - 1] else (0, 0)
        recent = tuple(items[max(i - order, 0) : i])
        if not source and (source := seen.get(recent, 0)):
            while length < LONGEST and length < source and items[source - 1 - length] == items[i - 1 - length]:
                length += 1
        seen[recent] = i
        if source:
            bucket = trust.bucket(min(length, LONGEST))
            share, right = trust.share(bucket), items[source] == items[i]
            copied = share * right
            chance = copied + (1.0 - share) * chance
            trust.learn(bucket, copied / chance)
            source += 1
        bits -= log2(chance)
    return bits
