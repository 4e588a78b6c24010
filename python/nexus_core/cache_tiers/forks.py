"""What a forked child has to begin anew: locks that somebody held, and threads that it does not have."""

from __future__ import annotations

import os
import threading
import time
import weakref
from types import TracebackType
from typing import Protocol

__all__ = ["ForkGate", "after_fork"]


class _Forked(Protocol):
    def _after_fork(self) -> None: ...


_known: weakref.WeakSet[_Forked] = weakref.WeakSet()
_gates: weakref.WeakSet[ForkGate] = weakref.WeakSet()


def after_fork(thing: _Forked) -> None:
    """Has `_after_fork()` called in every child that is forked, as long as the thing is there.

    Args:
        thing: It is not kept alive.
    """
    _known.add(thing)


class ForkGate:
    """Who is inside of a library that does not survive a fork is waited for before one.

    Args:
        patience: Seconds that a fork waits at most.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._is_forking = False
        _gates.add(self)

    def __enter__(self) -> None:
        with self._changed:
            while self._is_forking:
                self._changed.wait()
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._inside -= 1
            if self._is_forking:
                self._changed.notify_all()

    def close(self) -> None:
        """Nobody goes in from now on; waits for those who are inside."""
        end = time.monotonic() + self._patience
        with self._changed:
            self._is_forking = True
            while self._inside and time.monotonic() < end:
                self._changed.wait(max(0.0, end - time.monotonic()))

    def open(self) -> None:
        """It is over."""
        with self._changed:
            self._is_forking = False
            self._changed.notify_all()


def _before() -> None:
    for gate in list(_gates):
        gate.close()


def _in_parent() -> None:
    for gate in list(_gates):
        gate.open()


def _in_child() -> None:
    # Its gates were closed by a thread that it does not have: whoever has one makes another.
    _gates.clear()
    for thing in list(_known):
        thing._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
