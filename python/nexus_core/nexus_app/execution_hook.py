"""``app._execute_workflow``, which asks Kailash for a new runtime at every call."""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["follow", "unfollow"]

# Weakly, and what finds the runtime must not refer to the app: an app that is forgotten goes.
_runtimes: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_lock = threading.Lock()
_original: Callable[..., Any] | None = None


def follow(app: Any, runtime: Any) -> None:
    """From now on the app's own executions run on the runtime.

    Raises:
        LookupError: If this version of Nexus does not ask ``get_runtime``.
    """
    import kailash.runtime
    from nexus import Nexus

    global _original
    code = Nexus._execute_workflow.__code__
    if "get_runtime" not in code.co_names:
        raise LookupError("Nexus._execute_workflow does not ask kailash.runtime.get_runtime for its runtime")
    with _lock:
        _runtimes[app] = runtime
        if _original is None:
            _original = kailash.runtime.get_runtime
            kailash.runtime.get_runtime = _answering(_original, code)


def unfollow(app: Any) -> None:
    """From now on the app's own executions run as before."""
    import kailash.runtime

    global _original
    with _lock:
        _runtimes.pop(app, None)
        current = kailash.runtime.get_runtime
        # If somebody has wrapped it since, it stays: it passes everything on.
        if not _runtimes and _original is not None and getattr(current, "__wrapped__", None) is _original:
            kailash.runtime.get_runtime = _original
            _original = None


def _answering(original: Callable[..., Any], code: Any) -> Callable[..., Any]:
    @functools.wraps(original)
    def get_runtime(context: str | None = None, **kwargs: Any) -> Any:
        # By the caller, not by a context variable: nodes run in the same context, and one
        # that asks for a runtime of its own must get one.
        caller = sys._getframe(1)
        if caller.f_code is code and context == "async" and not kwargs:
            runtime = _runtimes.get(caller.f_locals.get("self"))
            if runtime is not None:
                return runtime
        return original(context, **kwargs)

    return get_runtime
