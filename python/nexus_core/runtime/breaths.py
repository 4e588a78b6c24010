"""Long work on a thread of its own, that an event loop must not notice."""

from __future__ import annotations

import time

__all__ = ["Breaths", "hold_breath"]


def hold_breath() -> None:
    """For work that a caller waits for: it lets go of the interpreter when that asks for it, no sooner."""


class Breaths:
    """Lets other threads have the interpreter now and then, each time it is called after a while.

    By itself the interpreter takes turns every few milliseconds only, and a thread that asks for
    one then waits in line with all others: too late for an event loop.
    """

    __slots__ = ("_due",)

    _TURN = 0.001
    #: Who only lets go has it back before anybody else has woken up.
    _PAUSE = 0.00002

    def __init__(self) -> None:
        self._due = time.perf_counter() + self._TURN

    def __call__(self) -> None:
        """Pauses for a moment, if it is time to."""
        if time.perf_counter() >= self._due:
            time.sleep(self._PAUSE)
            self._due = time.perf_counter() + self._TURN
