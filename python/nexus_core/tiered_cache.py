"""A local cache in front of a tier that processes share, or that outlives them.

>>> import tempfile
>>> from nexus_core.cache_tiers import SQLiteTier
>>> from nexus_core.tiered_cache import TieredCache
>>> folder = tempfile.TemporaryDirectory()
>>> with TieredCache(SQLiteTier(f"{folder.name}/cache.sqlite"), ttl=3600) as cache:
...     cache.get_or_set(("report", 2024), lambda: {"rows": [1, 2, 3]})
{'rows': [1, 2, 3]}
>>> with TieredCache(SQLiteTier(f"{folder.name}/cache.sqlite"), ttl=3600) as cache:
...     cache.get(("report", 2024))
{'rows': [1, 2, 3]}
>>> folder.cleanup()
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from nexus_core.cache import Cache, _wait
from nexus_core.cache_tiers import steps
from nexus_core.cache_tiers.backing import Backing
from nexus_core.cache_tiers.envelope import Envelope, Serializer
from nexus_core.cache_tiers.figures import TieredCacheStatistics
from nexus_core.cache_tiers.steps import Found
from nexus_core.cache_tiers.tier import Tier
from nexus_core.errors import RecursiveLoad
from nexus_core.keys import digest

if TYPE_CHECKING:
    from nexus_core._core import _Load

__all__ = ["TieredCache", "TieredCacheStatistics"]

K = TypeVar("K")
V = TypeVar("V")

_numbers = itertools.count(1)
_MISSING: Any = object()


class _Again(BaseException):
    """Who was to wait would have computed: it begins anew. No failure, and nobody else's business."""


def _again() -> Any:
    raise _Again


