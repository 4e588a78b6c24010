"""The service's part of docs/benchmarks.md, and the same rows for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ratios import Ratio
from service import load_test
from service.cases import CASES, DEFAULT_THREADS, MANY_THREADS, thread_bound
from service.figures import Cell, Figures
from service.heartbeat import CASES as HEARTBEATS

Row = Sequence[str]
Table = Callable[[Row, Sequence[Row]], Iterator[str]]

TITLES = {
    "stock": "stock Kailash",
    "ours": "nexus_core",
    "ours_32": f"nexus_core, {MANY_THREADS} threads",
    "cached": "nexus_core, from the cache",
    "stub": "stub (constant result)",
}
HTTP_HEAD = (
    "runtime", "requests/s", "÷ stub, ÷ stock", "p50", "÷ stub, ÷ stock", "p99", "÷ stub, ÷ stock", "server's CPU a request",
)  # fmt: skip
HEARTBEAT_HEAD = (
    "phase, runtime", "beat late: p50", "p99", "max", "small run: p50", "p99", "max", "longest collection", "length of the phase",
)  # fmt: skip
COLD_HEAD = ("runtime", "first call", "÷ stock", "second call", "imports and construction before it")


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 10 else f"{value:.2f}"


def ms(seconds: float | None) -> str:
    return "–" if seconds is None else f"{number(seconds * 1e3)} ms"


def times(ratio: Ratio | None) -> str:
    return "–" if ratio is None else number(ratio.median)


def http_rows(figures: Figures, case: str) -> Iterator[Row]:
    for variant in TITLES:
        cell = Cell("http", case, variant)
        requests = figures.median(cell, "requests")
        if requests is None:
            continue
        row = [TITLES[variant]]
        for name in ("requests", "p50", "p99"):
            ratios = (figures.ratio(cell, Cell("http", case, other), name) for other in ("stub", "stock"))
            row += [number(requests) if name == "requests" else ms(figures.median(cell, name))]
            row += [", ".join(times(ratio) for ratio in ratios)]
        yield (*row, ms(figures.median(cell, "processor")))


def heartbeat_rows(figures: Figures) -> Iterator[Row]:
    for case in HEARTBEATS.values():
        for variant in ("stock", "ours"):
            cell = Cell("heartbeat", case, variant)
            seconds = figures.median(cell, "seconds")
            if seconds is not None:
                names = (f"{what}_{rank}" for what in ("late", "small") for rank in ("p50", "p99", "max"))
                yield (
                    f"{case}, {TITLES[variant]}",
                    *(ms(figures.median(cell, name)) for name in (*names, "longest_collection")),
                    f"{seconds:.1f} s",
                )


def cold_rows(figures: Figures) -> Iterator[Row]:
    for case in figures.cases("cold_start"):
        for variant in ("stock", "ours"):
            cell = Cell("cold_start", case, variant)
            if figures.median(cell, "first") is not None:
                yield (
                    f"{TITLES[variant]} {case}",
                    ms(figures.median(cell, "first")),
                    times(figures.ratio(cell, Cell("cold_start", case, "stock"), "first")),
                    ms(figures.median(cell, "second")),
                    ms(figures.median(cell, "before")),
                )


def terminal(figures: Figures, table: Callable[[Row, Sequence[Row]], str]) -> Iterator[str]:
    for case in figures.cases("http"):
        yield f"over HTTP: {case}\n{table(HTTP_HEAD, list(http_rows(figures, case)))}"
    if rows := list(heartbeat_rows(figures)):
        yield f"the event loop under work\n{table(HEARTBEAT_HEAD, rows)}"
    if rows := list(cold_rows(figures)):
        yield f"cold start\n{table(COLD_HEAD, rows)}"
    yield from load_test.terminal(figures, table)


def markdown(figures: Figures, table: Table) -> Iterator[str]:
    yield from http_section(figures, table)
    yield from heartbeat_section(figures, table)
    yield from cold_section(figures, table)
    yield from load_test.markdown(figures, table)


def http_section(figures: Figures, table: Table) -> Iterator[str]:
    cases = figures.cases("http")
    if not cases:
        return
    bounds = (f"{thread_bound(threads, 16):.1f} with {threads}" for threads in (DEFAULT_THREADS, MANY_THREADS))
    yield "## Over HTTP"
    yield ""
    yield (
        "A Nexus app in a process of its own for each runtime, without durability, authentication and rate limit; `POST "
        "/workflows/{name}/execute`; the load is `wrk` with one thread, over the loopback interface and on the same "
        "cores; garbage collection is on. *Stub* is a runtime that returns the expected outputs at once: what the rest of the HTTP stack leaves to "
        "be had. The servers are all alive at once and loaded in turns, for "
        f"{CASES[0].seconds} s each ({CASES[5].seconds} s where requests take a second); ratios compare neighbouring "
        "turns. Logging is at WARNING unless a title says otherwise. *Default logging* is what a user gets who "
        "configures nothing: INFO lines and access log, written to a file. Every reply was 200; before and after each "
        "turn an ordinary client compared the outputs."
    )
    yield ""
    yield "![requests/s, by runtime](benchmarks-http.svg)"
    yield ""
    yield f"Requests/s of the parallel workflow for 16 clients that the threads can serve: {', '.join(bounds)}."
    yield ""
    for case in cases:
        yield f"### {case[0].upper()}{case[1:]}"
        yield ""
        yield from table(HTTP_HEAD, list(http_rows(figures, case)))
        yield ""


def heartbeat_section(figures: Figures, table: Table) -> Iterator[str]:
    rows = list(heartbeat_rows(figures))
    if not rows:
        return
    yield "## The event loop under work"
    yield ""
    yield (
        "On one loop and one `AsyncLocalRuntime`, a workflow of 10,000 short nodes (100 chains of 100) and one of 200 "
        "nodes that block for 20 ms run at the same time: once, when neither has been seen before (*first runs*), then "
        "again and again for 5 s. A heartbeat is due every 5 ms and another workflow of one node every 50 ms. Lateness "
        "and latency count from when they were due, whether the loop was free to start them or not. A full garbage collection "
        "goes through all objects of the process, these workflows' among them, and stops the loop whatever the runtime "
        "does; *heap frozen* is with `gc.freeze()` called before the phase, as servers with many objects do."
    )
    yield ""
    yield from table(HEARTBEAT_HEAD, rows)
    yield ""


def cold_section(figures: Figures, table: Table) -> Iterator[str]:
    rows = list(cold_rows(figures))
    if not rows:
        return
    yield "## Cold start"
    yield ""
    yield (
        "A workflow of one node in a fresh process, with all the libraries installed that Kailash allows code nodes: time "
        "inside the first call alone, with the constructor's defaults (so with run history where that is the default)."
    )
    yield ""
    yield from table(COLD_HEAD, rows)
    yield ""
