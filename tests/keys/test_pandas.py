"""pandas' frames, series and indexes have keys by content."""

from __future__ import annotations

from typing import Any

import pytest

pd = pytest.importorskip("pandas")
np = pytest.importorskip("numpy")

from nexus_core.keys import NotKeyable, digest  # noqa: E402


def frame(**changes: Any) -> Any:
    columns = {
        "int": [1, 2, 3],
        "float": [1.5, float("nan"), -0.0],
        "text": ["a", None, "c"],
        "object": np.array([1, "a", (1, 2)], dtype=object),
        "date": pd.to_datetime(["2026-01-01", None, "2026-01-03"]),
        "zone": pd.to_datetime(["2026-01-01", None, "2026-01-03"]).tz_localize("Europe/Berlin"),
        "category": pd.Categorical(["x", "y", "x"]),
        "nullable": pd.array([1, None, 3], dtype="Int64"),
        "flag": pd.array([True, None, False], dtype="boolean"),
        "string": pd.array(["a", None, "c"], dtype="string"),
        "period": pd.period_range("2026-01", periods=3, freq="M"),
        "delta": pd.to_timedelta([1, 2, 3], unit="s"),
        "interval": pd.interval_range(0, 3),
        **changes,
    }
    return pd.DataFrame(columns)


CHANGES: dict[str, Any] = {
    "int": [1, 2, 4],
    "float": [1.5, float("nan"), 0.0],
    "text": ["a", "", "c"],
    "object": np.array([True, "a", (1, 2)], dtype=object),
    "date": pd.to_datetime(["2026-01-01", None, "2026-01-04"]),
    "zone": pd.to_datetime(["2026-01-01", None, "2026-01-03"]).tz_localize("Europe/Paris"),
    "category": pd.Categorical(["x", "y", "x"], categories=["y", "x"]),
    "nullable": pd.array([1, 0, 3], dtype="Int64"),
    "flag": pd.array([True, False, False], dtype="boolean"),
    "string": pd.array(["a", "", "c"], dtype="string"),
    "period": pd.period_range("2026-02", periods=3, freq="M"),
    "delta": pd.to_timedelta([1, 2, 4], unit="s"),
    "interval": pd.interval_range(0, 3, closed="left"),
}


def test_an_equal_frame_has_the_same_digest() -> None:
    assert digest(frame()) == digest(frame()) == digest(frame().copy())
    taken = pd.concat([frame(), frame()]).iloc[:3]
    taken.index = pd.RangeIndex(3)
    assert digest(taken) == digest(frame())


@pytest.mark.parametrize("column", CHANGES)
def test_every_column_counts(column: str) -> None:
    assert digest(frame(**{column: CHANGES[column]})) != digest(frame())


def test_what_is_behind_the_mask_does_not_count() -> None:
    one = pd.arrays.IntegerArray(np.array([1, 7]), np.array([False, True]))
    other = pd.arrays.IntegerArray(np.array([1, 8]), np.array([False, True]))
    assert digest(pd.Series(one)) == digest(pd.Series(other))


def _with_attributes() -> Any:
    series = pd.Series([1, 2])
    series.attrs["unit"] = "m"
    return series


ALL_DIFFERENT: list[Any] = [
    *(pd.Series([1, 2]), pd.Series([1.0, 2.0]), pd.Series([1, 2], name="a"), pd.Series([1, 2], index=[1, 2])),
    *(pd.Series([1, 2], dtype="int32"), pd.Series([1, 2], dtype="Int64"), pd.Series([1, 2], dtype=object)),
    *(pd.Series([1, 2], index=["a", "b"]), pd.Series(["1", "2"]), pd.Series(["1", "2"], dtype=object)),
    *(pd.Series(["1", "2"], dtype="category"), _with_attributes(), pd.Series([2, 1]), pd.Series([1, 2, 3])),
    *(pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"b": [1, 2]}), pd.DataFrame({0: [1, 2]}), pd.DataFrame([[1, 2]])),
    *(pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=[1]), pd.DataFrame({"a": [1], "b": [2]})),
    *(pd.DataFrame({"b": [2], "a": [1]}), pd.DataFrame({"a": [1.0], "b": [2]}), pd.DataFrame([[1, 2]], columns=["a", "a"])),
    *(pd.Index([1, 2]), pd.Index([1.0, 2.0]), pd.Index([1, 2], name="a"), pd.RangeIndex(1, 3), pd.Index(["1", "2"])),
    *(pd.MultiIndex.from_product([[1, 2]]), pd.MultiIndex.from_product([[1], [2]]), pd.DatetimeIndex(["2026-01-01"])),
    *(pd.MultiIndex.from_product([[1], [2]], names=["a", None]), pd.DatetimeIndex(["2026-01-01"], tz="UTC")),
    *(pd.Timestamp("2026-01-01"), pd.Timestamp("2026-01-01").as_unit("ms"), pd.Timestamp("2026-01-01", tz="UTC")),
    *(pd.Timestamp("2026-01-01").to_pydatetime(), pd.Timedelta(1, "s"), pd.Interval(0, 1), pd.Interval(0, 1, "left")),
    *(pd.Period("2026-01"), pd.Period("2026"), pd.NA, pd.NaT, None, float("nan"), pd.array([1, 2]), np.array([1, 2])),
]  # fmt: skip


def test_no_two_of_these_share_a_digest() -> None:
    found: dict[bytes, Any] = {}
    for value in ALL_DIFFERENT:
        other = found.setdefault(digest(value), value)
        assert other is value, f"{value!r} has the digest of {other!r}"


def test_unused_levels_of_an_index_do_not_count() -> None:
    index = pd.MultiIndex.from_product([[1, 2, 3], ["a"]])[:2]
    assert digest(index) == digest(index.remove_unused_levels())


def test_the_error_names_the_column() -> None:
    data = pd.DataFrame({"a": [1], "b": [object()]})
    with pytest.raises(NotKeyable, match=r"^value\['frame'\]\.data\[1\]\.data\.flat\[0\], of type object"):
        digest({"frame": data})


class FrameSubclass(pd.DataFrame):  # type: ignore[misc]
    """A frame that is not exactly one."""


@pytest.mark.parametrize("value", [FrameSubclass(), pd.Series(pd.arrays.SparseArray([1]))], ids=["subclass", "sparse"])
def test_what_is_not_known_is_refused(value: Any) -> None:
    with pytest.raises(NotKeyable):
        digest(value)
