"""No connection of SQLite is open, and no thread is inside of it, while the process forks.

What SQLite notes of the locks that a process has, a forked child inherits without having them. It would wait for
ever for a transaction that a thread of its parent was in; and whoever closes the file last in the other processes would
take away the journal that the child writes to.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from types import TracebackType
from typing import Protocol

__all__ = ["INSIDE", "closed_at_forks", "is_usable"]


class _File(Protocol):
    @property
    def timeout(self) -> float: ...

    def _before_fork(self) -> bool: ...


class _Inside:
    """A block in which SQLite is used: a fork waits for its end, and it for the end of a fork."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._forks = 0

    def __enter__(self) -> None:
        with self._changed:
            while self._forks:
                self._changed.wait()
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def shut(self, patience: float) -> bool:
        """Lets nobody in until `open()`; whether all are out within so many seconds."""
        end = time.monotonic() + patience
        with self._changed:
            self._forks += 1
            while self._inside and time.monotonic() < end:
                self._changed.wait(max(0.0, end - time.monotonic()))
            return not self._inside

    def open(self) -> None:
        """A fork is over; others may be under way."""
        with self._changed:
            self._forks -= 1
            self._changed.notify_all()


INSIDE = _Inside()

_files: weakref.WeakSet[_File] = weakref.WeakSet()
_closing = threading.Lock()
_all_closed = True
_usable = True


def closed_at_forks(file: _File) -> None:
    """Has `_before_fork()` called before each fork, as long as the file is there, while nobody is inside.

    Args:
        file: It is not kept alive. It says whether it closed all that it had, and opens itself again when it is used.
    """
    _files.add(file)


def is_usable() -> bool:
    """Whether SQLite can be used: not in a child that was forked while a thread inside could not be waited for."""
    return _usable


def _before() -> None:
    global _all_closed
    files = list(_files)
    are_out = INSIDE.shut(2 * max((file.timeout for file in files), default=0.0))
    # Another fork may be about to close them, and is waited for.
    with _closing:
        closed = [file._before_fork() for file in files] if are_out else []
        _all_closed = are_out and all(closed)


def _in_parent() -> None:
    INSIDE.open()


def _in_child() -> None:
    global _closing, _usable
    # The parent's are held by threads that are not here.
    _closing = threading.Lock()
    INSIDE.__init__()  # type: ignore[misc]
    _usable = _usable and _all_closed


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
