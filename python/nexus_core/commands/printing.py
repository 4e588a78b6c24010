"""What commands print, whatever the terminal is and however little of it is read."""

from __future__ import annotations

import os
import sys

__all__ = ["has_colour", "print_text"]


def print_text(text: str) -> int:
    """Prints to the standard output, which may be closed already.

    Args:
        text: The text; nothing is printed if it is empty.

    Returns:
        0, the exit status.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # A terminal may have fewer characters than are printed.
        sys.stdout.reconfigure(errors="replace")
    try:
        if text:
            print(text, flush=True)  # noqa: T201
    except BrokenPipeError:
        # Whoever reads has seen enough; the interpreter would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def has_colour() -> bool:
    """Whether the standard output shows colours."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
