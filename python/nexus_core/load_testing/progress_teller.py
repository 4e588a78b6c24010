"""Tells a callback how a load test goes, where it holds up no request."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable

from nexus_core.load_testing.result import LoadProgress

__all__ = ["ProgressTeller"]

_log = logging.getLogger("nexus_core.load_testing")

# How long a test that is over waits for a callback.
_PATIENCE = 1.0


class ProgressTeller:
    """A thread that calls a function at intervals, until it is stopped or the function raises.

    Args:
        callback: What is called.
        read: Gives the progress; called on the thread.
        interval: Seconds between two calls.
    """

    def __init__(
        self, callback: Callable[[LoadProgress], object], read: Callable[[], LoadProgress], interval: float
    ) -> None:
        self._callback = callback
        self._read = read
        self._interval = interval
        self._over = threading.Event()
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=context.run, args=(self._tell,), name="nexus-core load test progress", daemon=True
        )
        self._thread.start()

    def _tell(self) -> None:
        while not self._over.wait(self._interval):
            try:
                self._callback(self._read())
            except Exception:
                _log.exception("the progress callback failed, and is not called again")
                return

    def stop(self) -> None:
        """Calls no more; a call that is under way is waited for, for a second at most."""
        self._over.set()
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            _log.warning("the progress callback has not returned; the load test goes on without it")
