"""A strict, comparable picture of any object graph.

Two pictures are equal only if types agree (``1``, ``1.0`` and ``True`` differ), NaN
stands where NaN stands, every dict has its keys in the same order, and the same
containers are shared: each mutable object gets a number at its first visit and is a
reference afterwards, so a copy where stock shares (or the reverse) shows.
"""

from __future__ import annotations

import functools
import struct
import types
from collections.abc import Callable
from typing import Any

from .normalise import normalise

Picture = tuple[Any, ...]

_ATOMS = (int, bool, complex, type(None), type(Ellipsis), type(NotImplemented))


def type_name(cls: type) -> str:
    """Return the qualified name of a class; one made in the sandbox has no module."""
    return f"{getattr(cls, '__module__', None)}.{cls.__qualname__}"


def text_of(value: object) -> str:
    """Return ``str(value)`` normalised, also where ``__str__`` raises."""
    try:
        return normalise(str(value))
    except Exception as error:  # noqa: BLE001 - user's __str__ may raise anything
        return f"<str raised {type_name(type(error))}>"


class Snapshot:
    """Pictures taken by one instance share one numbering of mutable objects.

    Attributes:
        tells_sharing: Whether it shows which objects are the same. Runtimes whose nodes are in other processes
            hand on copies: for those a shared object is shown again wherever it stands.
    """

    tells_sharing = True

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._keep: list[object] = []  # ids stay unique while the objects live

    def __call__(self, value: Any) -> Picture:
        """Return the picture of ``value``."""
        return self._walk(value, 0)

    def _walk(self, value: Any, depth: int) -> Picture:
        cls = type(value)
        name = type_name(cls)
        if depth > 400:
            return ("too deep", name)
        if cls in _ATOMS:
            return (name, value) if cls is not int or abs(value) < 1 << 64 else (name, hex(value))
        if cls is float:
            return (name, "nan") if value != value else (name, struct.pack("<d", value))
        if isinstance(value, str):
            return (name, normalise(value))
        if isinstance(value, bytes):
            return (name, bytes(value))
        if isinstance(value, tuple):
            return (name, *(self._walk(item, depth + 1) for item in value))
        if isinstance(value, (types.FunctionType, types.BuiltinFunctionType, types.ModuleType, type)):
            return (name, getattr(value, "__qualname__", getattr(value, "__name__", "?")))
        return self._container(value, name, depth + 1)

    def _container(self, value: Any, name: str, depth: int) -> Picture:
        known = self._numbers.get(id(value))
        if known is not None:
            return ("same as", known)
        number = self._numbers[id(value)] = len(self._numbers)
        self._keep.append(value)
        if self.tells_sharing:
            return (name, number, *self._parts(value, depth))
        try:
            return (name, *self._parts(value, depth))
        finally:
            # Only what holds itself is told.
            del self._numbers[id(value)]

    def _parts(self, value: Any, depth: int) -> Picture:
        walk = functools.partial(self._walk, depth=depth)
        if isinstance(value, dict):
            return tuple((walk(key), walk(item)) for key, item in dict.items(value))
        if isinstance(value, list):
            return tuple(walk(item) for item in list.__iter__(value))
        if isinstance(value, (set, frozenset)):
            return tuple(sorted((walk(item) for item in value), key=repr))
        if isinstance(value, BaseException):
            return self._exception(value, walk)
        return self._object(value, walk)

    def _exception(self, error: BaseException, walk: Callable[[Any], Picture]) -> Picture:
        cause = None if error.__cause__ is None else walk(error.__cause__)
        context = None if error.__context__ is None else walk(error.__context__)
        return ("error", text_of(error), ("cause", cause), ("context", context))

    def _object(self, value: Any, walk: Callable[[Any], Picture]) -> Picture:
        module = str(getattr(type(value), "__module__", None)).split(".")[0]
        if module in {"numpy", "pandas", "datetime", "decimal", "pathlib", "uuid"}:
            return ("text", text_of(repr(value)))
        if module in {"kailash", "nexus_core"}:
            return ("instance",)
        attributes = getattr(value, "__dict__", None)
        return ("fields", walk(dict(attributes))) if isinstance(attributes, dict) else ("opaque",)


def first_difference(left: Any, right: Any, path: str = "") -> str | None:
    """Say where two pictures part, for a readable failure; ``None`` if they are equal."""
    if left == right:
        return None
    if isinstance(left, tuple) and isinstance(right, tuple):
        for index, (one, other) in enumerate(zip(left, right, strict=False)):
            found = first_difference(one, other, f"{path}/{index}")
            if found:
                return found
        return f"{path}: {len(left)} against {len(right)} parts:\n  {left!r}\n  {right!r}"
    return f"{path}:\n  stock:   {left!r}\n  subject: {right!r}"
