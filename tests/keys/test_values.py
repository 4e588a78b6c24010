"""Equal values have one digest, and what differs in any way has another."""

from __future__ import annotations

import array
import datetime as dt
import ipaddress
import math
import pathlib
import struct
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given

from nexus_core.keys import digest, hexdigest

from . import strategies
from .samples import Colour, Number, Pair, Plain, Point, Text

BERLIN = ZoneInfo("Europe/Berlin")

#: No two of these are the same value.
ALL_DIFFERENT: list[Any] = [
    *(None, True, False, 0, 1, -1, 255, 256, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**64, 2**200, -(2**200)),
    *(0.0, -0.0, 1.0, math.inf, -math.inf, math.nan, 5e-324, 1e300),
    *(0j, -0.0j, 1j, 1 + 0j, complex(math.nan, 0)),
    *("", "1", "a", "ab", "é", "\xff", "\u0100", "\U0001f600", "\ud83d\ude00", "\ud83d", "a\0", "\0a", "None", "1.0"),
    *(b"", b"1", b"a", b"ab", b"\xff", b"\0", bytearray(), bytearray(b"1"), bytearray(b"ab")),
    *(memoryview(b""), memoryview(b"1"), memoryview(b"ab"), memoryview(b"ab").cast("b"), memoryview(b"abcd").cast("i")),
    memoryview(b"abcd").cast("B", (2, 2)),
    *([], (), set(), frozenset(), {}),
    *([None], (None,), {None}, frozenset({None}), {None: None}, [[]], [()], ([],), [[], []], [[[]]], [{}], [None, None]),
    *([1], [1.0], [True], ["1"], [b"1"], (1,), {1}, frozenset({1}), {1: 1}, {1: 1.0}, {1.0: 1}, {True: 1}, {"1": 1}),
    *(["ab", "c"], ["a", "bc"], ["abc"], ["a", "b", "c"], [["ab"], "c"], ["ab", ["c"]], [["a", "b"], "c"], ["c", "ab"]),
    *({"a": "bc"}, {"ab": "c"}, {"a": ["b", "c"]}, {"a": {"b": "c"}}, {("a", "b"): "c"}, {"a": 1, "b": 2}),
    *({"a": 2, "b": 1}, {"a": 1, 2: "b"}, {1: 2, 3: 4}, {1: 4, 3: 2}, {(1, 2): 3}, [("a", 1), ("b", 2)]),
    *({1, 2}, {1.5, 2}, {"1", 2}, {frozenset({1, 2})}, {(1, 2)}, {1: {2}}, {"é": 1, "\u0100": 2}, {"é": 2, "\u0100": 1}),
    *(OrderedDict(), OrderedDict(a=1, b=2), OrderedDict(b=2, a=1), Counter("aab"), deque([1]), deque([1], 5)),
    *(dt.date(2026, 1, 2), dt.date(2026, 2, 1), dt.datetime(2026, 1, 2), dt.datetime(2026, 1, 2, microsecond=1)),
    *(dt.datetime(2026, 1, 2, tzinfo=dt.UTC), dt.datetime(2026, 1, 2, tzinfo=BERLIN)),
    *(dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN), dt.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1)),
    dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=1))),
    dt.datetime(2026, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=1), "CET")),
    dt.datetime(2026, 1, 2, tzinfo=ZoneInfo("Europe/Paris")),
    *(dt.time(), dt.time(1), dt.time(0, 1), dt.time(0, 0, 1), dt.time(1, tzinfo=dt.UTC), dt.time(1, fold=1)),
    *(dt.timedelta(), dt.timedelta(1), dt.timedelta(seconds=1), dt.timedelta(-1), dt.UTC, BERLIN),
    *(Decimal(0), Decimal("-0"), Decimal("0.0"), Decimal(1), Decimal("1.0"), Decimal("1.00"), Decimal("1E+2")),
    *(Decimal(100), Decimal("NaN"), Decimal("sNaN"), Decimal("NaN1"), Decimal("Infinity"), Decimal("-Infinity")),
    *(Fraction(1), Fraction(1, 2), Fraction(2), UUID(int=1), UUID(int=2), ..., range(3), range(0, 3, 2), slice(3)),
    *(Colour.RED, Colour.GREEN, Number.ONE, Number.TWO, Text.ONE, Point(1, 2), Point(1, 2.0), Plain(1, 2), Pair(1, 2)),
    *(pathlib.PurePosixPath("a"), pathlib.PureWindowsPath("a"), pathlib.Path("a"), pathlib.Path("a/b")),
    *(ipaddress.ip_address("::1"), ipaddress.ip_address("0.0.0.1"), ipaddress.ip_network("0.0.0.1/32")),
    *(array.array("b", [1]), array.array("B", [1])),
]  # fmt: skip


