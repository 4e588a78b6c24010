"""Caches, beside those that people use.

An adapter does once what a user does once, and yields the loops that are measured, each written as a user of that cache
writes it: cachetools' caches need a lock in threads, and have one here.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

KEYS = 1_000
"""Keys that are there when a look-up or a write is measured."""
CAPACITY = 1_000
"""What a cache may hold where it is full."""
NEW_KEYS = 20_000
"""Keys that are written to a full cache, one after the other."""
THREADS = 4

Loop = Callable[[Sequence[Hashable]], None]


class CacheUnavailable(RuntimeError):
    """This peer cannot run here; the message says why."""


@dataclass(frozen=True)
class Opened:
    """An empty cache. What it has no way to do is None."""

    fill: Loop
    """Has each key there, with itself as its value."""
    request: Callable[[Sequence[Hashable]], int]
    """Asks for each key, and writes it where it is missing; how many were there."""
    get: Loop
    item: Loop | None = None
    """The same as `get`, by subscription."""
    set: Loop | None = None
    get_or_set: Loop | None = None
    """Asks for each key with a function that would compute it."""


@dataclass(frozen=True)
class CachePeer:
    key: str
    title: str
    open: Callable[[int], AbstractContextManager[Opened]]
    """With a capacity."""
    lacks: tuple[str, ...] = ()
    """Calls that it does not have, by the names of `Opened`; "evict" for no bound."""

    @property
    def ours(self) -> bool:
        return self.key.startswith("nexus_core")
