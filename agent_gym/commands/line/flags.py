"""Flags: settings from a command line, with every mistake told in one line. Imports no torch."""

from __future__ import annotations

import io
import re
import types
from collections.abc import Iterable
from contextlib import redirect_stderr
from dataclasses import fields, is_dataclass
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import tyro

from agent_gym.ground.errors import UserError, nearest
from agent_gym.ground.settings import flag

T = TypeVar("T")
MULTIPLES = {"k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9}
HELP = ("-h", "--help")
COMPLETION = ("--tyro-print-completion", "--tyro-write-completion")  # for shells, as tyro makes it
ASKED = (*HELP, *COMPLETION)  # what is printed without a run
EXPECTED = {int: "a whole number such as 50000, 50k or 5e4", float: "a number such as 0.01 or 1e-2"}


def read_flags(
    settings: type[T], argv: list[str], *, prog: str, default: T | None = None, first: Iterable[str] = ()
) -> tuple[T, set[str]]:
    """The settings, and the names of those that the command line gives. `first`: words that belong to the front.

    Raises UserError; for --help prints `default`, or the class's own values, and raises SystemExit.
    """
    tokens, given = (argv, set()) if set(ASKED) & set(argv) else spelled_out(argv, settings, prog, first)
    if set(COMPLETION) & set(argv):
        prog = "agent-gym"  # shells complete the words behind one name
    options = {} if default is None else {"default": default}
    message = io.StringIO()
    try:
        with redirect_stderr(message):
            return tyro.cli(settings, args=tokens, prog=prog, **options), given
    except SystemExit as stop:
        if not stop.code:
            raise  # --help
        raise UserError(plain_text(message.getvalue()) or f"unknown usage: see {prog} --help") from None


def known_flags(settings: type, prefix: str = "") -> dict[str, Any]:
    """The type of each flag's value; of positional arguments under their bare names."""
    found = {}
    hints = get_type_hints(settings, include_extras=True)
    for field in fields(settings):
        kind, extras = hints[field.name], ()
        if get_origin(kind) is Annotated:
            kind, *extras = get_args(kind)
        if is_dataclass(kind):
            found |= known_flags(kind, f"{prefix}{field.name}.")
        elif any(extra is tyro.conf.Positional or "Positional" in repr(extra) for extra in extras):
            found[field.name] = kind
        else:
            found[flag(prefix + field.name)] = kind
    return found


def spelled_out(argv: list[str], settings: type, prog: str, first: Iterable[str] = ()) -> tuple[list[str], set[str]]:
    """The arguments with numbers as Python writes them, and the settings that they name. Raises UserError."""
    flags = known_flags(settings)
    tokens, given, places = [], set(), sum(not name.startswith("--") for name in flags)
    rest, i = list(argv), 0
    while i < len(rest):
        token = rest[i]
        i += 1
        if not re.match(r"-+[A-Za-z]", token):
            places -= 1
            if places < 0:
                raise UserError(stray(token, tokens, flags, first))
            tokens.append(token)
            continue
        name, equals, value = token.partition("=")
        name = "--" + name.lstrip("-").replace("_", "-")
        positive = name.replace("--no-", "--", 1)
        kind = flags.get(name, bool if flags.get(positive) is bool else None)
        if kind is None:
            listed = f" ({prog} --help lists them)"
            known = (*flags, "--resume") if first else flags  # which stands apart, and first
            raise UserError(f"unknown flag {token.partition('=')[0]}{nearest(name, known) or listed}")
        given.add((name if name in flags else positive)[2:].replace("-", "_"))
        tokens.append(name)
        if kind is bool:
            tokens[-1] += equals + value
            continue
        values = [value] if equals else []
        if not equals:
            limit = len(rest) if takes_many(kind) else i + 1
            while i < min(limit, len(rest)) and not re.match(r"--[A-Za-z]", rest[i]):
                values.append(rest[i])
                i += 1
        if not values and get_origin(kind) is Literal and "yes" in get_args(kind):
            values = ["yes"]  # --profile is --profile yes
        if not values and not takes_many(kind):
            raise UserError(f"{name} lacks its value: expected {expected(kind)}")
        tokens += [checked(name, kind, each) for each in values]
    return tokens, given


def stray(token: str, before: list[str], flags: dict[str, Any], first: Iterable[str]) -> str:
    """What to say of a word that no flag takes."""
    if token in first:
        return f"{token!r} comes too late: the agent or task is the first argument"
    if before and flags.get(before[-1]) is bool:
        return f"{token!r} belongs to no flag: {before[-1]} takes no value, and its opposite is --no-{before[-1][2:]}"
    if "--env" in flags and re.search(r":|/|-v\d+$", token):
        return f"{token!r} belongs to no flag; did you mean --env {token}?"
    return f"{token!r} belongs to no flag{nearest('--' + token, flags)}"


def takes_many(kind: Any) -> bool:
    return get_origin(kind) is tuple or any(takes_many(part) for part in options_of(kind))


def options_of(kind: Any) -> tuple:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else ()


def expected(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(kind)))
    return EXPECTED.get(kind, "a value")


def checked(name: str, kind: Any, value: str) -> str:
    """A value as tyro takes it. Raises UserError."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    words = [str(word) for part in options_of(kind) if get_origin(part) is Literal for word in get_args(part)]
    numeric = next((part for part in options_of(kind) if part in EXPECTED), None)
    if words and numeric:
        if value in words:
            return value
        try:
            return str(number(value, numeric))
        except (ValueError, OverflowError):
            raise UserError(
                f"{name} {value}: expected {', '.join(words)} or {EXPECTED[numeric]}{nearest(value, words)}"
            ) from None
    if get_origin(kind) is Literal:
        choices = [str(choice) for choice in get_args(kind)]
        if value not in choices:
            raise UserError(f"{name} {value}: expected {expected(kind)}{nearest(value, choices)}")
        return value
    if kind in EXPECTED:
        try:
            return str(number(value, kind))
        except (ValueError, OverflowError):
            raise UserError(f"{name} {value}: expected {expected(kind)}") from None
    if int in options_of(kind) or takes_many(kind):  # of tuples, whole numbers alone are written in other ways
        try:
            return str(number(value, int))
        except (ValueError, OverflowError):
            return value
    return value


def number(text: str, kind: type) -> int | float:
    """A number as people write it: 1e6, 100k, 2.5M, 1_000_000. Raises ValueError and OverflowError."""
    multiple = MULTIPLES.get(text[-1:].lower(), 1)
    digits = text[:-1] if multiple > 1 else text
    if kind is int and re.fullmatch(r"[+-]?[\d_]+", digits):
        return int(digits) * multiple
    value = float(digits) * multiple
    if kind is float:
        return value
    if value != int(value):
        raise ValueError(text)
    return int(value)


def plain_text(box: str) -> str:
    """What tyro says in a box, on one line."""
    lines = [line.strip("│╭╮╰╯─ \n") for line in box.splitlines() if "─╮" not in line]
    text = " ".join(filter(None, lines))
    return text.partition(" For full helptext")[0].partition(" Argument helptext")[0].strip()
