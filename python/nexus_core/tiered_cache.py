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
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any, Literal, TypeVar

from nexus_core._tiered_cache_async import MISSING, TieredCacheForTasks
from nexus_core.cache import Cache
from nexus_core.cache_tiers import steps
from nexus_core.cache_tiers.backing import Backing
from nexus_core.cache_tiers.envelope import Envelope, Serializer
from nexus_core.cache_tiers.figures import TieredCacheStatistics
from nexus_core.cache_tiers.steps import Found
from nexus_core.cache_tiers.terms import check_seconds, check_tag, drop, named, shorter
from nexus_core.cache_tiers.tier import Tier
from nexus_core.errors import RecursiveLoad
from nexus_core.keys import digest

__all__ = ["TieredCache", "TieredCacheStatistics"]

K = TypeVar("K")
V = TypeVar("V")

_numbers = itertools.count(1)


class _Again(BaseException):
    """Who was to wait would have computed: it begins anew. No failure, and nobody else's business."""


def _again() -> Any:
    raise _Again


class TieredCache(TieredCacheForTasks[K, V]):
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
        ImportError: msgpack is not installed.
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
            check_seconds(name, what, seconds)
        if isinstance(failures, bool) or not isinstance(failures, int):
            raise TypeError(f"cache {name!r}: failures must be an integer, got {failures!r}")
        if failures < 1:
            raise ValueError(f"cache {name!r}: failures must be at least 1, got {failures}")
        if ttl is not None:
            check_seconds(name, "ttl", ttl, least=0.0)
        secrets = () if secret is None else (secret,) if isinstance(secret, (bytes, str)) else tuple(secret)
        # Its own checks are the cache's: of the sizes, the policy, the weigher and the name.
        self._local: Cache[bytes, V] = Cache(
            maxsize, shorter(ttl, local_ttl), policy=policy, weigher=weigher, name=name
        )
        self._ttl = ttl
        self._local_ttl = local_ttl
        envelope = Envelope(
            secrets,
            context=str(getattr(tier, "namespace", "")).encode(),
            compress_over=compress_over,
            max_bytes=max_value_bytes,
            serializer=serializer,
        )
        drops = functools.partial(drop, self._local)
        self._backing = Backing(tier, name, envelope, lease, max_wait, (failures, backoff, max_backoff), drops)

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

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.set("a", 1)
            ...     cache.get("a"), cache.get("b", "none")
            (1, 'none')
        """
        name = digest(key, name="key")
        value = self._local.get(name, MISSING)
        if value is not MISSING:
            return value
        found = steps.run(steps.fetch(self._backing, name), self._backing)
        return default if found is None else self._kept(name, found)

    def get_local(self, key: K, default: Any = None) -> Any:
        """The value of a key that this process has; the tier is not asked.

        Args:
            key: The key.
            default: What to return if there is none.

        Returns:
            The value, or the default.

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.sqlite")) as cache:
            ...     cache.set("a", 1)
            ...     cache.get_local("a")
            1
        """
        return self._local.get(digest(key, name="key"), default)

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

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.set(("report", 7), [1, 2], ttl=60, tags="reports")
            ...     cache.get(("report", 7))
            [1, 2]
        """
        terms = self._terms(ttl, tags)
        name = digest(key, name="key")
        if not self._backing.has_begun:
            steps.run(steps.prepare(self._backing), self._backing)
        found = Found(value, *terms)
        data = steps.run(steps.seal(self._backing, name, found), self._backing)
        moment = self._set_here(name, found)
        if steps.run(steps.store(self._backing, found, name, data), self._backing):
            self._settle(name, moment)

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

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.get_or_set("a", lambda: 6 * 7)
            42
        """
        name = digest(key, name="key")
        value = self._local.get(name, MISSING)
        if value is not MISSING:
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
                raise named(error, name, key) from None

    def pop(self, key: K, default: Any = None) -> Any:
        """The value of a key, which is removed. Another process may have it at the same time.

        Args:
            key: The key.
            default: What to return if there is none.

        Returns:
            The value, or the default.

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.set("a", 1)
            ...     cache.pop("a"), cache.pop("a")
            (1, None)
        """
        value = self.get(key, default)
        self.invalidate(key)
        return value

    # --- removing ---------------------------------------------------------------------

    def invalidate(self, key: K) -> bool:
        """Removes a key everywhere; what is being computed for it is not kept.

        Args:
            key: The key.

        Returns:
            Whether it was there, as far as that is known.

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.set("a", 1)
            ...     cache.invalidate("a"), cache.get("a")
            (True, None)
        """
        name = digest(key, name="key")
        was_here = bool(self._removed_here(key=name))
        return self._backing.guard.removal(key=name) or was_here

    def invalidate_tag(self, tag: str) -> int:
        """Removes everywhere what has a tag.

        Args:
            tag: The tag.

        Returns:
            How many entries were removed from the local cache.

        Raises:
            TypeError: The tag is no string.

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.set("a", 1, tags=["small", "odd"])
            ...     cache.invalidate_tag("odd"), cache.get("a")
            (1, None)
        """
        count = self._removed_here(tag=check_tag(tag))
        self._backing.guard.removal(tag=tag)
        return count

    def clear(self) -> None:
        """Removes everything, here and in the tier, for all processes.

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.set("a", 1)
            ...     cache.clear()
            ...     cache.get("a", "none")
            'none'
        """
        self._removed_here()
        self._backing.guard.removal()

    def clear_local(self) -> None:
        """Removes everything from this process's local cache; the tier has it still.

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.set("a", (1, 2))
            ...     cache.clear_local()
            ...     cache.get("a")
            (1, 2)
        """
        self._removed_here()

    # --- the rest ---------------------------------------------------------------------

    def statistics(self) -> TieredCacheStatistics:
        """What the cache counted and measured.

        Returns:
            The figures at this moment.

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.get("a", "none")
            ...     cache.statistics().misses
            'none'
            1
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
        """Closes the tier. Local entries stay, and from now on the cache is local.

        Example:
            >>> import tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     cache.close()
            ...     cache.get_or_set("a", lambda: "local")
            'local'
        """
        self._backing.close()

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
