"""Values, copies of them that are filled in another order, and what tells two apart."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

#: Few and alike, so that two values drawn of them are often equal, and often nearly so.
ALIKE = [None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, "", "1", "a", "ab", "b", "é", b"", b"1", b"ab", 1j, (), math.nan]

hashable_leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.complex_numbers(allow_nan=False)
    # Lone surrogates too.
    | st.text(st.characters(exclude_categories=()))
    | st.binary()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
)


def _containers(keys: st.SearchStrategy[Any]) -> Any:
    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        return (
            st.lists(inner, max_size=5)
            | st.lists(inner, max_size=5).map(tuple)
            | st.dictionaries(st.text(max_size=3), inner, max_size=5)
            | st.dictionaries(keys, inner, max_size=5)
            | st.sets(keys, max_size=5)
            | st.frozensets(keys, max_size=5)
        )

    return extend


#: Anything that has a key.
values = st.recursive(hashable_leaves | st.floats() | st.decimals(), _containers(hashable_leaves), max_leaves=20)

#: Such that two are equal now and then.
alike = st.recursive(
    st.sampled_from(ALIKE), _containers(st.sampled_from([key for key in ALIKE if key == key])), max_leaves=6
)


def copied(value: Any) -> Any:
    """A copy that shares nothing, with dicts and sets filled the other way round."""
    match value:
        case list():
            return [copied(item) for item in value]
        case tuple():
            return tuple([copied(item) for item in value])
        case set() | frozenset():
            return type(value)(copied(item) for item in reversed(list(value)))
        case dict():
            return {copied(key): copied(held) for key, held in reversed(value.items())}
        case bytes():
            return bytes(bytearray(value))
        case str():
            return value.encode("utf-32", "surrogatepass").decode("utf-32", "surrogatepass")
        case int() if not isinstance(value, bool):
            return int(str(value))
        case _:
            return value


def form(value: Any) -> Any:
    """Equal for exactly those values that no program can tell apart, order of dicts and sets aside."""
    name = type(value).__name__
    match value:
        case list() | tuple():
            return name, tuple(form(item) for item in value)
        case set() | frozenset():
            return name, frozenset(form(item) for item in value)
        case dict():
            return name, frozenset((form(key), form(held)) for key, held in value.items())
        case float():
            return name, "nan" if math.isnan(value) else value.hex()
        case complex():
            return name, form(value.real), form(value.imag)
        case dt.datetime() | dt.time():
            return name, repr(value)
        case Decimal() | Fraction() | UUID():
            return name, repr(value)
        case _:
            return name, value
