"""What a request asks of the cache, where it does not reach the runtime as an argument."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from nexus_core._core import Client, current_client

__all__ = ["Wish", "take_wish", "wishing"]


class Wish:
    """What the next run of a context asks of the cache, and how that run was answered.

    Args:
        refresh: Whether the results are computed anew in any case.
        cache: ``False`` if the cache has no part in it.

    Attributes:
        outcome: The arguments of a ``CacheOutcome``, once the run has ended.
    """

    __slots__ = ("cache", "is_taken", "outcome", "refresh")

    def __init__(self, refresh: bool = False, cache: bool | None = None) -> None:
        self.refresh = refresh
        self.cache = cache
        self.is_taken = False
        self.outcome: tuple[Any, ...] | None = None

    def tell(self, noted: tuple[Any, ...] | None) -> None:
        """Says how the run was answered.

        Args:
            noted: The arguments of a ``CacheOutcome``.
        """
        self.outcome = noted


_current: ContextVar[Wish | None] = ContextVar("nexus_core_cache_wish", default=None)


@contextmanager
def wishing(wish: Wish) -> Iterator[Wish]:
    """Lets the next run of the context know of a wish.

    Args:
        wish: The wish.
    """
    outer = _current.set(wish)
    try:
        yield wish
    finally:
        _current.reset(outer)


def take_wish() -> Wish | None:
    """The wish that concerns a run which begins now: runs inside of it have none."""
    wish = _current.get()
    if wish is not None:
        if wish.is_taken:
            return None
        wish.is_taken = True
        return wish
    client = current_client()
    taken = None if client is None else client.take_wish()
    if client is None or taken is None:
        return None
    return _WishOfClient(client, *taken)


class _WishOfClient(Wish):
    """What the client of an HTTP request asks; its reply tells the outcome."""

    __slots__ = ("_client",)

    def __init__(self, client: Client, refresh: bool, cache: bool | None) -> None:
        super().__init__(refresh, cache)
        self._client = client

    def tell(self, noted: tuple[Any, ...] | None) -> None:
        from nexus_core.cached_runs.status_lines import status_line

        super().tell(noted)
        if noted is not None:
            self._client.tell(status_line(noted))
