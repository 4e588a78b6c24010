"""Executions on one thread that overlap, as an event loop's do, told apart."""

from __future__ import annotations

import heapq
from array import array

from nexus_core.tracing.events import EventColumns

__all__ = ["lanes"]


def lanes(events: EventColumns) -> array[int]:
    """Puts every execution into a lane of its thread, in which none overlaps another.

    Args:
        events: The executions.

    Returns:
        A number an execution, from 0, of type code ``I``; the lowest that is free when it starts.
    """
    found = array("I", bytes(4 * len(events)))
    end, thread = events.end, events.thread
    # A thread that waits for the interpreter lock is taken.
    start = array("d", (time - waited for time, waited in zip(events.start, events.waiting_for_gil, strict=True)))
    busy: dict[int, list[tuple[float, int]]] = {}
    free: dict[int, list[int]] = {}
    for i in sorted(range(len(events)), key=start.__getitem__):
        running, returned = busy.setdefault(thread[i], []), free.setdefault(thread[i], [])
        while running and running[0][0] <= start[i]:
            heapq.heappush(returned, heapq.heappop(running)[1])
        # Lanes that were never used follow those in use and those that came back.
        found[i] = heapq.heappop(returned) if returned else len(running)
        heapq.heappush(running, (end[i], found[i]))
    return found
