"""The guide's six strategies as switches of single workflows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nexus_core.optimizer import limits, streaming
from nexus_core.optimizer.caching import CacheUse, is_cached
from nexus_core.optimizer.changes import Change, Refused, Target
from nexus_core.optimizer.loading import Loading
from nexus_core.optimizer.pooling import PoolUse
from nexus_core.optimizer.sizes import Sizes, has_room, one_at_a_time, room_for
from nexus_core.runtime.workflow_rules import rule_of

__all__ = ["STRATEGIES", "Switch", "Switches"]

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


class Switches:
    """The strategies of one optimizer, and what they share."""

    def __init__(self) -> None:
        self.sizes, self.caching, self.pooling, self.loading = Sizes(), CacheUse(), PoolUse(), Loading()
        self.by_name = {
            "workflow_caching": Switch(is_cached, self._cache, self.caching.keep_none, ("cacheable",)),
            "parallel_execution": Switch(has_room, self._overlap, one_at_a_time, ("nodes",)),
            "resource_pooling": Switch(
                lambda target: self.pooling.is_on(target.app), self.pooling.offer, self.pooling.withhold
            ),
            "intelligent_scheduling": Switch(
                lambda target: not rule_of(target.runtime, target.workflow).orders_nodes,
                _always("the longest path by measured durations goes first"),
                limits.in_topological_order,
            ),
            "result_streaming": Switch(streaming.is_streamed, streaming.stream, streaming.stream_not),
            "lazy_loading": Switch(
                self.loading.is_lazy, _always("a workflow is read at its first run"), self.loading.ahead
            ),
        }

    def _cache(self, target: Target, cacheable: Any = None) -> Change:
        return self.caching.keep(target, cacheable)

    def _overlap(self, target: Target, nodes: int | None = None) -> Change:
        return room_for(target, self.sizes, nodes)
