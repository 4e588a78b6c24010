"""What a tiered cache does for tasks, and what it does for threads and tasks alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nexus_core.cache import Cache, _wait
from nexus_core.cache_tiers import steps
from nexus_core.cache_tiers.backing import Backing
from nexus_core.cache_tiers.steps import Found
from nexus_core.cache_tiers.terms import check_seconds, check_tag, drop, named, shorter
from nexus_core.errors import RecursiveLoad
from nexus_core.keys import digest

if TYPE_CHECKING:
    from nexus_core._core import _Load

__all__ = ["MISSING", "TieredCacheForTasks"]

K = TypeVar("K")
V = TypeVar("V")

MISSING: Any = object()


class TieredCacheForTasks(Generic[K, V]):
    """The part of `TieredCache` whose methods are awaited."""

    _local: Cache[bytes, V]
    _backing: Backing
    _ttl: float | None
    _local_ttl: float | None

    @property
    def name(self) -> str:
        """The cache's name."""
        return self._local.name

    async def aget(self, key: K, default: Any = None) -> Any:
        """As `get()`, for tasks.

        Args:
            key: The key.
            default: What to return if there is none.

        Example:
            >>> import asyncio, tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     asyncio.run(cache.aget("b", "none"))
            'none'
        """
        name = digest(key, name="key")
        value = self._local.get(name, MISSING)
        if value is not MISSING:
            return value
        found = await steps.run_async(steps.fetch(self._backing, name), self._backing)
        return default if found is None else self._kept(name, found)

    async def aset(
        self, key: K, value: V, *, ttl: float | None = None, tags: str | Iterable[str] | None = None
    ) -> None:
        """As `set()`, for tasks.

        Args:
            key: The key.
            value: The value.
            ttl: Seconds that the entry lives, instead of the cache's own.
            tags: A string or several, for `invalidate_tag()`.

        Example:
            >>> import asyncio, tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     asyncio.run(cache.aset("a", 1))
            ...     cache.get("a")
            1
        """
        terms = self._terms(ttl, tags)
        name = digest(key, name="key")
        if not self._backing.has_begun:
            await steps.run_async(steps.prepare(self._backing), self._backing)
        found = Found(value, *terms)
        data = await steps.run_async(steps.seal(self._backing, name, found), self._backing)
        moment = self._set_here(name, found)
        if await steps.run_async(steps.store(self._backing, found, name, data), self._backing):
            self._settle(name, moment)

    async def aget_or_set(
        self,
        key: K,
        factory: Callable[[], Awaitable[V] | V],
        *,
        ttl: float | None = None,
        tags: str | Iterable[str] | None = None,
    ) -> V:
        """As `get_or_set()`, for tasks: the factory may give something to await.

        Args:
            key: The key.
            factory: Called without arguments for the value.
            ttl: Seconds that the entry lives, instead of the cache's own.
            tags: A string or several, for `invalidate_tag()`.

        Example:
            >>> import asyncio, tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     asyncio.run(cache.aget_or_set("a", lambda: asyncio.sleep(0, "a page")))
            'a page'
        """
        name = digest(key, name="key")
        value = self._local.get(name, MISSING)
        if value is not MISSING:
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
                raise named(error, name, key) from None
            if ended is not None:
                return ended[0]  # type: ignore[no-any-return]

    async def apop(self, key: K, default: Any = None) -> Any:
        """As `pop()`, for tasks.

        Args:
            key: The key.
            default: What to return if there is none.

        Example:
            >>> import asyncio, tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     asyncio.run(cache.apop("a", "none"))
            'none'
        """
        value = await self.aget(key, default)
        await self.ainvalidate(key)
        return value

    async def ainvalidate(self, key: K) -> bool:
        """As `invalidate()`, for tasks.

        Args:
            key: The key.

        Example:
            >>> import asyncio, tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     asyncio.run(cache.ainvalidate("a"))
            False
        """
        name = digest(key, name="key")
        was_here = bool(self._removed_here(key=name))
        return await self._backing.guard.aremoval(key=name) or was_here

    async def ainvalidate_tag(self, tag: str) -> int:
        """As `invalidate_tag()`, for tasks.

        Args:
            tag: The tag.

        Example:
            >>> import asyncio, tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     asyncio.run(cache.ainvalidate_tag("odd"))
            0
        """
        count = self._removed_here(tag=check_tag(tag))
        await self._backing.guard.aremoval(tag=tag)
        return count

    async def aclear(self) -> None:
        """As `clear()`, for tasks.

        Example:
            >>> import asyncio, tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     asyncio.run(cache.aclear())
            ...     cache.get("a", "none")
            'none'
        """
        self._removed_here()
        await self._backing.guard.aremoval()

    async def aclose(self) -> None:
        """As `close()`, for tasks.

        Example:
            >>> import asyncio, tempfile
            >>> from nexus_core import TieredCache
            >>> from nexus_core.cache_tiers import SQLiteTier
            >>> with tempfile.TemporaryDirectory() as folder, TieredCache(SQLiteTier(f"{folder}/c.db")) as cache:
            ...     asyncio.run(cache.aclose())
            ...     cache.get_or_set("a", lambda: "local")
            'local'
        """
        await asyncio.to_thread(self._backing.close)

    # --- for both ---------------------------------------------------------------------

    def _terms(self, ttl: float | None, tags: str | Iterable[str] | None) -> tuple[float | None, tuple[str, ...]]:
        if ttl is None:
            ttl = self._ttl
        else:
            check_seconds(self.name, "ttl", ttl, least=0.0)
        if tags is None:
            return ttl, ()
        return ttl, tuple(dict.fromkeys(map(check_tag, (tags,) if isinstance(tags, str) else tags)))

    def _set_here(self, name: bytes, found: Found) -> tuple[int, int, int]:
        # Here first: word of what another process writes after that then removes it.
        self._backing.changed(name)
        moment = self._backing.moment(name)
        self._local.set(name, found.value, ttl=shorter(found.ttl, self._local_ttl), tags=found.tags)
        return moment

    def _settle(self, name: bytes, moment: tuple[int, int, int]) -> None:
        """Drops what is here if others changed it meanwhile: which of them the tier heard last is not known."""
        was_alone = self._backing.moment(name) == moment
        # From here on nobody keeps what the tier had before.
        self._backing.changed(name)
        everything, _, kept = self._backing.moment(name)
        if not was_alone or (everything, kept) != (moment[0], moment[2]):
            self._local.invalidate(name)

    def _lands(self, name: bytes, load: _Load, labels: list[str]) -> Callable[[Found], object]:
        def landed(found: Found) -> None:
            self._backing.keeps(name)
            load.finish(found.value, shorter(found.ttl, self._local_ttl), list({*labels, *found.tags}))
            self._check(name, found)

        return landed

    def _kept(self, name: bytes, found: Found) -> V:
        value: V = found.value
        self._backing.keeps(name)
        self._local.set(name, value, ttl=shorter(found.ttl, self._local_ttl), tags=found.tags)
        self._check(name, found)
        return value

    def _check(self, name: bytes, found: Found) -> None:
        if found.version is not None and self._backing.version(name) != found.version:
            # It was changed since it was read.
            self._local.invalidate(name)

    def _removed_here(self, *, key: bytes | None = None, tag: str | None = None) -> int:
        self._backing.changed(key)
        return drop(self._local, key, tag)
