"""One change anywhere in a value is another digest, above all one that Python takes for equal."""

from __future__ import annotations

import datetime as dt
import math
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nexus_core.keys import digest

from . import strategies


def lookalikes(value: Any) -> Iterator[Any]:
    """Other values that could be taken for this one."""
    yield [value]
    yield (value,)
    yield repr(value)
    match value:
        case bool():
            yield from (int(value), float(value), str(value), not value)
        case int():
            yield from (
                str(value),
                str(value).encode(),
                Decimal(value),
                Fraction(value),
                complex(0, 1) if value else 0.0,
            )
            yield from (value + 1, -value - 1, value + 2**64, value ^ (1 << 63), value << 8)
            if abs(value) < 2**53:
                yield from (float(value), complex(value), bool(value))
            if 0 <= value < 2**128:
                yield UUID(int=value)
        case float():
            yield from (-value, str(value), Decimal(value), complex(value), math.nextafter(value, math.inf))
            if value.is_integer():
                yield int(value)
        case str():
            yield from (value.encode("utf-8", "surrogatepass"), list(value), value + "\0", value[:-1], " " + value)
            yield from (unicodedata.normalize("NFD", value), unicodedata.normalize("NFC", value), value.swapcase())
        case bytes():
            yield from (bytearray(value), memoryview(value), value.decode("latin-1"), list(value), value + b"\0")
        case Decimal() if value.is_finite():
            yield from (-value, value.normalize(), str(value), Decimal(f"{value}0") if "." in f"{value}" else value + 1)
        case Fraction():
            yield from (value.numerator, float(value) if abs(value) < 2**900 else 0.5, str(value))
        case UUID():
            yield from (str(value), value.int, value.bytes, value.hex)
        case dt.datetime():
            yield from (value.replace(fold=1 - value.fold), value.date(), value.isoformat())
            yield from (
                value.replace(tzinfo=zone) for zone in (None, dt.UTC, ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"))
            )
            yield value.replace(microsecond=(value.microsecond + 1) % 1_000_000)
        case dt.time():
            yield from (value.replace(fold=1 - value.fold), value.replace(tzinfo=dt.UTC), value.isoformat())
        case dt.date():
            yield from (dt.datetime(value.year, value.month, value.day), value.isoformat(), value.toordinal())
        case list():
            yield from (tuple(value), [*value, None], value[:-1], value[::-1], [value, []], dict(enumerate(value)))
        case tuple():
            yield from (list(value), (*value, None), value[:-1], value[::-1], (value, ()))
        case set():
            yield from (frozenset(value), list(value), value | {"one more"}, dict.fromkeys(value))
        case frozenset():
            yield from (set(value), tuple(value), value | {"one more"})
        case dict():
            yield from (list(value.items()), {**value, "one more": None}, set(value), [value])
            yield dict(zip(value.keys(), reversed(value.values()), strict=True))
            yield dict(list(value.items())[:-1])


def changed_somewhere(value: Any, draw: Any) -> Any:
    """The value with one lookalike in it, at any depth."""
    inner = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, (list, tuple, dict)) and inner and draw(st.booleans()):
        place = draw(st.integers(0, len(inner) - 1))
        replaced = [changed_somewhere(each, draw) if at == place else each for at, each in enumerate(inner)]
        return dict(zip(value, replaced, strict=True)) if isinstance(value, dict) else type(value)(replaced)
    return draw(st.sampled_from(list(lookalikes(value))))


@given(st.one_of(strategies.values, strategies.alike), st.data())
def test_one_change_is_another_digest(value: Any, data: st.DataObject) -> None:
    other = changed_somewhere(value, data.draw)
    # A view is told by what it shows; no form of it is needed, for no value here is one.
    assume(isinstance(other, memoryview) or strategies.form(other) != strategies.form(value))
    assert digest(other) != digest(value)


