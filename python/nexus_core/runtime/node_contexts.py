"""Which workflow context a node sees while several runs use its instance at once.

Kailash hands a run's context to a node by setting ``node._workflow_context``, on the
instance that all runs of a workflow share. A run that is alone does the same here.
As soon as a second one uses a node, its attribute holds a :class:`SharedContext`
instead, which leads every run's nodes to the context of their own run; when the last
of them ends, the attribute holds the plain dict again that was given last.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

__all__ = ["ContextScope", "SharedContext", "own_context"]

_scope: ContextVar[ContextScope | None] = ContextVar("nexus_core_workflow_context", default=None)
_lock = threading.Lock()
_uses: dict[int, _Use] = {}


class _Use:
    """How many runs use a node, and what stands in for their contexts if several do."""

    __slots__ = ("count", "shared")

    def __init__(self) -> None:
        self.count = 1
        self.shared: SharedContext | None = None


class ContextScope:
    """One run's claim on the nodes that can see its context.

    Args:
        nodes: Those nodes.
        context: The run's workflow context.
    """

    __slots__ = ("_nodes", "_outer", "_places", "context")

    def __init__(self, nodes: tuple[Any, ...], context: dict[str, Any]) -> None:
        self._nodes = nodes
        self._places = frozenset(map(id, nodes))
        self._outer = _scope.get()
        self.context = context
        with _lock:
            for node in nodes:
                use = _uses.get(id(node))
                if use is None:
                    _uses[id(node)] = _Use()
                    continue
                use.count += 1
                if use.shared is None:
                    given = getattr(node, "_workflow_context", None)
                    use.shared = SharedContext(id(node), {} if given is None else given)
                    node._workflow_context = use.shared

    def enter(self) -> None:
        """Makes this the scope of the current context and all that are copied from it."""
        _scope.set(self)

    def give(self, node: Any) -> None:
        """Lets a node see the run's context."""
        with _lock:
            use = _uses.get(id(node))
            if use is None or use.shared is None:
                node._workflow_context = self.context
            else:
                use.shared.given = self.context
                node._workflow_context = use.shared

    def leave(self) -> None:
        """Lets go of the nodes."""
        with _lock:
            for node in self._nodes:
                use = _uses[id(node)]
                use.count -= 1
                if use.count == 0:
                    del _uses[id(node)]
                    if use.shared is not None:
                        node._workflow_context = use.shared.given

    @staticmethod
    def context_for(place: int) -> dict[str, Any] | None:
        """The context of the innermost run here that uses the node with this ``id``."""
        scope = _scope.get()
        while scope is not None:
            if place in scope._places:
                return scope.context
            scope = scope._outer
        return None


def own_context(context: Any) -> Any:
    """The dict that a node means when it passes its context on."""
    return context.current() if isinstance(context, SharedContext) else context


class SharedContext(dict[str, Any]):
    """Reads and writes the context of whichever run asks; outside of any, the last one's."""

    __slots__ = ("_place", "given")

    def __init__(self, place: int, given: dict[str, Any]) -> None:
        # Never empty below, where json's encoder looks before it asks for items.
        super().__init__(_=None)
        self._place = place
        self.given = given

    def current(self) -> dict[str, Any]:
        """The asking run's own dict."""
        found = ContextScope.context_for(self._place)
        return self.given if found is None else found

    def __getitem__(self, key: str) -> Any:
        return self.current()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.current()[key] = value

    def __delitem__(self, key: str) -> None:
        del self.current()[key]

    def __contains__(self, key: object) -> bool:
        return key in self.current()

    def __iter__(self) -> Iterator[str]:
        return iter(self.current())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self.current())

    def __len__(self) -> int:
        return len(self.current())

    def __eq__(self, other: object) -> bool:
        return self.current() == own_context(other)

    def __ne__(self, other: object) -> bool:
        return self.current() != own_context(other)

    def __repr__(self) -> str:
        return repr(self.current())

    def __or__(self, other: Any) -> Any:
        return self.current() | own_context(other)

    def __ror__(self, other: Any) -> Any:
        return own_context(other) | self.current()

    def __ior__(self, other: Any) -> Any:
        self.current().update(own_context(other))
        return self

    def __reduce__(self) -> Any:
        return dict, (dict(self.current()),)

    def __copy__(self) -> dict[str, Any]:
        return dict(self.current())

    def get(self, key: str, default: Any = None) -> Any:
        return self.current().get(key, default)

    def keys(self) -> Any:
        return self.current().keys()

    def values(self) -> Any:
        return self.current().values()

    def items(self) -> Any:
        return self.current().items()

    def setdefault(self, key: str, default: Any = None) -> Any:
        return self.current().setdefault(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        return self.current().pop(key, *default)

    def popitem(self) -> tuple[str, Any]:
        return self.current().popitem()

    def update(self, *others: Any, **more: Any) -> None:
        self.current().update(*map(own_context, others), **more)

    def clear(self) -> None:
        self.current().clear()

    def copy(self) -> dict[str, Any]:
        return self.current().copy()
