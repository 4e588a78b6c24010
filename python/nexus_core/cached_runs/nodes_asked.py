"""What a call asks of its run's cached nodes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

__all__ = ["Asked", "asked", "now_asked"]

Asked = Literal["usual", "refresh", "nothing"]

_asked: ContextVar[Asked] = ContextVar("nexus_core_nodes_asked", default="usual")


@contextmanager
def asked(what: Asked) -> Iterator[None]:
    """What runs that begin inside do with their cached nodes.

    Args:
        what: ``"refresh"`` runs them and keeps what they return; ``"nothing"`` neither looks
            nor keeps; ``"usual"`` leaves it at what was asked for around it.
    """
    if what == "usual":
        yield
        return
    outer = _asked.set(what)
    try:
        yield
    finally:
        _asked.reset(outer)


def now_asked() -> Asked:
    """What a run that begins now does with its cached nodes."""
    return _asked.get()
