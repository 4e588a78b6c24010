"""What is decoded equals what was encoded, and nothing else than one error comes of other bytes."""

from __future__ import annotations

import datetime
import decimal
import enum
import fractions
import math
import pickle
import struct
import subprocess
import sys
import uuid
import zoneinfo
from typing import Any

import pytest

from nexus_core.cache_tiers.encoding import decode, encode
from nexus_core.errors import NotSerializable, UnreadableEntry
from nexus_core.keys import digest

pytest.importorskip("hypothesis")
from hypothesis import given
from hypothesis import strategies as st


def same(one: Any, other: Any) -> bool:
    """Whether they are equal in type and value, in all that they hold."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack(">d", one) == struct.pack(">d", other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, (set, frozenset)):
        return sorted(map(digest, one)) == sorted(map(digest, other))
    if isinstance(one, decimal.Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, (datetime.datetime, datetime.time)):
        return (repr(one), one.fold) == (repr(other), other.fold)
    return bool(one == other)


_zones = st.one_of(
    st.none(),
    st.just(datetime.UTC),
    st.sampled_from(["Europe/Berlin", "America/New_York", "UTC"]).map(zoneinfo.ZoneInfo),
    st.integers(-1439, 1439).map(lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))),
    st.just(datetime.timezone(datetime.timedelta(hours=2), "summer")),
)
_KEYS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**300), 2**300),
    st.floats(allow_nan=False),
    st.text(st.characters()),
    st.binary(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.dates(),
    st.datetimes(timezones=_zones, allow_imaginary=True),
    st.times(),
    st.timedeltas(),
    _zones,
    st.complex_numbers(allow_nan=False),
)


# Drawn inside of functions, whose names are printed: strategies of this length are not.
@st.composite
def _key(draw: Any) -> Any:
    return draw(_KEYS)


@st.composite
def _hashable(draw: Any) -> Any:
    return draw(
        st.recursive(
            _key(),
            lambda inner: st.one_of(st.tuples(inner, inner), st.lists(inner).map(tuple), st.frozensets(inner)),
            max_leaves=8,
        )
    )


_LEAVES = st.one_of(
    _hashable(), st.floats(), st.binary().map(bytearray), st.sets(_hashable()), st.complex_numbers(), st.decimals()
)


@st.composite
def _leaf(draw: Any) -> Any:
    return draw(_LEAVES)


_VALUES = st.recursive(
    _leaf(),
    lambda inner: st.one_of(
        st.lists(inner), st.lists(inner).map(tuple), st.dictionaries(_hashable(), inner), st.tuples(inner, inner)
    ),
    max_leaves=30,
)


@given(_VALUES)
def test_any_value_comes_back(value: Any) -> None:
    assert same(decode(encode(value)), value)


@pytest.mark.parametrize(
    "value",
    [
        2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, math.nan, -0.0, math.inf, "\ud800", b"", bytearray(),
        struct.unpack(">d", b"\x7f\xf8\0\0\0\0\0\x2a")[0], decimal.Decimal("sNaN7"), decimal.Decimal("-0E+5"),
        {1: "int", 1.5: "float", "1": "str", b"1": "bytes", (1, (2,)): "tuple", None: None, frozenset({1}): 0},
        [bytearray(b"x"), {"a": (bytearray(b"y"), [bytearray(b"z")])}], ((((),),),), {frozenset({(1, 2)})},
        uuid.UUID(int=5), fractions.Fraction(-1, 3), datetime.timezone(datetime.timedelta(0), "UTC"),
        datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
    ],
)  # fmt: skip
def test_values_that_are_easily_confused_come_back(value: Any) -> None:
    assert same(decode(encode(value)), value)


def test_the_order_of_a_dict_comes_back() -> None:
    assert list(decode(encode({"b": 1, "a": 2, 3: 3}))) == ["b", "a", 3]


class _Colour(enum.Enum):
    RED = 1


class _Level(enum.IntEnum):
    LOW = 1


class _Text(str):
    __slots__ = ()


class _Dict(dict[str, int]):
    pass


def _loop() -> list[Any]:
    loop: list[Any] = []
    loop.append([loop])
    return loop


def _deep(make: Any, depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = make(value)
    return value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (object(), "value"), ({"rows": [1, {"x": object()}]}, "value['rows'][1]['x']"), ([(1, {object})], "value[0][1]'s item"),
        ({"a": _Colour.RED}, "value['a']"), ([_Level.LOW], "value[0]"), ((_Text("x"),), "value[0]"), ([_Dict()], "value[0]"),
        ([memoryview(b"x")], "value[0]"), ({(1, object): 1}, "value's key"), ({"f": len}, "value['f']"), (_loop(), "value"),
        (_deep(lambda inner: [inner], 300), "value"), (_deep(lambda inner: (inner,), 300), "value"),
        (_deep(lambda inner: {1: inner}, 300), "value"),
    ],
)  # fmt: skip
def test_what_cannot_be_represented_is_named(value: Any, path: str) -> None:
    with pytest.raises(NotSerializable) as raised:
        encode(value)
    assert raised.value.path.startswith(path)
    assert raised.value.reason
    again = pickle.loads(pickle.dumps(raised.value))
    assert (again.path, again.reason) == (raised.value.path, raised.value.reason)


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"a": inner}, lambda inner: (inner,)])
def test_whatever_can_be_encoded_can_be_decoded(make: Any) -> None:
    for depth in range(0, 300, 7):
        try:
            data = encode(_deep(make, depth))
        except NotSerializable:
            continue
        assert encode(decode(data)) == data


def _decoded(data: bytes) -> None:
    try:
        decode(data)
    except UnreadableEntry as error:
        assert error.reason == "malformed"


@given(st.binary(max_size=400), st.sampled_from([b"", b"\x01", b"\x02"]))
def test_any_bytes_are_a_value_or_the_one_error(data: bytes, begin: bytes) -> None:
    _decoded(begin + data)


def _samples() -> list[bytes]:
    values: list[Any] = [
        {
            "a": [1, 2.5, (3, {4}, "x" * 50, datetime.datetime(2024, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")))],
            2**70: b"x",
        },
        [decimal.Decimal("1.5"), uuid.UUID(int=1), fractions.Fraction(1, 3), bytearray(b"x"), datetime.timedelta(1)],
    ]
    try:
        import numpy
        import pandas
    except ImportError:
        return [encode(value) for value in values]
    values.append([numpy.arange(6).reshape(2, 3), numpy.float32(1), numpy.array(["a", "bc"])])
    frame = pandas.DataFrame({"a": [1, 2], "b": ["x", None], "c": pandas.Categorical(["u", "v"])})
    frame["d"] = pandas.to_datetime(["2024-01-01", None]).tz_localize("UTC")
    values.append(frame)
    return [encode(value) for value in values]


_SAMPLES = _samples()


@given(st.data())
def test_damaged_entries_are_a_value_or_the_one_error(data: Any) -> None:
    entry = bytearray(data.draw(st.sampled_from(_SAMPLES)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(entry) - 1))
        kind = data.draw(st.sampled_from(["set", "cut", "insert"]))
        if kind == "set":
            entry[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            del entry[place : place + data.draw(st.integers(1, 5))]
        else:
            entry[place:place] = data.draw(st.binary(min_size=1, max_size=5))
        if not entry:
            break
    _decoded(bytes(entry))


def test_hostile_lengths_reserve_no_memory() -> None:
    program = """
