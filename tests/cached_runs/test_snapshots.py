"""Copies of results are what ``copy.deepcopy`` makes, and share nothing that can be changed."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import decimal
import threading
import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from differential.snapshot import Snapshot as Picture
from nexus_core.cached_runs.snapshots import NotPrivate, Snapshot, is_apart

leaves = st.sampled_from(
    (None, True, 0, 1, -5, 2**80, 1.5, float("nan"), "", "text", b"bytes", 1 + 2j, ..., dt.date(2020, 1, 2),
     dt.datetime(2020, 1, 2, tzinfo=dt.UTC), dt.timedelta(1), decimal.Decimal("1.0"), uuid.UUID(int=3),
     frozenset({1, "a"}), (), (1, "a"))
)  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> Any:
    """A value whose containers may be in several places, and in themselves."""
    made: list[Any] = []
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(("dict", "list", "tuple", "set", "bytearray")))
        parts = draw(st.lists(st.one_of(leaves, st.sampled_from(made)) if made else leaves, max_size=4))
        if kind == "dict":
            made.append(dict(zip(("a", 1, None, (2, "b")), parts, strict=False)))
        elif kind == "list":
            made.append(parts)
        elif kind == "tuple":
            made.append(tuple(parts))
        elif kind == "set":
            made.append({part for part in parts if not isinstance(part, (dict, list, set, bytearray, tuple))})
        else:
            made.append(bytearray(b"abc"))
    if draw(st.booleans()):
        circle = [one for one in made if isinstance(one, list)]
        if circle:
            draw(st.sampled_from(circle)).append(draw(st.sampled_from(circle)))
    return made if draw(st.booleans()) else made[-1]


def mutable_parts(value: Any, found: dict[int, Any] | None = None) -> dict[int, Any]:
    found = {} if found is None else found
    if isinstance(value, (dict, list, set, bytearray, tuple)) and id(value) not in found:
        found[id(value)] = value
        if isinstance(value, dict):
            for held in value.values():
                mutable_parts(held, found)
        elif not isinstance(value, bytearray):
            for held in value:
                mutable_parts(held, found)
    return found


def assert_private(one: Any, other: Any) -> None:
    shared = mutable_parts(one).keys() & mutable_parts(other)
    assert all(isinstance(mutable_parts(one)[number], tuple) for number in shared)


@given(value=graphs())
def test_a_copy_is_what_deepcopy_makes_and_is_private(value: Any) -> None:
    expected = Picture()(copy.deepcopy(value))
    snapshot = Snapshot(value)
    first, second = snapshot.hand_out(), snapshot.hand_out()
    assert Picture()(first) == Picture()(second) == expected
    assert_private(first, value)
    assert_private(first, second)
    assert_private(first, snapshot.held)
    assert snapshot.size > 0 or not mutable_parts(value)


@given(value=graphs())
def test_whether_something_is_in_two_places_is_told(value: Any) -> None:
    counts: dict[int, int] = {}
    waiting = [value]
    while waiting and max(counts.values(), default=0) < 2:
        part = waiting.pop()
        if not isinstance(part, (dict, list, set, bytearray, tuple)):
            continue
        if not isinstance(part, tuple):
            counts[id(part)] = counts.get(id(part), 0) + 1
        waiting.extend(part.values() if isinstance(part, dict) else [] if isinstance(part, bytearray) else part)
    assert is_apart(value) == (max(counts.values(), default=0) < 2)


class Shares:
    """Gives itself for a copy."""

    def __deepcopy__(self, memo: Any) -> Shares:
        return self


class Fails:
    """Cannot be copied."""

    def __deepcopy__(self, memo: Any) -> Fails:
        raise ValueError("not this one")


@dataclasses.dataclass
class Point:
    """Of a program's own."""

    at: list[int]


@pytest.mark.parametrize(
    "value",
    [
        Shares(), Fails(), threading.Lock(), (each for each in ()), lambda: 1, [Shares()], {"deep": [(Shares(),)]},
        {"f": (lambda: 1)}, threading.local(),
    ],
)  # fmt: skip
def test_what_has_no_copy_of_its_own_is_refused(value: Any) -> None:
    with pytest.raises(NotPrivate, match="cannot be copied"):
        Snapshot(value)


def test_objects_are_copied_together_with_what_is_beside_them() -> None:
    shared = [1]
    kept = Snapshot({"point": Point(shared), "list": shared})
    shared.append(2)
    copied = kept.hand_out()
    assert copied["point"].at is copied["list"]
    assert copied["list"] == [1]
    copied["list"].append(3)
    assert kept.hand_out()["list"] == [1]


def test_arrays_and_frames_are_copied_by_content() -> None:
    numpy, pandas = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    array = numpy.arange(12).reshape(3, 4)[:, ::2]
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    kept = Snapshot({"array": array, "again": array, "frame": frame, "scalar": numpy.float64(1.5)})
    array[0, 0], frame.loc[0, "a"] = 99, 99
    first = kept.hand_out()
    assert first["array"].tolist() == [[0, 2], [4, 6], [8, 10]]
    assert first["array"] is first["again"]
    assert first["frame"]["a"].tolist() == [1, 2]
    first["array"][0, 0], first["frame"].loc[0, "a"] = 77, 77
    second = kept.hand_out()
    assert second["array"][0, 0] == 0
    assert second["frame"]["a"].tolist() == [1, 2]


def test_frames_that_would_share_their_objects_are_refused() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(NotPrivate, match="a list in it cannot be copied"):
        Snapshot(pandas.DataFrame({"a": [[1], [2]]}))


def test_what_is_nested_deeply_is_copied_or_refused() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(NotPrivate, match="too deeply"):
        Snapshot(value)
    for _ in range(100_000):  # one by one, as no recursion would
        value = value[0]


def test_the_size_grows_with_the_content() -> None:
    small, large = Snapshot([1.5] * 10).size, Snapshot([float(n) for n in range(1000)]).size
    assert small < 1000 < 1000 * 32 <= large < 1000 * 64
    assert 10**6 <= Snapshot("x" * 10**6).size < 2 * 10**6
    assert 4 * 10**6 <= Snapshot("\U0001f600" * 10**6).size < 5 * 10**6
