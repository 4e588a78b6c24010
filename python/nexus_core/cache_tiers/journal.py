"""Removals that a tier has not been told of yet, so that none of them is forgotten."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import NamedTuple

__all__ = ["Journal", "Removal"]


class Removal(NamedTuple):
    """A removal of a key, of a tag, or else of everything, with the number that it was noted under."""

    number: int
    key: bytes | None = None
    tag: str | None = None


class Journal:
    """Keys and tags that were removed while the tier could not be reached.

    What is in here is not read from the tier, which is told of it before anything else is asked of it. One thread
    tells each: told twice, it would remove what was written in between. Of too many the journal remembers only
    that everything may be among them.

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
        # Numbers of those that a thread is telling.
        self._taken: set[int] = set()

    def __len__(self) -> int:
        return len(self._keys) + len(self._tags) + bool(self._everything)

    def after_fork(self) -> None:
        """Has a lock that nobody holds; who was telling is not there."""
        self._lock = threading.Lock()
        self._taken = set()

    def add(self, *, key: bytes | None = None, tag: str | None = None, takes: bool = False) -> Removal:
        """Notes a removal: of a key, of a tag, or else of everything.

        Args:
            key: The key.
            tag: The tag.
            takes: Whether the caller tells the tier itself, or gives it back.
        """
        with self._lock:
            self._number += 1
            removal = Removal(self._number, key, tag)
            if key is not None:
                self._keys[key] = self._number
            if tag is not None:
                self._tags[tag] = self._number
            if (key is None and tag is None) or len(self._keys) + len(self._tags) > self._limit:
                self._everything = self._number
                self._keys.clear()
                self._tags.clear()
                removal = Removal(self._number)
            if takes:
                self._taken.add(self._number)
            return removal

    def covers(self, key: bytes, tags: tuple[str, ...] = ()) -> bool:
        """Whether what the tier has under a key, with these tags, is not to be believed."""
        return bool(self._everything) or key in self._keys or any(tag in self._tags for tag in tags)

    def take(self) -> list[Removal]:
        """All that nobody else tells, which the caller tells or gives back."""
        with self._lock:
            removals = [Removal(self._everything)] if self._everything else []
            removals += [Removal(number, None, tag) for tag, number in self._tags.items()]
            removals += [Removal(number, key) for key, number in self._keys.items()]
            removals = [removal for removal in removals if removal.number not in self._taken]
            self._taken.update(removal.number for removal in removals)
            return removals

    def give_back(self, removals: Iterable[Removal]) -> None:
        """Others may tell what of these is noted still."""
        with self._lock:
            self._taken.difference_update(removal.number for removal in removals)

    def done(self, removal: Removal) -> None:
        """The tier was told, of what was noted then and not anew since."""
        number, key, tag = removal
        with self._lock:
            if key is not None:
                if self._keys.get(key) == number:
                    del self._keys[key]
            elif tag is not None:
                if self._tags.get(tag) == number:
                    del self._tags[tag]
            elif self._everything == number:
                self._everything = 0
