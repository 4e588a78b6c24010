"""Functions and classes that ``PythonCodeNode.from_function`` / ``from_class`` wrap."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from .custom_nodes import OwnError, Sub, WithDict, WithoutText


def identity(data):  # noqa: ANN001, ANN201
    return data


def with_default(data, k=2):  # noqa: ANN001, ANN201
    return {"v": data, "k": k}


def keywords(x=1, **rest):  # noqa: ANN001, ANN003, ANN201
    return {"x": x, "rest": rest, "order": list(rest)}


def annotated(x: int, y: str = "s", flag: bool = False) -> dict[str, Any]:
    return {"x": x, "y": y, "flag": flag}


def generic(data: list[int], x: int | None = None) -> Any:
    return {"data": data, "x": x}


def returns_result(x=None):  # noqa: ANN001, ANN201
    return {"result": x}


def returns_result_and_more(x=None):  # noqa: ANN001, ANN201
    return {"result": x, "more": 1}


def returns_odd(x=0):  # noqa: ANN001, ANN201
    return [
        dt.datetime(2020, 1, 2, tzinfo=dt.UTC),
        Decimal("1.50"),
        WithDict(),
        object,
        {1, 2},
        b"b",
        (1, [Decimal(2)]),
        Sub(a=dt.date(2020, 1, 2)),
        float("nan"),
        {"n": [dt.date(2020, 1, 1), WithDict()]},
    ][len(str(x)) % 10]


def returns_none():  # noqa: ANN201
    return None


def mutates(data):  # noqa: ANN001, ANN201
    if isinstance(data, dict):
        data["touched"] = True
    return data


def raises(x=None):  # noqa: ANN001, ANN201
    if x is None:
        raise OwnError("no x")
    if x == 13:
        raise WithoutText
    raise ZeroDivisionError(f"x is {x}")


def content_failure(x=None):  # noqa: ANN001, ANN201
    return {"success": False, "error": f"content {x}"}


def positional_only(data, /):  # noqa: ANN001, ANN201
    return data


def keyword_only(*, data=None, x: float = 1.5):  # noqa: ANN001, ANN201
    return [data, x]


def takes_path(path="a.txt", file_name=None):  # noqa: ANN001, ANN201
    return {"path": str(path), "type": type(path).__name__, "file_name": str(file_name)}


class Counter:
    """Keeps a total, were it the same instance every time."""

    def __init__(self) -> None:
        self.total = 0

    def process(self, x: int = 1) -> dict[str, Any]:
        """Add."""
        self.total += x
        return {"total": self.total}


class Transformer:
    """Found by the name of its method."""

    def transform(self, data=None, **rest):  # noqa: ANN001, ANN003, ANN201
        return [data, sorted(rest)]


class Failing:
    """Raises in its method."""

    def run(self, x=None):  # noqa: ANN001, ANN201
        raise OwnError(f"class {x}")


FUNCTIONS = {
    function.__name__: function
    for function in (
        identity, with_default, keywords, annotated, generic, returns_result, returns_result_and_more, returns_odd,
        returns_none, mutates, raises, content_failure, positional_only, keyword_only, takes_path,
    )
}  # fmt: skip
CLASSES = {cls.__name__: cls for cls in (Counter, Transformer, Failing)}
