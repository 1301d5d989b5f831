"""Plain data that anybody may have written: nothing is taken unchecked. Imports no torch."""

from __future__ import annotations

import dataclasses
import types
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
LARGEST = 2**62  # of whole numbers: torch and numpy take no more than 64 bits


def from_plain(cls: type[T], stored: Any) -> T:
    """An instance of dataclass `cls` from a dict of its fields; lists stand for tuples, dicts for dataclasses.

    Raises TypeError that names the field whose value does not fit its annotation, is unknown or is missing.
    """
    if not isinstance(stored, dict):
        raise TypeError(f"{short(stored)} is no set of fields")
    return cls(**fitted_fields(cls, stored))


def fitted_fields(cls: type, stored: dict) -> dict[str, Any]:
    """Values for fields of dataclass `cls`, each as its annotation has it. Raises TypeError as `from_plain`."""
    hints = get_type_hints(cls)
    fields = {field.name for field in dataclasses.fields(cls)}
    values = {}
    for name, value in stored.items():
        if not isinstance(name, str) or name not in fields:
            raise TypeError(f"unknown field {short(name)}")
        try:
            values[name] = _fitted(value, hints[name])
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
    return values


def reason(error: BaseException, length: int = 200) -> str:
    """The last line of what an error says, where libraries put the point; else its type."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip()[:length] if lines else type(error).__name__


def short(value: Any, length: int = 60) -> str:
    """A value in few characters and on one line."""
    if isinstance(value, str | bytes):
        value = value[:length]
    elif not isinstance(value, bool | int | float | None):
        return f"a {type(value).__name__}"  # its text might have no end
    elif isinstance(value, int) and abs(value) > LARGEST:
        return "a number beyond 64 bits"
    text = repr(value)
    return text if len(text) <= length else f"{text[:length]}…"


def _fitted(value: Any, hint: Any) -> Any:
    """`value` as the annotation `hint` has it. Raises TypeError."""
    origin, options = get_origin(hint), get_args(hint)
    if origin is Literal:
        if any(type(value) is type(option) and value == option for option in options):
            return value
        raise TypeError(f"{short(value)}, expected one of {', '.join(map(str, options))}")
    if origin in (Union, types.UnionType):
        for option in options:
            try:
                return _fitted(value, option)
            except TypeError:
                continue
        raise TypeError(f"{short(value)} fits none of its types")
    if dataclasses.is_dataclass(hint):
        return from_plain(hint, value)
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise TypeError(f"{short(value)}, expected a list")
        if options[1:] == (...,):
            return tuple(_fitted(part, options[0]) for part in value)
        if len(value) != len(options):
            raise TypeError(f"{len(value)} values, expected {len(options)}")
        return tuple(map(_fitted, value, options))
    wanted = {float: (float, int), None: type(None)}.get(hint, hint)
    if not isinstance(value, wanted) or (isinstance(value, bool) and hint is not bool):
        raise TypeError(f"{short(value)}, expected {getattr(hint, '__name__', hint)}")
    if isinstance(value, int | float) and not abs(value) <= (float("inf") if isinstance(value, float) else LARGEST):
        raise TypeError(f"{short(value)} is out of range")  # NaN too
    return value
