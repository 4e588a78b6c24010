"""From a start to a stop: something that is done at intervals, and what is said of it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from nexus_core.errors import NexusCoreError
from nexus_core.monitoring.sampler import Sampler

__all__ = ["Intervals"]

# A call of somebody else's may hold the thread up; who stops it does not wait for that for ever.
_STOP_SECONDS = 5.0


class Intervals:
    """Calls a method of something at intervals while it is started.

    Args:
        what: What is done, for errors.
        stop: How it is stopped, for errors.
        held_up_by: Whose code may not return, for the log.
        log: Where it is said that it has not.
    """

    def __init__(self, what: str, stop: str, held_up_by: str, log: logging.Logger) -> None:
        self._what, self._stop, self._held_up_by, self._log = what, stop, held_up_by, log
        self._sampler: Sampler | None = None
        self._lock = threading.RLock()

    @property
    def is_running(self) -> bool:
        """Whether calls are made."""
        sampler = self._sampler
        return sampler is not None and sampler.is_running

    @property
    def interval(self) -> float | None:
        """Seconds from one call to the next; ``None`` if it does not run."""
        sampler = self._sampler
        return sampler.interval if sampler is not None and sampler.is_running else None

    @property
    def thread(self) -> threading.Thread | None:
        """The thread that makes the calls, or made them last; ``None`` before the first start."""
        sampler = self._sampler
        return None if sampler is None else sampler.thread

    def start(
        self,
        owner: Any,
        call: Callable[[Any], None],
        interval: float,
        *,
        check_open: Callable[[], None],
        prepare: Callable[[], None] = lambda: None,
    ) -> bool:
        """Makes calls from now on; started again with the same interval, it goes on as it does.

        Args:
            owner: The thing, which is not kept alive.
            call: Called with it, each time.
            interval: Seconds.
            check_open: Raises if nothing is to be started any more.
            prepare: Called before the first call, unless it runs already.

        Returns:
            Whether it runs already.

        Raises:
            NexusCoreError: If it runs with another interval, or there is no thread to be had.
        """
        with self._lock:
            check_open()
            running = self._sampler if self.is_running else None
            if running is None:
                prepare()
                try:
                    self._sampler = Sampler(owner, call, interval)
                except RuntimeError as error:
                    raise NexusCoreError(f"{self._what} was not started: {error}; try again") from error
            elif running.interval != interval:
                raise NexusCoreError(
                    f"{self._what} runs already, every {running.interval:g} s; {self._stop} before "
                    f"starting it with {interval:g} s"
                )
            return running is not None

    def stop(self) -> tuple[bool, bool]:
        """Makes no more calls, and waits for one that is being made, for 5 s at most.

        Returns:
            Whether it was running, and whether the last call is still being made.
        """
        with self._lock:
            sampler, was_running = self._sampler, self.is_running
            self.stop_soon()
        pending = sampler is not None and not sampler.join(_STOP_SECONDS)
        if pending:
            self._log.warning("%s has not returned in %g s", self._held_up_by, _STOP_SECONDS)
        return was_running, pending

    def stop_soon(self) -> None:
        """Makes no more calls, and waits for nothing."""
        with self._lock:
            if self._sampler is not None:
                self._sampler.stop()

    def begin_anew(self) -> None:
        """For a forked child, which has no thread of it."""
        self._lock = threading.RLock()
        self._sampler = None
