"""A cache for any Python program: bounded, expiring, and computed once for many.

Keys are equal as in a dict, and no code of theirs ever runs while the cache is locked: a
key's ``__eq__``, a value's ``__del__`` and a listener may use the cache themselves.

>>> from nexus_core import Cache
>>> cache = Cache(1000, ttl=60)
>>> cache["answer"] = 42
>>> cache.get("answer")
42
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, ItemsView, Iterable, Iterator, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any, Generic, Literal, NamedTuple, TypeVar, cast, overload

from nexus_core._core import _Cache
from nexus_core._mailboxes import mailbox_of
from nexus_core.cache_statistics import CacheStatistics
from nexus_core.cache_what_if import SizeEstimate, WhatIf
from nexus_core.durations import Durations

if TYPE_CHECKING:
    from nexus_core._core import _Load

__all__ = [
    "Cache",
    "CacheInfo",
    "CacheStatistics",
    "LRUCache",
    "SizeEstimate",
    "TTLCache",
    "WhatIf",
]

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

_log = logging.getLogger("nexus_core.cache")
_numbers = itertools.count(1)
_MISSING: Any = object()
# Of the keys, what_if=True samples so many, or more where there is room for few entries.
_USUAL_SHARE = 1 / 32


class CacheInfo(NamedTuple):
    """What `cache_info()` tells, as `functools.lru_cache` has it.

    Attributes:
        hits: Keys that were asked for and were there.
        misses: Keys that were asked for and were not.
        maxsize: What entries may weigh together; ``None`` for no limit.
        currsize: What they weigh.
    """

    hits: int
    misses: int
    maxsize: int | None
    currsize: int


class _Listener:
    """The user's listener, whose errors are logged and concern nobody else."""

    __slots__ = ("_listener", "_name")

    def __init__(self, name: str, listener: Callable[[Any, Any, str], object]) -> None:
        self._name = name
        self._listener = listener

    def __call__(self, key: Any, value: Any, cause: str) -> None:
        try:
            self._listener(key, value, cause)
        except Exception:
            _log.exception("cache %r: its listener failed", self._name)


class _Items(ItemsView[K, V]):
    """Keys and values as they are; looking counts no hits."""

    __slots__ = ()

    def __iter__(self) -> Iterator[tuple[K, V]]:
        yield from cast("Cache[K, V]", self._mapping)._items()  # type: ignore[attr-defined]


class _Values(ValuesView[V]):
    """Values as they are; looking counts no hits."""

    __slots__ = ()

    def __iter__(self) -> Iterator[V]:
        for _, value in cast("Cache[Any, V]", self._mapping)._items():  # type: ignore[attr-defined]
            yield value


def _number(name: str, what: str, given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"cache {name!r}: {what} must be a number of seconds or None, got {given!r}")
    if not given >= 0:
        raise ValueError(f"cache {name!r}: {what} must be a number of seconds of at least 0, got {given!r}")
    return float(given)


def _asked_size(name: str, given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"cache {name!r}: a size must be an integer, got {given!r}")
    if not 0 <= given < 2**63:
        raise ValueError(f"cache {name!r}: a size must be at least 0 and below 2**63, got {given!r}")
    return given


def _size(name: str, given: object) -> int | None:
    if given is None or given == float("inf"):
        return None
    if isinstance(given, bool) or not isinstance(given, int):
        raise TypeError(f"cache {name!r}: maxsize must be an integer or None, got {given!r}")
    if not 0 <= given < 2**63:
        raise ValueError(f"cache {name!r}: maxsize must be at least 0 and below 2**63, got {given!r}")
    return given


def _share(name: str, given: object, maxsize: int | None) -> float | None:
    if given is False:
        return None
    if given is True:
        share = _USUAL_SHARE
    elif isinstance(given, (int, float)):
        share = float(given)
        if not 0 < share <= 1:
            raise ValueError(
                f"cache {name!r}: what_if must be True, or a share of the keys above 0 and up to 1, got {given!r}"
            )
    else:
        raise TypeError(f"cache {name!r}: what_if must be True, False or a share of the keys, got {given!r}")
    if not maxsize:
        raise ValueError(f"cache {name!r}: what_if compares sizes, and maxsize is {maxsize!r}; give one above 0")
    return share


