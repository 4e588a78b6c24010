"""Arguments that are numbers: what makes no sense is refused with the name and the value."""

from __future__ import annotations

import math
from numbers import Real
from operator import index
from typing import Any

__all__ = ["checked_seconds", "checked_whole"]


def checked_whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """A whole number that is at least ``least``, and at most ``most``.

    Raises:
        TypeError: If it is none.
        ValueError: If it is less, or more.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, got {value!r}") from None
    if number < least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if most is not None and number > most:
        raise ValueError(f"{name} must be at most {most:,}, got {value!r}")
    return number


def checked_seconds(name: str, value: Any, *, zero: bool = False, what: str = "a number of seconds") -> float:
    """A finite number above zero, or from zero on.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is negative, not finite, or zero where that is not allowed.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be {what}, got {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError(f"{name} must be {what}, got one that is too large") from None
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} must be {what}, {'not negative' if zero else 'more than 0'}, got {value!r}")
    return number
