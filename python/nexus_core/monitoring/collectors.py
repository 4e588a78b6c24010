"""Metrics of the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Container
from functools import partial
from numbers import Integral, Real
from typing import Any

from nexus_core._problems import Problems
from nexus_core.monitoring.asynchrony import is_asynchronous, refuse_awaitable
from nexus_core.monitoring.measurements import Reading

__all__ = ["Collectors"]


class Collectors:
    """Functions that each return a value of a metric.

    Args:
        problems: Told of those that raise.
    """

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._functions: dict[str, Callable[[], Any]] = {}

    def names(self) -> list[str]:
        """The metrics."""
        return list(self._functions)

    def add(self, name: Any, function: Any, taken: Container[str]) -> None:
        """Adds one, as of ``PerformanceMonitor.collect``."""
        if not isinstance(name, str) or not name:
            raise TypeError(f"a metric's name must be a string that is not empty, got {name!r}")
        if not callable(function):
            raise TypeError(f"the collector of {name!r} must be a function, got {function!r}")
        if is_asynchronous(function):
            raise TypeError(f"the collector of {name!r} is called on the monitor's thread, where nobody awaits it")
        if name == "timestamp":
            raise ValueError("'timestamp' is in each sample its time; choose another name")
        if name in taken or name in self._functions:
            raise ValueError(
                f"there is a metric {name!r} already; choose another name, or stop_collecting a former one"
            )
        self._functions[name] = function

    def remove(self, name: Any) -> None:
        """Removes one, as of ``PerformanceMonitor.stop_collecting``."""
        if name not in self._functions:
            raise KeyError(f"nothing is collected under {name!r}; there is {sorted(self._functions)}")
        del self._functions[name]
        self._problems.forget(_title(name))

    def take(self) -> dict[str, Reading | None]:
        """Calls all of them; what raises is not there."""
        found: dict[str, Reading | None] = {}
        for name, function in self._functions.copy().items():
            read = self._problems.call(_title(name), partial(_read, function))
            if read is not None:
                found[name] = read[0]
        return found


def _title(name: str) -> str:
    return f"the collector of {name!r}"


def _read(function: Callable[[], Any]) -> tuple[Reading | None]:
    value = function()
    refuse_awaitable(value)
    if value is None:
        return (None,)
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"a metric's value must be a number or None, got {value!r}")
    number = int(value) if isinstance(value, Integral) else float(value)
    if not math.isfinite(number):
        raise ValueError(f"a metric's value must be finite, got {value!r}")
    return (Reading(number),)
