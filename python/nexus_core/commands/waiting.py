"""What a command does that takes a while, for people who watch."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["waiting"]

_PATIENCE = 0.5


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Shows in a terminal what is being done and for how long, if it takes more than half a second.

    Args:
        what: What is being done.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    done = threading.Event()

    def show() -> None:
        began = time.monotonic()
        patience = _PATIENCE
        while not done.wait(patience):
            print(f"\r\x1b[2K{what} … {time.monotonic() - began:.0f} s", end="", file=sys.stderr, flush=True)  # noqa: T201
            patience = 0.2
        print("\r\x1b[2K", end="", file=sys.stderr, flush=True)  # noqa: T201

    shower = threading.Thread(target=show, name="nexus-core progress", daemon=True)
    shower.start()
    try:
        yield
    finally:
        done.set()
        shower.join()
