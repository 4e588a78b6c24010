"""What has no key is refused, with the way to it, its type and the reason."""

from __future__ import annotations

import ctypes
import datetime as dt
import pickle
import subprocess
import sys
import threading
from enum import Enum
from typing import Any

import pytest

from nexus_core.errors import NexusCoreError
from nexus_core.keys import NotKeyable, digest, key_of, register

from . import samples
from .samples import Opaque, Point


def refusal(value: Any) -> NotKeyable:
    with pytest.raises(NotKeyable) as raised:
        digest(value)
    return raised.value


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Opaque(), "value"),
        ([1, [2, Opaque()]], "value[1][1]"),
        ({"rows": ({"a": 1}, {"b": Opaque()})}, "value['rows'][1]['b']"),
        ({1: {2.5: Opaque()}}, "value[1][2.5]"),
        ({(1, 2): Opaque()}, "value[<tuple>]"),
        ({(1, Opaque()): 2}, "value.keys()[1]"),
        ([{1, (Opaque(),)}], "value[0][<tuple>][0]"),
        (Point(1, [Opaque()]), "value.y[0]"),
        ({"k" * 100: Opaque()}, "value['" + "k" * 59 + "…]"),
    ],
)
def test_the_error_says_where(value: Any, path: str) -> None:
    error = refusal(value)
    assert error.path == path
    assert error.type_name == "keys.samples.Opaque"
    assert str(error).startswith(f"{path}, of type keys.samples.Opaque, has no key: ")


def test_the_error_is_a_type_error_that_can_be_sent() -> None:
    error = refusal([object()])
    assert isinstance(error, TypeError)
    assert isinstance(error, NexusCoreError)
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.path, copy.type_name, copy.reason) == (error.path, error.type_name, error.reason)
    assert error.type_name == "object"


def test_a_key_of_a_run_says_which_part_has_none() -> None:
    with pytest.raises(NotKeyable, match=r"^inputs\['a'\], "):
        key_of("workflow", {"a": Opaque()})
    with pytest.raises(NotKeyable, match=r"^parameters\['node'\]\['x'\], "):
        key_of("workflow", {}, {"node": {"x": Opaque()}})


@pytest.mark.parametrize(
    "value",
    [
        samples.ListSubclass([1]),
        samples.DictSubclass(a=1),
        samples.IntSubclass(1),
        samples.TextSubclass("1"),
        samples.FloatSubclass(1),
        samples.TupleSubclass((1,)),
        samples.PairSubclass(1, 2),
        samples.ListWithField(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_is_not_its_base_class(value: Any) -> None:
    assert refusal([value]).path == "value[0]"


def test_a_dict_with_a_key_of_a_subclass_is_refused() -> None:
    assert refusal({samples.TextSubclass("a"): 1}).path == "value.keys()"


@pytest.mark.parametrize(
    "value",
    [lambda: None, int, samples, len, iter([]), (item for item in ()), threading.Lock(), NotImplemented],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_data_is_refused(value: Any) -> None:
    refusal(value)


def test_a_view_of_addresses_is_refused() -> None:
    assert refusal(memoryview((ctypes.py_object * 1)(1))).reason == "it shows addresses"


def test_a_released_view_is_refused() -> None:
    view = memoryview(b"abc")
    view.release()
    assert "released" in refusal(view).reason


def test_an_unknown_time_zone_is_refused() -> None:
    class Zone(dt.tzinfo):
        pass

    assert refusal(dt.datetime(2026, 1, 1, tzinfo=Zone())).path == "value.tzinfo"


def test_a_class_that_cannot_be_found_under_its_name_is_refused() -> None:
    class Local(Enum):
        ONE = 1

    assert "cannot be found" in refusal(Local.ONE).reason


def test_a_dataclass_that_holds_more_than_its_fields_is_refused() -> None:
    point = Point(1, 2)
    point.beside = 3  # type: ignore[attr-defined]
    assert refusal(point).reason == "it holds more than its fields: beside"


def test_a_value_that_contains_itself_is_refused_where_it_does() -> None:
    inner: list[Any] = [1]
    inner.append({"again": inner})
    error = refusal({"a": inner})
    assert (error.path, error.reason) == ("value['a'][1]['again']", "it contains itself")
    point = Point(1, None)
    point.y = (point,)
    assert refusal(point).reason == "it contains itself"


def test_depth_is_limited() -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for level in range(depth):
            value = [value] if level % 2 else {"a": value}
        return value

    assert digest(nested(256)) != digest(nested(255))
    error = refusal(nested(257))
    assert "more than 256" in error.reason
    assert "…" in error.path
    refusal(nested(100_000 // 100))


def test_the_deepest_value_fits_on_a_small_stack() -> None:
    value: Any = 1
    for _ in range(254):
        value = Point(value, {(1, 2): value} if _ == 0 else 0)
    digests: list[bytes] = []
    before = threading.stack_size(512 * 1024)
    try:
        thread = threading.Thread(target=lambda: digests.append(digest(value)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert digests == [digest(value)]


def test_a_registered_class_has_a_key() -> None:
    with pytest.raises(NotKeyable):
        digest(Opaque(1))
    register(Opaque, lambda opaque: opaque.held)
    try:
        assert digest(Opaque(1)) == digest(Opaque(1))
        assert len({digest(value) for value in (Opaque(1), Opaque(2), Opaque("1"), 1, [Opaque(1)])}) == 5
        assert refusal(Opaque(object())).path == "value.value"
    finally:
        from nexus_core import _key_reductions

        del _key_reductions._registered[Opaque]


def test_what_a_registered_function_raises_reaches_the_caller() -> None:
    register(Opaque, lambda opaque: 1 / 0)
    try:
        with pytest.raises(ZeroDivisionError):
            digest([Opaque()])
    finally:
        from nexus_core import _key_reductions

        del _key_reductions._registered[Opaque]


def test_registering_nonsense_is_refused() -> None:
    class Local:
        pass

    with pytest.raises(TypeError):
        register("Opaque", str)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        register(Opaque, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="cannot be found"):
        register(Local, str)
    with pytest.raises(ValueError, match="already"):
        register(dict, str)


_ENDLESS = """
import signal
from nexus_core.keys import digest

def interrupt(*_):
    raise KeyboardInterrupt

value = [1]
for _ in range(60):  # two to the power of sixty values, if one looks at each
    value = [value, value]
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.1)
try:
    digest(value)
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGALRM")
def test_a_walk_can_be_interrupted() -> None:
    done = subprocess.run([sys.executable, "-c", _ENDLESS], capture_output=True, text=True, timeout=60)
    assert done.stdout == "interrupted\n", done.stderr