class Cache(_Cache, MutableMapping[K, V], Generic[K, V]):
    """A mutable mapping that keeps what is worth it.

    It is bounded by the number of its entries or by what they weigh. What does not fit is
    evicted, by default by W-TinyLFU: a new entry stays only if it is asked for more often
    than the one it would replace. A scan does not wash out what is in use, and what was
    just written may be gone. Safe to use from threads and event loops alike.

    Iterating goes over the entries that were there when it began. After a fork the child
    has what its parent had; on a free-threaded Python it begins empty.

    Args:
        maxsize: How many entries there may be, or how much they may weigh together where
            there is a weigher; `None` for no limit.
        ttl: Seconds that an entry lives from when it is written; `None` for no limit.
        tti: Seconds after which an entry expires that is not used; `None` for no limit.
        policy: `"tinylfu"`, or `"lru"` to evict what was not used for longest.
        weigher: Called with key and value for what an entry weighs, an integer of at
            least 0; or `"bytes"` for the memory that both take, their elements and
            attributes included.
        on_evict: Called with key, value and cause when an entry leaves: `"size"`,
            `"expired"`, `"explicit"` or `"replaced"`. It runs in the thread that made the
            entry leave, may use the cache, and its errors are logged.
        timer: A clock in seconds for expiry; as `cachetools.TTLCache` has it.
        getsizeof: Called with a value for what it weighs; as `cachetools` has it.
        what_if: Whether `what_if()` can tell what other sizes would have done; or the share
            of the keys that is looked at for that, above 0 and up to 1. `True` takes one key
            in 32, or more of them where there is room for fewer than 1,536 entries.
        name: The cache's name in statistics, errors and logs.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a size or a time is negative, `weigher` and `getsizeof` are given, or
            `what_if` without a size.

    Example:
        >>> from nexus_core import Cache
        >>> cache = Cache(2, policy="lru", on_evict=lambda key, value, cause: print(key, cause))
        >>> cache["a"], cache["b"], cache["c"] = 1, 2, 3
        a size
        >>> dict(cache)
        {'b': 2, 'c': 3}
    """

    __hash__ = None  # type: ignore[assignment]

    _name: str
    _policy: Literal["tinylfu", "lru"]

    def __new__(
        cls,
        maxsize: int | None = 1000,
        ttl: float | None = None,
        *,
        tti: float | None = None,
        policy: Literal["tinylfu", "lru"] = "tinylfu",
        weigher: Callable[[K, V], int] | Literal["bytes"] | None = None,
        on_evict: Callable[[K, V, str], object] | None = None,
        timer: Callable[[], float] | None = None,
        getsizeof: Callable[[V], int] | None = None,
        what_if: bool | float = False,
        name: str | None = None,
    ) -> Cache[K, V]:
        if name is None:
            name = f"cache-{next(_numbers)}"
        elif not isinstance(name, str):
            raise TypeError(f"a cache's name must be a string, got {name!r}")
        if policy not in ("tinylfu", "lru"):
            raise ValueError(f"cache {name!r}: policy must be 'tinylfu' or 'lru', got {policy!r}")
        for what, hook in (("on_evict", on_evict), ("timer", timer), ("getsizeof", getsizeof)):
            if hook is not None and not callable(hook):
                raise TypeError(f"cache {name!r}: {what} must be callable, got {hook!r}")
        if weigher is not None and not callable(weigher) and weigher != "bytes":
            raise TypeError(f"cache {name!r}: weigher must be 'bytes' or callable, got {weigher!r}")
        weighs: object = weigher
        if getsizeof is not None:
            if weigher is not None:
                raise ValueError(f"cache {name!r}: give weigher or getsizeof, not both")
            measure = getsizeof

            def weighs(_key: K, value: V) -> int:
                return measure(value)

        size = _size(name, maxsize)
        self = super().__new__(
            cls,
            maxsize=size,
            is_lru=policy == "lru",
            ttl=_number(name, "ttl", ttl),
            tti=_number(name, "tti", tti),
            # It is what the cache goes by itself.
            timer=None if timer is time.monotonic else timer,
            weigher=weighs,
            listener=None if on_evict is None else _Listener(name, on_evict),
            what_if=_share(name, what_if, size),
        )
        self._name = name
        self._policy = policy
        return self

    # What is native, with its own documentation; typed by what the cache holds.
    if TYPE_CHECKING:

        def __getitem__(self, key: K, /) -> V: ...
        def __iter__(self) -> Iterator[K]: ...
        @overload  # type: ignore[override]
        def get(self, key: K, /) -> V | None: ...
        @overload
        def get(self, key: K, /, default: V) -> V: ...
        @overload
        def get(self, key: K, /, default: T) -> V | T: ...
        def get(self, key: K, /, default: Any = None) -> Any: ...
        def set(
            self,
            key: K,
            value: V,
            *,
            ttl: float | None = None,
            tags: str | Iterable[str] | None = None,
            weight: int | None = None,
        ) -> None: ...
        @overload  # type: ignore[override]
        def pop(self, key: K, /) -> V: ...
        @overload
        def pop(self, key: K, /, default: V) -> V: ...
        @overload
        def pop(self, key: K, /, default: T) -> V | T: ...
        def pop(self, key: K, /, default: Any = None) -> Any: ...
        def popitem(self) -> tuple[K, V]: ...
        def setdefault(self, key: K, default: V, /) -> V: ...  # type: ignore[override]
        def get_or_set(
            self,
            key: K,
            factory: Callable[[], V],
            *,
            ttl: float | None = None,
            tags: str | Iterable[str] | None = None,
        ) -> V: ...

    @property
    def name(self) -> str:
        """The cache's name."""
        return self._name

    @property
    def policy(self) -> Literal["tinylfu", "lru"]:
        """What it evicts by."""
        return self._policy

    def items(self) -> ItemsView[K, V]:
        """Keys and values; looking at them counts no hits.

        Example:
            >>> from nexus_core import Cache
            >>> cache = Cache(10)
            >>> cache["a"] = 1
            >>> list(cache.items())
            [('a', 1)]
        """
        return _Items(self)

    def values(self) -> ValuesView[V]:
        """The values; looking at them counts no hits.

        Example:
            >>> from nexus_core import Cache
            >>> list(Cache(10).values())
            []
        """
        return _Values(self)

    async def aget_or_set(
        self,
        key: K,
        factory: Callable[[], Awaitable[V] | V],
        *,
        ttl: float | None = None,
        tags: str | Iterable[str] | None = None,
    ) -> V:
        """As `get_or_set()`, for tasks: the value of a key, computed once for all who ask.

        They may be tasks of any event loops, and threads. A task that is cancelled while it
        computes leaves the computation to the next who waits.

        Args:
            key: The key.
            factory: Called without arguments for the value, or for something to await.
            ttl: Seconds that the entry lives, instead of the cache's own.
            tags: A string or several, for `invalidate_tag()`.

        Returns:
            The value.

        Raises:
            RecursiveLoad: If the task would wait for itself.
            TypeError: If the key cannot be hashed.
            Exception: What the factory raised.

        Example:
            >>> import asyncio
            >>> from nexus_core import Cache
            >>> async def fetch():
            ...     return "a page"
            >>> cache = Cache(100)
            >>> asyncio.run(cache.aget_or_set("page", fetch))
            'a page'
        """
        value: V = self.get(key, _MISSING)
        if value is not _MISSING:
            return value
        task = id(asyncio.current_task())
        while True:
            load, labels = self._load(key, task, ttl, tags)
            if load.is_mine:
                computed: V = await _compute(load, factory, ttl, labels)
                return computed
            ended = load.outcome() or await _wait(load)
            if ended is not None:
                return cast("V", ended[0])

    def statistics(self) -> CacheStatistics:
        """What the cache counted and measured.

        Returns:
            The figures at this moment.

        Example:
            >>> from nexus_core import Cache
            >>> cache = Cache(100)
            >>> cache.get("nobody")
            >>> cache.statistics().misses
            1
        """
        figures = self._statistics()
        load = Durations(**figures.pop("load"))
        return CacheStatistics(name=self._name, load=load, **figures)

    def what_if(self, sizes: Iterable[int] = (), *, factors: Iterable[float] = ()) -> WhatIf:
        """What other sizes would have done with what was asked lately.

        Half and twice the size are simulated, with the cache's own policy, on a sample of the
        keys. For any other there is what LRU would have done, up to four times the size.

        Args:
            sizes: Sizes to tell of.
            factors: The same as multiples of `maxsize`.

        Returns:
            The estimates, with what they are based on.

        Raises:
            TypeError: If a size is no integer, or a factor no number.
            ValueError: If one is negative, or the cache was made without `what_if=True`.

        Example:
            >>> from nexus_core import Cache
            >>> cache = Cache(2, policy="lru", what_if=True)
            >>> for key in [1, 2, 3] * 100:
            ...     _ = cache.get_or_set(key, lambda: "value")
            >>> found = cache.what_if(sizes=[3])
            >>> found.hit_ratio, round(found.twice.hit_ratio, 2), round(found.sizes[0].hit_ratio, 2)
            (0.0, 0.99, 0.99)
        """
        asked = [_asked_size(self._name, size) for size in sizes]
        for factor in factors:
            if isinstance(factor, bool) or not isinstance(factor, (int, float)):
                raise TypeError(f"cache {self._name!r}: a factor must be a number, got {factor!r}")
            if not 0 <= factor < float("inf"):
                raise ValueError(f"cache {self._name!r}: a factor must be at least 0 and finite, got {factor!r}")
            asked.append(min(round((self.maxsize or 0) * factor), 2**63 - 1))
        figures = self._what_if(asked)
        if figures is None or self.maxsize is None:
            raise ValueError(
                f"cache {self._name!r} keeps no record for what_if(); make it with Cache(..., what_if=True)"
            )
        exact = figures["sampling_rate"] == 1.0
        half, twice = (
            SizeEstimate(size, ratio, 0.0 if exact else margin, self._policy)
            for size, ratio, margin in (figures["half"], figures["twice"])
        )
        return WhatIf(
            maxsize=self.maxsize,
            hit_ratio=figures["hit_ratio"],
            half=half,
            twice=twice,
            sizes=tuple(SizeEstimate(size, ratio, None, "lru") for size, ratio, _ in figures["lru"]),
            requests=round(figures["requests"]),
            samples=round(figures["samples"]),
            sampling_rate=figures["sampling_rate"],
        )

    def cache_info(self) -> CacheInfo:
        """Hits, misses and sizes, as `functools.lru_cache` tells them.

        Returns:
            The figures at this moment.

        Example:
            >>> from nexus_core import Cache
            >>> Cache(100).cache_info()
            CacheInfo(hits=0, misses=0, maxsize=100, currsize=0)
        """
        figures = self._statistics()
        return CacheInfo(figures["hits"], figures["misses"], figures["maxsize"], figures["currsize"])

    def __reduce__(self) -> str:
        raise TypeError(f"cache {self._name!r} cannot be copied or pickled; dict(cache) can")

    def __repr__(self) -> str:
        return f"<Cache {self._name!r}: {self.currsize} of {self.maxsize}>"