class TieredCache(Generic[K, V]):
    """A `Cache` whose entries are shared by processes, or outlive them.

    What is not in the local cache is looked for in the tier; what is in neither is computed
    once for all threads, tasks and processes that ask. What one process writes or removes
    goes from the others' local caches too.

    A tier that is slow, away, full, read-only or damaged makes the cache local: callers get no
    error and wait no longer than its time-out. Removals that it could not be told of are told
    before anything is read from it again.

    Keys are told apart by `nexus_core.keys`: ``1`` and ``True`` are two keys. A value that is found
    locally is the object itself, as in `Cache`; one that comes from the tier is decoded once for each
    process. What cannot be encoded stays local, and is counted.

    The methods that begin with ``a`` are for tasks: their event loop never waits for the tier.

    Args:
        tier: The tier, such as `RedisTier` or `SQLiteTier`. It is closed with the cache, and has one cache a process.
        maxsize: How many entries the local cache has room for, or how much they may weigh.
        ttl: Seconds that an entry lives; ``None`` for no limit.
        local_ttl: Seconds that it lives in the local cache; no longer than `ttl`.
        policy: What the local cache evicts by, as in `Cache`.
        weigher: What the local cache weighs by, as in `Cache`.
        serializer: An object with `dumps` and `loads` to use for values instead of the package's encoding. With
            one that can run code, such as `pickle`, set a secret: entries are authenticated before they are loaded.
        secret: At least 16 bytes that authenticate entries, or several: the first one is for writing, each
            one is for reading.
        compress_over: Bytes from which on entries are compressed; ``None`` for never.
        max_value_bytes: How large an entry may be for the tier.
        lease: Seconds after which another process takes over from one that died while it computed.
        max_wait: Seconds to wait for another process to compute; afterwards a caller computes for itself.
        failures: Failures in a row after which the tier is left alone.
        backoff: Seconds for which it is, at first; twice as many each time.
        max_backoff: Seconds for which it is, at most.
        name: The cache's name in statistics, errors and logs.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a size or a time makes no sense, or a secret is too short.

    Example:
        >>> import tempfile
        >>> from nexus_core import TieredCache
        >>> from nexus_core.cache_tiers import SQLiteTier
        >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.sqlite")) as cache:
        ...     cache.set("a", (1, 2), tags="numbers")
        ...     cache.invalidate_tag("numbers")
        ...     cache.get("a", "gone")
        1
        'gone'
    """

    def __init__(
        self,
        tier: Tier,
        *,
        maxsize: int | None = 1000,
        ttl: float | None = None,
        local_ttl: float | None = None,
        policy: Literal["tinylfu", "lru"] = "tinylfu",
        weigher: Callable[[bytes, V], int] | Literal["bytes"] | None = None,
        serializer: Serializer | None = None,
        secret: bytes | Sequence[bytes] | None = None,
        compress_over: int | None = 4096,
        max_value_bytes: int = 64 * 2**20,
        lease: float = 10.0,
        max_wait: float = 60.0,
        failures: int = 3,
        backoff: float = 0.5,
        max_backoff: float = 30.0,
        name: str | None = None,
    ) -> None:
        if not isinstance(tier, Tier):
            raise TypeError(f"a tier must have the methods of nexus_core.cache_tiers.Tier, got {tier!r}")
        if name is None:
            name = f"tiered-cache-{next(_numbers)}"
        for what, seconds in (("lease", lease), ("max_wait", max_wait), ("backoff", backoff), ("max_backoff", max_backoff)):  # fmt: skip
            _seconds(name, what, seconds)
        if isinstance(failures, bool) or not isinstance(failures, int):
            raise TypeError(f"cache {name!r}: failures must be an integer, got {failures!r}")
        if failures < 1:
            raise ValueError(f"cache {name!r}: failures must be at least 1, got {failures}")
        if ttl is not None:
            _seconds(name, "ttl", ttl, least=0.0)
        secrets = () if secret is None else (secret,) if isinstance(secret, (bytes, str)) else tuple(secret)
        # Its own checks are the cache's: of the sizes, the policy, the weigher and the name.
        self._local: Cache[bytes, V] = Cache(maxsize, _shorter(ttl, local_ttl), policy=policy, weigher=weigher, name=name)
        self._ttl = ttl
        self._local_ttl = local_ttl
        envelope = Envelope(
            secrets,  # type: ignore[arg-type]
            compress_over=compress_over,
            max_bytes=max_value_bytes,
            serializer=serializer,
        )
        drop = functools.partial(_drop, self._local)
        self._backing = Backing(tier, name, envelope, lease, max_wait, (failures, backoff, max_backoff), drop)

    @property
    def name(self) -> str:
        """The cache's name."""
        return self._local.name

    @property
    def tier(self) -> Tier:
        """The tier."""
        return self._backing.tier

    @property
    def ttl(self) -> float | None:
        """Seconds that an entry lives; ``None`` for no limit."""
        return self._ttl

    @property
    def local(self) -> Cache[bytes, V]:
        """The local cache, by the digests of keys: to be looked at."""
        return self._local

    # --- one key ----------------------------------------------------------------------

    def get(self, key: K, default: Any = None) -> Any:
        """The value of a key.

        Args:
            key: The key.
            default: What to return if there is none.

        Returns:
            The value, or the default.

        Raises:
            NotKeyable: The key has no digest.
        """
        name = digest(key, name="key")
        value = self._local.get(name, _MISSING)
        if value is not _MISSING:
            return value
        found = steps.run(steps.fetch(self._backing, name), self._backing)
        return default if found is None else self._kept(name, found)

    def get_local(self, key: K, default: Any = None) -> Any:
        """The value of a key that this process has; the tier is not asked.

        Args:
            key: The key.
            default: What to return if there is none.
        """
        return self._local.get(digest(key, name="key"), default)

    async def aget(self, key: K, default: Any = None) -> Any:
        """As `get()`, for tasks."""
        name = digest(key, name="key")
        value = self._local.get(name, _MISSING)
        if value is not _MISSING:
            return value
        found = await steps.run_async(steps.fetch(self._backing, name), self._backing)
        return default if found is None else self._kept(name, found)

    def set(self, key: K, value: V, *, ttl: float | None = None, tags: str | Iterable[str] | None = None) -> None:
        """Keeps a value, here and in the tier.

        Args:
            key: The key.
            value: The value.
            ttl: Seconds that the entry lives, instead of the cache's own.
            tags: A string or several, for `invalidate_tag()`.

        Raises:
            NotKeyable: The key has no digest.
            TypeError: If an argument is of the wrong kind.
            ValueError: If the time is negative.
        """
        terms = self._terms(ttl, tags)
        name = digest(key, name="key")
        if not self._backing.has_begun:
            steps.run(steps.prepare(self._backing), self._backing)
        found = self._set_here(name, value, *terms)
        steps.run(steps.store(self._backing, found, name), self._backing)

    async def aset(
        self, key: K, value: V, *, ttl: float | None = None, tags: str | Iterable[str] | None = None
    ) -> None:
        """As `set()`, for tasks."""
        terms = self._terms(ttl, tags)
        name = digest(key, name="key")
        if not self._backing.has_begun:
            await steps.run_async(steps.prepare(self._backing), self._backing)
        found = self._set_here(name, value, *terms)
        await steps.run_async(steps.store(self._backing, found, name), self._backing)

    def get_or_set(
        self, key: K, factory: Callable[[], V], *, ttl: float | None = None, tags: str | Iterable[str] | None = None
    ) -> V:
        """The value of a key, computed once for all threads, tasks and processes that ask.

        If the process that computes dies, another one takes over when its lease is over. A
        failure reaches the callers of this process and is not kept; those of others compute
        for themselves.

        Args:
            key: The key.
            factory: Called without arguments for the value.
            ttl: Seconds that the entry lives, instead of the cache's own.
            tags: A string or several, for `invalidate_tag()`.

        Returns:
            The value.

        Raises:
            NotKeyable: The key has no digest.
            RecursiveLoad: If the thread would wait for itself.
            Exception: What the factory raised.
        """
        name = digest(key, name="key")
        value = self._local.get(name, _MISSING)
        if value is not _MISSING:
            return value  # type: ignore[no-any-return]
        ttl, labels = self._terms(ttl, tags)
        if not self._backing.has_begun:
            steps.run(steps.prepare(self._backing), self._backing)
        while True:
            load, listed = self._local._load(name, 0, None, labels)
            if load.is_mine:
                found = load.found()
                if found is not None:
                    return found[0]  # type: ignore[no-any-return]
                path = steps.obtain(self._backing, name, ttl, labels, self._lands(name, load, listed))
                try:
                    return steps.run(path, self._backing, factory)  # type: ignore[no-any-return]
                except BaseException as error:
                    load.fail(error)
                    raise
            del load
            try:
                return self._local.get_or_set(name, _again)
            except _Again:
                continue
            except RecursiveLoad as error:
                raise _named(error, name, key) from None

    async def aget_or_set(
        self,
        key: K,
        factory: Callable[[], Awaitable[V] | V],
        *,
        ttl: float | None = None,
        tags: str | Iterable[str] | None = None,
    ) -> V:
        """As `get_or_set()`, for tasks: the factory may give something to await."""
        import asyncio

        name = digest(key, name="key")
        value = self._local.get(name, _MISSING)
        if value is not _MISSING:
            return value  # type: ignore[no-any-return]
        ttl, labels = self._terms(ttl, tags)
        if not self._backing.has_begun:
            await steps.run_async(steps.prepare(self._backing), self._backing)
        task = id(asyncio.current_task())
        while True:
            load, listed = self._local._load(name, task, None, labels)
            if load.is_mine:
                found = load.found()
                if found is not None:
                    return found[0]  # type: ignore[no-any-return]
                path = steps.obtain(self._backing, name, ttl, labels, self._lands(name, load, listed))
                try:
                    return await steps.run_async(path, self._backing, factory)  # type: ignore[no-any-return]
                except BaseException as error:
                    load.fail(error)
                    raise
            try:
                ended = load.outcome() or await _wait(load)
            except RecursiveLoad as error:
                raise _named(error, name, key) from None
            if ended is not None:
                return ended[0]  # type: ignore[no-any-return]

    def pop(self, key: K, default: Any = None) -> Any:
        """The value of a key, which is removed. Another process may have it at the same time.

        Args:
            key: The key.
            default: What to return if there is none.

        Returns:
            The value, or the default.
        """
        value = self.get(key, default)
        self.invalidate(key)
        return value

    async def apop(self, key: K, default: Any = None) -> Any:
        """As `pop()`, for tasks."""
        value = await self.aget(key, default)
        await self.ainvalidate(key)
        return value

    # --- removing ---------------------------------------------------------------------

    def invalidate(self, key: K) -> bool:
        """Removes a key everywhere; what is being computed for it is not kept.

        Args:
            key: The key.

        Returns:
            Whether it was there, as far as that is known.
        """
        name = digest(key, name="key")
        return self._removed_here(key=name) | self._backing.guard.removal(key=name)

    async def ainvalidate(self, key: K) -> bool:
        """As `invalidate()`, for tasks."""
        name = digest(key, name="key")
        return self._removed_here(key=name) | await self._backing.guard.aremoval(key=name)

    def invalidate_tag(self, tag: str) -> int:
        """Removes everywhere what has a tag.

        Args:
            tag: The tag.

        Returns:
            How many entries were removed from the local cache.

        Raises:
            TypeError: The tag is no string.
        """
        count = self._removed_here(tag=_tag(tag))
        self._backing.guard.removal(tag=tag)
        return count

    async def ainvalidate_tag(self, tag: str) -> int:
        """As `invalidate_tag()`, for tasks."""
        count = self._removed_here(tag=_tag(tag))
        await self._backing.guard.aremoval(tag=tag)
        return count

    def clear(self) -> None:
        """Removes everything, here and in the tier, for all processes."""
        self._removed_here()
        self._backing.guard.removal()

    async def aclear(self) -> None:
        """As `clear()`, for tasks."""
        self._removed_here()
        await self._backing.guard.aremoval()

    def clear_local(self) -> None:
        """Removes everything from this process's local cache; the tier has it still."""
        self._removed_here()

    # --- the rest ---------------------------------------------------------------------

    def statistics(self) -> TieredCacheStatistics:
        """What the cache counted and measured.

        Returns:
            The figures at this moment.
        """
        backing = self._backing
        figures = backing.figures.now()
        counted = ("hits", "misses", "writes", "computed", "waited", "taken_over", "fenced", "events", "gaps", "bytes_read", "bytes_written")  # fmt: skip
        return TieredCacheStatistics(
            name=self.name,
            tier=backing.tier.kind,
            local=self._local.statistics(),
            errors=figures["errors"],
            rejected=figures["rejected"],
            latency=figures["latency"],
            breaker=backing.guard.breaker.state,
            write_breaker=backing.guard.write_breaker.state,
            opened=backing.guard.breaker.opened,
            unsent=len(backing.guard.journal),
            **{each: figures.get(each, 0) for each in counted},
        )

    def close(self) -> None:
        """Closes the tier. Local entries stay, and from now on the cache is local."""
        self._backing.close()

    async def aclose(self) -> None:
        """As `close()`, for tasks."""
        import asyncio

        await asyncio.to_thread(self._backing.close)

    def __enter__(self) -> TieredCache[K, V]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> TieredCache[K, V]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> str:
        raise TypeError(f"cache {self.name!r} cannot be copied or pickled")

    def __repr__(self) -> str:
        return f"<TieredCache {self.name!r}: {self._local.currsize} local, {self.tier!r}>"

    # --- how --------------------------------------------------------------------------

    def _terms(self, ttl: float | None, tags: str | Iterable[str] | None) -> tuple[float | None, tuple[str, ...]]:
        if ttl is None:
            ttl = self._ttl
        else:
            _seconds(self.name, "ttl", ttl, least=0.0)
        if tags is None:
            return ttl, ()
        return ttl, tuple(dict.fromkeys(map(_tag, (tags,) if isinstance(tags, str) else tags)))

    def _set_here(self, name: bytes, value: V, ttl: float | None, labels: tuple[str, ...]) -> Found:
        # Here first: word of what another process writes after that then removes it.
        self._backing.changed(name)
        self._local.set(name, value, ttl=_shorter(ttl, self._local_ttl), tags=labels)
        return Found(value, ttl, labels)

    def _lands(self, name: bytes, load: _Load, labels: list[str]) -> Callable[[Found], object]:
        def landed(found: Found) -> None:
            load.finish(found.value, _shorter(found.ttl, self._local_ttl), list({*labels, *found.tags}))
            self._check(name, found)

        return landed

    def _kept(self, name: bytes, found: Found) -> V:
        value: V = found.value
        self._local.set(name, value, ttl=_shorter(found.ttl, self._local_ttl), tags=found.tags)
        self._check(name, found)
        return value

    def _check(self, name: bytes, found: Found) -> None:
        if found.version is not None and self._backing.version(name) != found.version:
            # It was changed since it was read.
            self._local.invalidate(name)

    def _removed_here(self, *, key: bytes | None = None, tag: str | None = None) -> int:
        self._backing.changed(key)
        return _drop(self._local, key, tag)


def _drop(local: Cache[bytes, Any], key: bytes | None, tag: str | None) -> int:
    if key is not None:
        return local.invalidate(key)
    if tag is not None:
        return local.invalidate_tag(tag)
    count = len(local)
    local.clear()
    return count


def _named(error: RecursiveLoad, name: bytes, key: object) -> RecursiveLoad:
    return RecursiveLoad(key) if error.key == name else error


def _shorter(ttl: float | None, other: float | None) -> float | None:
    return other if ttl is None else ttl if other is None else min(ttl, other)


def _seconds(name: str, what: str, given: object, least: float | None = None) -> None:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"cache {name!r}: {what} must be a number of seconds, got {given!r}")
    if not given < float("inf") or given < 0 or (least is None and given == 0):
        raise ValueError(f"cache {name!r}: {what} must be a positive number of seconds, got {given!r}")


def _tag(tag: object) -> str:
    if not isinstance(tag, str):
        raise TypeError(f"a tag must be a string, got {tag!r}")
    return tag
