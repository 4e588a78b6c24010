"""The thread that has a monitor sample at intervals."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ["Sampler", "next_due"]

# The most that a system's clocks are asked to wait at once.
_LONGEST_WAIT = 3600.0


def next_due(due: float, interval: float, now: float) -> float:
    """When the next call is due: a whole number of intervals after the last one, and not in the past.

    Args:
        due: When the last one was.
        interval: Seconds.
        now: The time.
    """
    missed = max(0.0, (now - due) // interval)
    return due + (missed + 1) * interval


class Sampler:
    """A daemon thread that calls a method of something at intervals, until told to stop or it is gone.

    It keeps neither that thing nor the process alive. What is due while a call still runs is left out.

    Args:
        owner: The thing.
        call: Called with it, each time.
        interval: Seconds from one call to the next.

    Raises:
        RuntimeError: If the system gives no thread.
    """

    def __init__(self, owner: Any, call: Callable[[Any], None], interval: float) -> None:
        self.interval = interval
        # Unlike an Event, it may be told from wherever the collector of garbage happens to run.
        self._told: SimpleQueue[None] = SimpleQueue()
        self._stopped = False
        told = self._told
        reference = weakref.ref(owner, lambda _: told.put(None))
        self.thread = threading.Thread(target=self._run, args=(reference, call), name="nexus-core-monitor", daemon=True)
        self.thread.start()

    @property
    def is_running(self) -> bool:
        """Whether it goes on."""
        return not self._stopped and self.thread.is_alive()

    def stop(self) -> None:
        """Has it stop, soon; waits for nothing."""
        self._stopped = True
        self._told.put(None)

    def join(self, timeout: float) -> bool:
        """Waits for its end, if this is not the thread itself.

        Args:
            timeout: Seconds.

        Returns:
            Whether it has ended, or is going to when it returns from here.
        """
        if threading.current_thread() is self.thread:
            return True
        self.thread.join(timeout)
        return not self.thread.is_alive()

    def _run(self, reference: weakref.ref[Any], call: Callable[[Any], None]) -> None:
        due = time.monotonic()
        while not self._stopped:
            owner = reference()
            if owner is None:
                return
            call(owner)
            del owner
            due = next_due(due, self.interval, time.monotonic())
            if self._waits_until(due):
                return

    def _waits_until(self, due: float) -> bool:
        """Whether it was told to stop meanwhile."""
        while (left := due - time.monotonic()) > 0:
            try:
                self._told.get(timeout=min(left, _LONGEST_WAIT))
            except Empty:
                continue
            return True
        return False
