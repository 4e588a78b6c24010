"""Which async runtime class is under test, and the stock class that it must equal."""

from __future__ import annotations

import importlib
import inspect
import os
from typing import Any

from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncRuntime

DEFAULT_SUBJECT = "nexus_core.runtime:AsyncLocalRuntime"

__all__ = ["DEFAULT_SUBJECT", "PLACES", "StockAsyncRuntime", "load_subject", "placed"]

#: Where a workflow that has proved to be short runs.
PLACES = ("short runs on the loop", "short runs on workers")


def load_subject() -> type[Any]:
    """Return the class named by ``NEXUS_DIFF_ASYNC_SUBJECT`` as ``module:attribute``.

    Setting it to ``kailash.runtime.async_local:AsyncLocalRuntime`` compares stock with
    itself, which shows that the comparison is deterministic.
    """
    module, _, attribute = os.environ.get("NEXUS_DIFF_ASYNC_SUBJECT", DEFAULT_SUBJECT).partition(":")
    found: type[Any] = getattr(importlib.import_module(module), attribute)
    return found


def placed(subject: type[Any], place: str) -> type[Any]:
    """Return the class with its default for where short workflows run; stock has no choice."""
    if "run_short_on_loop" not in inspect.signature(subject).parameters:
        return subject

    class Placed(subject):  # type: ignore[misc]
        def __init__(self, **options: Any) -> None:
            super().__init__(run_short_on_loop=place == PLACES[0], **options)

    Placed.__name__, Placed.__qualname__ = subject.__name__, subject.__qualname__
    return Placed
