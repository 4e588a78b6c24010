"""Who is told of alerts."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from types import BuiltinMethodType, MethodType
from typing import Any, Protocol

from nexus_core.monitoring.asynchrony import is_asynchronous, refuse_awaitable

__all__ = ["Handler", "is_for", "made_handler"]

_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "critical": logging.CRITICAL}


class Handler(Protocol):
    """One who is told.

    Attributes:
        given: What the user gave.
        name: For the log.
    """

    given: Any
    name: str

    def alert(self, alert: dict[str, Any]) -> None:
        """Tells of an alert that began, grew more severe or ended."""

    def observe(self, values: Mapping[str, float]) -> None:
        """Tells what a sample has measured."""

    def leave(self) -> None:
        """Tells that nothing more comes; waits for nothing."""


class _Function:
    def __init__(self, function: Callable[[dict[str, Any]], object]) -> None:
        self.given = function
        self.name = f"alert handler {getattr(function, '__qualname__', type(function).__qualname__)}"

    def alert(self, alert: dict[str, Any]) -> None:
        refuse_awaitable(self.given(alert))

    def observe(self, values: Mapping[str, float]) -> None:
        pass

    def leave(self) -> None:
        pass


class _Logger:
    def __init__(self, logger: logging.Logger) -> None:
        self.given = logger
        self.name = f"alert logger {logger.name}"

    def alert(self, alert: dict[str, Any]) -> None:
        if alert["event"] == "resolved":
            self.given.info("resolved: %s (%s)", alert["message"], alert["resolution"], extra={"alert": alert})
        else:
            level = _LEVELS[alert["severity"]]
            self.given.log(level, "%s: %s", alert["severity"], alert["message"], extra={"alert": alert})

    def observe(self, values: Mapping[str, float]) -> None:
        pass

    def leave(self) -> None:
        pass


def made_handler(given: Any, app_name: str) -> Handler:
    """A handler from a function, a logger or Kailash's ``AlertManager``.

    Args:
        given: One of them.
        app_name: The app's, for those who hear of several.

    Raises:
        TypeError: If it is something else, or a function whose call would have to be awaited.
    """
    if isinstance(given, logging.Logger):
        return _Logger(given)
    # Nobody has an instance of a class that was never imported.
    kailash = sys.modules.get("kailash.monitoring.alerts")
    if kailash is not None and isinstance(given, kailash.AlertManager):
        from nexus_core.monitoring.kailash_alerts import ManagerHandler

        return ManagerHandler(given, app_name)
    if not callable(given) or isinstance(given, type):
        raise TypeError(
            f"an alert handler is a function of an alert, a logging.Logger or Kailash's AlertManager, got {given!r}"
        )
    if is_asynchronous(given):
        raise TypeError(f"an alert handler is called on the monitor's thread, where nobody awaits {given!r}")
    return _Function(given)


def is_for(handler: Handler, given: Any) -> bool:
    """Whether a handler was made of this; a method is made anew whenever it is looked up."""
    methods = (MethodType, BuiltinMethodType)
    if isinstance(given, methods) and isinstance(handler.given, methods):
        return given.__self__ is handler.given.__self__ and given.__name__ == handler.given.__name__
    return handler.given is given
