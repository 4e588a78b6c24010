"""What is asked of a cache of 1,000 entries, drawn with fixed seeds."""

from __future__ import annotations

import functools
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from caches import CAPACITY

DIFFERENT = 100_000
REQUESTS = 300_000
SCAN = 5_000
"""Keys in a row that are asked for once and never again, every so many requests."""


@dataclass(frozen=True)
class Trace:
    name: str
    title: str
    exponent: float | None = None


TRACES = (
    Trace("zipf_0.7", "Zipf 0.7", 0.7),
    Trace("zipf_1.0", "Zipf 1.0", 1.0),
    Trace("zipf_1.3", "Zipf 1.3", 1.3),
    Trace("scan", "scans in Zipf 1.0", 1.0),
    Trace("loop", "loop over 2,000"),
)


@functools.cache
def keys_of(trace: Trace) -> Sequence[str]:
    """The keys in the order in which they are asked for."""
    if trace.exponent is None:
        return list(itertools.islice(itertools.cycle([f"key-{number}" for number in range(2 * CAPACITY)]), REQUESTS))
    names = [f"key-{number}" for number in range(DIFFERENT)]
    weights = list(itertools.accumulate((number + 1) ** -trace.exponent for number in range(DIFFERENT)))
    drawn = random.Random(1).choices(names, cum_weights=weights, k=REQUESTS)
    if trace.name != "scan":
        return drawn
    # As much again, in scans of five times what there is room for.
    scanned = (f"scan-{number}" for number in itertools.count())
    mixed: list[str] = []
    for begin in range(0, REQUESTS, SCAN):
        mixed += drawn[begin : begin + SCAN]
        mixed += itertools.islice(scanned, SCAN)
    return mixed


@functools.cache
def best_possible(trace: Trace) -> float:
    """The share of hits of a cache that knows the future: the one asked for latest goes (Belady)."""
    import heapq

    keys = keys_of(trace)
    never = len(keys)
    after: list[int] = [never] * len(keys)
    last: dict[str, int] = {}
    for index in range(len(keys) - 1, -1, -1):
        after[index] = last.get(keys[index], never)
        last[keys[index]] = index
    there: dict[str, int] = {}
    queue: list[tuple[int, str]] = []
    hits = 0
    for index, key in enumerate(keys):
        hits += key in there
        there[key] = after[index]
        heapq.heappush(queue, (-after[index], key))
        while len(there) > CAPACITY:
            latest, candidate = heapq.heappop(queue)
            # An entry that was asked for meanwhile is queued again under its new moment.
            if there.get(candidate) == -latest:
                del there[candidate]
    return hits / len(keys)
