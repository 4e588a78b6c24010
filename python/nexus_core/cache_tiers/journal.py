"""Removals that a tier has not been told of yet, so that none of them is forgotten."""

from __future__ import annotations

import threading

__all__ = ["Journal"]


class Journal:
    """Keys and tags that were removed while the tier could not be reached.

    What is in here is not read from the tier. It is told the tier before anything else is
    asked of it. Of too many it remembers only that everything may be among them.

    Args:
        limit: How many keys and tags it remembers one by one.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._keys: dict[bytes, int] = {}
        self._tags: dict[str, int] = {}
        self._everything = 0
        self._number = 0

    def __len__(self) -> int:
        return len(self._keys) + len(self._tags) + bool(self._everything)

    def after_fork(self) -> None:
        """Has a lock that nobody holds."""
        self._lock = threading.Lock()

    def add(self, *, key: bytes | None = None, tag: str | None = None) -> None:
        """Notes a removal: of a key, of a tag, or else of everything."""
        with self._lock:
            self._number += 1
            if key is not None:
                self._keys[key] = self._number
            if tag is not None:
                self._tags[tag] = self._number
            if (key is None and tag is None) or len(self._keys) + len(self._tags) > self._limit:
                self._everything = self._number
                self._keys.clear()
                self._tags.clear()

    def covers(self, key: bytes) -> bool:
        """Whether what the tier has under a key is not to be believed."""
        return bool(self._everything or self._tags) or key in self._keys

    def pending(self) -> tuple[int, list[tuple[bytes, int]], list[tuple[str, int]]]:
        """What is noted, each with its number: everything (0 if not), keys, tags."""
        with self._lock:
            return self._everything, list(self._keys.items()), list(self._tags.items())

    def done(self, number: int, *, key: bytes | None = None, tag: str | None = None) -> None:
        """The tier was told, of what was noted under this number and not anew since."""
        with self._lock:
            if key is not None:
                if self._keys.get(key) == number:
                    del self._keys[key]
            elif tag is not None:
                if self._tags.get(tag) == number:
                    del self._tags[tag]
            elif self._everything == number:
                self._everything = 0
