"""What commands print, whatever the terminal is and however little of it is read."""

from __future__ import annotations

import os
import sys

from nexus_core.commands.refusal import refuse

__all__ = ["has_colour", "print_text"]


def print_text(text: str) -> int:
    """Prints to the standard output, which may be closed already.

    Args:
        text: The text; nothing is printed if it is empty.

    Returns:
        The exit status: 0, or 1 where what was printed is lost, as of a full disk.
    """
    if hasattr(sys.stdout, "reconfigure"):
        # A terminal may have fewer characters than are printed.
        sys.stdout.reconfigure(errors="replace")
    try:
        if text:
            print(text, flush=True)  # noqa: T201
    except BrokenPipeError:
        # Whoever reads has seen enough.
        _give_up()
    except OSError as error:
        _give_up()
        return refuse(1, f"what was to be printed is lost: {error.strerror or error}")
    return 0


def _give_up() -> None:
    """What is still kept to be written goes nowhere: the interpreter would complain when it flushes at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def has_colour() -> bool:
    """Whether the standard output shows colours."""
    # A command that is started with its output closed has none.
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    return is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