class LRUCache(Cache[K, V]):
    """`cachetools.LRUCache` with its arguments, safe in threads.

    A value that is larger than the whole cache is not kept, where cachetools raises.

    Args:
        maxsize: How much the entries may weigh together.
        getsizeof: Called with a value for what it weighs; 1 by default.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If the size is negative.

    Example:
        >>> from nexus_core.cache import LRUCache
        >>> cache = LRUCache(maxsize=2)
        >>> cache["a"] = 1
        >>> cache.currsize
        1
    """

    def __new__(cls, maxsize: int, getsizeof: Callable[[V], int] | None = None) -> LRUCache[K, V]:
        return cast("LRUCache[K, V]", super().__new__(cls, maxsize, policy="lru", getsizeof=getsizeof))


class TTLCache(Cache[K, V]):
    """`cachetools.TTLCache` with its arguments, safe in threads.

    A value that is larger than the whole cache is not kept, where cachetools raises.

    Args:
        maxsize: How much the entries may weigh together.
        ttl: Seconds that an entry lives.
        timer: A clock in seconds.
        getsizeof: Called with a value for what it weighs; 1 by default.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If the size or the time is negative.

    Example:
        >>> from nexus_core.cache import TTLCache
        >>> cache = TTLCache(maxsize=2, ttl=60)
        >>> cache["a"] = 1
        >>> cache.ttl
        60.0
    """

    def __new__(
        cls,
        maxsize: int,
        ttl: float,
        timer: Callable[[], float] = time.monotonic,
        getsizeof: Callable[[V], int] | None = None,
    ) -> TTLCache[K, V]:
        made = super().__new__(cls, maxsize, ttl, policy="lru", timer=timer, getsizeof=getsizeof)
        return cast("TTLCache[K, V]", made)


async def _compute(load: _Load, factory: Callable[[], Any], ttl: float | None, tags: list[str]) -> Any:
    found = load.found()
    if found is not None:
        return found[0]
    try:
        value = factory()
        if inspect.isawaitable(value):
            value = await value
    except BaseException as error:
        load.fail(error)
        raise
    load.finish(value, ttl, tags)
    return value


def _ring(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _wait(load: _Load) -> tuple[Any] | None:
    """What another computes; `None` if it was interrupted."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    try:
        if load.join(mailbox_of(loop), functools.partial(_ring, future)):
            await future
    finally:
        load.leave()
    return load.outcome()
