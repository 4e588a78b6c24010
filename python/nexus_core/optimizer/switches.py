"""The guide's six strategies as switches of single workflows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nexus_core.optimizer import caching, limits, loading, pooling, sizes, streaming
from nexus_core.optimizer.changes import Change, Refused, Target
from nexus_core.runtime.workflow_rules import rule_of

__all__ = ["STRATEGIES", "SWITCHES", "Switch"]

#: The guide's names and words.
STRATEGIES = {
    "workflow_caching": "Cache workflow results for repeated executions",
    "parallel_execution": "Execute independent nodes concurrently",
    "resource_pooling": "Reuse expensive resources across executions",
    "intelligent_scheduling": "Optimize node execution order",
    "result_streaming": "Stream large results incrementally",
    "lazy_loading": "Load workflow components on demand",
}


@dataclass(frozen=True, slots=True)
class Switch:
    """One strategy.

    Attributes:
        is_on: Whether it is in force for a workflow, as things are.
        on: What is to be changed so that it is, with the options of ``enable``.
        off: What is to be changed so that it is not.
        options: The names of its options.
    """

    is_on: Callable[[Target], bool]
    on: Callable[..., Change]
    off: Callable[[Target], Change]
    options: tuple[str, ...] = ()


def _always(what: str) -> Callable[..., Change]:
    def on(target: Target) -> Change:
        raise Refused(f"{what} by itself, unless something else has been switched off for it")

    return on


#: By the guide's names.
SWITCHES = {
    "workflow_caching": Switch(caching.is_cached, caching.keep, caching.keep_none, ("cacheable",)),
    "parallel_execution": Switch(sizes.has_room, sizes.room_for, sizes.one_at_a_time, ("nodes",)),
    "resource_pooling": Switch(pooling.is_offered, pooling.offer, pooling.withhold),
    "intelligent_scheduling": Switch(
        lambda target: not rule_of(target.runtime, target.workflow).in_order,
        _always("the longest path by measured durations goes first"),
        limits.in_topological_order,
    ),
    "result_streaming": Switch(streaming.is_streamed, streaming.stream, streaming.stream_not),
    "lazy_loading": Switch(loading.is_lazy, _always("a workflow is read at its first run"), loading.read_ahead),
}
