"""Computations outside of the store's own single flight, which a removal meanwhile must overrule."""

from __future__ import annotations

import os
import threading

__all__ = ["Computation", "UnderWay"]


class Computation:
    """One computation of a key, as a context manager.

    Args:
        under_way: Those of the same cache.
        key: The key.
        tags: The tags that its result would have.
    """

    __slots__ = ("_under_way", "is_overruled", "key", "tags")

    def __init__(self, under_way: UnderWay, key: bytes, tags: tuple[str, ...]) -> None:
        self._under_way = under_way
        self.key = key
        self.tags = tags
        #: Whether the key was written or removed since it began.
        self.is_overruled = False

    def __enter__(self) -> Computation:
        self._under_way.begin(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._under_way.end(self)


class UnderWay:
    """What is being computed by callers who do not take part in single flight: refreshes, and those alone."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may clear the cache
        self._process = os.getpid()
        self._computations: set[Computation] = set()

    def begin(self, computation: Computation) -> None:
        """From now on changes overrule it."""
        if self._process != os.getpid():  # another thread may have held the lock at the fork
            self.__init__()  # type: ignore[misc]
        with self._lock:
            self._computations.add(computation)

    def end(self, computation: Computation) -> None:
        """It has come to an end."""
        if self._process == os.getpid():
            with self._lock:
                self._computations.discard(computation)

    def overrule(self, *, key: bytes | None = None, tag: str | None = None, but: Computation | None = None) -> None:
        """Tells what is under way that a change has come.

        Args:
            key: Of this key only.
            tag: With this tag only.
            but: The computation whose result is what changed it.
        """
        if self._process != os.getpid():
            return
        with self._lock:
            for each in list(self._computations):
                if each is not but and key in (None, each.key) and (tag is None or tag in each.tags):
                    each.is_overruled = True
