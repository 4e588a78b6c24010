"""Context variables by the name of the global that they are."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

__all__ = ["BY_VALUE", "place_of_variable", "reduce_variable"]

#: Modules that mean something else in another process: what they define goes by value.
BY_VALUE = frozenset({"__main__", "__mp_main__"})

_MISSING = object()

#: Where variables were found, by their identity; the variable is kept, so that this stays its own.
_names: dict[int, tuple[ContextVar[Any], tuple[str, str] | None, int]] = {}

#: Variables of main modules, and of those that are not to be had here, on this side: by what they are called there.
_own: dict[tuple[str, str], ContextVar[Any]] = {}
_lock = threading.Lock()


def _in_child() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


def reduce_variable(variable: ContextVar[Any]) -> Any:
    """How a variable is pickled: by the module and name of the global that it is.

    Args:
        variable: The variable.
    """
    place = place_of_variable(variable)
    if place is None:
        return NotImplemented
    default = contextvars.Context().run(_default_of, variable)
    return _variable, (*place, variable.name, *(() if default is _MISSING else (default,)))


def _default_of(variable: ContextVar[Any]) -> Any:
    try:
        return variable.get()
    except LookupError:
        return _MISSING


def _variable(module: str, name: str, label: str, *default: Any) -> ContextVar[Any]:
    loaded = getattr(sys.modules.get(module), name, None)
    if isinstance(loaded, ContextVar):
        return loaded
    place = (module, name)
    if module not in BY_VALUE and place not in _own:
        # Where its module is not to be had, nobody here can ask for it, and all else goes on.
        with suppress(Exception):
            loaded = getattr(__import__(module, fromlist=["_"]), name)
            if isinstance(loaded, ContextVar):
                return loaded
    with _lock:
        variable = _own.get(place)
        if variable is None:
            variable = _own[place] = ContextVar(label, default=default[0]) if default else ContextVar(label)
            _names[id(variable)] = (variable, place, -1)
        return variable


def place_of_variable(variable: ContextVar[Any]) -> tuple[str, str] | None:
    """The module and name of the global that a variable is; ``None`` if it is none.

    Args:
        variable: The variable.
    """
    known = _names.get(id(variable))
    if known is not None and (known[1] is not None or known[2] == len(sys.modules)):
        return known[1]
    found = None
    for module, held in list(sys.modules.items()):
        for name, value in list(getattr(held, "__dict__", {}).items()):
            if value is variable:
                found = (module, name)
                break
        if found:
            break
    _names[id(variable)] = (variable, found, len(sys.modules))
    return found
