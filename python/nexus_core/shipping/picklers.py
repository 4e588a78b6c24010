"""Picklers that know exceptions, and what only cloudpickle can describe."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from contextvars import ContextVar
from types import FunctionType, MethodType
from typing import Any

from nexus_core.shipping import exception_parts
from nexus_core.shipping.context_variables import BY_VALUE, reduce_variable
from nexus_core.shipping.resources import PREFIX, reduce_resource

__all__ = ["cloud_pickler", "dumps", "install_hint"]

_Reduce = Callable[[Any], Any]


class _ByValue(Exception):
    """Something is referred to by name that has another meaning where it goes."""


def _reduce_method(method: MethodType) -> Any:
    """A bound method; by its function where its object has something else, or nothing, of its name.

    Such a method was put into the object, as ``node.execute = MethodType(other, node)`` does.
    """
    function, owner = method.__func__, method.__self__
    known = getattr(type(owner), getattr(function, "__name__", ""), None)
    if known is function or isinstance(owner, type):
        return NotImplemented
    return MethodType, (function, owner)


class _Pickler(pickle.Pickler):
    """Pickle's own, for everything that it can describe."""

    def reducer_override(self, value: Any) -> Any:
        """Called for every object that is not of a plain type."""
        if isinstance(value, BaseException):
            return exception_parts.reduce(value)
        if type(value) is ContextVar:
            return reduce_variable(value)
        if type(value) is MethodType:
            return _reduce_method(value)
        if isinstance(value, (type, FunctionType)):
            if value.__module__ in BY_VALUE:
                raise _ByValue(f"{value.__qualname__} is of {value.__module__}, which is another module there")
        elif _may_be_a_resource(value):
            return reduce_resource(value)
        return NotImplemented


def _may_be_a_resource(value: Any) -> bool:
    # A class that a node's code makes with type() has no module.
    module = getattr(type(value), "__module__", None)
    return isinstance(module, str) and module.startswith(PREFIX)


def install_hint() -> str:
    """How to get cloudpickle; empty where it is there."""
    return (
        ""
        if cloud_pickler()
        else ". What pickle cannot describe needs cloudpickle: pip install nexus-core-rs[processes]"
    )


_cloud: list[type[pickle.Pickler] | None] = []


def cloud_pickler() -> type[pickle.Pickler] | None:
    """The pickler for what pickle cannot describe; ``None`` where cloudpickle is not installed."""
    if not _cloud:
        _cloud.append(_make_cloud_pickler())
    return _cloud[0]


def _make_cloud_pickler() -> type[pickle.Pickler] | None:
    try:
        import cloudpickle
    except ImportError:
        return None

    class CloudPickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
        """Cloudpickle's, with our exceptions."""

        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, BaseException):
                return exception_parts.reduce(value)
            if type(value) is ContextVar:
                return reduce_variable(value)
            if type(value) is MethodType:
                reduced = _reduce_method(value)
                return super().reducer_override(value) if reduced is NotImplemented else reduced
            if _may_be_a_resource(value):
                reduced = reduce_resource(value)
                if reduced is not NotImplemented:
                    return reduced
            return super().reducer_override(value)

    return CloudPickler


def dumps(
    value: Any,
    buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
    *,
    first: _Reduce | None = None,
    before_again: Callable[[], object] | None = None,
) -> bytes:
    """A value as pickle describes it, or cloudpickle where pickle cannot.

    Args:
        value: The value.
        buffer_callback: As pickle's.
        first: Asked for the reduction of each object that is not of a plain type, before anybody else;
            ``NotImplemented`` leaves it to the others.
        before_again: Called before the second attempt, if there is one.

    Raises:
        Exception: What the last attempt has raised.
    """
    file = io.BytesIO()
    try:
        _with_first(_Pickler, first)(file, 5, buffer_callback=buffer_callback).dump(value)
    except Exception:
        cloud = cloud_pickler()
        if cloud is None:
            raise
        if before_again is not None:
            before_again()
        file = io.BytesIO()
        _with_first(cloud, first)(file, 5, buffer_callback=buffer_callback).dump(value)
    return file.getvalue()


def _with_first(pickler: type[pickle.Pickler], first: _Reduce | None) -> type[pickle.Pickler]:
    if first is None:
        return pickler
    ask = first

    class Pickler(pickler):  # type: ignore[misc,valid-type]  # a variable as a base
        """Asks before the others do."""

        def reducer_override(self, value: Any) -> Any:
            reduced = ask(value)
            return super().reducer_override(value) if reduced is NotImplemented else reduced

    return Pickler
