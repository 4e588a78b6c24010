"""Private copies of results."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import gc
import logging
import re
import sys
import types
import uuid
import zoneinfo
from typing import Any

from nexus_core._core import _is_apart, _measured_copy, _private_copy
from nexus_core._key_reductions import name_of

__all__ = ["NotPrivate", "Snapshot", "is_apart", "shares"]

#: Objects of a value that are looked at, to see whether its copy is its own.
_MOST_OBJECTS = 1_000_000

_UNCHANGING: frozenset[type] = frozenset(
    {
        bool, bytes, complex, float, int, range, slice, str, type(None), type(...), type(NotImplemented),
        datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone,
        decimal.Decimal, uuid.UUID, zoneinfo.ZoneInfo, re.Pattern,
        types.BuiltinFunctionType, types.CodeType, types.MethodDescriptorType, types.ModuleType,
        types.WrapperDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType,
    }
)  # fmt: skip


class NotPrivate(Exception):
    """A value of which no private copy can be made; the text says why."""


class Snapshot:
    """A value as it was, which nobody else can reach.

    What refers to one thing in it refers to one copy of it, as ``copy.deepcopy`` does it.

    Args:
        value: What is copied.

    Raises:
        NotPrivate: If it cannot be copied, or its copy would share with it what can be changed.

    Attributes:
        size: Bytes that it takes in memory, about.
    """

    __slots__ = ("_held", "_is_plain", "size")

    def __init__(self, value: Any) -> None:
        measured = _measured_copy(value)
        if measured is not None:
            self._held, self.size = measured
            self._is_plain = True
            return
        self._is_plain = False
        self._held = _deep_copy(value)
        try:
            own = _parts_that_change(self._held)
            shared = [part for number, part in _parts_that_change(value).items() if number in own]
            self.size = sum(map(_bytes_of, own.values()))
        except NotPrivate:
            raise
        except Exception as strange:
            # Code of its objects' own, such as a __sizeof__.
            raise NotPrivate(f"it cannot be looked at: {_shown(strange)}") from strange
        if shared:
            raise NotPrivate(f"a {_name(shared[0])} in it cannot be copied")

    @classmethod
    def of_own(cls, value: Any) -> Snapshot:
        """A snapshot of what nobody else can reach already.

        Args:
            value: The value.
        """
        self = cls.__new__(cls)
        measured = _measured_copy(value)
        self._held, self._is_plain = value, measured is not None
        self.size = sum(map(_bytes_of, _parts_that_change(value).values())) if measured is None else measured[1]
        return self

    def is_apart(self) -> bool:
        """Whether nothing that can be changed is in two places of it."""
        return is_apart(self._held)

    @property
    def held(self) -> Any:
        """What is kept: to be looked at, never to be changed or handed out."""
        return self._held

    def hand_out(self) -> Any:
        """A copy for one caller.

        Raises:
            NotPrivate: If its objects' own code does not copy them any more.
        """
        return _private_copy(self._held) if self._is_plain else _deep_copy(self._held)


def _deep_copy(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except RecursionError:
        raise NotPrivate("it is nested too deeply to be copied") from None
    except Exception as refused:
        raise NotPrivate(f"it cannot be copied: {_shown(refused)}") from refused


def _shown(error: Exception) -> str:
    try:
        return str(error)
    except Exception:
        return type(error).__qualname__


def _parts_that_change(value: Any) -> dict[int, Any]:
    """What can be changed of a value, by id: its containers and objects, and theirs.

    Args:
        value: The value; it must not change meanwhile.

    Raises:
        NotPrivate: If there is more of it than can be looked at.
    """
    met: dict[int, Any] = {}
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if id(part) in met or _never_changes(part):
            continue
        if len(met) >= _MOST_OBJECTS:
            raise NotPrivate(f"it has more than {_MOST_OBJECTS:,} parts of types that are not known")
        met[id(part)] = part
        waiting.extend(_inside(part))
    return {number: part for number, part in met.items() if type(part) not in (tuple, frozenset)}


def is_apart(value: Any) -> bool:
    """Whether nothing that can be changed of a value is in two places of it.

    Args:
        value: The value.
    """
    known = _is_apart(value)
    if known is not None:
        return known
    met: dict[int, Any] = {}
    waiting = [value]
    steps = 0
    while waiting:
        part = waiting.pop()
        if _never_changes(part):
            continue
        steps += 1
        if steps > _MOST_OBJECTS or id(part) in met:
            return False
        if type(part) not in (tuple, frozenset):
            met[id(part)] = part
        waiting.extend(_inside(part))
    return True


def shares(output: Any, inputs: Any) -> bool:
    """Whether a node's output has objects of its inputs, so that who changes one changes the other.

    Lists and dicts do not count: a node is given its own copies of them.

    Args:
        output: The output.
        inputs: The inputs.
    """
    if _is_apart(output) is not None:
        # Lists, dicts and what never changes.
        return False
    try:
        given = _parts_that_change(inputs)
        return any(
            number in given and type(part) not in (list, dict) for number, part in _parts_that_change(output).items()
        )
    except Exception:  # what its objects' own code raises; they are not copied then either
        return True


def _never_changes(part: Any) -> bool:
    cls = type(part)
    if cls in _UNCHANGING or isinstance(part, (type, enum.Enum, logging.Logger)):
        return True
    if cls is types.FunctionType:
        return name_of(part) is not None
    return _module(cls).partition(".")[0] in ("numpy", "pandas") and _is_leaf_of_arrays(part)


def _is_leaf_of_arrays(part: Any) -> bool:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(part, (numpy.dtype, numpy.generic)):
        return not isinstance(part, numpy.void)
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return False
    # An index is shared by what has it, and never changed.
    return isinstance(part, (pandas.Index, pandas.api.extensions.ExtensionDtype)) or part is pandas.NA


def _inside(part: Any) -> list[Any]:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(part, numpy.ndarray):
        # Views of one memory are one, which arrays do not tell the collector.
        held = [] if part.base is None else [part.base]
        return held + part.ravel().tolist() if part.dtype.hasobject else held
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(part, (pandas.DataFrame, pandas.Series)):
        columns = [part] if isinstance(part, pandas.Series) else [part.iloc[:, at] for at in range(part.shape[1])]
        objects = [item for column in columns if column.dtype == object for item in column.tolist()]
        return [*objects, part.attrs]
    return gc.get_referents(part)


def _bytes_of(part: Any) -> int:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(part, numpy.ndarray):
        return int(part.nbytes) + 112
    size = sys.getsizeof(part)
    if type(part) in (dict, list, tuple, set, frozenset):
        size += sum(sys.getsizeof(leaf) for leaf in gc.get_referents(part) if type(leaf) in (str, bytes, int, float))
    return size


def _name(part: Any) -> str:
    cls = type(part)
    return cls.__qualname__ if _module(cls) == "builtins" else f"{_module(cls)}.{cls.__qualname__}"


def _module(cls: type) -> str:
    # A class that code makes without any has none.
    module = getattr(cls, "__module__", None)
    return module if isinstance(module, str) else "?"
