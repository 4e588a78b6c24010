"""Functions whose results are cached."""

from __future__ import annotations

import asyncio
import copy
import functools
import inspect
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from connection_pool.support import eventually
from nexus_core import Cache, cached
from nexus_core.cached_functions import lru_cache
from nexus_core.errors import RecursiveLoad

calls: list[Any] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


@cached
def double(x: float, times: int = 2) -> float:
    """Multiplies."""
    calls.append(x)
    return x * times


@pytest.fixture(autouse=True)
def _no_results() -> None:
    double.cache_clear()


@pytest.mark.parametrize("arguments", [{}, {"maxsize": 2}, {"maxsize": None}, {"maxsize": 0}, {"maxsize": -1}])
def test_it_keeps_what_it_computed_and_tells_as_functools_does(arguments: dict[str, Any]) -> None:
    ours, theirs = lru_cache(**arguments)(len), functools.lru_cache(**arguments)(len)
    for text in ("a", "bb", "a", "ccc", "bb", "a", "ccc"):
        assert ours(text) == theirs(text)
        assert tuple(ours.cache_info()) == tuple(theirs.cache_info())
    assert ours.cache_parameters() == theirs.cache_parameters()
    ours.cache_clear()
    theirs.cache_clear()
    assert tuple(ours.cache_info()) == tuple(theirs.cache_info())


def test_it_looks_like_the_function() -> None:
    assert (double.__name__, double.__doc__, double.__module__) == ("double", "Multiplies.", __name__)  # type: ignore[attr-defined]
    assert inspect.signature(double) == inspect.signature(double.__wrapped__)
    assert pickle.loads(pickle.dumps(double)) is double
    assert copy.deepcopy(double) is copy.copy(double) is double


def test_keywords_and_types_make_keys() -> None:
    assert double(2) == double(2.0) == 4
    assert double(2, times=3) == double(2, times=3) == 6
    assert double(2, 3) == 6
    assert len(calls) == 3
    typed = cached(typed=True)(double.__wrapped__)
    assert typed(2) == typed(2.0) == typed(True + 1)
    assert len(calls) == 5
    assert typed(x=2) == typed(x=2.0)
    assert len(calls) == 7
    # A keyword is told apart from positional arguments that look like it.
    anything = cached(lambda *args, **kwargs: (args, kwargs))
    assert anything("x", 1) != anything(x=1)


def test_methods_are_cached_by_their_instance() -> None:
    class Account:
        def __init__(self, balance: int) -> None:
            self.balance = balance

        @cached
        def doubled(self, add: int = 0) -> int:
            calls.append(self)
            return 2 * self.balance + add

        @staticmethod
        @cached
        def three() -> int:
            return 3

    one, two = Account(1), Account(2)
    assert [one.doubled(), two.doubled(), one.doubled(add=1), one.doubled()] == [2, 4, 3, 2]
    assert len(calls) == 3
    assert (one.three(), Account.three()) == (3, 3)


def test_errors_are_not_kept() -> None:
    @cached
    def fails(x: int) -> int:
        calls.append(x)
        raise ZeroDivisionError(x)

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fails(1)
    assert len(calls) == 2
    with pytest.raises(TypeError, match="unhashable"):
        double([])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="positional arguments but 3"):
        double(1, 2, 3)  # type: ignore[call-arg]


def test_calls_at_once_compute_once() -> None:
    @cached
    def slow(x: int) -> int:
        calls.append(x)
        eventually(lambda: slow.cache.statistics().load_waits >= 7)
        return x

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(slow, [5] * 8)) == [5] * 8
    assert calls == [5]


def test_a_function_may_call_itself_with_other_arguments_only() -> None:
    @cached(maxsize=None)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    assert fibonacci(80) == 23416728348467685

    @cached
    def endless(n: int) -> int:
        return endless(n)

    @cached
    async def endless_too(n: int) -> int:
        return await endless_too(n)

    with pytest.raises(RecursiveLoad):
        endless(1)
    with pytest.raises(RecursiveLoad):
        asyncio.run(endless_too(1))
    assert (len(endless.cache), len(endless_too.cache)) == (0, 0)


def test_coroutine_functions_stay_coroutine_functions() -> None:
    @cached(ttl=60)
    async def fetch(page: int) -> str:
        calls.append(page)
        await asyncio.sleep(0.001)
        return f"page {page}"

    assert inspect.iscoroutinefunction(fetch)

    async def main() -> list[str]:
        return await asyncio.gather(*(fetch(number % 3) for number in range(30)))

    assert asyncio.run(main()) == [f"page {number % 3}" for number in range(30)]
    assert sorted(calls) == [0, 1, 2]
    assert (fetch.cache.ttl, fetch.cache_info().misses) == (60.0, 30)
    assert asyncio.run(main()) and fetch.cache_info().hits == 30


def test_a_cache_and_a_key_of_ones_own() -> None:
    shared: Cache[Any, Any] = Cache(10)

    @cached(shared, key=lambda user: ("user", user["id"]))
    def name(user: dict[str, Any]) -> str:
        calls.append(user)
        return str(user["name"])

    assert name({"id": 1, "name": "Ada"}) == name({"id": 1, "name": "Eve"}) == "Ada"
    assert list(shared) == [("user", 1)] == [name.cache_key({"id": 1})]
    shared.invalidate(name.cache_key({"id": 1}))
    assert name({"id": 1, "name": "Eve"}) == "Eve"


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(TypeError, match="or the function to decorate"):
        cached({})  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="key must be callable"):
        cached(key=1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="maxsize must be at least 0"):
        cached(maxsize=-1)(len)
    with pytest.raises(TypeError, match="decorates functions"):
        cached(maxsize=1)(7)  # type: ignore[arg-type]


def test_none_is_a_result_like_any_other() -> None:
    @cached
    def nothing() -> None:
        calls.append(None)

    assert nothing() is nothing() is None
    assert len(calls) == 1


def test_a_function_may_be_called_from_many_threads() -> None:
    results: list[float] = []

    def work() -> None:
        for number in range(2000):
            results.append(double(number % 300) - 2 * (number % 300))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 8000
    assert not any(results)
