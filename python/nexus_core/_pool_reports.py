"""What a connection pool tells its log, and where a checkout was made."""

from __future__ import annotations

import logging
import sys
import traceback
import weakref
from collections.abc import Callable
from types import CodeType
from typing import Any

log = logging.getLogger("nexus_core.connection_pool")

# Frames that are kept of a checkout.
_DEPTH = 32

Stack = list[tuple[CodeType, int | None]]


def capture_stack() -> Stack:
    """Where the caller is: code and lines alone, which keeps nothing of the caller's alive."""
    stack: Stack = []
    frame = sys._getframe(1)
    here: Any = frame
    while here is not None and len(stack) < _DEPTH:
        stack.append((here.f_code, here.f_lineno))
        here = here.f_back
    return stack


def shown(stack: Stack | None) -> str:
    """The stack as a traceback shows it."""
    frames = [
        traceback.FrameSummary(code.co_filename, line, code.co_name, lookup_line=True)
        for code, line in reversed(stack or [])
    ]
    return "".join(traceback.format_list(frames)).rstrip()


def close_connection(connection: Any) -> Any:
    """What closes a connection unless the pool was given something else."""
    close = getattr(connection, "close", None)
    return close() if callable(close) else None


class Reporter:
    """Logs what happens to a pool's connections while nobody is there to be told."""

    def __init__(self, name: str, reconnect_failed: Callable[[Any], object] | None) -> None:
        self._name = name
        self._reconnect_failed = reconnect_failed
        self._pool: weakref.ref[Any] | None = None

    def watch(self, pool: Any) -> None:
        """Says whose reports these are, without keeping it alive."""
        self._pool = weakref.ref(pool)

    def __call__(self, kind: str, detail: Any, error: BaseException | None) -> None:
        getattr(self, f"_{kind}")(detail, error)

    def _failed(self, _detail: None, error: BaseException) -> None:
        log.warning("pool %r could not connect: %s: %s", self._name, type(error).__name__, error)

    def _lost(self, connection: Any, error: BaseException | None) -> None:
        why = "its check says so" if error is None else f"{type(error).__name__}: {error}"
        log.warning("pool %r replaces %r, which is broken: %s", self._name, connection, why)

    def _close(self, _detail: None, error: BaseException) -> None:
        log.warning("pool %r could not close a connection: %s: %s", self._name, type(error).__name__, error)

    def _reset(self, _detail: None, error: BaseException) -> None:
        log.warning("pool %r replaces a connection whose reset failed", self._name, exc_info=error)

    def _is_broken(self, _detail: None, error: BaseException) -> None:
        log.warning("pool %r replaces a connection, as is_broken() failed", self._name, exc_info=error)

    def _leak(self, detail: tuple[Any, Stack | None, float], _error: None) -> None:
        connection, stack, held = detail
        log.warning("pool %r: %r is out for %.1f s; it was taken here:\n%s", self._name, connection, held, shown(stack))

    def _dropped(self, found: int, _error: None) -> None:
        log.warning("pool %r replaces %d connections that were dropped without being returned", self._name, found)

    def _reconnect(self, error: BaseException | None, _error: None) -> None:
        log.error("pool %r cannot connect for a long time, and keeps trying: %s", self._name, error)
        pool = self._pool() if self._pool is not None else None
        if pool is not None and self._reconnect_failed is not None:
            try:
                self._reconnect_failed(pool)
            except Exception:
                log.warning("pool %r: reconnect_failed() failed", self._name, exc_info=True)