@given(strategies.alike, st.integers(0, 5), st.integers(0, 5))
def test_how_containers_are_nested_counts(value: Any, one: int, other: int) -> None:
    assume(one != other)
    lists: list[Any] = [value, value]
    for depth, held in ((one, 0), (other, 1)):
        for _ in range(depth):
            lists[held] = [lists[held]]
    assert digest(lists[0]) != digest(lists[1])


@given(st.text(max_size=8), st.integers(0, 8), st.integers(0, 8))
def test_where_a_text_is_cut_counts(text: str, one: int, other: int) -> None:
    assume(text[:one] != text[:other])
    for kind in (list, tuple, lambda parts: dict([parts])):
        assert digest(kind((text[:one], text[one:]))) != digest(kind((text[:other], text[other:])))


@given(st.lists(st.tuples(st.text(max_size=3), strategies.values), unique_by=lambda pair: pair[0]), st.randoms())
def test_the_order_of_a_dict_does_not_count(pairs: list[Any], random: Any) -> None:
    shuffled = list(pairs)
    random.shuffle(shuffled)
    assert digest(dict(pairs)) == digest(dict(shuffled))
    assert digest({key for key, _ in pairs}) == digest({key for key, _ in shuffled})
    if shuffled != pairs:
        assert digest(shuffled) != digest(pairs)


@given(st.data())
def test_arrays_differ_by_type_shape_order_of_bytes_and_content(data: st.DataObject) -> None:
    np = pytest.importorskip("numpy")
    codes = ("<i4", ">i4", "<i8", ">i8", "<u4", "<f4", "<f8", ">f8", "M8[s]", "M8[D]", "m8[s]", "O", "<U4")
    numbers = data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=6))
    shapes = [(len(numbers),), (1, len(numbers)), (len(numbers), 1), (1, 1, len(numbers))]

    def drawn() -> Any:
        code, shape = data.draw(st.sampled_from(codes)), data.draw(st.sampled_from(shapes))
        return np.array(numbers, "<i8").astype(code).reshape(shape)

    one, other = drawn(), drawn()
    same = one.dtype.str == other.dtype.str and one.shape == other.shape
    assert (digest(one) == digest(other)) == same
    assert digest(one) != digest(numbers) != digest(one[..., 0])
    # Without dimensions it is neither its element nor an array of one.
    alone = np.array(numbers[0])
    assert len({digest(each) for each in (alone, alone[()], alone.reshape(1), numbers[0])}) == 4


@given(st.data())
def test_frames_differ_by_names_types_categories_and_content(data: st.DataObject) -> None:
    pd = pytest.importorskip("pandas")

    def drawn() -> tuple[tuple[Any, ...], Any]:
        dtype = data.draw(
            st.sampled_from(["int64", "int32", "float64", "Int64", "object", "str", "category", "ordered"])
        )
        column = data.draw(st.sampled_from(["a", "b", 0, ("a", "b")]))
        index_name, columns_name = (data.draw(st.sampled_from([None, "i", "j"])) for _ in range(2))
        index = data.draw(st.sampled_from(["range", "int64", "float64", "str"]))
        cells = tuple(data.draw(st.lists(st.integers(0, 1), min_size=2, max_size=2)))
        categories = pd.CategoricalDtype([0, 1], ordered=dtype == "ordered")
        kind = categories if dtype in ("category", "ordered") else dtype
        labels = pd.RangeIndex(2) if index == "range" else pd.Index([0, 1]).astype(index)
        made = pd.DataFrame({column: pd.Series(cells).astype(kind)})
        made.index = labels.rename(index_name)
        made.columns = pd.Index([column], tupleize_cols=False, name=columns_name)
        return (dtype, column, index_name, columns_name, index, cells), made

    (one_is, one), (other_is, other) = drawn(), drawn()
    assert (digest(one) == digest(other)) == (one_is == other_is)
    assert digest(one) == digest(one.copy())
    assert digest(one) != digest(one.iloc[:, 0])
