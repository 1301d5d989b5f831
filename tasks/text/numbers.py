"""Numbers as Koreans write them: 12,034 is 만이천삼십사."""

from __future__ import annotations

DIGITS = "영일이삼사오육칠팔구"
PLACES = ("", "십", "백", "천")
MYRIADS = ("", "만")
LARGEST = 10_000 ** len(MYRIADS) - 1


def korean(number: int) -> str:
    """0 to LARGEST in words. A one stands before no place but the last, nor before 만 at the front."""
    if number == 0:
        return DIGITS[0]
    words = ""
    for power in range(len(MYRIADS) - 1, -1, -1):
        group = number // 10_000**power % 10_000
        part = ""
        for place in range(3, -1, -1):
            digit = group // 10**place % 10
            if digit:
                part += ("" if digit == 1 and place else DIGITS[digit]) + PLACES[place]
        if part:
            words += ("" if part == "일" and power and not words else part) + MYRIADS[power]
    return words
