"""The drop-in for a whole process: ``install`` and ``uninstall``."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Any

__all__ = ["install", "uninstall"]

_lock = threading.RLock()

# The classes put in the place of Kailash's, by Kailash's; empty while not installed.
_replacements: dict[type, type] = {}


def install() -> None:
    """Makes ``LocalRuntime`` and ``AsyncLocalRuntime`` of Kailash mean ours in this whole process.

    In the manner of ``uvloop.install()``: nothing else changes in the program. The names in
    Kailash's modules, and in every module that has imported them already, stand for the
    drop-in's classes from now on, so that a Nexus app that is made afterwards executes every
    channel on the Rust core, and a ``WorkflowNode`` its inner workflow. Runtimes that exist
    already stay what they are, and go on counting as instances of the names that they were made by.

    What is not a name in a module is not found: default arguments, attributes of classes, and
    subclasses of Kailash's runtimes that were defined before. Installing twice does nothing.

    Raises:
        ImportError: If Kailash is not installed.

    Example:
        >>> import nexus_core
        >>> nexus_core.install()
        >>> from kailash.runtime import LocalRuntime
        >>> from nexus_core.runtime import LocalRuntime as ours
        >>> issubclass(LocalRuntime, ours)
        True
        >>> nexus_core.uninstall()
    """
    # Imported first, so that our own modules have Kailash's classes and not ours.
    from nexus_core.runtime import stock

    with _lock:
        if _replacements:
            return
        local, asynchronous = _stand_ins()
        _replacements.update({stock.StockLocalRuntime: local, stock.StockAsyncLocalRuntime: asynchronous})
        _replace_everywhere(_replacements)


def uninstall() -> None:
    """Undoes ``install``: the names mean Kailash's own classes again, in every module.

    Runtimes made meanwhile stay what they are. Without ``install`` it does nothing.

    Example:
        >>> import nexus_core
        >>> nexus_core.uninstall()
    """
    with _lock:
        back = {ours: stock for stock, ours in _replacements.items()}
        _replacements.clear()
        if back:
            _replace_everywhere(back)


def _stand_ins() -> tuple[type, type]:
    """Subclasses of ours that every runtime of Kailash's counts as an instance of.

    Kailash and Nexus choose how to call a runtime by ``isinstance`` with these names. What was
    an instance before has to remain one, and classes of their own, which nobody imports by
    another way, are what ``uninstall`` can find again.
    """
    from nexus_core.runtime import AsyncLocalRuntime, LocalRuntime, stock

    class StandIn(type(stock.StockLocalRuntime)):  # type: ignore[misc]
        def __instancecheck__(cls, instance: Any) -> bool:
            stands_for = cls.__dict__.get("_stands_for")
            if stands_for is None:  # a subclass that somebody has made
                return bool(super().__instancecheck__(instance))
            return stands_for in type(instance).__mro__

    def stand_in(ours: type, stock_class: type) -> type:
        names = {"__module__": ours.__module__, "__doc__": ours.__doc__, "_stands_for": stock_class}
        return StandIn(ours.__name__, (ours,), names)

    return (
        stand_in(LocalRuntime, stock.StockLocalRuntime),
        stand_in(AsyncLocalRuntime, stock.StockAsyncLocalRuntime),
    )


def _replace_everywhere(replacements: dict[type, type]) -> None:
    for module in _modules():
        names = object.__getattribute__(module, "__dict__")  # which loads no lazy module
        for name, value in list(names.items()):
            # By identity: what a module holds may answer any question with code of its own.
            for old, new in replacements.items():
                if value is old:
                    names[name] = new


def _modules() -> Iterator[ModuleType]:
    for name, module in list(sys.modules.items()):
        # Ours delegate to Kailash's own classes.
        if issubclass(type(module), ModuleType) and name.partition(".")[0] != "nexus_core":
            yield module
