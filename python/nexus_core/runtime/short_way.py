"""The short way of runs that an event loop's own thread executes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from kailash.runtime import metrics
from kailash.runtime.trust.context import _runtime_trust_context
from kailash.workflow import credentials

from nexus_core._core import ShortWay
from nexus_core.runtime import stock
from nexus_core.runtime.async_run import AsyncRun, inside
from nexus_core.runtime.compiler import Awaits, plans

__all__ = ["LONGEST_ON_LOOP", "listeners", "short_way"]

#: Seconds for which short runs may keep the loop before everybody else has a turn.
LONGEST_ON_LOOP = 0.001

_SILENT = [logging.getLogger("kailash.runtime.async_local"), logging.getLogger("kailash.nodes")]


def short_way(account: Callable[[Any, float, bool], None]) -> ShortWay:
    """The short way of one ``AsyncLocalRuntime``, closed until it is renewed.

    Args:
        account: Told of a run's workflow, seconds and success where that reaches anybody.
    """
    return ShortWay(
        SimpleNamespace(
            workflow_class=stock.Workflow,
            trust=_runtime_trust_context,
            inside=inside,
            plans=plans,
            awaits=Awaits.ASYNC_NODES,
            make_host=AsyncRun.resumed,
            account=account,
        ),
        listeners(),
    )


def listeners() -> SimpleNamespace:
    """Who could learn something of a run beside its outcome."""
    return SimpleNamespace(
        loggers=_SILENT,
        level=logging.INFO,
        metrics=vars(metrics),
        credentials=vars(credentials),
    )
