"""Context variables on their way to another process, and what was set there on the way back."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from nexus_core.errors import NotShippable
from nexus_core.shipping import values
from nexus_core.shipping.context_variables import place_of_variable

__all__ = ["apply", "carried", "changed", "that_go"]

_MISSING = object()

#: Modules whose variables say something of this process alone.
_OF_THIS_PROCESS = ("nexus_core.", "kailash.runtime.", "asyncio.")

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
    place = place_of_variable(variable)
    if place is None or place[0].startswith(_OF_THIS_PROCESS):
        return False
    try:
        values.pack(value)
    except NotShippable:
        return False
    return True


def that_go(variables: Mapping[ContextVar[Any], Any]) -> dict[ContextVar[Any], Any]:
    """Those whose value can be pickled.

    Args:
        variables: Their values.
    """
    return {variable: value for variable, value in variables.items() if _can_go(variable, value)}


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
