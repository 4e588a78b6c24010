"""Context variables on their way to another process, and what was set there on the way back."""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from nexus_core.errors import NotShippable
from nexus_core.shipping import values
from nexus_core.shipping.context_variables import place_of_variable

__all__ = ["apply", "carried", "changed", "that_go"]

_MISSING = object()

#: Modules whose variables say something of this process alone.
_OF_THIS_PROCESS = ("nexus_core.", "kailash.runtime.", "asyncio.")

#: By identity and type of value: such a value could go. Those that cannot are left out when that turns out.
_has_gone: set[tuple[int, type]] = set()

#: By identity: the value that last could not go. Others of its type may.
_refused: dict[int, weakref.ref[Any]] = {}


def carried() -> dict[ContextVar[Any], Any]:
    """The variables of the calling context that another process can be given.

    What is bound to this process is left out: variables that no module has, values that cannot be pickled.
    """
    found = {}
    for variable, value in contextvars.copy_context().items():
        key = (id(variable), type(value))
        if key not in _has_gone:
            refused = _refused.get(id(variable))
            if (refused is not None and refused() is value) or not _can_go(variable, value):
                continue
            _has_gone.add(key)
        found[variable] = value
    return found


def _can_go(variable: ContextVar[Any], value: Any) -> bool:
    # Whoever finds a variable's place keeps the variable: its identity stays its own.
    place = place_of_variable(variable)
    if place is None or place[0].startswith(_OF_THIS_PROCESS):
        return False
    try:
        values.pack(value)
    except NotShippable:
        with suppress(TypeError):  # it is tried again each time, like a list with a lock in it
            _refused[id(variable)] = weakref.ref(value)
        return False
    return True


def that_go(variables: Mapping[ContextVar[Any], Any]) -> dict[ContextVar[Any], Any]:
    """Those whose value can be pickled.

    Args:
        variables: Their values.
    """
    going = {variable: value for variable, value in variables.items() if _can_go(variable, value)}
    for variable in variables.keys() - going.keys():
        _has_gone.discard((id(variable), type(variables[variable])))
    return going


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
