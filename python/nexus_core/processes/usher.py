"""The thread on which worker processes are started and ended.

Python runs signal handlers on the main thread alone, between any two steps. What must not be left halfway (a worker that is
being started, a question to the fork server that waits for its answer) is therefore done here, for all pools of the process.
"""

from __future__ import annotations

import queue
import threading
from typing import Protocol

__all__ = ["call", "forget"]


class _Tended(Protocol):
    def tend(self) -> None: ...


class _Usher:
    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[_Tended] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def call(self, crew: _Tended) -> None:
        thread = self._thread
        if thread is None or not thread.is_alive():
            with self._lock:
                thread = self._thread
                if thread is None or not thread.is_alive():
                    # Of two, if a start was interrupted, each does what it finds.
                    self._thread = threading.Thread(target=self._serve, name="nexus-core-usher", daemon=True)
                    try:
                        self._thread.start()
                    except RuntimeError:  # the interpreter ends, or the system has no more threads
                        self._thread = None
        if self._thread is None:
            crew.tend()
        else:
            self._calls.put(crew)

    def _serve(self) -> None:
        while True:
            crew = self._calls.get()
            crew.tend()
            del crew


_usher = _Usher()


def call(crew: _Tended) -> None:
    """Has `tend()` called soon, on a thread that no signal handler interrupts.

    Args:
        crew: Whose; what it raises would end the thread.
    """
    _usher.call(crew)


def forget() -> None:
    """In a forked child: there is no such thread."""
    global _usher
    _usher = _Usher()
