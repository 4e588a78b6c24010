"""Calls the function that a node's code defines under ``function_name``."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import FunctionType, TracebackType
from typing import Any

__all__ = ["call_named_function", "without_own_frames"]

#: Files whose frames say nothing to the user.
_OWN_FILES = frozenset(str(Path(__file__).with_name(f"{name}.py")) for name in ("node_host", "named_functions"))
_VAR_POSITIONAL = inspect.CO_VARARGS
_VAR_KEYWORD = inspect.CO_VARKEYWORDS


def call_named_function(name: str, function: Any, namespace: dict[str, Any], inputs: dict[str, Any]) -> Any:
    """Calls ``function`` with the inputs that its signature asks for.

    Args:
        name: The node's ``function_name``.
        function: What the code has left under that name, or ``None``.
        namespace: The globals that the code ran in.
        inputs: The node's inputs and configuration, as the code would see them.

    Returns:
        What the function returns.

    Raises:
        NameError: If there is no such function; names those that there are.
        TypeError: If an input that it needs is missing.
    """
    if not callable(function):
        defined = sorted(
            known
            for known, value in namespace.items()
            if isinstance(value, FunctionType) and value.__globals__ is namespace and not known.startswith("_")
        )
        raise NameError(
            f"function_name is {name!r}, but the node's code defines {', '.join(defined) if defined else 'no function'}"
        )
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        return _call_by_signature(name, function, inputs)
    code = function.__code__
    count = code.co_argcount
    names = code.co_varnames[: count + code.co_kwonlyargcount]
    catches_more = code.co_flags & _VAR_KEYWORD
    if names == ("data",) and "data" not in inputs and not (catches_more or code.co_flags & _VAR_POSITIONAL):
        return function(dict(inputs)) if count else function(data=dict(inputs))
    defaults = function.__defaults__ or ()
    defaulted = set(names[count - len(defaults) : count])
    defaulted.update(function.__kwdefaults__ or ())
    _refuse_missing(name, [n for n in names if n not in inputs and n not in defaulted], inputs)
    by_place = code.co_posonlyargcount
    first_default = count - len(defaults)
    arguments = [
        inputs[n] if n in inputs else defaults[place - first_default] for place, n in enumerate(names[:by_place])
    ]
    if catches_more:
        taken = names[:by_place]
        keywords = {n: value for n, value in inputs.items() if n not in taken}
    else:
        keywords = {n: inputs[n] for n in names[by_place:] if n in inputs}
    return function(*arguments, **keywords)


def without_own_frames(traceback: TracebackType | None) -> TracebackType | None:
    """A traceback from where the user's code begins; ``None`` if it never did."""
    while traceback is not None and traceback.tb_frame.f_code.co_filename in _OWN_FILES:
        traceback = traceback.tb_next
    return traceback


def _call_by_signature(name: str, function: Any, inputs: dict[str, Any]) -> Any:
    """For what is not a plain function: a class, an instance, a decorated function."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # it does not tell
        return function(**inputs)
    catches_more = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    if len(parameters) == 1 and named and named[0].name == "data" and "data" not in inputs:
        only = named[0]
        if only.kind is only.KEYWORD_ONLY:
            return function(data=dict(inputs))
        return function(dict(inputs))
    missing = [p.name for p in named if p.default is p.empty and p.name not in inputs]
    _refuse_missing(name, missing, inputs)
    by_place = [p for p in named if p.kind is p.POSITIONAL_ONLY]
    arguments = [inputs.get(p.name, p.default) for p in by_place]
    placed = {p.name for p in by_place}
    wanted = {p.name for p in named} - placed
    keywords = {n: value for n, value in inputs.items() if n in wanted or (catches_more and n not in placed)}
    return function(*arguments, **keywords)


def _refuse_missing(name: str, missing: list[str], inputs: dict[str, Any]) -> None:
    if missing:
        raise TypeError(f"{name}() needs {', '.join(missing)}; the node is given {', '.join(inputs) or 'nothing'}")
