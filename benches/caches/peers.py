"""The caches."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from caches import CachePeer, CacheUnavailable, Opened

Keys = Sequence[Hashable]
ENDLESS = 3_600
"""A time to live in seconds that no benchmark outlives."""


def compute(key: Hashable) -> Hashable:
    return key


def one() -> int:
    return 1


def needs(package: str, error: ImportError) -> CacheUnavailable:
    return CacheUnavailable(f"{package} is not installed: {error}")


def _of_mapping(cache: Any, get_or_set: Callable[[Keys], None] | None = None) -> Opened:
    def fill(keys: Keys) -> None:
        for key in keys:
            cache[key] = key

    def get(keys: Keys) -> None:
        for key in keys:
            cache.get(key)

    def item(keys: Keys) -> None:
        for key in keys:
            cache[key]

    def request(keys: Keys) -> int:
        hits = 0
        for key in keys:
            if cache.get(key) is None:
                cache[key] = key
            else:
                hits += 1
        return hits

    return Opened(fill, request, get, item, fill, get_or_set)


def _of_function(function: Any) -> Opened:
    """A call asks, and computes what is missing; there is no other way to write."""

    def call(keys: Keys) -> None:
        for key in keys:
            function(key)

    def request(keys: Keys) -> int:
        before = function.cache_info().hits
        call(keys)
        hits: int = function.cache_info().hits - before
        return hits

    return Opened(call, request, call, get_or_set=call)


def _ours(cache: Any) -> Opened:
    def get_or_set(keys: Keys) -> None:
        for key in keys:
            cache.get_or_set(key, one)

    return _of_mapping(cache, get_or_set)


@contextmanager
def tinylfu(capacity: int) -> Iterator[Opened]:
    from nexus_core import Cache

    yield _ours(Cache(capacity))


@contextmanager
def lru(capacity: int) -> Iterator[Opened]:
    from nexus_core.cache import LRUCache

    yield _ours(LRUCache(capacity))


@contextmanager
def ttl(capacity: int) -> Iterator[Opened]:
    from nexus_core.cache import TTLCache

    yield _ours(TTLCache(capacity, ENDLESS))


@contextmanager
def cached(capacity: int) -> Iterator[Opened]:
    from nexus_core import cached

    yield _of_function(cached(maxsize=capacity)(compute))


@contextmanager
def plain_dict(_capacity: int) -> Iterator[Opened]:
    yield _of_mapping({})


@contextmanager
def functools_lru_cache(capacity: int) -> Iterator[Opened]:
    yield _of_function(functools.lru_cache(capacity)(compute))


@contextmanager
def cachetools(capacity: int, *, expires: bool = False) -> Iterator[Opened]:
    """With the lock that its documentation asks for."""
    try:
        from cachetools import LRUCache, TTLCache
    except ImportError as error:
        raise needs("cachetools", error) from None
    cache: Any = TTLCache(capacity, ENDLESS) if expires else LRUCache(capacity)
    lock = Lock()

    def fill(keys: Keys) -> None:
        for key in keys:
            with lock:
                cache[key] = key

    def get(keys: Keys) -> None:
        for key in keys:
            with lock:
                cache.get(key)

    def item(keys: Keys) -> None:
        for key in keys:
            with lock:
                cache[key]

    def request(keys: Keys) -> int:
        hits = 0
        for key in keys:
            with lock:
                if cache.get(key) is None:
                    cache[key] = key
                else:
                    hits += 1
        return hits

    yield Opened(fill, request, get, item, fill)


@contextmanager
def cachebox(capacity: int, *, expires: bool = False) -> Iterator[Opened]:
    try:
        from cachebox import LRUCache, TTLCache
    except ImportError as error:
        raise needs("cachebox", error) from None
    cache: Any = TTLCache(capacity, ENDLESS) if expires else LRUCache(capacity)

    def get_or_set(keys: Keys) -> None:
        for key in keys:
            cache.setdefault_with(key, one)

    yield _of_mapping(cache, get_or_set)


@contextmanager
def theine(capacity: int) -> Iterator[Opened]:
    try:
        from theine import Cache
    except ImportError as error:
        raise needs("theine", error) from None
    cache: Any = Cache(capacity)

    def fill(keys: Keys) -> None:
        for key in keys:
            cache.set(key, key)

    def get(keys: Keys) -> None:
        for key in keys:
            cache.get(key)

    def request(keys: Keys) -> int:
        hits = 0
        for key in keys:
            _, found = cache.get(key)
            if found:
                hits += 1
            else:
                cache.set(key, key)
        return hits

    try:
        yield Opened(fill, request, get, set=fill)
    finally:
        cache.close()


@contextmanager
def moka(capacity: int) -> Iterator[Opened]:
    try:
        from moka_py import Moka
    except ImportError as error:
        raise needs("moka-py", error) from None
    cache: Any = Moka(capacity)

    def fill(keys: Keys) -> None:
        for key in keys:
            cache.set(key, key)

    def get(keys: Keys) -> None:
        for key in keys:
            cache.get(key)

    def get_or_set(keys: Keys) -> None:
        for key in keys:
            cache.get_with(key, one)

    def request(keys: Keys) -> int:
        hits = 0
        for key in keys:
            if cache.get(key) is None:
                cache.set(key, key)
            else:
                hits += 1
        return hits

    yield Opened(fill, request, get, set=fill, get_or_set=get_or_set)


# What is missing is computed, and there is no other way to write.
FUNCTION = ("item", "set", "miss")

PEERS = {
    peer.key: peer
    for peer in (
        CachePeer("nexus_core", "nexus_core Cache", tinylfu),
        CachePeer("nexus_core_lru", "nexus_core LRUCache", lru),
        CachePeer("nexus_core_ttl", "nexus_core TTLCache", ttl),
        CachePeer("nexus_core_cached", "nexus_core @cached", cached, FUNCTION),
        CachePeer("lru_cache", "functools.lru_cache", functools_lru_cache, FUNCTION),
        CachePeer("dict", "dict (unbounded)", plain_dict, ("get_or_set", "evict")),
        CachePeer("cachebox", "cachebox LRUCache", cachebox),
        CachePeer("cachebox_ttl", "cachebox TTLCache", functools.partial(cachebox, expires=True)),
        CachePeer("moka", "moka-py", moka, ("item",)),
        CachePeer("cachetools", "cachetools LRUCache and a lock", cachetools, ("get_or_set",)),
        CachePeer(
            "cachetools_ttl", "cachetools TTLCache and a lock", functools.partial(cachetools, expires=True),
            ("get_or_set",),
        ),
        CachePeer("theine", "theine", theine, ("item", "get_or_set")),
    )
}  # fmt: skip