import resource, struct
from nexus_core.cache_tiers.encoding import decode
from nexus_core.errors import UnreadableEntry
import numpy, pandas
resource.setrlimit(resource.RLIMIT_AS, (2 * 2**30, 2 * 2**30))
size = 2**20
filler = b"\\xc0" * size
array = b"\\x94\\xa5array\\xa3<f8\\x91\\xce\\xff\\xff\\xff\\xff\\xa1C\\x00"
for hostile in (
    b"\\x01" + b"\\xdd" + struct.pack(">I", size) * 1 + filler[:-1],
    b"\\x01" + (b"\\xdd" + struct.pack(">I", size)) * 500 + filler,
    b"\\x01" + (b"\\xdf" + struct.pack(">I", size // 2)) * 500 + filler,
    b"\\x01" + b"\\xdd\\xff\\xff\\xff\\xff", b"\\x01" + b"\\xdb\\xff\\xff\\xff\\xff", b"\\x01\\xc9\\xff\\xff\\xff\\xff\\x04",
    b"\\x02" + b"\\xff" * 8 + filler, b"\\x02" + struct.pack(">II", 1, 2**31) + filler,
    b"\\x01" + b"\\xc8" + struct.pack(">H", len(array)) + b"\\x14" + array,
    b"\\x01" + b"\\x91" * 100_000,
):
    try:
        decode(hostile)
    except UnreadableEntry:
        continue
    raise SystemExit(f"taken: {hostile[:20]!r}")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout


def _extension(code: int, value: Any) -> bytes:
    import msgpack

    packed: bytes = msgpack.packb(msgpack.ExtType(code, value if isinstance(value, bytes) else msgpack.packb(value)))
    return packed


def test_a_fraction_of_text_does_not_take_what_the_text_says() -> None:
    # As many digits as this would take hours.
    with pytest.raises(UnreadableEntry, match="integers"):
        decode(b"\x01" + _extension(15, ["1e9999999999", 1]))


@pytest.mark.parametrize("value", [b"", b"\x92\x01", b"\x81\x01", b"\x92\x91\x01", b"\x93\x01\x02"])
@pytest.mark.parametrize("kind", [b"\x01", b"\x03"])
def test_a_tuples_mark_is_only_where_a_tuple_begins(value: bytes, kind: bytes) -> None:
    with pytest.raises(UnreadableEntry):
        decode(kind + value + _extension(1, b""))
    assert decode(b"\x03\x91" + _extension(1, b"")) == ()
    with pytest.raises(UnreadableEntry):
        decode(b"\x01\x91" + _extension(1, b""))


def test_objects_whose_repr_raises_are_named_without_it() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise ZeroDivisionError

    for value in ({Hostile(): 1}, {(Hostile(),): 1}, {Hostile()}, {"x" * 10_000: Hostile()}):
        with pytest.raises(NotSerializable) as raised:
            encode(value)
        assert len(str(raised.value)) < 500


def test_whatever_refuses_to_be_taken_apart_is_not_serializable() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1]})
    # What pandas itself stumbles over.
    object.__setattr__(frame, "_flags", None)
    with pytest.raises(NotSerializable):
        encode([frame])
