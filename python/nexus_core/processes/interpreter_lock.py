"""Whether processes gain anything over threads."""

from __future__ import annotations

import sys

__all__ = ["has_lock"]


def has_lock() -> bool:
    """Whether the interpreter runs one thread at a time, so that processes gain what threads do not."""
    is_enabled = getattr(sys, "_is_gil_enabled", None)
    return is_enabled is None or bool(is_enabled())
