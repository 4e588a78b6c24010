"""Gates for tasks, and what every test waits with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from nexus_core import ThreadPool

# A slow machine may take this long for what takes milliseconds.
PATIENCE = 30.0


class Gate:
    """Occupies workers of a pool until it is opened; all have begun when it is made."""

    def __init__(self, pool: ThreadPool, workers: int = 1) -> None:
        self._open = threading.Event()
        arrived = threading.Semaphore(0)

        def wait() -> str:
            arrived.release()
            assert self._open.wait(PATIENCE)
            return "through"

        self.futures: list[Future[Any]] = [pool.submit(wait) for _ in range(workers)]
        for _ in range(workers):
            assert arrived.acquire(timeout=PATIENCE)

    def open(self) -> None:
        """Lets all of them through."""
        self._open.set()

    def __enter__(self) -> Gate:
        return self

    def __exit__(self, *error: object) -> None:
        self.open()


def eventually(holds: Callable[[], bool]) -> None:
    """Waits until ``holds`` does."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)
