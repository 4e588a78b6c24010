"""docs/benchmarks.md, and the same tables for the terminal."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

import measuring
import process_nodes
from budgets import MISS, PASS, UNKNOWN, Check, number
from caches import tables as cache_tables
from digests import tables as digest_tables
from environments import Environment
from layered import tables as layered_tables
from peers import PEERS
from pools import tables as pool_tables
from service import tables
from session import Key, Session

Row = Sequence[str]

OVERHEAD_HEAD = ("peer", "µs a node", "÷ native floor", "÷ our LocalRuntime", "÷ our TaskGraph")
BLOCKING_HEAD = ("peer", "median", "÷ bound", "first run")
CONTROL_FLOW_HEAD = ("peer, workload", "ms a run", "µs a node", "stock ÷ it")
HISTORY_HEAD = ("peer, workload", "history off", "history on", "on ÷ off")
COMPILE_HEAD = ("peer", "ms", "µs a node")
BUDGET_HEAD = ("budget", "workload", "limit", "measured, median (lowest–highest pass)", "")


def overhead_rows(session: Session, workload: str, nodes: int) -> Iterator[Row]:
    """Fastest first."""
    found = [
        (seconds, peer) for peer in PEERS if (seconds := session.seconds(Key("overhead", workload, peer))) is not None
    ]
    for seconds, peer in sorted(found):
        key = Key("overhead", workload, peer)
        floor = "floor_code" if PEERS[peer].bodies == "code" else "floor_calls"
        below = (floor, "nexus_core_code", "nexus_core_calls")
        ratios = [session.ratio(key, Key("overhead", workload, other)) for other in below]
        yield (
            PEERS[peer].title,
            number(seconds / nodes * 1e6),
            *("–" if ratio is None else number(ratio.median) for ratio in ratios),
        )


def control_flow_rows(session: Session) -> Iterator[Row]:
    for workload, info in session.workloads("control_flow").items():
        found = {
            peer: seconds
            for peer in PEERS
            if (seconds := session.seconds(Key("control_flow", workload, peer))) is not None
        }
        for peer, seconds in sorted(found.items(), key=lambda item: item[1]):
            stock = "stock_full" if "stock_full" in found else "stock_async"
            ratio = session.ratio(Key("control_flow", workload, stock), Key("control_flow", workload, peer))
            figures = (f"{seconds * 1e3:,.2f}", number(seconds / info["nodes"] * 1e6))
            yield (f"{PEERS[peer].title}, {info['title']}", *figures, "–" if ratio is None else number(ratio.median))


def blocking_rows(session: Session, workload: str, bound: float) -> Iterator[Row]:
    found = [
        (seconds, peer) for peer in PEERS if (seconds := session.seconds(Key("blocking", workload, peer))) is not None
    ]
    for seconds, peer in sorted(found):
        first = session.first_run(Key("blocking", workload, peer))
        yield (
            PEERS[peer].title,
            f"{seconds:.4f} s",
            f"{seconds / bound:.3f}",
            "–" if first is None else f"{first:.4f} s",
        )


def history_rows(session: Session) -> Iterator[Row]:
    for workload, info in session.workloads("history").items():
        for peer in PEERS:
            off, on = (Key("history", workload, peer, history) for history in (False, True))
            ratio = session.ratio(on, off)
            if ratio is None:
                continue
            figures = ((session.seconds(key) or 0.0) / info["nodes"] * 1e6 for key in (off, on))
            yield (f"{PEERS[peer].title}, {info['title']}", *(number(f) for f in figures), number(ratio.median))


def compile_rows(session: Session, workload: str, nodes: int) -> Iterator[Row]:
    found = [
        (seconds, peer) for peer in PEERS if (seconds := session.seconds(Key("compile", workload, peer))) is not None
    ]
    for seconds, peer in sorted(found):
        yield (PEERS[peer].title, f"{seconds * 1e3:.1f}", number(seconds / nodes * 1e6))


def memory_lines(session: Session, workload: str) -> Iterator[str]:
    memory = session.info(Key("compile", workload, "nexus_core_calls")).get("memory")
    if memory:
        yield (
            f"Memory a node of nexus_core's TaskGraph: {memory['compiled']:.0f} bytes resident for compiling, "
            f"{memory['described']:.0f} bytes resident for describing it (names, callables and arguments included)"
            + (f", {memory['own']:.0f} bytes by the plan's own count." if "own" in memory else ".")
        )


def budget_rows(checks: Sequence[Check]) -> Iterator[Row]:
    for check in checks:
        status = f"**{check.status}**" if check.status == MISS else check.status
        yield (check.line, check.case.replace("_", " "), check.limit, check.figure, status)


def summary(checks: Sequence[Check]) -> str:
    counts = {status: sum(check.status == status for check in checks) for status in (PASS, MISS, UNKNOWN)}
    return f"{counts[PASS]} of {len(checks)} lines hold, {counts[MISS]} missed, {counts[UNKNOWN]} not measured"


def terminal_table(head: Row, rows: Sequence[Row]) -> str:
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    out = []
    for line in lines:
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ]
        out.append("  ".join(cells).rstrip())
    out.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(out)


def terminal(session: Session, checks: Sequence[Check]) -> str:
    parts: list[str] = []
    for workload, info in session.workloads("overhead").items():
        rows = list(overhead_rows(session, workload, info["nodes"]))
        parts.append(f"{info['title']}\n{terminal_table(OVERHEAD_HEAD, rows)}")
    for workload, info in session.workloads("blocking").items():
        rows = list(blocking_rows(session, workload, info["bound"]))
        parts.append(f"{info['title']}: bound {info['bound']:.4f} s\n{terminal_table(BLOCKING_HEAD, rows)}")
    if rows := list(control_flow_rows(session)):
        parts.append(f"switches and cycles\n{terminal_table(CONTROL_FLOW_HEAD, rows)}")
    if rows := list(history_rows(session)):
        parts.append(f"run history, µs of CPU time a node\n{terminal_table(HISTORY_HEAD, rows)}")
    for workload, info in session.workloads("compile").items():
        rows = list(compile_rows(session, workload, info["nodes"]))
        title = f"compile: {info['title']}, {info['edges']:,} edges"
        parts.append("\n".join([title, terminal_table(COMPILE_HEAD, rows), *memory_lines(session, workload)]))
    parts += pool_tables.terminal(session, terminal_table)
    parts += cache_tables.terminal(session, terminal_table)
    parts += digest_tables.terminal(session, terminal_table)
    parts += measuring.terminal(session, terminal_table)
    parts += process_nodes.terminal(session, terminal_table)
    parts += layered_tables.terminal(session, terminal_table)
    parts += tables.terminal(session.figures, terminal_table)
    rows = [(c.line, c.case, c.limit, c.figure, c.status) for c in checks]
    parts.append(f"budgets: {summary(checks)}\n{terminal_table(BUDGET_HEAD, rows)}")
    return "\n\n".join(parts)


def markdown_table(head: Row, rows: Sequence[Row]) -> Iterator[str]:
    yield "| " + " | ".join(head) + " |"
    yield "|---" + "|---:" * (len(head) - 1) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def markdown(
    session: Session,
    checks: Sequence[Check],
    environments: Sequence[Environment],
    machine: dict[str, str],
    build: dict[str, str],
    *,
    quick: bool,
) -> str:
    lines = ["# Benchmarks", "", *introduction(session, machine, quick=quick), ""]
    lines += ["![µs a node, by peer](benchmarks.svg)", ""]
    lines += ["## Budgets", "", f"{summary(checks)}.", "", *markdown_table(BUDGET_HEAD, list(budget_rows(checks))), ""]
    lines += [
        *overhead_section(session),
        *control_flow_section(session),
        *history_section(session),
        *blocking_section(session),
    ]
    lines += [*compile_section(session), *pool_tables.markdown(session, markdown_table)]
    lines += [*cache_tables.markdown(session, markdown_table), *digest_tables.markdown(session, markdown_table)]
    lines += [*measuring.markdown(session, markdown_table), *process_nodes.markdown(session, markdown_table)]
    lines += [*layered_tables.markdown(session, markdown_table)]
    lines += [*tables.markdown(session.figures, markdown_table), *gaps(session)]
    lines += [*versions(environments, machine, build), *REPRODUCE]
    return "\n".join(lines) + "\n"


def introduction(session: Session, machine: dict[str, str], *, quick: bool) -> Iterator[str]:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    yield (
        f"Written by `make bench` on {today}: {machine['processor']}, {machine['cores']} cores, {machine['Python']}"
        + (" (a quick run: few rounds)." if quick else ".")
    )
    yield ""
    yield (
        f"Read the ratios, not the times: they were measured in one run, in {session.passes} passes in which every peer "
        "had its turn, and each ratio compares two medians of the same pass. Timer `perf_counter`, garbage collection "
        "off, each peer warmed up and its first result checked against values computed without any executor."
    )


def overhead_section(session: Session) -> Iterator[str]:
    yield "## Overhead"
    yield ""
    yield (
        "Nodes that add small integers, so that what is measured is the executor. *Native floor* is `benches/floor`: "
        "the least that C code must do for the same calls, or for the same code nodes. Its column compares "
        "runtimes of code nodes with the floor for code nodes and everything else with that for callables. Keep that in "
        "mind between rows too: a PythonCodeNode gets a namespace, sanitised inputs and checked outputs; a callable, and "
        "kailash-enterprise's callback, does not."
    )
    yield ""
    for workload, info in session.workloads("overhead").items():
        yield f"### {info['title'].capitalize()} ({info['nodes']:,} nodes, {info['edges']:,} edges)"
        yield ""
        yield from markdown_table(OVERHEAD_HEAD, list(overhead_rows(session, workload, info["nodes"])))
        yield ""


def control_flow_section(session: Session) -> Iterator[str]:
    yield "## Switches and cycles"
    yield ""
    yield (
        "The nodes next to nothing again, so that deciding what runs is what is measured. A switch lets one branch "
        "through: in *route_data* the other nodes are looked at and skipped, in *skip_branches* they are pruned (which Kailash "
        "does for up to 100 nodes, and for switches with two branches). The cycle is ended by its convergence expression. Nodes count as "
        "often as they run or are skipped; run history is off."
    )
    yield ""
    yield from markdown_table(CONTROL_FLOW_HEAD, list(control_flow_rows(session)))
    yield ""


def history_section(session: Session) -> Iterator[str]:
    yield "## Run history"
    yield ""
    yield (
        "Processor time of the whole process in µs a node, so that a writer in the background counts; ours ends with "
        "`flush_history()`, when everything is in the database."
    )
    yield ""
    yield from markdown_table(HISTORY_HEAD, list(history_rows(session)))
    yield ""


def blocking_section(session: Session) -> Iterator[str]:
    yield "## Nodes that wait"
    yield ""
    yield (
        "The bound is the makespan of list scheduling, longest remaining path first, without any overhead. *First run* "
        "is the one in which nothing is known about the nodes yet."
    )
    yield ""
    for workload, info in session.workloads("blocking").items():
        yield f"### {info['title'].capitalize()}"
        yield ""
        yield f"Bound: {info['bound']:.4f} s."
        yield ""
        yield from markdown_table(BLOCKING_HEAD, list(blocking_rows(session, workload, info["bound"])))
        yield ""


def compile_section(session: Session) -> Iterator[str]:
    yield "## Compile"
    yield ""
    yield (
        "From a described graph to one that can run: `TaskGraph.compile()`, `TopologicalSorter(…).prepare()`, "
        "`WorkflowBuilder.build()` of kailash-enterprise. Stock Kailash is left out: its time to build grows faster than the graph, to minutes at this size (extrapolated)."
    )
    yield ""
    for workload, info in session.workloads("compile").items():
        yield f"### {info['title'].capitalize()} ({info['nodes']:,} nodes, {info['edges']:,} edges)"
        yield ""
        yield from markdown_table(COMPILE_HEAD, list(compile_rows(session, workload, info["nodes"])))
        yield ""
        for line in memory_lines(session, workload):
            yield from (line, "")


def gaps(session: Session) -> Iterator[str]:
    if session.skipped or session.failed:
        yield "## Not measured"
        yield ""
        yield from (f"- `{name}` failed: {reason}" for name, reason in sorted(session.failed.items()))
        yield from (f"- {', '.join(names)}: {reason}" for reason, names in session.skipped_by_reason().items())
        yield ""


def versions(environments: Sequence[Environment], machine: dict[str, str], build: dict[str, str]) -> Iterator[str]:
    yield "## Machine and versions"
    yield ""
    yield from (f"- {name}: {value}" for name, value in machine.items())
    if build:
        yield "- nexus_core: " + ", ".join(f"{key} {value}" for key, value in build.items())
    for environment in environments:
        listed = ", ".join(f"{name} {version}" for name, version in environment.versions.items())
        yield f"- environment *{environment.name}*: {listed}"
    yield ""


REPRODUCE = (
    "## How to reproduce",
    "",
    "```",
    "make bench                                        # everything; writes this page and the plot",
    ".venv/bin/python benches/run.py --quick           # a first impression; prints only",
    ".venv/bin/python benches/run.py --only overhead   # or control_flow, history, blocking, compile, pools, cache, digest, measuring, processes, scaling, http, heartbeat, cold_start, load_test",
    "make bench-scaling                                # the group scaling with nodes of 100 ms, and docs/scaling.md",
    "```",
    "",
    "The peers' environments are made under `.cache/bench-envs/` from `benches/requirements-*.txt`. The floor needs a C "
    "compiler; without one its ratios are reported as not measured. The groups *http* and *load_test* need `wrk` (`apt-get install wrk`, "
    "`brew install wrk`). Leave the machine alone meanwhile.",
)
