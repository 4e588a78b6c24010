"""What values are made of whose types the native walk does not know."""

from __future__ import annotations

import array
import dataclasses
import enum
import ipaddress
import pathlib
import sys
import threading
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

from nexus_core._key_pandas import pandas_reduction

__all__ = ["Reduction", "has_plain_layout", "name_of", "reduction", "register"]

#: A name that stands for the type and attributes that have keys; or why there is no key.
Reduction = tuple[str, dict[str, Any]] | str

_UNKNOWN = "values of this type have no key; nexus_core.keys.register(type, function) can give them one"

_registered: dict[type, Callable[[Any], Any]] = {}
_registering = threading.Lock()

_HEAP_TYPE = 1 << 9

#: By exact type, its name in keys and its attributes. The name is not asked of the class:
#: Python moves its classes from one module to another.
_STANDARD: dict[type, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    type(...): ("Ellipsis", lambda value: {}),
    range: ("range", lambda value: {"start": value.start, "stop": value.stop, "step": value.step}),
    slice: ("slice", lambda value: {"start": value.start, "stop": value.stop, "step": value.step}),
    Fraction: ("Fraction", lambda value: {"numerator": value.numerator, "denominator": value.denominator}),
    # Two of these with another order are not equal.
    OrderedDict: ("OrderedDict", lambda value: {"items": list(value.items())}),
    Counter: ("Counter", lambda value: {"counts": dict(value)}),
    # Known as data only without a factory, and in code by what the factory does.
    defaultdict: (
        "defaultdict",
        lambda value: {"default_factory": value.default_factory, "items": dict(value)},
    ),
    deque: ("deque", lambda value: {"items": list(value), "maxlen": value.maxlen}),
    array.array: ("array", lambda value: {"typecode": value.typecode, "items": value.tobytes()}),
    pathlib.PurePosixPath: ("PurePosixPath", lambda value: {"path": str(value)}),
    pathlib.PureWindowsPath: ("PureWindowsPath", lambda value: {"path": str(value)}),
    pathlib.PosixPath: ("PosixPath", lambda value: {"path": str(value)}),
    pathlib.WindowsPath: ("WindowsPath", lambda value: {"path": str(value)}),
    ipaddress.IPv4Address: ("IPv4Address", lambda value: {"address": str(value)}),
    ipaddress.IPv6Address: ("IPv6Address", lambda value: {"address": str(value)}),
    ipaddress.IPv4Network: ("IPv4Network", lambda value: {"network": str(value)}),
    ipaddress.IPv6Network: ("IPv6Network", lambda value: {"network": str(value)}),
}


def register(cls: type, function: Callable[[Any], Any]) -> None:
    """Says how values of a class are keyed.

    The key is made of the class's name and of what the function returns, so that must tell
    apart whatever a program can tell apart. It holds for values whose type is exactly the
    class, not for subclasses. A second call for the same class replaces the first.

    Args:
        cls: The class, importable under its name.
        function: Takes a value of the class and returns one that has a key.

    Raises:
        TypeError: ``cls`` is not a class, or ``function`` is not callable.
        ValueError: The class cannot be found under its name, or has a key already.

    Example:
        >>> import string
        >>> from nexus_core import keys
        >>> keys.register(string.Template, lambda template: template.template)
        >>> keys.digest(string.Template("$a")) == keys.digest(string.Template("$b"))
        False
    """
    if not isinstance(cls, type):
        raise TypeError(f"register() takes a class, not {cls!r}")
    if not callable(function):
        raise TypeError(f"register() takes a function of one value, not {function!r}")
    if name_of(cls) is None:
        raise ValueError(f"{cls!r} cannot be found as {cls.__module__}.{cls.__qualname__}; give it a name of its own")
    if cls in _STANDARD or cls.__module__ == "builtins":
        raise ValueError(f"values of {cls!r} have keys already")
    with _registering:
        _registered[cls] = function


def reduction(value: Any) -> Reduction:
    """What a value is made of.

    Args:
        value: One whose type the native walk does not know.
    """
    cls = type(value)
    if (function := _registered.get(cls)) is not None:
        return f"registered {cls.__module__}:{cls.__qualname__}", {"value": function(value)}
    if (standard := _STANDARD.get(cls)) is not None:
        name, attributes = standard
        return name, attributes(value)
    if (found := pandas_reduction(value)) is not None:
        return found
    if isinstance(value, enum.Enum):
        return _named("enum", cls, {"name": value._name_, "value": value._value_})
    if dataclasses.is_dataclass(cls):
        return _dataclass(cls, value)
    if isinstance(value, tuple) and isinstance(names := getattr(cls, "_fields", None), tuple):
        if cls.__bases__ != (tuple,) or cls.__dictoffset__ or len(names) != len(value):
            return "it is of a subclass of a named tuple"
        return _named("named tuple", cls, dict(zip(names, value, strict=True)))
    if "__pydantic_fields__" in vars(cls):
        return _pydantic(cls, value)
    return _UNKNOWN


def name_of(value: Any) -> str | None:
    """The module and qualified name of a class or function, if it is what is found there.

    Args:
        value: A class or function. Two that exist at the same time never get the same name.
    """
    found: Any = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return f"{value.__module__}:{value.__qualname__}" if found is value else None


def has_plain_layout(cls: type) -> bool:
    """Whether all that an instance holds is in its ``__dict__`` and ``__slots__``.

    Args:
        cls: A class. One with a built-in type among its bases holds more.
    """
    return all(base is object or base.__flags__ & _HEAP_TYPE for base in cls.__mro__) and cls.__itemsize__ == 0


def _named(kind: str, cls: type, attributes: dict[str, Any]) -> Reduction:
    name = name_of(cls)
    if name is None:
        return f"its class cannot be found as {cls.__module__}.{cls.__qualname__}"
    return f"{kind} {name}", attributes


def _dataclass(cls: type, value: Any) -> Reduction:
    if not has_plain_layout(cls):
        return "its class extends a built-in one"
    fields = {field.name for field in dataclasses.fields(value)}
    held = set(getattr(value, "__dict__", ()))
    for base in cls.__mro__:
        slots = vars(base).get("__slots__", ())
        held.update((slots,) if isinstance(slots, str) else slots)
    if beside := sorted(held - fields - {"__dict__", "__weakref__"}):
        return f"it holds more than its fields: {', '.join(map(str, beside))}"
    missing = object()
    attributes = {name: getattr(value, name, missing) for name in sorted(fields)}
    if missing in [found for found in attributes.values() if found is missing]:
        return "a field has no value"
    return _named("dataclass", cls, attributes)


def _pydantic(cls: type, value: Any) -> Reduction:
    return _named(
        "model",
        cls,
        {
            "fields": dict(value.__dict__),
            "set": set(value.__pydantic_fields_set__),
            "extra": value.__pydantic_extra__,
            "private": value.__pydantic_private__,
        },
    )
