"""What went wrong in code of others that is called at intervals: who calls it goes on, and says so once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Problems"]

T = TypeVar("T")


class Problems:
    """Calls what may raise, and remembers it.

    Args:
        log: Where it is said.
    """

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._found: dict[str, tuple[int, str]] = {}
        self._logged: set[tuple[str, type[BaseException]]] = set()

    def call(self, name: str, function: Callable[[], T]) -> T | None:
        """What a function returns, or ``None`` if it raises; each type of error is logged once.

        Args:
            name: Whose it is, or what, for the log.
            function: Is called.
        """
        try:
            return function()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # Whatever it is, it is meant for the code itself: a request to end the program is not.
            count = self._found.get(name, (0, ""))[0] + 1
            self._found[name] = count, _shown(error)
            if (name, type(error)) not in self._logged:
                self._logged.add((name, type(error)))
                self._log.warning(
                    "%s failed, is called again, and not logged for this error any more", name, exc_info=error
                )
            return None

    def count(self, name: str) -> int:
        """How often it has raised."""
        return self._found.get(name, (0, ""))[0]

    def last_error(self, name: str) -> str | None:
        """What was raised last, or ``None``."""
        found = self._found.get(name)
        return None if found is None else found[1]

    def forget(self, name: str) -> None:
        """Nothing is known of it any more."""
        self._found.pop(name, None)
        self._logged = {entry for entry in self._logged if entry[0] != name}

    def as_dict(self) -> dict[str, dict[str, object]]:
        """By name how often it failed, and the last error."""
        return {name: {"count": count, "last_error": error} for name, (count, error) in self._found.copy().items()}


def _shown(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # what cannot even say what it is
        return type(error).__name__
    return f"{type(error).__name__}: {text}"
