"""Exceptions as bytes, with everything that a reader of a traceback looks for."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any

from nexus_core.errors import NexusCoreError, NotShippable
from nexus_core.shipping import exception_parts
from nexus_core.shipping.tracebacks import frames_of
from nexus_core.shipping.values import Packed, pack, unpack

__all__ = ["Carried", "RemoteError", "carry", "restore"]


class RemoteError(NexusCoreError):
    """Stands for an exception of another process whose class cannot be had in this one.

    Attributes:
        type_name: The name of its class.
        text: Its traceback.
    """

    def __init__(self, type_name: str, message: str, text: str) -> None:
        self.type_name = type_name
        self.text = text
        super().__init__(f"{type_name}: {message}")


@dataclass(frozen=True, slots=True)
class Carried:
    """An exception on its way.

    Attributes:
        packed: The exception.
        type_name: The name of its class.
        message: ``str`` of it.
        text: Its traceback, as Python prints it.
    """

    packed: Packed
    type_name: str
    message: str
    text: str


class _StandIn:
    """In place of a part that cannot go: it reads the same."""

    def __init__(self, told: str, shown: str) -> None:
        self._told, self._shown = told, shown

    def __str__(self) -> str:
        return self._told

    def __repr__(self) -> str:
        return self._shown


def carry(error: BaseException) -> Carried:
    """Describes an exception for another process: type, arguments, attributes, causes and tracebacks.

    Parts that cannot be pickled are replaced by something that reads like them.

    Args:
        error: The exception.

    Returns:
        The description.

    Example:
        >>> restored = restore(carry(KeyError("key")))
        >>> type(restored), restored.args
        (<class 'KeyError'>, ('key',))
    """
    name = type(error).__qualname__ if type(error).__module__ == "builtins" else _full_name(type(error))
    message = _guarded(str, error)
    text = "".join(_formatted(error))
    try:
        packed = pack(error)
    except NotShippable:
        packed = _packed_in_part(error, name, message, text)
    return Carried(packed, name, message, text)


def restore(carried: Carried) -> BaseException:
    """The exception that :func:`carry` has described.

    Args:
        carried: The description.

    Returns:
        An exception of the same type, with the traceback of the other process; a
        :class:`RemoteError` if its class is not to be had here.
    """
    try:
        error = unpack(carried.packed)
    except Exception as broken:
        stands = RemoteError(carried.type_name, carried.message, carried.text)
        stands.__cause__ = broken
        return stands
    assert isinstance(error, BaseException)
    return error


def _full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _guarded(ask: Any, value: Any) -> str:
    try:
        return str(ask(value))
    except Exception as broken:  # a __str__ or __repr__ of its own that fails
        return f"<{type(value).__qualname__} whose {ask.__name__} raises {type(broken).__name__}>"


def _formatted(error: BaseException) -> list[str]:
    try:
        return traceback.format_exception(error)
    except Exception as broken:  # as above
        return [f"{type(error).__qualname__}, which cannot be shown: {type(broken).__name__}\n"]


def _packed_in_part(error: BaseException, name: str, message: str, text: str, depth: int = 0) -> Packed:
    """Without what cannot be pickled."""
    try:
        pack(type(error))
    except NotShippable:
        return pack(RemoteError(name, message, text))
    kind, _, args, attributes = exception_parts.parts(error)
    reduced = exception_parts.make(kind, None, tuple(map(_or_stand_in, args)))
    state = (
        {key: _or_stand_in(value) for key, value in attributes.items()},
        _chained(error.__cause__, depth),
        _chained(error.__context__, depth),
        error.__suppress_context__,
        frames_of(error.__traceback__),
    )
    exception_parts.fill(reduced, state)
    return pack(reduced)


def _or_stand_in(value: Any) -> Any:
    try:
        pack(value)
    except NotShippable:
        return _StandIn(_guarded(str, value), _guarded(repr, value))
    return value


#: Further causes of causes are left out where parts of them cannot go.
_DEEPEST = 8


def _chained(error: BaseException | None, depth: int) -> BaseException | None:
    if error is None or depth > _DEEPEST:
        return None
    try:
        pack(error)
    except NotShippable:
        text = "".join(_formatted(error))
        packed = _packed_in_part(error, _full_name(type(error)), _guarded(str, error), text, depth + 1)
        reduced = unpack(packed)
        assert isinstance(reduced, BaseException)
        return reduced
    return error
