"""What is kept of a workflow or a node, and for how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["MIB", "CachePolicy", "as_policy"]

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class CachePolicy:
    """What is kept of the results of a workflow or a node.

    Args:
        ttl: Seconds that a result is kept; ``None`` for the cache's own.
        min_seconds: Only what took at least so many seconds is kept.
        max_bytes: Only what takes fewer bytes in memory is kept; ``None`` for no limit.
        tags: For ``ResultCache.invalidate_tag``.
        always_seconds: What took more seconds than this is kept whatever its size; ``None``
            for nothing.
        vary: Called with the inputs for a further part of the key, such as today's date.
            What it returns must be keyable; an error of it makes the run uncached.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a time or a size is negative or not a number.

    Example:
        >>> from nexus_core import CachePolicy
        >>> CachePolicy(ttl=60, tags=("prices",)).ttl
        60
        >>> CachePolicy(ttl=-1)
        Traceback (most recent call last):
        ValueError: ttl must be a number of seconds of at least 0, got -1
    """

    ttl: float | None = None
    min_seconds: float = 0.0
    max_bytes: int | None = 10 * MIB
    tags: tuple[str, ...] = ()
    always_seconds: float | None = None
    vary: Callable[[Mapping[str, Any]], Any] | None = None

    def __post_init__(self) -> None:
        _check_seconds("ttl", self.ttl, optional=True)
        _check_seconds("min_seconds", self.min_seconds)
        _check_seconds("always_seconds", self.always_seconds, optional=True)
        size = self.max_bytes
        if size is not None:
            if isinstance(size, bool) or not isinstance(size, int):
                raise TypeError(f"max_bytes must be an integer or None, got {size!r}")
            if size < 0:
                raise ValueError(f"max_bytes must be at least 0, got {size!r}")
        given: object = self.tags
        object.__setattr__(self, "tags", (given,) if isinstance(given, str) else tuple(self.tags))
        for tag in self.tags:
            if not isinstance(tag, str):
                raise TypeError(f"tags must be strings, got {tag!r}")
        if self.vary is not None and not callable(self.vary):
            raise TypeError(f"vary must be callable, got {self.vary!r}")

    @classmethod
    def heuristic(cls) -> CachePolicy:
        """The performance guide's: over two seconds always, under 10 MiB otherwise.

        Example:
            >>> from nexus_core import CachePolicy
            >>> CachePolicy.heuristic().always_seconds
            2.0
        """
        return cls(max_bytes=10 * MIB, always_seconds=2.0)

    def why_not_kept(self, seconds: float, size: int) -> str | None:
        """Why a result is not kept; ``None`` if it is.

        Args:
            seconds: What it took to compute.
            size: Bytes that it takes in memory.

        Example:
            >>> from nexus_core import CachePolicy
            >>> CachePolicy(min_seconds=1).why_not_kept(0.5, 100)
            'it took less than min_seconds'
        """
        if self.always_seconds is not None and seconds > self.always_seconds:
            return None
        if seconds < self.min_seconds:
            return "it took less than min_seconds"
        if self.max_bytes is not None and size >= self.max_bytes:
            return "it takes max_bytes or more"
        return None


def as_policy(name: str, given: object) -> CachePolicy | None:
    """A policy from what a user may give for one; ``None`` where nothing is cached.

    Args:
        name: Of what it was given for, for errors.
        given: ``True``, ``False``, ``None`` or a policy.

    Raises:
        TypeError: If it is something else.
    """
    if given is True:
        return CachePolicy()
    if given is False or given is None:
        return None
    if isinstance(given, CachePolicy):
        return given
    raise TypeError(f"{name} must be True, False or a CachePolicy, got {given!r}")


def _check_seconds(name: str, given: object, *, optional: bool = False) -> None:
    if given is None and optional:
        return
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        also = " or None" if optional else ""
        raise TypeError(f"{name} must be a number of seconds{also}, got {given!r}")
    if math.isnan(given) or given < 0:
        raise ValueError(f"{name} must be a number of seconds of at least 0, got {given!r}")