@pytest.mark.parametrize(
    "placed",
    [lambda value: value, lambda value: [value], lambda value: {"key": value}, lambda value: (value, value)],
    ids=["alone", "in a list", "in a dict", "twice"],
)
def test_no_two_of_these_share_a_digest(placed: Callable[[Any], Any]) -> None:
    found: dict[bytes, Any] = {}
    for value in ALL_DIFFERENT:
        other = found.setdefault(digest(placed(value)), value)
        assert other is value, f"{value!r} has the digest of {other!r}"


@given(strategies.values)
def test_a_copy_filled_in_another_order_has_the_same_digest(value: Any) -> None:
    assert digest(strategies.copied(value)) == digest(value)


@given(strategies.values, strategies.values)
def test_values_share_a_digest_exactly_if_they_are_the_same(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (strategies.form(one) == strategies.form(other))


@given(strategies.alike, strategies.alike)
@example(["ab", "c"], ["a", "bc"])
@example({1: "a"}, {True: "a"})
@example([[1], 2], [[1, 2]])
def test_values_that_are_nearly_the_same_are_told_apart(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (strategies.form(one) == strategies.form(other))


@given(strategies.values)
def test_a_value_differs_from_the_containers_around_it(value: Any) -> None:
    around = [value, [value], (value,), [[value]], {"": value}, [value, value], {0: value}]
    assert len({digest(each) for each in around}) == len(around)


def test_every_nan_is_the_same_float() -> None:
    (other,) = struct.unpack("<d", bytes.fromhex("010000000000f0ff"))
    assert math.isnan(other)
    assert digest(other) == digest(math.nan)
    assert digest({math.nan: 1, other: 2}) == digest({other: 2, math.nan: 1})
    assert digest({math.nan: 1, other: 2}) != digest({math.nan: 1, other: 1})


def test_decimals_do_not_depend_on_the_context() -> None:
    before = digest(Decimal("1E+50"))
    with localcontext() as context:
        context.capitals = 0
        context.prec = 1
        assert digest(Decimal("1E+50")) == before


def test_a_view_that_is_not_contiguous_is_told_by_what_it_shows() -> None:
    assert digest(memoryview(b"a.b.c.")[::2]) == digest(memoryview(b"abc"))
    assert digest(memoryview(bytearray(b"abc"))) == digest(memoryview(b"abc"))


def test_models_of_pydantic_are_told_by_their_fields() -> None:
    pytest.importorskip("pydantic")
    from .models import Item, Order

    def order(**changes: Any) -> Order:
        return Order(**{"name": "a", "items": [Item(count=1)], **changes})

    assert digest(order()) == digest(order())
    different = [
        order(),
        order(name="b"),
        order(items=[Item(count=2)]),
        # Set, though to its default: exclude_unset tells the difference.
        order(note=None),
        order(beside=1),
        order().model_dump(),
    ]
    assert len({digest(each) for each in different}) == len(different)


@pytest.mark.parametrize("size", [1, 63, 64, 1023, 1024, 16_383, 16_384, 16_385, 65_535, 65_536, 200_000])
def test_every_byte_of_long_content_counts(size: int) -> None:
    content = bytes(size)
    seen = {digest(content), digest(content + b"\0")}
    for place in {0, size // 2, size - 1}:
        changed = bytearray(content)
        changed[place] = 1
        seen.add(digest(bytes(changed)))
    assert len(seen) == 2 + len({0, size // 2, size - 1})
    assert digest("é" * size) != digest("é" * (size - 1) + "e")
    assert digest("\u0100" * size) != digest("\u0100" * (size - 1) + "\u0101")
    assert digest(bytearray(content)) == digest(bytearray(content)) != digest(content)


def test_a_long_list_is_not_its_beginning() -> None:
    numbers = list(range(100_000))
    assert len({digest(numbers), digest(numbers[:-1]), digest(numbers[::-1]), digest(tuple(numbers))}) == 4


def test_digest_and_hexdigest_agree() -> None:
    assert len(digest(1)) == 32
    assert hexdigest(1) == digest(1).hex()
