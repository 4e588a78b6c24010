"""What ``json.dumps`` accepts and writes is known without calling it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given

from nexus_core._core import _values as ours

from . import strategies as cruel
from .support import nested


@given(cruel.plain_values)
def test_plain_values_are_written_byte_for_byte(value: object) -> None:
    assert ours.write_json(value, b"before") == (True, b"before" + json.dumps(value).encode())


@given(cruel.values)
def test_a_value_is_written_as_json_does_or_not_at_all(value: object) -> None:
    written, text = ours.write_json(value, b"before")
    if written:
        assert text == b"before" + json.dumps(value).encode()
    else:
        assert text == b"before"


@given(cruel.values)
def test_a_value_said_to_be_serializable_is(value: object) -> None:
    if ours.is_json_serializable(value):
        json.dumps(value)
        assert ours.write_json(value, b"")[0]


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**63, -(2**63), -(2**63) - 1, 2**1000, 0.0, -0.0, 1.0, 1e16,
        1e-7, 1e300, float("nan"), float("inf"), -float("inf"), "", "a", "é", "€", "\U0001f600",
        "\ud800", "\udc00\ud800", '"\\/\b\f\n\r\t\0\x1f\x7f\x80', [], (), {}, [[]], ((), [{}]),
        {"a": 1, 1: 2, 1.5: 3, None: 4, False: 5, float("nan"): 6, -(2**64): 7},
    ],
)  # fmt: skip
def test_plain_values_are_decided_natively(value: object) -> None:
    assert ours.is_json_serializable(value)
    assert ours.write_json(value, b"") == (True, json.dumps(value).encode())


@pytest.mark.parametrize(
    "value",
    [
        {1}, b"", object(), 1j, len, cruel.TextSubclass("a"), cruel.IntSubclass(1),
        cruel.DictSubclass(a=1), cruel.ListSubclass([1]), cruel.ClaimsToBeDict(), {(1,): 1},
        {cruel.TextSubclass("a"): 1}, 10**4300, {10**4300: 1}, {b"a": 1},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
@pytest.mark.parametrize("wrap", [lambda v: v, lambda v: [v], lambda v: (1, v), lambda v: {"k": v}])
def test_python_is_asked_about_the_rest(value: object, wrap: Any) -> None:
    assert not ours.is_json_serializable(wrap(value))
    assert ours.write_json(wrap(value), b"x") == (False, b"x")


def test_ints_are_decided_natively_only_where_no_digit_limit_can_forbid_them() -> None:
    limit = sys.get_int_max_str_digits()
    try:
        sys.set_int_max_str_digits(640)
        for digits in range(1, 700):
            if ours.is_json_serializable(10 ** (digits - 1)):
                json.dumps(10 ** (digits - 1))
        assert ours.write_json(10**640, b"x") == (False, b"x")
        assert ours.write_json(10**639, b"") == (True, json.dumps(10**639).encode())
    finally:
        sys.set_int_max_str_digits(limit)


@pytest.mark.parametrize("make", [lambda v: [v], lambda v: (v,), lambda v: {"k": v}])
def test_python_is_asked_beyond_a_hundred_and_fifty_levels(make: Any) -> None:
    deep = nested(150, make, 1)
    assert ours.is_json_serializable(deep)
    assert ours.write_json(deep, b"") == (True, json.dumps(deep).encode())
    deeper = make(deep)
    assert not ours.is_json_serializable(deeper)
    assert ours.write_json(deeper, b"x") == (False, b"x")


def test_python_is_asked_about_values_that_contain_themselves() -> None:
    items: list[Any] = []
    items += [items, items]
    mapping: dict[str, Any] = {"a": items}
    mapping["b"] = mapping
    for value in (items, mapping, (items,)):
        assert not ours.is_json_serializable(value)
        assert ours.write_json(value, b"x") == (False, b"x")
