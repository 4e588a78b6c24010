"""Arrays of numpy and objects of pandas come back as they were."""

from __future__ import annotations

from typing import Any

import pytest

from nexus_core.cache_tiers.encoding import decode, encode
from nexus_core.errors import NotSerializable, UnreadableEntry

numpy: Any = pytest.importorskip("numpy")
pandas: Any = pytest.importorskip("pandas")

_FRAME = pandas.DataFrame(
    {
        "int": [1, 2], "text": ["x", None], "category": pandas.Categorical(["u", "v"], categories=["v", "u"], ordered=True),
        "zoned": pandas.to_datetime(["2024-01-01", None]).tz_localize("Europe/Berlin"), "Int64": pandas.array([1, None], dtype="Int64"),
        "delta": pandas.to_timedelta([1, 2], unit="s"), "period": pandas.period_range("2024", periods=2, freq="M"),
        "interval": pandas.interval_range(0, 2), "boolean": pandas.array([None, True], dtype="boolean"),
        "string": pandas.array(["a", None], dtype="string"), "Float64": pandas.array([1.5, None], dtype="Float64"),
        "float32": numpy.array([1, numpy.nan], "f4"), "bool": [True, False],
    },
    index=pandas.MultiIndex.from_tuples([("a", 1), ("b", 2)], names=["k", None]),
)  # fmt: skip


@pytest.mark.parametrize(
    "array",
    [
        numpy.arange(6).reshape(2, 3), numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3)), numpy.arange(20)[::3],
        numpy.arange(24).reshape(2, 3, 4).transpose(1, 0, 2), numpy.array(5), numpy.array([], "f4"), numpy.zeros((0, 3)),
        numpy.array(["a", "bcd", ""]), numpy.array([b"a\0b", b""]), numpy.array(["2024", "NaT"], "M8[ns]"),
        numpy.array([1, 2], "m8[D]"), numpy.array([1, 2], ">i4"), numpy.array([1 + 2j]), numpy.array([True, False]),
        numpy.array([(1, 2.5)], [("a", "i1"), ("b", "f8", (2,))]), numpy.array([1.5], "f2"), numpy.array([1], numpy.longdouble),
        numpy.zeros(2, numpy.dtype({"names": ["x"], "formats": ["i4"], "offsets": [4], "itemsize": 16})),
        numpy.zeros(2, numpy.dtype("i1, i8", align=True)), numpy.broadcast_to(numpy.array([1, 2]), (3, 2)),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)  # fmt: skip
def test_an_array_comes_back(array: Any) -> None:
    back = decode(encode([array]))[0]
    assert type(back) is numpy.ndarray
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.dtype.isalignedstruct == array.dtype.isalignedstruct
    numpy.testing.assert_array_equal(back, array)
    assert back.flags.writeable
    assert back.flags.f_contiguous or not array.flags.f_contiguous


def test_an_array_has_memory_of_its_own() -> None:
    data = encode(numpy.zeros(10))
    first, second = decode(data), decode(data)
    first[0] = 1
    assert second[0] == 0
    assert decode(data)[0] == 0


@pytest.mark.parametrize(
    "scalar",
    [
        numpy.float32(1.5), numpy.float64("nan"), numpy.int8(-1), numpy.uint64(2**64 - 1), numpy.bool_(True), numpy.str_("a\0"),
        numpy.bytes_(b"a\0"), numpy.datetime64("2024-01-01", "D"), numpy.timedelta64(5, "ms"), numpy.longdouble(1) / 3,
        numpy.complex64(1j), numpy.dtype("f4"), numpy.datetime64("NaT"),
    ],
    ids=repr,
)  # fmt: skip
def test_a_scalar_comes_back(scalar: Any) -> None:
    back = decode(encode({"x": scalar}))["x"]
    assert type(back) is type(scalar)
    assert repr(back) == repr(scalar)


