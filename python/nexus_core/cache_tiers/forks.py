"""What a forked child has to begin anew: locks that somebody held, and threads that it does not have."""

from __future__ import annotations

import os
import weakref
from typing import Protocol

__all__ = ["after_fork"]


class _Forked(Protocol):
    def _after_fork(self) -> None: ...


_known: weakref.WeakSet[_Forked] = weakref.WeakSet()


def after_fork(thing: _Forked) -> None:
    """Has `_after_fork()` called in every child that is forked, as long as the thing is there.

    Args:
        thing: It is not kept alive.
    """
    _known.add(thing)


def _in_child() -> None:
    for thing in list(_known):
        thing._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
