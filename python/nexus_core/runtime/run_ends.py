"""What Kailash does at the end of every run, where it reaches anybody."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

from kailash.runtime import metrics
from kailash.runtime.metrics import get_metrics_bridge
from kailash.workflow import credentials
from kailash.workflow.credentials import get_credential_store

from nexus_core._core import _RunEnds
from nexus_core.runtime.delegation import metrics_are_read

__all__ = ["account_for", "run_ends"]

#: Counts runs, and sees whether :func:`account_for` has anything to do.
run_ends = _RunEnds(
    SimpleNamespace(loggers=[], level=logging.INFO, metrics=vars(metrics), credentials=vars(credentials))
)


def account_for(workflow: Any, seconds: float, succeeded: bool) -> None:
    """Tells Kailash's metrics of a run, and forgets credentials that were made for it.

    Args:
        workflow: What ran.
        seconds: How long.
        succeeded: Whether it did.
    """
    bridge = get_metrics_bridge()
    if metrics_are_read(bridge):
        bridge.record_workflow_execution(workflow.name or "", seconds, success=succeeded)
    credentials = get_credential_store()
    if credentials._store:
        credentials.clear()