def test_a_frame_comes_back() -> None:
    frame = _FRAME.copy()
    frame.attrs = {"source": ("a", 1)}
    back = decode(encode(frame))
    pandas.testing.assert_frame_equal(back, frame, check_exact=True, check_freq=True)
    assert list(back.dtypes) == list(frame.dtypes)
    assert back.attrs == frame.attrs


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame(), pandas.DataFrame(index=[1, 2]), pandas.DataFrame(columns=["a", "b"]), pandas.DataFrame([[1, 2]], columns=["a", "a"]),
        pandas.DataFrame({("a", 1): [1], ("b", 2): [2.0]}), pandas.DataFrame({1: [1], 0: [2]}), pandas.DataFrame(numpy.zeros((3, 2))),
    ],
)  # fmt: skip
def test_frames_of_unusual_shape_come_back(frame: Any) -> None:
    if any(column.dtype == object for _, column in frame.items()):
        with pytest.raises(NotSerializable):
            encode(frame)
        return
    pandas.testing.assert_frame_equal(decode(encode(frame)), frame, check_column_type=True, check_index_type=True)


@pytest.mark.parametrize(
    "index",
    [
        pandas.RangeIndex(1, 9, 3, name="x"), pandas.date_range("2024", periods=3), pandas.Index([3, 1]), pandas.Index(["a", "b"]),
        pandas.CategoricalIndex(["a", "b"]), pandas.Index([True, False]), pandas.timedelta_range("1s", periods=2, freq="s"),
        pandas.period_range("2024", periods=2, freq="D"), pandas.interval_range(0.0, 3.0, closed="left"), _FRAME.index,
        pandas.date_range("2024-03-30", periods=3, tz="Europe/Berlin"), pandas.Index([1.5, 2.5], name=("a", 1)),
    ],
    ids=lambda index: type(index).__name__,
)  # fmt: skip
def test_an_index_comes_back(index: Any) -> None:
    back = decode(encode(index))
    pandas.testing.assert_index_equal(back, index, exact=True, check_exact=True)
    assert type(back) is type(index)
    assert getattr(back, "freqstr", None) == getattr(index, "freqstr", None)


@pytest.mark.parametrize("column", list(_FRAME.columns))
def test_a_series_comes_back(column: str) -> None:
    series = _FRAME[column]
    pandas.testing.assert_series_equal(decode(encode(series)), series, check_exact=True)


@pytest.mark.parametrize(
    "value",
    [
        pandas.Timestamp("2024-10-27 00:30", tz="UTC").tz_convert("Europe/Berlin"), pandas.Timestamp("2024-10-27 01:30", tz="UTC").tz_convert("Europe/Berlin"),
        pandas.Timestamp(2024, 1, 1), pandas.Timestamp("2024-01-01 00:00:00.000000001"), pandas.Timedelta("1s"), pandas.Interval(0, 1, closed="both"),
        pandas.Period("2024-01", "M"), pandas.NaT, pandas.NA,
    ],
    ids=repr,
)  # fmt: skip
def test_a_scalar_of_pandas_comes_back(value: Any) -> None:
    back = decode(encode((value,)))[0]
    assert type(back) is type(value)
    assert (repr(back), getattr(back, "unit", None)) == (repr(value), getattr(value, "unit", None))


@pytest.mark.parametrize(
    "value",
    [
        numpy.array([object()]), numpy.array([(1, "x")], [("a", "i4"), ("b", "O")]), numpy.ma.masked_array([1]), numpy.zeros(1).view(numpy.recarray),
        numpy.array([(1,)], [("a", "i4")])[0], numpy.zeros(1, numpy.dtype("f4", metadata={"a": 1})), numpy.random.default_rng(),
        pandas.DataFrame({"a": [object()]}), pandas.Series([[1]]), pandas.Index([(1,), "a"]), pandas.Series([1], name=object()),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_what_holds_objects_is_refused(value: Any) -> None:
    with pytest.raises(NotSerializable, match=r"value\['data'\]|it holds what cannot be"):
        encode({"data": value})


@pytest.mark.parametrize(
    "described", ["O", "|O", "f8,i4", "(2,3)f8", "T", "float", "<f8 ", "|S0", "{'names': 1}", "<U0", ""]
)
def test_a_dtype_that_is_not_plain_is_refused_when_it_is_read(described: str) -> None:
    data = encode(["dtype", "|u1"])
    plain = encode(numpy.dtype("u1"))
    assert plain.endswith(data[1:])
    import msgpack

    inner = msgpack.packb(["dtype", described])
    with pytest.raises(UnreadableEntry, match="malformed"):
        decode(b"\x01" + msgpack.packb(msgpack.ExtType(20, inner)))
