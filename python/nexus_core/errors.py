"""What can go wrong, and what to do about it."""

from __future__ import annotations

__all__ = [
    "AttachError",
    "CycleError",
    "DuplicateNode",
    "GraphError",
    "MissingInput",
    "NexusCoreError",
    "NoDurations",
    "NotCallable",
    "RunCancelled",
    "RunTimeout",
    "StepError",
    "UnknownInput",
    "UnknownNode",
]


class NexusCoreError(Exception):
    """Base of every error that nexus-core itself raises."""


class GraphError(NexusCoreError, ValueError):
    """A task graph, or a question about one, that makes no sense."""


class CycleError(GraphError):
    """Nodes that wait for one another.

    Attributes:
        path: Names along the cycle; the first one stands again at the end.
    """

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        arrows = " -> ".join(repr(name) for name in path)
        super().__init__(f"these nodes wait for one another: {arrows}; remove one of these references")


class DuplicateNode(GraphError):
    """A second node under a name that is taken.

    Attributes:
        name: The name.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(f"the graph already has a node {name!r}; give the new one another name")


class UnknownNode(GraphError):
    """A name that no node has.

    Attributes:
        name: The unknown name.
        referrer: The node whose arguments mention it, or ``None``.
    """

    def __init__(self, name: object, referrer: str | None = None) -> None:
        self.name = name
        self.referrer = referrer
        where = f"node {referrer!r} refers to" if referrer is not None else "there is no"
        middle = f"{where} node {name!r}"
        ending = (
            ", which was never added; add it, or correct the name" if referrer else ("; names are those given to add()")
        )
        super().__init__(middle + ending)


class NotCallable(GraphError, TypeError):
    """A node made of something that cannot be called.

    Attributes:
        name: The node's name.
    """

    def __init__(self, name: str, shown: str) -> None:
        self.name = name
        super().__init__(f"node {name!r} needs a callable, got {shown}")


class MissingInput(NexusCoreError, KeyError):
    """A run without a value for one of the graph's inputs.

    Attributes:
        names: The inputs that have no value.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        super().__init__(names)

    def __str__(self) -> str:
        listed = ", ".join(repr(name) for name in self.names)
        return f"no value for input {listed}; pass run({{{listed.split(', ')[0]}: ...}}) or a default"


class UnknownInput(NexusCoreError, KeyError):
    """A run with a value for an input that the graph does not have.

    Attributes:
        names: The unknown names.
        known: The graph's inputs.
    """

    def __init__(self, names: tuple[object, ...], known: tuple[str, ...]) -> None:
        self.names = names
        self.known = known
        super().__init__(names, known)

    def __str__(self) -> str:
        given = ", ".join(repr(name) for name in self.names)
        known = ", ".join(repr(name) for name in self.known) or "none"
        return f"the graph has no input {given}; its inputs are: {known}"


class NoDurations(NexusCoreError, ValueError):
    """A question that needs durations, and none are known."""

    def __init__(self) -> None:
        super().__init__("no node has been measured yet; pass durations={name: seconds}, or run once with measure=True")


class StepError(NexusCoreError, ValueError):
    """A node marked done out of turn.

    Attributes:
        name: The node's name.
    """

    def __init__(self, name: str, what: str) -> None:
        self.name = name
        super().__init__(f"node {name!r} {what}")


class RunTimeout(NexusCoreError, TimeoutError):
    """A run that did not finish in time.

    Nodes that had started go on in the background until they return; their
    results are dropped. No further node starts.

    Attributes:
        timeout: The limit, in seconds.
    """

    def __init__(self, timeout: float, nodes: int) -> None:
        self.timeout = timeout
        super().__init__(
            f"the run of {nodes} nodes did not finish within {timeout:g} s; raise timeout, or raise max_concurrency"
        )


class RunCancelled(NexusCoreError):
    """A run whose cancellation token was cancelled.

    Attributes:
        reason: What was given to ``cancel()``, or ``None``.
    """

    def __init__(self, reason: str | None = None) -> None:
        self.reason = reason or None
        super().__init__(f"the run was cancelled: {reason or 'no reason given'}")


class AttachError(NexusCoreError, RuntimeError):
    """An app that cannot be attached or detached; it is as it was before."""
