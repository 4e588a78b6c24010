"""Which async runtime class is under test, and the stock class that it must equal."""

from __future__ import annotations

import importlib
import os
from typing import Any

from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncRuntime

DEFAULT_SUBJECT = "nexus_core.runtime:AsyncLocalRuntime"

__all__ = ["DEFAULT_SUBJECT", "StockAsyncRuntime", "load_subject"]


def load_subject() -> type[Any]:
    """Return the class named by ``NEXUS_DIFF_ASYNC_SUBJECT`` as ``module:attribute``.

    Setting it to ``kailash.runtime.async_local:AsyncLocalRuntime`` compares stock with
    itself, which shows that the comparison is deterministic.
    """
    module, _, attribute = os.environ.get("NEXUS_DIFF_ASYNC_SUBJECT", DEFAULT_SUBJECT).partition(":")
    found: type[Any] = getattr(importlib.import_module(module), attribute)
    return found
