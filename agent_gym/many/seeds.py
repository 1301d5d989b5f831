"""Which seeds are meant: 32, 0:32 or 0,5,7. Imports no torch."""

from __future__ import annotations

import re

from agent_gym.ground.errors import UserError, one_line

MOST = 10_000  # seeds of one group
LARGEST = 2**31


def parse_seeds(text: str) -> tuple[int, ...]:
    """The seeds of `--seeds`: a count (from 0 on), first:end (without the end), or a list. Raises UserError."""
    shown = f"--seeds {one_line(ValueError(text), 60)}" if text else "--seeds without a value"
    expected = "expected a count such as 32, a range such as 0:32, or a list such as 0,5,7"
    text = text.replace(" ", "").replace("_", "")
    if re.fullmatch(r"\d{1,12}", text):
        first, end = 0, int(text)
    elif found := re.fullmatch(r"(\d{1,12}):(\d{1,12})", text):
        first, end = map(int, found.groups())
    elif re.fullmatch(r"\d{1,12}(,\d{1,12})*,?", text):
        seeds = tuple(int(part) for part in text.split(",") if part)
        if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
            raise UserError(f"{shown}: {twice[0]} is there twice; {expected}")
        return checked(seeds, shown)
    else:
        raise UserError(f"{shown}: {expected}")
    if first >= end:
        raise UserError(f"{shown}: that is no seed; {expected}")
    if end - first > MOST:
        raise UserError(f"{shown}: {end - first:,} seeds; expected at most {MOST:,}")
    return checked(tuple(range(first, end)), shown)


def checked(seeds: tuple[int, ...], shown: str) -> tuple[int, ...]:
    if len(seeds) > MOST or max(seeds) >= LARGEST:
        raise UserError(f"{shown}: expected at most {MOST:,} seeds below {LARGEST:,}")
    return seeds
