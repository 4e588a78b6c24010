"""Numbers on the command line: what makes no sense is refused with the value."""

from __future__ import annotations

import argparse
import math

__all__ = ["positive_seconds", "positive_whole"]


def positive_seconds(text: str) -> float:
    """A number of seconds, more than 0.

    Example:
        >>> positive_seconds("0.5")
        0.5
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value <= 0:
        raise argparse.ArgumentTypeError(f"a number of seconds, more than 0, was expected, not {text!r}")
    return value


def positive_whole(text: str) -> int:
    """A whole number of at least 1.

    Example:
        >>> positive_whole("3")
        3
    """
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number of at least 1 was expected, not {text!r}")
    return int(text)
