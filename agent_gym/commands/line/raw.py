"""Flags as they were typed: single ones looked at or taken out before all are read. Imports no torch."""

from __future__ import annotations

from typing import Any


def taken(flags: list[str], name: str) -> tuple[list[str], str | None]:
    """Flags without --name, and its value; None where it is not given. It is no setting of a run."""
    for place, token in enumerate(flags):
        spelled, equals, value = token.partition("=")
        if spelled.replace("_", "-") == f"--{name}":
            if not equals:
                value = next((word for word in flags[place + 1 : place + 2] if not word.startswith("--")), "")
            return flags[:place] + flags[place + (1 if equals or not value else 2) :], value
    return flags, None


def together(flags: list[str], name: str) -> list[str]:
    """The values of a flag that is given several times behind one of its name, at the end."""
    rest, values, taking = [], [], False
    for flag in flags:
        spelled, equals, value = flag.partition("=")
        if spelled == name:
            taking = not equals
            values += [value] if equals else []
        elif taking and not flag.startswith("--"):
            values.append(flag)
        else:
            taking = False
            rest.append(flag)
    return [*rest, name, *values] if values else flags


def made_of(flags: list[str]) -> dict[str, Any]:
    """The layers around the environment in raw flags."""
    found: dict[str, Any] = {}
    if "--wrapper" in flags:
        found["wrapper"] = tuple(flags[flags.index("--wrapper") + 1 :])
    for name in ("frame_stack", "max_episode_steps"):
        if (value := flag_value(flags, name)).isdecimal():
            found[name] = int(value)
    return found


def flag_value(flags: list[str], name: str) -> str:
    """The value of --name in raw flags, in either spelling; "" where it is not given."""
    for flag, following in zip(flags, [*flags[1:], ""], strict=False):
        key, equals, value = flag.partition("=")
        if key.startswith("--") and key.lstrip("-").replace("-", "_") == name:
            return value if equals else following
    return ""
