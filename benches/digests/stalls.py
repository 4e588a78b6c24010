"""For how long nobody else can run Python code while something is called."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TICK = 0.0002


def longest_stall(call: Callable[[], object]) -> dict[str, float]:
    """How late another thread came that wants to run every fifth of a millisecond, in seconds."""
    running, over = threading.Event(), threading.Event()
    latest = 0.0

    def beat() -> None:
        nonlocal latest
        clock, sleep, ended = time.perf_counter, time.sleep, over.is_set
        before = clock()
        while not ended():
            sleep(TICK)
            now = clock()
            latest = max(latest, now - before - TICK)
            if not running.is_set():
                latest = 0.0
                running.set()
            before = now

    thread = threading.Thread(target=beat)
    thread.start()
    running.wait()
    try:
        began = time.perf_counter()
        call()
        took = time.perf_counter() - began
    finally:
        # What was held until the end is seen by the last beat.
        time.sleep(5 * TICK)
        over.set()
        thread.join()
    return {"took": took, "stall": min(latest, took)}
