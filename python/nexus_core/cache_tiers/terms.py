"""What a tiered cache is told with a key: times and tags."""

from __future__ import annotations

from typing import Any

from nexus_core.cache import Cache
from nexus_core.errors import RecursiveLoad

__all__ = ["check_seconds", "check_tag", "drop", "named", "shorter"]


def drop(local: Cache[bytes, Any], key: bytes | None, tag: str | None) -> int:
    """Drops a key, what has a tag, or else everything from a local cache; how many there were."""
    if key is not None:
        return local.invalidate(key)
    if tag is not None:
        return local.invalidate_tag(tag)
    count = len(local)
    local.clear()
    return count


def named(error: RecursiveLoad, name: bytes, key: object) -> RecursiveLoad:
    """An error that names the key that the caller gave."""
    return RecursiveLoad(key) if error.key == name else error


def shorter(ttl: float | None, other: float | None) -> float | None:
    """The shorter one of two times, where either may be without limit."""
    return other if ttl is None else ttl if other is None else min(ttl, other)


def check_seconds(name: str, what: str, given: object, least: float | None = None) -> None:
    """Raises unless it is a positive number of seconds, or one of at least `least`."""
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"cache {name!r}: {what} must be a number of seconds, got {given!r}")
    if not given < float("inf") or given < 0 or (least is None and given == 0):
        raise ValueError(f"cache {name!r}: {what} must be a positive number of seconds, got {given!r}")


def check_tag(tag: object) -> str:
    """The tag, which has to be a string."""
    if not isinstance(tag, str):
        raise TypeError(f"a tag must be a string, got {tag!r}")
    return tag
