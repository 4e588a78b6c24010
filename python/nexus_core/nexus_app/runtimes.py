"""Which runtimes an app can be attached to, and the ones that ``attach`` makes."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from nexus_core.errors import AttachError

__all__ = ["checked_runtime", "made_runtime"]


def checked_runtime(runtime: Any) -> Any:
    """The runtime, if every channel of an app can execute on it.

    MCP tools, the WebSocket transport and the app itself call ``execute_workflow_async``,
    the enterprise route and the command line ``execute_async`` with an event loop running, and
    the event stream ``stream``: only ``AsyncLocalRuntime`` has all three.
    """
    from nexus_core.runtime import AsyncLocalRuntime

    # Not isinstance: it says yes to Kailash's own runtimes while the drop-in is installed.
    if AsyncLocalRuntime not in type(runtime).__mro__:
        shown = f"{type(runtime).__module__}.{type(runtime).__qualname__}"
        raise AttachError(
            f"an app cannot be attached to a {shown}; pass a nexus_core.runtime.AsyncLocalRuntime, "
            "or no runtime and attach makes one"
        )
    if runtime.ref_count <= 0:
        raise AttachError("the runtime is closed; pass an open one, or no runtime and attach makes one")
    return runtime


def made_runtime(options: dict[str, Any]) -> Any:
    """An ``AsyncLocalRuntime`` from the options of ``attach``."""
    from nexus_core.runtime import AsyncLocalRuntime

    known = _option_names(AsyncLocalRuntime)
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else "options are the arguments of AsyncLocalRuntime"
            raise AttachError(f"attach has no option {name!r}; {hint}")
    return AsyncLocalRuntime(**options)


def _option_names(cls: type) -> set[str]:
    """The arguments of a runtime's constructor, and of those that it hands arguments on to."""
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" not in vars(base) or base is object:
            continue
        parameters = list(inspect.signature(vars(base)["__init__"]).parameters.values())[1:]
        names.update(
            parameter.name
            for parameter in parameters
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        )
        # Without keyword arguments of its own, what it does not name is refused.
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names
