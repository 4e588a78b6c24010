"""How the cache answered a caller's last run."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

__all__ = [
    "CacheOutcome",
    "DetailedReason",
    "Status",
    "forget_outcome",
    "last_cache_outcome",
    "note_outcome",
    "noted_outcome",
    "outcome_of",
]

Status = Literal["hit", "miss", "refresh", "bypass", "waited"]

#: The arguments of a CacheOutcome: it is made when somebody asks.
_last: ContextVar[tuple[Any, ...] | None] = ContextVar("nexus_core_cache_outcome", default=None)


class DetailedReason(str):
    """A reason with details for the program itself, such as what an exception said.

    Args:
        text: All of it.
        short: What may be told to anybody.
    """

    __slots__ = ("short",)
    short: str

    def __new__(cls, text: str, short: str) -> DetailedReason:
        reason = super().__new__(cls, text)
        reason.short = short
        return reason


@dataclass(frozen=True, slots=True)
class CacheOutcome:
    """How the cache answered a run.

    Attributes:
        status: ``"hit"``: the result was there; ``"waited"``: another caller computed it
            meanwhile; ``"miss"``: it was computed; ``"refresh"``: it was computed anew on
            request; ``"bypass"``: the cache had no part in it.
        reason: Why it was bypassed, or why what was computed is not kept; ``None`` otherwise.
        age: Seconds since the result was computed; ``None`` if it was just now.
        key: The run's key in hexadecimal digits; ``None`` if it has none.
    """

    status: Status
    reason: str | None = None
    age: float | None = None
    key: str | None = None


def last_cache_outcome() -> CacheOutcome | None:
    """How the cache answered the last run of the calling thread or task.

    Returns:
        The outcome; ``None`` if no run of a runtime with a cache has ended here.

    Example:
        >>> from kailash.workflow.builder import WorkflowBuilder
        >>> from nexus_core import ResultCache, last_cache_outcome
        >>> from nexus_core.runtime import LocalRuntime
        >>> builder = WorkflowBuilder()
        >>> _ = builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
        >>> workflow = builder.build()
        >>> workflow.metadata["cacheable"] = True
        >>> with LocalRuntime(enable_monitoring=False, cache=True) as runtime:
        ...     for _ in range(2):
        ...         results, _ = runtime.execute(workflow)
        ...         print(results, last_cache_outcome().status)
        {'one': {'result': 1}} miss
        {'one': {'result': 1}} hit
    """
    noted = _last.get()
    return None if noted is None else outcome_of(noted)


def outcome_of(noted: tuple[Any, ...]) -> CacheOutcome:
    """The outcome that a note stands for.

    Args:
        noted: What :func:`noted_outcome` returned.
    """
    status, reason, age, key = noted
    return CacheOutcome(status, reason, age, key.hex() if key is not None else None)


def note_outcome(status: Status, reason: str | None, age: float | None, key: bytes | None) -> None:
    """Remembers how a run of the calling thread or task was answered.

    Args:
        status: See :class:`CacheOutcome`.
        reason: The same.
        age: The same.
        key: The run's key.
    """
    _last.set((status, reason, age, key))


def forget_outcome() -> None:
    """Lets the calling thread or task know of no outcome, so that what it is told next is of its next run."""
    _last.set(None)


def noted_outcome() -> tuple[Any, ...] | None:
    """What was last given to :func:`note_outcome` by the calling thread or task."""
    return _last.get()
