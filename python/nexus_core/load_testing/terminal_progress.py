"""A line in the terminal that says how a load test goes."""

from __future__ import annotations

import sys
from typing import TextIO

from nexus_core.load_testing.result import LoadProgress

__all__ = ["TerminalProgress"]

# Where lines stay, as in a log, seconds between two of them.
_SELDOM = 10.0


class TerminalProgress:
    """Writes to stderr: over the last line in a terminal, now and then a new line elsewhere.

    Args:
        name: The workflow's name.
        stream: Where to; stderr by default.
    """

    def __init__(self, name: str, stream: TextIO | None = None) -> None:
        self._name = name
        self._stream = sys.stderr if stream is None else stream
        self._live = self._stream.isatty()
        self._width = 0
        self._next = -float("inf")

    def __call__(self, progress: LoadProgress) -> None:
        """Shows the progress."""
        line = f"{self._name}: {progress}"
        if self._live:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        elif progress.seconds >= self._next:
            self._next = progress.seconds + _SELDOM
            self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Leaves the line."""
        if self._live and self._width:
            self._stream.write("\n")
            self._stream.flush()
