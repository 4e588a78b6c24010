"""A cache is a mutable mapping whose keys are equal as in a dict."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexus_core import Cache, cached
from task_graph.support import run_script

policies = pytest.mark.parametrize("policy", ["tinylfu", "lru"])


class Odd:
    """A key that hashes like many others, and is equal to those of its number."""

    def __init__(self, number: int, fails: bool = False) -> None:
        self.number = number
        self.fails = fails

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        if self.fails or (isinstance(other, Odd) and other.fails):
            raise ZeroDivisionError("no comparison")
        return isinstance(other, Odd) and other.number == self.number


class Unhashable:
    """A key whose hash fails."""

    def __hash__(self) -> int:
        raise LookupError("no hash")


@policies
def test_it_behaves_as_a_dict_does(policy: Any) -> None:
    cache: Cache[Any, Any] = Cache(100, policy=policy)
    assert isinstance(cache, MutableMapping)
    cache.update({"a": 1, "b": 2})
    cache["a"] = 3
    assert cache == {"a": 3, "b": 2}
    assert sorted(cache) == sorted(cache.keys()) == ["a", "b"]
    assert sorted(cache.values()) == [2, 3]
    assert ("a", 3) in cache.items()
    assert cache.setdefault("a", 9) == 3
    assert cache.setdefault("c", 9) == 9
    assert cache.pop("c") == 9
    assert cache.pop("c", None) is None
    assert cache.pop("c", default=None) is None
    del cache["a"]
    assert cache.popitem() == ("b", 2)
    assert len(cache) == 0
    for absent in (lambda: cache["a"], lambda: cache.pop("a"), lambda: cache.__delitem__("a"), cache.popitem):
        with pytest.raises(KeyError):
            absent()


def test_a_missing_tuple_is_named_whole() -> None:
    with pytest.raises(KeyError) as raised:
        Cache(10)[1, 2]
    assert raised.value.args == ((1, 2),)


KEYS = st.recursive(
    st.one_of(
        st.integers(-3, 3),
        st.booleans(),
        st.floats(allow_nan=False, width=16),
        st.sampled_from(["", "a", "ä", b"", b"a", None]),
        st.integers(0, 3).map(Odd),
        st.frozensets(st.integers(0, 2)),
    ),
    lambda inner: st.tuples(inner) | st.tuples(inner, inner),
    max_leaves=4,
)


@given(st.lists(st.tuples(KEYS, st.sampled_from(["set", "get", "in", "pop", "setdefault"])), max_size=60))
def test_unbounded_it_is_a_dict(steps: list[tuple[Any, str]]) -> None:
    cache: Cache[Any, int] = Cache(None)
    model: dict[Any, int] = {}
    for number, (key, step) in enumerate(steps):
        if step == "set":
            cache[key] = model[key] = number
        elif step == "get":
            assert cache.get(key) == model.get(key)
        elif step == "in":
            assert (key in cache) == (key in model)
        elif step == "pop":
            assert cache.pop(key, None) == model.pop(key, None)
        else:
            assert cache.setdefault(key, number) == model.setdefault(key, number)
        assert len(cache) == len(model)
    assert dict(cache) == model
    assert {id(key) for key in cache} == {id(key) for key in model}, "a dict keeps the key that came first"


def test_nan_is_found_by_identity_alone() -> None:
    cache: Cache[float, int] = Cache(10)
    nan = float("nan")
    cache[nan] = 1
    assert nan in cache
    assert float("nan") not in cache
    assert (nan,) not in cache


def test_text_and_bytes_are_told_apart_without_a_warning() -> None:
    # With -bb comparing them is an error; the empty ones hash alike.
    script = """
        from nexus_core import Cache
        cache = Cache(10)
        cache[""], cache[b""], cache["",], cache[b"",] = 1, 2, 3, 4
        print(cache[""], cache[b""], cache["",], cache[b"",])
    """
    ended = run_script(script, "-bb")
    assert (ended.out, ended.err) == ("1 2 3 4\n", "")


@pytest.mark.parametrize(
    "use",
    [
        lambda cache, key: cache.get(key),
        lambda cache, key: cache[key],
        lambda cache, key: cache.set(key, 1),
        lambda cache, key: cache.pop(key, None),
        lambda cache, key: key in cache,
        lambda cache, key: cache.setdefault(key, 1),
        lambda cache, key: cache.get_or_set(key, lambda: 1),
        lambda cache, key: cache.invalidate(key),
        lambda cache, key: cache.__delitem__(key),
        lambda cache, key: cache.__setitem__(key, 1),
        lambda cache, key: cache.update([(key, 1)]),
        lambda cache, key: asyncio.run(cache.aget_or_set(key, lambda: 1)),
        lambda cache, key: cached(cache, key=lambda argument: argument)(lambda argument: 1)(key),
    ],
)
def test_errors_of_keys_come_through_and_change_nothing(use: Any) -> None:
    cache: Cache[Any, int] = Cache(10)
    cache[Odd(1)] = 1
    cache["a"] = 2
    before = dict(cache)
    with pytest.raises(ZeroDivisionError, match="no comparison"):
        use(cache, Odd(1, fails=True))
    with pytest.raises(LookupError, match="no hash"):
        use(cache, Unhashable())
    with pytest.raises(TypeError, match="unhashable"):
        use(cache, [])
    assert dict(cache) == before


def test_iterating_goes_over_what_was_there_and_counts_nothing() -> None:
    cache: Cache[int, int] = Cache(None)
    cache.update((number, number) for number in range(10))
    for key in cache:
        cache[key + 100] = key
        del cache[key]
    assert sorted(cache) == list(range(100, 110))
    assert list(cache.items()) and list(cache.values())
    assert cache.cache_info()[:2] == (0, 0)


@policies
def test_prefixes_and_tags_remove_what_they_name(policy: Any) -> None:
    cache: Cache[Any, int] = Cache(100, policy=policy)
    for key in ("user:1", "user:2", "page:1", b"user:1", 7, ("user:",)):
        cache[key] = 1
    assert cache.invalidate_prefix("user:") == 2
    assert cache.invalidate_prefix(b"user") == 1
    cache.set("a", 1, tags=["x", "y"])
    cache.set("b", 1, tags="x")
    assert cache.invalidate_tag("x") == 2
    assert cache.invalidate_tag("y") == 0
    assert sorted(map(str, cache)) == ["('user:',)", "7", "page:1"]
    with pytest.raises(TypeError, match="a prefix must be"):
        cache.invalidate_prefix(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="tags must be strings"):
        cache.set("a", 1, tags=[1])  # type: ignore[list-item]
    assert "a" not in cache


NUMBERS = [0, 1, -1, True, False, 0.0, -0.0, 1.0, 2**53, 2.0**53, 2**53 + 1, 2**2000, float("inf"), 1.5, 2**64, 2.0**64]


@pytest.mark.parametrize("wrap", [lambda number: number, lambda number: (number, "x"), lambda number: ((number,),)])
def test_numbers_are_equal_across_types_as_in_a_dict(wrap: Any) -> None:
    for stored in NUMBERS:
        cache: Cache[Any, int] = Cache(None)
        cache[wrap(stored)] = 1
        for asked in NUMBERS:
            assert (wrap(asked) in cache) == (wrap(asked) in {wrap(stored): 1}), (stored, asked)
