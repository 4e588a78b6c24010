"""numpy's arrays and scalars have keys by dtype, shape and content."""

from __future__ import annotations

from typing import Any

import pytest

np = pytest.importorskip("numpy")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from nexus_core.keys import NotKeyable, digest  # noqa: E402

RECORD = np.dtype([("a", "<i4"), ("b", "<f8")])

ALL_DIFFERENT: list[Any] = [
    *(np.array([]), np.array([], "i4"), np.zeros((0, 2)), np.zeros((2, 0)), np.array(0), np.array([0]), np.array([[0]])),
    *(np.zeros(6), np.zeros((2, 3)), np.zeros((3, 2)), np.zeros((6, 1)), np.arange(6), np.arange(6).reshape(2, 3)),
    *(np.arange(6).reshape(3, 2), np.arange(6).reshape(2, 3).T, np.arange(6.0), np.arange(6)[::-1]),
    *(np.array([1], code) for code in ("i1", "u1", "<i2", ">i2", "<i4", ">i4", "<i8", "<f2", "<f4", "<f8", "?", "<c8", "O")),
    *(np.array(["1"]), np.array(["1"], "<U2"), np.array([b"1"]), np.array([b"1"], "O"), np.array(["1"], "O")),
    *(np.array([0], "M8[s]"), np.array([0], "M8[ms]"), np.array([0], "m8[s]"), np.array(["NaT"], "M8[s]")),
    *(np.array([(1, 2.0)], RECORD), np.array([(1, 3.0)], RECORD), np.array([(1, 2.0)], [("b", "<i4"), ("a", "<f8")])),
    *(np.array([(1, 2.0)], np.dtype(RECORD.descr, align=True)), np.array([([1, 2],)], [("a", "<i4", 2)])),
    *(np.array([1, "a", None], "O"), np.array([1, "a", None, [1]], "O"), np.array([1.0, "a", None], "O"), np.array([True], "O")),
    *(np.array(["a", "b"], np.dtypes.StringDType()), np.array(["ab", ""], np.dtypes.StringDType())),
    *(np.int64(1), np.int32(1), np.uint64(1), np.float64(1), np.float32(1), np.bool_(True), np.str_("1"), np.bytes_(b"1")),
    *(np.datetime64(1, "s"), np.datetime64(1, "ms"), np.timedelta64(1, "s"), np.array([(1, 2.0)], RECORD)[0], np.complex128(1)),
    *(1, 1.0, True, "1", b"1", [1], [[0, 0, 0], [0, 0, 0]], np.zeros(6).tobytes(), memoryview(np.zeros(6))),
]  # fmt: skip


def test_no_two_of_these_share_a_digest() -> None:
    found: dict[bytes, Any] = {}
    for value in ALL_DIFFERENT:
        other = found.setdefault(digest(value), value)
        assert other is value, f"{value!r} has the digest of {other!r}"


@given(
    st.sampled_from(["u1", "<i4", ">i8", "<f8", "M8[s]", "<U3"]),
    st.lists(st.integers(1, 4), max_size=3),
    st.randoms(use_true_random=False),
)
def test_content_counts_and_layout_does_not(code: str, shape: list[int], random: Any) -> None:
    content = np.array([random.randrange(100) for _ in range(int(np.prod(shape)))], "u1").astype("i8")
    array = content.astype(code).reshape(shape)
    spread = np.zeros([2 * size for size in shape], array.dtype)[(*(slice(None, None, 2) for _ in shape), ...)]
    spread[...] = array
    backwards = array.copy()[(*(slice(None, None, -1) for _ in shape), ...)]
    backwards[...] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    for same in (array.copy(), np.asfortranarray(array).reshape(array.shape), spread, backwards, read_only):
        assert digest(same) == digest(array)
    assert digest(array.reshape([*shape, 1])) != digest(array)
    changed = array.copy()
    place = tuple(random.randrange(size) for size in shape)
    changed[place] = np.array(101).astype(code)
    assert digest(changed) != digest(array)


@pytest.mark.parametrize("size", [8_191, 8_192, 100_000])
def test_large_arrays_count_to_the_last_element(size: int) -> None:
    array = np.arange(size, dtype="f8")
    strided = np.repeat(array, 2)[::2]
    assert digest(strided) == digest(array)
    strided[-1] += 1
    assert digest(strided) != digest(array)
    changed = array.copy()
    changed[size // 2] = -1
    assert digest(changed) != digest(array)


def test_elements_of_object_arrays_are_values() -> None:
    array = np.array([{"b": 1, "a": {1, 2}}, None], "O")
    same = np.array([{"a": {2, 1}, "b": 1}, None], "O")
    assert digest(array) == digest(same)
    with pytest.raises(NotKeyable, match=r"^value\['x'\]\.flat\[3\]"):
        digest({"x": np.array([[1, 2], [3, object()]], "O")})


def test_an_object_array_that_contains_itself_is_refused() -> None:
    array = np.array([None], "O")
    array[0] = array
    with pytest.raises(NotKeyable, match="contains itself"):
        digest(array)


class ArraySubclass(np.ndarray):  # type: ignore[misc]
    """An array that is not exactly one."""


class ScalarSubclass(np.float64):  # type: ignore[misc]
    """A scalar that is not exactly one."""


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(2).view(ArraySubclass),
        ScalarSubclass(1),
        np.ma.array([1]),
        np.array([(1,)], [("a", "O")]),
        np.array([(1,)], [("a", "O")])[0],
        np.zeros(1, np.dtype("i4", metadata={"a": 1})),
        np.dtype("i4"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_more_to_it_than_its_memory_is_refused(value: Any) -> None:
    with pytest.raises(NotKeyable):
        digest(value)
