"""The arguments of a connection pool, checked: an error names the pool and the numbers."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any

_numbers = itertools.count(1)


def pool_name(name: object) -> str:
    """The name that was given, or one of its own."""
    if name is None:
        return f"pool-{next(_numbers)}"
    if not isinstance(name, str) or not name:
        raise TypeError(f"a pool's name must be a string that is not empty, got {name!r}")
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"a pool's name must be valid Unicode, got {name!r}") from error
    if "\0" in name:
        # Its threads are named after it.
        raise ValueError(f"a pool's name must have no null character, got {name!r}")
    return name


def count(pool: str, what: str, value: object, least: int) -> int:
    """A whole number of at least ``least``."""
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        raise TypeError(f"pool {pool!r}: {what} must be a whole number, got {value!r}")
    number = int(value.__index__())  # type: ignore[attr-defined]
    if number < least:
        raise ValueError(f"pool {pool!r}: {what} must be at least {least}, got {number}")
    if number > 1_000_000:
        raise ValueError(f"pool {pool!r}: {what} must be at most 1000000, got {number}")
    return number


def sizes(pool: str, min_size: object, max_size: object) -> tuple[int, int]:
    """The least and the greatest size."""
    least = count(pool, "min_size", min_size, 0)
    most = count(pool, "max_size", max_size, 1)
    if least > most:
        raise ValueError(f"pool {pool!r}: min_size {least} is greater than max_size {most}")
    return least, most


def seconds(pool: str, what: str, value: object, *, zero: bool = False) -> float:
    """A number of seconds, which may be infinite."""
    if isinstance(value, bool) or not hasattr(type(value), "__float__"):
        raise TypeError(f"pool {pool!r}: {what} must be a number of seconds, got {value!r}")
    number = float(value)  # type: ignore[arg-type]
    if math.isnan(number) or number < 0 or (number == 0 and not zero):
        least = "at least" if zero else "more than"
        raise ValueError(f"pool {pool!r}: {what} must be {least} 0 seconds, got {number}")
    return number


def limit(pool: str, what: str, value: object) -> float | None:
    """A number of seconds, or ``None`` for no limit."""
    if value is None:
        return None
    number = seconds(pool, what, value)
    return None if math.isinf(number) else number


def share(pool: str, what: str, value: object) -> float:
    """A number from 0 to 1, 1 left out."""
    if isinstance(value, bool) or not hasattr(type(value), "__float__"):
        raise TypeError(f"pool {pool!r}: {what} must be a number, got {value!r}")
    number = float(value)  # type: ignore[arg-type]
    if not 0 <= number < 1:
        raise ValueError(f"pool {pool!r}: {what} must be at least 0 and less than 1, got {number}")
    return number


def choice(pool: str, what: str, value: object, choices: tuple[str, ...]) -> str:
    """One of some words."""
    if value not in choices:
        listed = " or ".join(map(repr, choices))
        raise ValueError(f"pool {pool!r}: {what} must be {listed}, got {value!r}")
    return str(value)


def hook(pool: str, what: str, value: object) -> Any:
    """Something to call, or ``None``."""
    if value is not None and not callable(value):
        raise TypeError(f"pool {pool!r}: {what} must be callable, got {value!r}")
    return value


def is_coroutine_function(function: Callable[..., Any] | None) -> bool:
    """Whether a call of it has to be awaited."""
    if function is None:
        return False
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def asynchronous(pool: str, given: object, hooks: dict[str, Any]) -> bool:
    """Whether the pool's callables are coroutine functions: as said, or as seen."""
    for what in ("is_broken", "reconnect_failed"):
        if is_coroutine_function(hooks[what]):
            raise TypeError(f"pool {pool!r}: {what} is never awaited, and so cannot be a coroutine function")
    awaited = sorted(name for name, function in hooks.items() if is_coroutine_function(function))
    if given is None:
        given = "factory" in awaited
    if not isinstance(given, bool):
        raise TypeError(f"pool {pool!r}: asynchronous must be True, False or None, got {given!r}")
    if awaited and not given:
        raise TypeError(
            f"pool {pool!r}: {', '.join(awaited)} cannot be a coroutine function where the factory is none; "
            "give asynchronous=True if it returns an awaitable"
        )
    return given
