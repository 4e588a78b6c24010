"""Telling the handlers what samples have found, in the order of the samples."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from nexus_core._problems import Problems
from nexus_core.monitoring.handlers import Handler, is_for, made_handler

__all__ = ["Notifications"]

_log = logging.getLogger("nexus_core.monitor")

# Samples that may be waiting for a handler that does not return.
_MOST_WAITING = 1000


class Notifications:
    """Who is told, and what they have not been told yet.

    One thread tells at a time: that something ended is not to overtake that it began.

    Args:
        problems: Told of handlers that raise.
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._handlers: list[Handler] = []
        self._waiting: deque[tuple[dict[str, float], Sequence[dict[str, Any]]]] = deque()
        self._telling = threading.Lock()

    def add(self, given: Any, app_name: str) -> None:
        """Adds a handler, as of ``PerformanceMonitor.add_handler``."""
        made = made_handler(given, app_name)
        if any(is_for(known, given) for known in self._handlers):
            raise ValueError(f"{given!r} is told of alerts already")
        if any(known.name == made.name for known in self._handlers):
            # Two of one name would pass for each other in what is known of their problems.
            made.name += f" at {id(given):#x}"
        self._handlers = [*self._handlers, made]

    def remove(self, given: Any) -> None:
        """Removes a handler, as of ``PerformanceMonitor.remove_handler``."""
        found = next((known for known in self._handlers if is_for(known, given)), None)
        if found is None:
            raise ValueError(f"{given!r} is not told of alerts")
        self._handlers = [known for known in self._handlers if known is not found]
        found.leave()
        self._problems.forget(found.name)

    def put(self, values: dict[str, float], events: Sequence[dict[str, Any]]) -> None:
        """Has a sample told with the next `deliver`. Called in the order of the samples.

        Args:
            values: What was measured.
            events: Alerts that began, grew more severe or ended.
        """
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            _log.warning("an alert handler does not return: it will not be told of the sample of %d ago", _MOST_WAITING)
        self._waiting.append((values, events))

    def deliver(self) -> None:
        """Tells all that waits to be told, unless another thread is at it: then that one does."""
        while self._waiting and self._telling.acquire(blocking=False):
            try:
                while self._waiting:
                    self._tell(*self._waiting.popleft())
            finally:
                self._telling.release()

    def leave(self) -> None:
        """Tells all handlers that nothing more comes; waits for nothing."""
        for handler in self._handlers:
            self._problems.call(handler.name, handler.leave)

    def begin_anew(self) -> None:
        """For a forked child: whoever was telling is not there, and tells it in the parent."""
        self._telling = threading.Lock()
        self._waiting.clear()

    def _tell(self, values: dict[str, float], events: Sequence[dict[str, Any]]) -> None:
        for handler in self._handlers:
            self._problems.call(handler.name, partial(handler.observe, values.copy()))
            for event in events:
                self._problems.call(handler.name, partial(handler.alert, dict(event)))
