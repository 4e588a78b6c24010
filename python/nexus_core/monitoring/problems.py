"""What went wrong in code of others that a monitor calls: it goes on, and says so once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Problems"]

_log = logging.getLogger("nexus_core.monitor")

T = TypeVar("T")

# Everything that is meant for the code itself; a request to end the program is not.
_CAUGHT = (Exception, asyncio.CancelledError, SystemExit)


class Problems:
    """Calls what may raise, and remembers it."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}
        self._logged: set[tuple[str, type[BaseException]]] = set()

    def guard(self, name: str, call: Callable[[], T]) -> T | None:
        """What the call returns, or ``None`` if it raises; each type of error is logged once.

        Args:
            name: What is called, for the log.
            call: Is called.
        """
        try:
            return call()
        except _CAUGHT as error:
            count = self._found.get(name, (0, ""))[0] + 1
            self._found[name] = count, f"{type(error).__name__}: {error}"
            if (name, type(error)) not in self._logged:
                self._logged.add((name, type(error)))
                _log.warning("%s failed, is called again, and not logged for this error any more", name, exc_info=error)
            return None

    def has(self, name: str) -> int:
        """How often it has failed."""
        return self._found.get(name, (0, ""))[0]

    def forget(self, name: str) -> None:
        """Nothing is known of it any more."""
        self._found.pop(name, None)
        self._logged = {entry for entry in self._logged if entry[0] != name}

    def as_dict(self) -> dict[str, dict[str, object]]:
        """By name how often it failed, and the last error."""
        return {name: {"count": count, "last_error": error} for name, (count, error) in self._found.copy().items()}
