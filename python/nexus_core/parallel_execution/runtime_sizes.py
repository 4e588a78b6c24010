"""How many nodes a runtime runs at once, changed while it runs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from nexus_core._core import Places

__all__ = ["MOST_NODES", "RuntimeSizes", "ask_for", "is_asked_for", "turns_at_most"]

#: What no process has room for is a wrong number.
MOST_NODES = 1_000_000


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


def turns_at_most(runtime: Any, workflow: Any) -> int | None:
    """How many runs of a workflow may be under way at once on a runtime; ``None`` if nobody has said.

    Args:
        runtime: The runtime, or ``None``.
        workflow: A built workflow.
    """
    from nexus_core.runtime.workflow_rules import rule_of

    # Of a Kailash of an unknown version nothing is known.
    turns = rule_of(runtime, workflow).turns if hasattr(runtime, "_rules") else None
    return None if turns is None else turns.limit


class _Asked:
    """What several have asked one runtime for, beside what it has by itself."""

    __slots__ = ("given", "own", "wanted")

    def __init__(self) -> None:
        self.wanted: list[RuntimeSizes] = []
        self.own: RuntimeSizes | None = None
        self.given: RuntimeSizes | None = None

    def update(self, runtime: Any) -> None:
        """Gives the runtime the largest of all."""
        now = RuntimeSizes.of(runtime)
        if self.own is None or now != self.given:
            self.own = now
        largest = self.own
        for sizes in self.wanted:
            largest = largest.at_least(sizes)
        if largest != now:
            largest.apply(runtime)
        self.given = largest


_asked: WeakKeyDictionary[Any, _Asked] = WeakKeyDictionary()
_asking = threading.RLock()


def is_asked_for(runtime: Any) -> bool:
    """Whether somebody has asked for the sizes that a runtime has, and may let go of them.

    Args:
        runtime: The runtime.
    """
    with _asking:
        return runtime in _asked


def ask_for(runtime: Any, sizes: RuntimeSizes) -> Callable[[], None]:
    """Makes a runtime at least so large, for as long as is wanted.

    Sizes that somebody else sets meanwhile count as the runtime's own from then on.

    Args:
        runtime: The runtime.
        sizes: At least these.

    Returns:
        What takes it back: the runtime is as large as the others have asked for, and at least as it was by itself.
    """

    def let_go() -> None:
        with _asking:
            asked = _asked[runtime]
            # Equal ones may be somebody else's, which is the same.
            asked.wanted.remove(sizes)
            asked.update(runtime)
            if not asked.wanted:
                del _asked[runtime]

    with _asking:
        asked = _asked.setdefault(runtime, _Asked())
        asked.wanted.append(sizes)
        try:
            asked.update(runtime)
        except BaseException:
            asked.wanted.remove(sizes)
            if not asked.wanted:
                del _asked[runtime]
            raise
    return let_go
