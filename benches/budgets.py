"""The performance budget, line by line, against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from control_flow import ASYNC, LOCAL
from measuring import CASES as MEASURED
from process_nodes import CASES as PROCESSES
from ratios import Ratio
from service.cases import DEFAULT_THREADS, MANY_THREADS, case_of, thread_bound
from service.cold_start import RUNTIMES
from service.figures import Cell
from service.heartbeat import CASES as HEARTBEATS
from session import Key, Session

PASS, MISS, UNKNOWN = "pass", "MISS", "not measured"

SHORT = ("chain_100", "chain_1000", "fan_100", "fan_1000", "layered_10x100")
LONG = ("chain_1000", "fan_1000", "layered_10x100")


@dataclass(frozen=True)
class Check:
    line: str
    case: str
    limit: str
    figure: str
    status: str


def check(session: Session, groups: Sequence[str]) -> list[Check]:
    """The lines that these groups are about, measured or not."""
    lines = {
        "overhead": (code_nodes, callables),
        "control_flow": (deciding,),
        "history": (history,),
        "blocking": (blocking,),
        "compile": (compiling,),
        "pools": (checkouts, contention, tasks),
        "cache": (cache_hits, hit_ratio, cache_threads),
        "measuring": (measuring_costs,),
        "processes": (nodes_in_processes,),
        "http": (serving,),
        "heartbeat": (loop_under_work,),
        "cold_start": (cold_start,),
        "load_test": (load_generator,),
    }
    return [found for group, checks in lines.items() if group in groups for check in checks for found in check(session)]


def at_most(limit: float) -> Callable[[float], bool]:
    return lambda value: value <= limit


def judge(line: str, case: str, limit: str, ratio: Ratio | None, holds: Callable[[float], bool]) -> Check:
    if ratio is None:
        return Check(line, case, limit, "–", UNKNOWN)
    figure = f"{number(ratio.median)}× ({number(ratio.low)}–{number(ratio.high)}), best rounds {number(ratio.best)}×"
    return Check(line, case, limit, figure, PASS if holds(ratio.median) else MISS)


def judge_time(line: str, case: str, limit: str, milliseconds: Ratio | None, holds: Callable[[float], bool]) -> Check:
    if milliseconds is None:
        return Check(line, case, limit, "–", UNKNOWN)
    low, median, high = (number(value) for value in (milliseconds.low, milliseconds.median, milliseconds.high))
    return Check(line, case, limit, f"{median} ms ({low}–{high})", PASS if holds(milliseconds.median) else MISS)


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 10 else f"{value:.2f}"


def code_nodes(session: Session) -> Iterator[Check]:
    for workload in SHORT:
        ours = Key("overhead", workload, "nexus_core_code")
        floor = session.ratio(ours, Key("overhead", workload, "floor_code"))
        yield judge("PythonCodeNode ÷ native floor", workload, "≤ 2×", floor, at_most(2))
        enterprise = session.ratio(ours, Key("overhead", workload, "enterprise"))
        yield judge("PythonCodeNode ÷ kailash-enterprise", workload, "< 0.5×", enterprise, lambda r: r < 0.5)
        stock = session.ratio(Key("overhead", workload, "stock_full"), ours)
        yield judge("stock with libraries ÷ PythonCodeNode", workload, "≥ 200×", stock, lambda r: r >= 200)


def deciding(session: Session) -> Iterator[Check]:
    for workloads, ours, stock in (
        (LOCAL, "nexus_core_code", "stock_full"),
        (ASYNC, "nexus_core_async", "stock_async"),
    ):
        for workload in workloads:
            keys = (Key("control_flow", workload.name, peer) for peer in (stock, ours))
            yield judge("stock with libraries ÷ ours", workload.name, "≥ 50×", session.ratio(*keys), at_least(50))


def history(session: Session) -> Iterator[Check]:
    for workload in ("chain_100", *LONG):
        on, off = (Key("history", workload, "nexus_core_code", history) for history in (True, False))
        yield judge("history on ÷ history off, CPU time", workload, "≤ 2×", session.ratio(on, off), at_most(2))


def callables(session: Session) -> Iterator[Check]:
    for suffix, words in (("", ""), ("_keywords", ", by keyword")):
        for workload in LONG:
            ours = Key("overhead", workload, f"nexus_core_{suffix.removeprefix('_') or 'calls'}")
            loop = session.ratio(ours, Key("overhead", workload, f"loop{suffix}"))
            yield judge(f"TaskGraph ÷ hand-written loop{words}", workload, "≤ 0.7×", loop, at_most(0.7))
            floor = session.ratio(ours, Key("overhead", workload, f"floor{suffix or '_calls'}"))
            yield judge(f"TaskGraph ÷ native floor{words}", workload, "≤ 1.6×", floor, at_most(1.6))


def blocking(session: Session) -> Iterator[Check]:
    cases = (
        ("guide", "nexus_core_code", "LocalRuntime ÷ critical path"),
        ("guide", "nexus_core_async", "AsyncLocalRuntime ÷ critical path"),
        ("guide", "nexus_core_calls", "TaskGraph ÷ critical path"),
        ("sleep_1000", "nexus_core_code", "LocalRuntime ÷ list-scheduling bound"),
        ("sleep_1000", "nexus_core_calls", "TaskGraph ÷ list-scheduling bound"),
    )
    for workload, peer, line in cases:
        key = Key("blocking", workload, peer)
        bound = session.info(key).get("bound")
        yield judge(line, workload, "≤ 1.05×", session.ratio_to(key, bound) if bound else None, at_most(1.05))


def compiling(session: Session) -> Iterator[Check]:
    key = Key("compile", "chain_100000", "nexus_core_calls")
    seconds = session.seconds(key)
    status = UNKNOWN if seconds is None else PASS if seconds < 0.1 else MISS
    figure = "–" if seconds is None else f"{seconds * 1e3:.1f} ms"
    yield Check("compile 100,000 nodes and edges", "chain_100000", "< 100 ms", figure, status)
    memory = session.info(key).get("memory")
    if not memory:
        yield Check("memory of the compiled graph", "chain_100000", "< 200 bytes a node", "–", UNKNOWN)
        return
    own = memory.get("own")
    size = memory["compiled"] if own is None else own
    how = "resident memory" if own is None else "as the plan itself counts"
    status = PASS if size < 200 else MISS
    yield Check(
        "memory of the compiled graph", "chain_100000", "< 200 bytes a node", f"{size:.0f} bytes, {how}", status
    )


def at_least(limit: float) -> Callable[[float], bool]:
    return lambda value: value >= limit


def serving(session: Session) -> Iterator[Check]:
    for workflow, least in (("one_node", 0.9), ("chain_20", 0.75)):
        for connections in (1, 16):
            case = case_of(workflow, connections).name
            ratio = session.figures.ratio(Cell("http", case, "ours"), Cell("http", case, "stub"), "requests")
            yield judge("requests/s ÷ stub, over HTTP", case, f"≥ {least}×", ratio, at_least(least))
    for workflow in ("one_node", "chain_20"):
        for connections in (1, 16):
            case = case_of(workflow, connections).name
            ratio = session.figures.ratio(Cell("http", case, "cached"), Cell("http", case, "stub"), "requests")
            yield judge("from the cache: requests/s ÷ stub", case, "≥ 0.9×", ratio, at_least(0.9))
    case = case_of("guide", 1).name
    p50 = session.figures.spread(Cell("http", case, "ours"), "p50", 0.1)
    yield judge("p50 ÷ 0.1 s, over HTTP", case, "≤ 1.1×", p50, at_most(1.1))
    case = case_of("guide", 16).name
    for variant, threads in (("ours", DEFAULT_THREADS), ("ours_32", MANY_THREADS)):
        requests = session.figures.spread(Cell("http", case, variant), "requests", thread_bound(threads, 16))
        yield judge(f"requests/s ÷ bound of {threads} threads", case, "≥ 0.9×", requests, at_least(0.9))


def loop_under_work(session: Session) -> Iterator[Check]:
    for case in (case for (phase, _), case in HEARTBEATS.items() if phase != "idle"):
        late = session.figures.spread(Cell("heartbeat", case, "ours"), "late_p99", 1e-3)
        yield judge_time("lateness of the event loop, p99", case, "≤ 20 ms", late, at_most(20))


def cold_start(session: Session) -> Iterator[Check]:
    for runtime in RUNTIMES:
        first = session.figures.spread(Cell("cold_start", runtime, "ours"), "first", 1e-3)
        yield judge_time("first call in a fresh process", runtime, "< 30 ms", first, lambda value: value < 30)


def load_generator(session: Session) -> Iterator[Check]:
    known = [
        case
        for case in session.figures.cases("load_test")
        if Cell("load_test", case, "known") in session.figures.rounds
    ]
    for case in known or ["server of known times"]:
        worst = session.figures.spread(Cell("load_test", case, "known"), "worst")
        yield judge_figure("percentile that is farthest off", case, "≤ 0.05", worst, at_most(0.05))
    case = "20 ms, 10 connections"
    cells = [Cell("load_test", case, who) for who in ("ours", "wrk")]
    for name in ("requests", "p50"):
        ratio = session.figures.ratio(*cells, name)
        yield judge(f"load generator ÷ wrk, {name}", case, "0.95–1.05×", ratio, lambda value: 0.95 <= value <= 1.05)


def measuring_costs(session: Session) -> Iterator[Check]:
    for key, case in MEASURED.items():
        cell = Cell("measuring", "short_nodes", key)
        metrics = session.figures.spread(cell, "metrics_ratio")
        yield judge("with metrics ÷ without", case.title, "≤ 1.02×", metrics, at_most(1.02))
    cell = Cell("measuring", "short_nodes", "local_1000")
    traced = session.figures.spread(cell, "traced_ratio")
    yield judge("traced ÷ not traced", MEASURED["local_1000"].title, "≤ 2×", traced, at_most(2))


def nodes_in_processes(session: Session) -> Iterator[Check]:
    def figure(key: str, name: str) -> Ratio | None:
        return session.figures.spread(Cell("processes", "nodes", key), name)

    yield judge(
        "sequential ÷ processes",
        PROCESSES["fan_8"].title,
        "≥ 1.8×",
        figure("fan_8", "ratio"),
        lambda value: value >= 1.8,
    )
    hop = figure("hop", "hop")
    if hop is None:
        yield Check("a hop", PROCESSES["hop"].title, "< 150 µs", "–", UNKNOWN)
    else:
        low, median, high = (f"{value * 1e6:.0f}" for value in (hop.low, hop.median, hop.high))
        status = PASS if hop.median < 150e-6 else MISS
        yield Check("a hop", PROCESSES["hop"].title, "< 150 µs", f"{median} µs ({low}–{high})", status)
    yield judge("copies made", PROCESSES["array"].title, "< 2×", figure("array", "copies"), lambda value: value < 2)


def judge_microseconds(line: str, case: str, limit: float, session: Session, key: Key) -> Check:
    measured = session.ratio_to(key, 1e-6)
    if measured is None:
        return Check(line, case, f"≤ {limit:g} µs", "–", UNKNOWN)
    low, median, high = (f"{value:.2f}" for value in (measured.low, measured.median, measured.high))
    status = PASS if measured.median <= limit else MISS
    return Check(line, case, f"≤ {limit:g} µs", f"{median} µs ({low}–{high})", status)


def judge_nanoseconds(line: str, case: str, limit: float, session: Session, key: Key) -> Check:
    measured = session.ratio_to(key, 1e-9)
    if measured is None:
        return Check(line, case, f"< {limit:g} ns", "–", UNKNOWN)
    low, median, high = (number(value) for value in (measured.low, measured.median, measured.high))
    status = PASS if measured.median < limit else MISS
    return Check(
        line, case, f"< {limit:g} ns", f"{median} ns ({low}–{high}), best round {number(measured.best)} ns", status
    )


CACHES = (("nexus_core", "Cache"), ("nexus_core_lru", "LRUCache"), ("nexus_core_ttl", "TTLCache"))


def cache_hits(session: Session) -> Iterator[Check]:
    for peer, case in (*CACHES, ("nexus_core_cached", "@cached")):
        key = Key("cache", "get", peer)
        yield judge_nanoseconds("cache hit", case, 100, session, key)
        # 100 ns, where lru_cache takes the 33 ns that the budget was made beside.
        ratio = session.ratio(key, Key("cache", "get", "lru_cache"))
        yield judge("cache hit ÷ functools.lru_cache", case, "≤ 3×", ratio, at_most(3))


def judge_figure(line: str, case: str, limit: str, figure: Ratio | None, holds: Callable[[float], bool]) -> Check:
    if figure is None:
        return Check(line, case, limit, "–", UNKNOWN)
    shown = f"{figure.median:.3f} ({figure.low:.3f}–{figure.high:.3f})"
    return Check(line, case, limit, shown, PASS if holds(figure.median) else MISS)


def hit_ratio(session: Session) -> Iterator[Check]:
    found = session.figures.spread(Cell("cache", "zipf_1.0", "nexus_core"), "ratio")
    yield judge_figure("hit ratio", "Zipf 1.0", "≥ 0.55", found, at_least(0.55))


def cache_threads(session: Session) -> Iterator[Check]:
    for peer, case in CACHES:
        speedup = session.figures.spread(Cell("cache", "threads", peer), "speedup")
        # With the interpreter's lock 1 is all there can be, less what its turns cost: the same for a dict.
        yield judge_figure("look-ups a second of 4 threads ÷ of 1", case, "≥ 1, to 2 %", speedup, at_least(0.98))


def checkouts(session: Session) -> Iterator[Check]:
    for peer, how in (("nexus_core", "getconn, putconn"), ("nexus_core_block", "with block")):
        yield judge_microseconds("checkout and return", how, 0.5, session, Key("pools", "checkout", peer))
    keys = (Key("pools", "checkout", peer) for peer in ("nexus_core_sqlalchemy", "sqlalchemy"))
    yield judge("NativePool ÷ QueuePool", "in SQLAlchemy", "≤ 1×", session.ratio(*keys), at_most(1))


def contention(session: Session) -> Iterator[Check]:
    for peer, case in (
        ("nexus_core", "ConnectionPool"),
        ("nexus_core_sqlalchemy", "NativePool"),
        ("nexus_core_psycopg", "PostgreSQL"),
    ):
        longest = session.figures.spread(Cell("pools", "contention", peer), "longest_over_rotation")
        yield judge("longest wait ÷ one rotation", case, "≤ 2×", longest, at_most(2))


def tasks(session: Session) -> Iterator[Check]:
    ours, executor = (Key("pools", "tasks", peer) for peer in ("nexus_core", "executor"))
    yield judge_microseconds("task through the thread pool", "10,000 tasks", 0.5, session, ours)
    yield judge("ThreadPoolExecutor ÷ ThreadPool", "10,000 tasks", "≥ 8×", session.ratio(executor, ours), at_least(8))
    mapped, executor_map = (Key("pools", "tasks", peer) for peer in ("nexus_core_map", "executor_map"))
    yield judge_microseconds("task through ThreadPool.map", "10,000 tasks", 0.5, session, mapped)
    ratio = session.ratio(executor_map, mapped)
    yield judge("ThreadPoolExecutor.map ÷ ThreadPool.map", "10,000 tasks", "≥ 8×", ratio, at_least(8))
    keys = (Key("pools", "round_trip", peer) for peer in ("nexus_core", "executor"))
    yield judge("ThreadPool ÷ ThreadPoolExecutor", "round trip", "≤ 1×", session.ratio(*keys), at_most(1))
