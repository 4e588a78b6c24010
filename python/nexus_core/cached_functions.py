"""Functions whose results are cached, by `cached` or as `functools.lru_cache` does.

>>> from nexus_core import cached
>>> @cached(maxsize=100)
... def square(x: int) -> int:
...     return x * x
>>> square(3), square(3), square.cache_info()
(9, 9, CacheInfo(hits=1, misses=1, maxsize=100, currsize=1))
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import Callable, Hashable
from typing import Any, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from nexus_core._core import _CachedCall
from nexus_core.cache import Cache, CacheInfo

__all__ = ["CachedFunction", "cached", "lru_cache"]

T = TypeVar("T")
P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class CachedFunction(Protocol[P, R_co]):
    """A function whose results are cached, with the signature of the function."""

    cache: Cache[Any, Any]
    __wrapped__: Callable[..., Any]
    __name__: str

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """The result, from the cache if it is there."""
        ...

    def __get__(self, instance: Any, owner: Any = None, /) -> Any:
        """A method, when it is looked up on an instance."""
        ...

    def cache_key(self, *args: P.args, **kwargs: P.kwargs) -> Hashable:
        """The key of a call in `cache`."""
        ...

    def cache_info(self) -> CacheInfo:
        """Hits, misses and sizes."""
        ...

    def cache_clear(self) -> None:
        """Forgets all results, and counts from zero."""
        ...

    def cache_parameters(self) -> dict[str, Any]:
        """The cache's `maxsize`, and whether arguments of different types differ."""
        ...


class _Function(_CachedCall):
    """What `cached` makes of a function; copied and pickled by its name, as functions are."""

    def __reduce__(self) -> str:
        return cast(str, self.__qualname__)  # type: ignore[attr-defined]

    def __copy__(self) -> _Function:
        return self

    def __deepcopy__(self, _memo: object) -> _Function:
        return self

    def __repr__(self) -> str:
        return f"<cached {self.__wrapped__!r}>"  # type: ignore[attr-defined]


class _Keywords:
    """Stands in a key before the keyword arguments."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<keywords>"


_KEYWORDS = _Keywords()


def _call_key(*args: Any, **kwargs: Any) -> Hashable:
    if not kwargs:
        return args[0] if len(args) == 1 and type(args[0]) is str else args
    return (*args, _KEYWORDS, *itertools.chain.from_iterable(kwargs.items()))


def _typed_call_key(*args: Any, **kwargs: Any) -> Hashable:
    types = (*map(type, args), *map(type, kwargs.values()))
    return (_call_key(*args, **kwargs), types)


@overload
def cached(function: Callable[P, T], /) -> CachedFunction[P, T]: ...
@overload
def cached(
    cache: Cache[Any, Any] | None = None,
    *,
    key: Callable[..., Hashable] | None = None,
    typed: bool = False,
    maxsize: int | None = 128,
    ttl: float | None = None,
    tti: float | None = None,
    policy: Literal["tinylfu", "lru"] = "tinylfu",
) -> Callable[[Callable[P, T]], CachedFunction[P, T]]: ...
def cached(
    cache: Any = None,
    *,
    key: Callable[..., Hashable] | None = None,
    typed: bool = False,
    maxsize: int | None = 128,
    ttl: float | None = None,
    tti: float | None = None,
    policy: Literal["tinylfu", "lru"] = "tinylfu",
) -> Any:
    """Caches the results of a function or of a coroutine function.

    Calls with the same arguments that come at once compute once. Arguments must be
    hashable, unless `key` makes a key of them. Errors are not kept. Without a cache of its
    own the function gets one with these limits.

    Args:
        cache: A `Cache` to use. Functions that share one need keys that tell them apart.
        key: Called with a call's arguments for its key.
        typed: Whether arguments of different types are different: 3 and 3.0.
        maxsize: How many results are kept; `None` for no limit.
        ttl: Seconds that a result is kept.
        tti: Seconds after which a result that is not used is dropped.
        policy: `"tinylfu"` or `"lru"`.

    Returns:
        The decorated function, with `cache`, `cache_info()`, `cache_clear()`, `cache_key()`,
        `cache_parameters()` and `__wrapped__`.

    Raises:
        TypeError: If what is decorated is no function, or arguments are of the wrong kind.
        ValueError: If limits make no sense.

    Example:
        >>> from nexus_core import cached
        >>> @cached(ttl=60)
        ... def greet(name: str) -> str:
        ...     print("computing")
        ...     return f"Hello, {name}"
        >>> greet("Ada"), greet("Ada")
        computing
        ('Hello, Ada', 'Hello, Ada')
    """
    if cache is not None and not isinstance(cache, Cache):
        if not callable(cache):
            raise TypeError(f"cached() takes a nexus_core.Cache or the function to decorate, got {cache!r}")
        return cached()(cache)
    if key is not None and not callable(key):
        raise TypeError(f"key must be callable, got {key!r}")
    make_key = key or (_typed_call_key if typed else _call_key)

    def decorate(function: Callable[P, Any]) -> Any:
        if not callable(function):
            raise TypeError(f"cached() decorates functions, got {function!r}")
        results: Cache[Any, Any]
        if cache is not None:
            results = cache
        else:
            label = getattr(function, "__qualname__", repr(function))
            results = Cache(maxsize, ttl, tti=tti, policy=policy, name=label)
        wrapper: Any = _around(function, results, make_key)
        functools.update_wrapper(wrapper, function)
        wrapper.cache = results
        wrapper.cache_key = make_key
        wrapper.cache_info = results.cache_info
        wrapper.cache_clear = results.cache_clear
        wrapper.cache_parameters = lambda: {"maxsize": results.maxsize, "typed": typed}
        return wrapper

    return decorate


def _around(function: Callable[..., Any], results: Cache[Any, Any], make_key: Callable[..., Hashable]) -> Any:
    if inspect.iscoroutinefunction(function):

        async def acall(*args: Any, **kwargs: Any) -> Any:
            return await results.aget_or_set(make_key(*args, **kwargs), lambda: function(*args, **kwargs))

        return acall

    return _Function(results, function, make_key, make_key is _call_key)


@overload
def lru_cache(maxsize: Callable[P, T], /) -> CachedFunction[P, T]: ...
@overload
def lru_cache(maxsize: int | None = 128, typed: bool = False) -> Callable[[Callable[P, T]], CachedFunction[P, T]]: ...
def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
    """`functools.lru_cache` with its arguments, computing once for calls that come at once.

    Args:
        maxsize: How many results are kept; `None` for no limit.
        typed: Whether arguments of different types are different: 3 and 3.0.

    Returns:
        The decorated function.

    Raises:
        TypeError: If an argument is of the wrong kind.

    Example:
        >>> from nexus_core.cached_functions import lru_cache
        >>> @lru_cache(maxsize=None)
        ... def square(x: int) -> int:
        ...     return x * x
        >>> square(3)
        9
    """
    if callable(maxsize):
        return cached(policy="lru")(maxsize)
    # As functools does, what is negative is none.
    return cached(maxsize=max(maxsize, 0) if isinstance(maxsize, int) else maxsize, typed=typed, policy="lru")
