"""The caches' part of docs/benchmarks.md, and the same rows for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from caches import CAPACITY, KEYS, NEW_KEYS, THREADS
from caches.peers import PEERS
from caches.traces import DIFFERENT, REQUESTS, SCAN, TRACES, best_possible
from service.figures import Cell
from service.tables import number
from session import Key, Session

Row = Sequence[str]
Table = Callable[[Row, Sequence[Row]], Iterator[str]]

CALLS = ("get", "item", "miss", "get_or_set", "set", "evict")
CALLS_HEAD = (
    "ns a call", "get", "cache[key]", "get, missing", "get or set", "set", "set with eviction", "get ÷ lru_cache",
    f"{THREADS} threads ÷ 1",
)  # fmt: skip
FOUND_HEAD = ("hit ratio", *(trace.title for trace in TRACES), "ns a request, Zipf 1.0")
MEMORY_HEAD = ("cache", "bytes an entry")


def call_rows(session: Session) -> Iterator[Row]:
    """Fastest look-up first."""
    found = [(seconds, peer) for peer in PEERS if (seconds := session.seconds(Key("cache", "get", peer))) is not None]
    for _, peer in sorted(found):
        times = (session.seconds(Key("cache", call, peer)) for call in CALLS)
        ratio = session.ratio(Key("cache", "get", peer), Key("cache", "get", "lru_cache"))
        speedup = session.figures.median(Cell("cache", "threads", peer), "speedup")
        yield (
            PEERS[peer].title,
            *("–" if seconds is None else number(seconds * 1e9) for seconds in times),
            "–" if ratio is None else number(ratio.median),
            "–" if speedup is None else f"{speedup:.2f}",
        )


def found_rows(session: Session) -> Iterator[Row]:
    """Best on Zipf 1.0 first."""
    figures = session.figures
    found = [
        (ratio, peer)
        for peer in PEERS
        if (ratio := figures.median(Cell("cache", "zipf_1.0", peer), "ratio")) is not None
    ]
    if found:
        yield ("the future known (Belady)", *(f"{best_possible(trace):.3f}" for trace in TRACES), "–")
    for _, peer in sorted(found, reverse=True):
        ratios = (figures.median(Cell("cache", trace.name, peer), "ratio") for trace in TRACES)
        request = figures.median(Cell("cache", "zipf_1.0", peer), "request")
        yield (
            PEERS[peer].title,
            *("–" if ratio is None else f"{ratio:.3f}" for ratio in ratios),
            "–" if request is None else number(request * 1e9),
        )


def memory_rows(session: Session) -> Iterator[Row]:
    found = [
        (size, peer)
        for peer in PEERS
        if (size := session.figures.median(Cell("cache", "memory", peer), "bytes")) is not None
    ]
    for size, peer in sorted(found):
        yield (PEERS[peer].title, number(size))


def terminal(session: Session, table: Callable[[Row, Sequence[Row]], str]) -> Iterator[str]:
    for title, head, rows in (
        ("caches", CALLS_HEAD, list(call_rows(session))),
        ("what caches find", FOUND_HEAD, list(found_rows(session))),
        ("what an entry takes", MEMORY_HEAD, list(memory_rows(session))),
    ):
        if rows:
            yield f"{title}\n{table(head, rows)}"


def markdown(session: Session, table: Table) -> Iterator[str]:
    if not (calls := list(call_rows(session))):
        return
    yield from ("## Caches", "")
    yield (
        f"{KEYS:,} text keys in a cache with room for twice as many; for eviction {NEW_KEYS:,} new keys, one after the other, in "
        f"a full cache of {CAPACITY:,}. The loop around the calls, some 4 ns, is in all figures. cachetools' caches have "
        "the lock around them that threads need; a dict has no bound; *get or set* gives a function that would compute "
        "what is missing, and everything is there. `LRUCache` and `TTLCache` are ours with cachetools' arguments. "
        f"*{THREADS} threads ÷ 1* compares look-ups a second of {THREADS} threads together with those of one, in turns of which the fastest tenth counts: with the "
        "interpreter's lock no more than 1 can be had."
    )
    yield ""
    yield from table(CALLS_HEAD, calls)
    yield ""
    yield from ("### What is found", "")
    yield (
        f"{REQUESTS:,} requests of a cache of {CAPACITY:,} entries, what is missing is written. Zipf's law over {DIFFERENT:,} keys; "
        f"*scans* has {SCAN:,} keys in a row after every {SCAN:,} requests that are never asked for again, so that 0.5 "
        "is the most there could be; the loop is over twice as many keys as there is room for."
    )
    yield ""
    yield from ("![Hit ratio, by cache and trace](benchmarks-cache.svg)", "")
    yield from table(FOUND_HEAD, list(found_rows(session)))
    yield ""
    yield from ("### What an entry takes", "")
    yield "Resident memory of a fresh process with 200,000 entries, beside the keys and values themselves."
    yield ""
    yield from table(MEMORY_HEAD, list(memory_rows(session)))
    yield ""
