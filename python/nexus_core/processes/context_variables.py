"""Context variables on their way to another process, and what was set there on the way back."""

from __future__ import annotations

import contextvars
import sys
import threading
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from nexus_core.shipping import values
from nexus_core.shipping.picklers import BY_VALUE

__all__ = ["apply", "carried", "changed", "reduce_variable"]

_MISSING = object()

#: Where variables were found, by their identity; the variable is kept, so that this stays its own.
_names: dict[int, tuple[ContextVar[Any], tuple[str, str] | None, int]] = {}

#: Variables of main modules, and of nobody, on this side: by name.
_own: dict[str, ContextVar[Any]] = {}
_lock = threading.Lock()

#: Where variables are looked up that say something of this process alone.
_OF_THIS_PROCESS = ("nexus_core.", "kailash.runtime.", "asyncio.")


def reduce_variable(variable: ContextVar[Any]) -> Any:
    """How a variable is pickled: by the module and name of the global that it is.

    Args:
        variable: The variable.
    """
    place = _place_of(variable)
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
    if module not in BY_VALUE:
        found = sys.modules.get(module)
        if found is None:
            found = __import__(module, fromlist=["_"])
        variable = getattr(found, name)
        assert isinstance(variable, ContextVar)
        return variable
    loaded = getattr(sys.modules.get(module), name, None)
    if isinstance(loaded, ContextVar):
        # It is on its way back.
        return loaded
    with _lock:
        variable = _own.get(name)
        if variable is None:
            variable = _own[name] = ContextVar(label, default=default[0]) if default else ContextVar(label)
            _names[id(variable)] = (variable, (module, name), -1)
        return variable


def _place_of(variable: ContextVar[Any]) -> tuple[str, str] | None:
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


#: By identity and type of value: whether that can go at all.
_goes: dict[tuple[int, type], bool] = {}


def carried() -> dict[ContextVar[Any], Any]:
    """The variables of the calling context that another process can be given.

    What is bound to this process is left out: variables that no module has, values that cannot be pickled.
    """
    found = {}
    for variable, value in contextvars.copy_context().items():
        key = (id(variable), type(value))
        goes = _goes.get(key)
        if goes is None:
            goes = _goes[key] = _can_go(variable, value)
        if goes:
            found[variable] = value
    return found


def _can_go(variable: ContextVar[Any], value: Any) -> bool:
    place = _place_of(variable)
    if place is None or place[0].startswith(_OF_THIS_PROCESS):
        return False
    try:
        values.pack(value)
    except TypeError:
        return False
    return True


def changed(before: Mapping[ContextVar[Any], Any]) -> dict[ContextVar[Any], Any]:
    """What has been set in the calling context since.

    Args:
        before: What it had.
    """
    found = {}
    for variable, value in contextvars.copy_context().items():
        if before.get(variable, _MISSING) is not value and _can_go(variable, value):
            found[variable] = value
    return found


def apply(variables: Mapping[ContextVar[Any], Any]) -> None:
    """Sets variables in the calling context.

    Args:
        variables: Their values.
    """
    for variable, value in variables.items():
        variable.set(value)
