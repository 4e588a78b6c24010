"""How many nodes a runtime runs at once, changed while it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nexus_core._core import Places

__all__ = ["RuntimeSizes"]


@dataclass(frozen=True, slots=True)
class RuntimeSizes:
    """The sizes of an ``AsyncLocalRuntime``.

    Nodes that run keep their places; those that wait get one as soon as there is room. A run that is under
    way has no more nodes at once than it could when it began. What Kailash runs itself keeps the threads that
    the runtime was made with.

    Attributes:
        max_concurrent_nodes: Nodes that run at once.
        thread_pool_size: Synchronous ones.
    """

    max_concurrent_nodes: int
    thread_pool_size: int

    @classmethod
    def of(cls, runtime: Any) -> RuntimeSizes:
        """The sizes that a runtime has."""
        return cls(runtime.max_concurrent_nodes, runtime.thread_pool_size)

    def apply(self, runtime: Any) -> None:
        """Gives a runtime these sizes."""
        places: Places = runtime._places
        # Not another one: runs that wait in line now are to have the room, too.
        places.resize(self.max_concurrent_nodes, self.thread_pool_size)
        runtime.max_concurrent_nodes = self.max_concurrent_nodes
        runtime.thread_pool_size = self.thread_pool_size

    def at_least(self, other: RuntimeSizes) -> RuntimeSizes:
        """The larger of both, one by one."""
        return RuntimeSizes(
            max(self.max_concurrent_nodes, other.max_concurrent_nodes),
            max(self.thread_pool_size, other.thread_pool_size),
        )

    def changes_from(self, before: RuntimeSizes) -> dict[str, dict[str, int]]:
        """What is different, before and after."""
        return {
            name: {"before": getattr(before, name), "after": getattr(self, name)}
            for name in ("max_concurrent_nodes", "thread_pool_size")
            if getattr(before, name) != getattr(self, name)
        }
