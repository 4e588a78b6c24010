"""How events and values look on the wire."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
import uuid
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from nexus_core.nexus_app.event_encoding import encoded_event, event_name, expressed
from nexus_core.runtime import events


class Opaque:
    __slots__ = ()

    def __repr__(self) -> str:
        return "an opaque thing"


class Unshowable:
    __slots__ = ()

    def __repr__(self) -> str:
        raise ValueError


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: int


class Model(BaseModel):
    when: datetime.date


def decoded(event: events.RunEvent) -> dict[str, Any]:
    head, kind, data, *rest = encoded_event(7, event).decode().split("\n")
    assert (head, kind, rest) == ("id: 7", f"event: {event_name(type(event))}", ["", ""])
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return found


def test_names_of_events() -> None:
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and kind.__module__ == events.__name__]
    names = {event_name(kind) for kind in kinds if kind is not events.RunEvent}
    assert names == {
        "run_started", "node_started", "node_finished", "node_failed", "node_skipped", "run_finished", "run_failed"
    }  # fmt: skip


def test_fields_of_an_event() -> None:
    event = events.NodeFinished("run_1", 0.5, "node", "worker", 0.25, {"result": "a\nb"})
    assert decoded(event) == {
        "run_id": "run_1", "time": 0.5, "node_id": "node", "thread": "worker", "duration": 0.25,
        "output": {"result": "a\nb"}, "cached": False,
    }  # fmt: skip


def test_errors_are_told_by_type_and_message() -> None:
    error = decoded(events.RunFailed("run_1", 0.5, KeyError("x")))["error"]
    assert error == {"type": "KeyError", "message": "'x'"}


def test_credentials_in_messages_are_masked() -> None:
    leak = ConnectionError("cannot reach postgresql://admin:hunter2@db:5432/x")
    assert "hunter2" not in decoded(events.RunFailed("run_1", 0.5, leak))["error"]["message"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, None),
        ([1, 2.5, "x", True], [1, 2.5, "x", True]),
        ((1, 2), [1, 2]),
        ({1}, [1]),
        (datetime.datetime(2020, 1, 2, 3, 4, 5), "2020-01-02T03:04:05"),
        (decimal.Decimal("1.5"), 1.5),
        (uuid.UUID(int=3), "00000000-0000-0000-0000-000000000003"),
        (b"text", "text"),
        (Colour.RED, "red"),
        (Point(1), {"x": 1}),
        (Model(when=datetime.date(2020, 1, 2)), {"when": "2020-01-02"}),
    ],
    ids=repr,
)
def test_values_are_encoded_as_fastapi_encodes_them(value: Any, shown: Any) -> None:
    assert expressed(value) == shown
    assert decoded(events.RunFinished("run_1", 0.5, {"node": value}))["results"] == {"node": shown}


@pytest.mark.parametrize(
    ("value", "shown", "kind"),
    [
        (float("nan"), "nan", "builtins.float"),
        (float("inf"), "inf", "builtins.float"),
        (b"\xff", "b'\\xff'", "builtins.bytes"),
        (Opaque(), "an opaque thing", f"{__name__}.Opaque"),
        (Unshowable(), "<Unshowable that cannot be shown>", f"{__name__}.Unshowable"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_without_an_expression_are_marked(value: Any, shown: str, kind: str) -> None:
    marked = {"repr": shown, "not_json": kind}
    assert expressed(value) == marked
    # And only they: what is around them stays readable.
    results = {"node": {"bad": [value], "good": {"x": 1}}}
    assert decoded(events.RunFinished("run_1", 0.5, results))["results"] == {
        "node": {"bad": [marked], "good": {"x": 1}}
    }


def test_arrays_are_marked() -> None:
    numpy = pytest.importorskip("numpy")
    assert expressed(numpy.arange(3)) == {"repr": "array([0, 1, 2])", "not_json": "numpy.ndarray"}


def test_keys_that_json_lacks() -> None:
    results = {1: "int", None: "none", (1, 2): "tuple", Colour.RED: "enum"}
    assert decoded(events.RunFinished("run_1", 0.5, results))["results"] == {
        "1": "int", "null": "none", "(1, 2)": "tuple", "Colour.RED": "enum"
    }  # fmt: skip


def test_values_that_contain_themselves_or_have_no_end() -> None:
    own: list[Any] = []
    own.append(own)
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    for value in (own, deep):
        assert "not_json" in encoded_event(1, events.RunFinished("run_1", 0.5, {"node": value})).decode()
    while isinstance(deep, list):  # let go level by level: freeing it at once is deep, too
        deep = deep[0]
