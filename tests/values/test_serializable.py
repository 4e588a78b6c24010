"""What a function returned becomes JSON as ``_ensure_json_serializable`` makes it."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given

from nexus_core._core import _values as ours

from . import strategies as cruel
from .support import OURS, STOCK_FUNCTIONS, assert_same_outcome, outcome_of

stock_ensure = STOCK_FUNCTIONS["ensure_json_serializable"]


@given(cruel.values)
def test_any_value_is_made_serializable_as_stock_does(value: object) -> None:
    stock = outcome_of(stock_ensure, value)
    native = outcome_of(OURS.ensure_json_serializable, value)
    assert_same_outcome(stock, native, value)


@given(cruel.plain_values)
def test_plain_values_are_done_natively(value: object) -> None:
    def refuse(_: object) -> object:
        raise AssertionError("asked")

    alone = ours.Stock(STOCK_FUNCTIONS | {"ensure_json_serializable": refuse})
    stock = outcome_of(stock_ensure, value)
    assert_same_outcome(stock, outcome_of(alone.ensure_json_serializable, value), value)


@pytest.mark.parametrize(
    "value",
    [
        {1},
        frozenset({1}),
        b"x",
        1j,
        datetime.date(2024, 2, 29),
        Decimal("1.5"),
        cruel.ConvertsToDict(),
        cruel.TextSubclass("a"),
        cruel.ListSubclass([(1,)]),
        cruel.DictSubclass(a=(1,)),
        cruel.ClaimsToBeDict(),
        {(1, 2): (3,)},
    ],
    ids=lambda value: type(value).__name__,
)
def test_other_types_are_converted_as_stock_does(value: object) -> None:
    for whole in (value, [value], {"k": (value,)}):
        stock = outcome_of(stock_ensure, whole)
        assert_same_outcome(stock, outcome_of(OURS.ensure_json_serializable, whole), whole)


def test_only_the_part_that_is_not_plain_is_asked_about() -> None:
    asked: list[object] = []

    def noted(value: object) -> object:
        asked.append(value)
        return stock_ensure(value)

    watched = ours.Stock(STOCK_FUNCTIONS | {"ensure_json_serializable": noted})
    odd = cruel.ConvertsToDict()
    value: dict[str, Any] = {"plain": [1, (2, {"x": 3})], "odd": ({"deep": odd}, odd)}
    result = watched.ensure_json_serializable(value)
    converted = {"when": "2024-02-29", "what": ["a", "b"]}
    assert result == {"plain": [1, [2, {"x": 3}]], "odd": [{"deep": converted}, converted]}
    assert asked == [odd, odd]


def test_containers_are_new_and_tuples_become_lists() -> None:
    inner: dict[str, Any] = {"t": (1, 2)}
    result = OURS.ensure_json_serializable([inner])
    inner["t"] = None
    assert result == [{"t": [1, 2]}]
