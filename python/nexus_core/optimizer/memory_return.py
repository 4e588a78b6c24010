"""Memory that runs have freed, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Callable
from typing import Any

from nexus_core.optimizer.changes import Change, Refused, Target
from nexus_core.runtime.workflow_rules import add_rule

__all__ = ["MIN_GROWTH", "MemoryReturn", "give_back_after_runs", "memory_return", "resident_bytes", "returned_bytes"]

#: Bytes that the process must have grown by since memory was last given back: below, it is not worth a walk
#: through all free memory.
MIN_GROWTH = 16 * 1024 * 1024

#: Seconds after a run in which its results are most likely let go.
_DELAY = 0.05


def resident_bytes() -> int | None:
    """What is resident of the process; ``None`` where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None


def _trim() -> Callable[[int], int] | None:
    """The C library's function that gives free memory back; only GNU's has one."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        found: Any = ctypes.CDLL(None).malloc_trim
        found.argtypes, found.restype = [ctypes.c_size_t], ctypes.c_int
        return found  # type: ignore[no-any-return]
    return None


class MemoryReturn:
    """A thread that has the C library give back what is free, some time after the process has grown.

    C libraries keep what is freed, on a heap for each thread, for whoever asks next. What is given
    back is counted.

    Args:
        trim: Gives back what is free.

    Attributes:
        times: How often it was done.
        returned: Bytes by which the process has become smaller.
    """

    def __init__(self, trim: Callable[[int], int]) -> None:
        self._trim = trim
        self._users = 0
        self._lock = threading.Lock()
        self._grown = threading.Event()
        self._stop = threading.Event()
        self._base = 0
        self.times = 0
        self.returned = 0

    @property
    def is_in_use(self) -> bool:
        """Whether anybody wants it."""
        return self._users > 0

    def begin(self) -> None:
        """Starts the thread for its first user: before nodes run, whose memory limit could keep it from starting."""
        with self._lock:
            if not self._users:
                self._base = resident_bytes() or 0
                self._stop, self._grown = threading.Event(), threading.Event()
                arguments = (self._stop, self._grown)
                threading.Thread(target=self._work, args=arguments, name="nexus-core memory", daemon=True).start()
            self._users += 1

    def end(self) -> None:
        """Ends the thread with its last user."""
        with self._lock:
            self._users -= 1
            if not self._users:
                self._stop.set()
                self._grown.set()

    def run_ended(self) -> None:
        """A run has ended: if the process has grown, memory is given back soon."""
        if not self._grown.is_set() and self._has_grown():
            self._grown.set()

    def settle(self) -> None:
        """Does on the calling thread what the other would do in a moment, if it would."""
        if self.is_in_use and self._has_grown():
            self.now()

    def now(self) -> None:
        """Gives back what is free, on the calling thread."""
        before = resident_bytes() or 0
        self._trim(0)
        after = resident_bytes() or 0
        self._base = after
        self.times += 1
        self.returned += max(0, before - after)

    def _has_grown(self) -> bool:
        return (resident_bytes() or 0) - self._base >= MIN_GROWTH

    def _work(self, stop: threading.Event, grown: threading.Event) -> None:
        while True:
            grown.wait()
            if stop.wait(_DELAY):
                return
            grown.clear()
            self.now()


_lock = threading.Lock()
_found: MemoryReturn | None = None


def memory_return() -> MemoryReturn | None:
    """The process's; ``None`` where its C library cannot give memory back."""
    global _found
    with _lock:
        if _found is None:
            trim = _trim()
            if trim is None or resident_bytes() is None:
                return None
            _found = MemoryReturn(trim)
        return _found


def returned_bytes() -> int:
    """By how many bytes the process has become smaller because memory was given back."""
    return 0 if _found is None else _found.returned


def give_back_after_runs(target: Target) -> Change:
    """Has memory given back after runs of a workflow that made the process grow.

    Args:
        target: The workflow.

    Raises:
        Refused: If the C library cannot.
    """
    found = memory_return()
    if found is None:
        raise Refused("the C library has no malloc_trim, by which freed memory is given back to the system")

    def put() -> Callable[[], None]:
        found.begin()
        forget = add_rule(target.runtime, target.workflow, afterwards=found.run_ended)

        def take_back() -> None:
            forget()
            found.end()

        return take_back

    return Change(
        f"memory that is free is given back to the system after runs by which the process has grown by "
        f"{MIN_GROWTH // 2**20} MiB; the outputs of all nodes are kept until the run ends, since Kailash hands all of "
        "them to the caller",
        put,
        is_measured=True,
    )
