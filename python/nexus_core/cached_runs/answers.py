"""The native look for results of runs."""

from __future__ import annotations

from types import SimpleNamespace

from kailash.runtime.trust.context import _runtime_trust_context

from nexus_core._core import Answers, HitCount
from nexus_core._key_reductions import reduction
from nexus_core.cached_runs.outcomes import _last
from nexus_core.runtime import stock
from nexus_core.runtime.cache_wishes import _current
from nexus_core.runtime.short_way import listeners

__all__ = ["answers"]


def answers(hits: HitCount) -> Answers:
    """What answers the runs of one runtime, knowing nothing yet.

    Args:
        hits: Counts what is found.
    """
    return Answers(
        SimpleNamespace(
            workflow_class=stock.Workflow,
            trust=_runtime_trust_context,
            wish=_current,
            noted=_last,
            reduce=reduction,
        ),
        listeners(),
        hits,
    )
