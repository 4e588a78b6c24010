"""What users give, checked."""

from __future__ import annotations

__all__ = ["checked_count", "checked_name"]


def checked_name(name: object) -> str:
    """The name of a pool, if it is one."""
    if not isinstance(name, str):
        raise TypeError(f"a pool's name must be a string, got {name!r}")
    if not name.strip():
        raise ValueError(f"a pool needs a name, got {name!r}")
    if "\0" in name:
        raise ValueError(f"a pool's name must have no null character, got {name!r}")
    return name


def checked_count(pool: str, what: str, value: object, least: int) -> int:
    """A number of things, if it is at least so many."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"pool {pool!r}: {what} must be a whole number, got {value!r}")
    if value < least:
        raise ValueError(f"pool {pool!r}: {what} must be at least {least}, got {value}")
    return value
