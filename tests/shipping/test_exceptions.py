"""Exceptions there and back."""

from __future__ import annotations

import pickle
import threading
import traceback
from typing import Any

import pytest
from kailash.sdk_exceptions import NodeExecutionError, WorkflowExecutionError

from nexus_core.errors import CycleError, NotKeyable, UnknownNode
from nexus_core.shipping import Carried, RemoteError, carry, restore
from shipping.far import in_another_process

BUILTIN = [
    ValueError("no"),
    KeyError("key"),
    KeyError(),
    OSError(2, "No such file", "name.txt"),
    FileNotFoundError(2, "No such file", "name.txt"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    SyntaxError("bad", ("file.py", 3, 5, "x = = 1\n")),
    StopIteration(7),
    SystemExit(3),
    KeyboardInterrupt(),
    ImportError("no module", name="module", path="/there"),
    ExceptionGroup("several", [ValueError(1), TypeError("two")]),
    ZeroDivisionError("division by zero"),
    RecursionError("deep"),
    MemoryError(),
]


class Own(Exception):
    """Takes other arguments than it passes on, and has a property that tells no pickle of itself."""

    def __init__(self, code: int, *, reason: str) -> None:
        super().__init__(f"{code} ({reason})")
        self.code = code


class Slotted(OSError):
    __slots__ = ("extra",)


class Reduced(Exception):
    """Says how it is made."""

    def __init__(self, left: int, right: int) -> None:
        super().__init__("reduced")
        self.both = (left, right)

    def __reduce__(self) -> Any:
        return Reduced, self.both


class Shy(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not told")

    __repr__ = __str__


def there_and_back(error: BaseException) -> BaseException:
    return restore(pickle.loads(pickle.dumps(carry(error))))


def shown(error: BaseException) -> list[str]:
    """What Python prints, without the marks below the lines, which say where in a line it was."""
    lines = "".join(traceback.format_exception(error)).splitlines()
    return [line for line in lines if set(line.strip()) - set("^~")]


@pytest.mark.parametrize("error", BUILTIN, ids=lambda error: type(error).__name__)
def test_pythons_own_come_back_with_all_they_know(error: BaseException) -> None:
    back = there_and_back(error)
    assert type(back) is type(error)
    assert repr(back) == repr(error)
    assert str(back) == str(error)
    for name in ("errno", "filename", "value", "code", "lineno", "text", "name", "path", "start", "reason"):
        assert getattr(back, name, None) == getattr(error, name, None)


@pytest.mark.parametrize(
    "error",
    [
        NodeExecutionError("failed"),
        WorkflowExecutionError("failed"),
        CycleError(("a", "b")),
        UnknownNode("a", "b"),
        NotKeyable("value", "list", "no"),
        Own(3, reason="because"),
        Reduced(1, 2),
    ],
    ids=lambda error: type(error).__name__,
)
def test_attributes_come_back_whatever_the_constructor_takes(error: BaseException) -> None:
    back = there_and_back(error)
    assert type(back) is type(error)
    assert back.args == error.args
    assert vars(back) == vars(error)


def test_notes_causes_and_contexts_come_back() -> None:
    try:
        try:
            try:
                raise KeyError("first")
            except KeyError as first:
                raise Own(1, reason="second") from first
        except Own:
            raise ValueError("third")  # noqa: B904  # its context is what is looked at
    except ValueError as error:
        error.add_note("a note")
        back = there_and_back(error)
        expected = shown(error)
    assert isinstance(back.__context__, Own)
    assert isinstance(back.__context__.__cause__, KeyError)
    assert back.__context__.__suppress_context__
    assert back.__notes__ == ["a note"]
    assert shown(back) == expected


def test_an_error_may_be_its_own_context() -> None:
    first, second = ValueError(1), ValueError(2)
    first.__context__, second.__context__ = second, first
    back = there_and_back(first)
    assert back.__context__ is not None
    assert back.__context__.__context__ is back


def test_raising_it_again_adds_to_the_traceback_of_the_other_process() -> None:
    carried: Carried = in_another_process(
        """
        from nexus_core.shipping import carry
        def far_away():
            raise LookupError("there")
        try:
            far_away()
        except LookupError as error:
            answer = carry(error)
        """
    )
    with pytest.raises(LookupError, match="there") as raised:
        raise restore(carried)
    names = [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]
    assert names[-1] == "far_away"
    assert "far_away" in carried.text
    assert (carried.type_name, carried.message) == ("LookupError", "there")


def test_what_cannot_be_pickled_is_replaced_by_what_reads_like_it() -> None:
    lock = threading.Lock()
    error = ValueError("left", lock)
    error.held = {"lock": lock}  # type: ignore[attr-defined]
    error.code = 5  # type: ignore[attr-defined]
    error.__cause__ = TypeError(lock)
    back = there_and_back(error)
    assert type(back) is ValueError
    assert str(back) == str(error)
    assert back.code == 5  # type: ignore[attr-defined]
    assert type(back.__cause__) is TypeError
    assert str(back.__cause__) == str(error.__cause__)


def test_an_error_that_cannot_be_shown_is_carried_all_the_same() -> None:
    back = there_and_back(Shy("quiet"))
    assert type(back) is Shy
    assert back.args == ("quiet",)


def test_a_class_that_is_not_to_be_had_here() -> None:
    carried = carry(ValueError("x"))
    broken = Carried(type(carried.packed)(b"cnowhere\nNothing\n."), "nowhere.Nothing", "x", "the traceback")
    back = restore(broken)
    assert isinstance(back, RemoteError)
    assert (back.type_name, str(back), back.text) == ("nowhere.Nothing", "nowhere.Nothing: x", "the traceback")


def test_a_deep_recursion_is_told_by_its_ends() -> None:
    def deeper(depth: int) -> None:
        deeper(depth + 1)

    try:
        deeper(0)
    except RecursionError as error:
        back = there_and_back(error)
    assert isinstance(back, RecursionError)
    frames = list(traceback.walk_tb(back.__traceback__))
    assert 2 <= len(frames) <= 200
