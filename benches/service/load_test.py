"""Whether our load generator measures right: beside a server of known service times, and beside wrk."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from service import load
from service.figures import Cell, Figures
from service.processes import HERE, Launcher, ProcessFailed, Unavailable, last_line, parsed

FOLDER = HERE.parent / "load_generator"
TIMEOUT = 600
SHARES = ("p50", "p90", "p95", "p99")

Row = Sequence[str]
Table = Callable[[Row, Sequence[Row]], Iterator[str]]

KNOWN_HEAD = ("load", *(f"{share}: measured, off" for share in SHARES), "sent late (p99)")
WRK_HEAD = ("server", "wrk: requests/s", "p50", "p99", "ours ÷ wrk: requests/s", "p50", "p99")


def measure(
    launcher: Launcher,
    figures: Figures,
    number: int,
    variants: Sequence[str],
    *,
    quick: bool,
    say: Callable[[str], None],
) -> None:
    if "ours" not in variants:
        raise Unavailable("nexus_core's own load generator is what this is about")
    started = time.perf_counter()
    found = script(launcher, "validate.py", "--quick", "--real-time", "--json")
    for row in found["rows"]:
        if row["difference"] is None:
            continue
        cell = Cell("load_test", row["case"], "known")
        share = f"p{row['share'] * 100:g}"
        measured = figures.rounds.setdefault(cell, {}).setdefault(number, {"worst": 0.0})
        measured |= {share: row["measured"], f"{share}_off": row["difference"], "late": row["late"]}
        measured["worst"] = max(measured["worst"], abs(row["difference"]))
        measured["real_time"] = float(found["real_time"])
    say(f"pass {number + 1}, load test, known times: {time.perf_counter() - started:.0f} s")
    load.wrk()
    rounds = 1 if quick else 3
    for turn in script(launcher, "compare_with_wrk.py", "--rounds", str(rounds))["turns"]:
        cell = Cell("load_test", turn["case"], turn["who"])
        figures.add(cell, number * rounds + turn["turn"], {name: turn[name] for name in ("requests", "p50", "p99")})
    say(f"pass {number + 1}, load test, beside wrk: {time.perf_counter() - started:.0f} s")


def script(launcher: Launcher, name: str, *options: str) -> dict[str, Any]:
    """What a script of the load generator's has printed last."""
    try:
        done = subprocess.run(
            [str(launcher.python), str(FOLDER / name), *options], cwd=launcher.folder, env=launcher.variables,
            capture_output=True, text=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ProcessFailed(f"{name}: no end after {TIMEOUT} s") from None
    if done.returncode:
        raise ProcessFailed(f"{name}: exit {done.returncode}: {last_line(done.stderr)}")
    return parsed(name, last_line(done.stdout))


def known_rows(figures: Figures) -> Iterator[Row]:
    for case in figures.cases("load_test"):
        cell = Cell("load_test", case, "known")
        if figures.median(cell, "worst") is None:
            continue
        cells = []
        for share in SHARES:
            measured, off = figures.median(cell, share), figures.median(cell, f"{share}_off")
            cells.append("–" if measured is None or off is None else f"{measured * 1e3:.1f} ms, {off:+.1%}")
        yield (case, *cells, f"{(figures.median(cell, 'late') or 0.0) * 1e3:.1f} ms")


def wrk_rows(figures: Figures) -> Iterator[Row]:
    for case in figures.cases("load_test"):
        wrk, ours = (Cell("load_test", case, who) for who in ("wrk", "ours"))
        requests = figures.median(wrk, "requests")
        if requests is None:
            continue
        times = (f"{(figures.median(wrk, name) or 0.0) * 1e3:.2f} ms" for name in ("p50", "p99"))
        ratios = (figures.ratio(ours, wrk, name) for name in ("requests", "p50", "p99"))
        yield (case, f"{requests:,.0f}", *times, *("–" if each is None else f"{each.median:.3f}" for each in ratios))


def terminal(figures: Figures, table: Callable[[Row, Sequence[Row]], str]) -> Iterator[str]:
    if rows := list(known_rows(figures)):
        yield f"the load generator beside a server of known times\n{table(KNOWN_HEAD, rows)}"
    if rows := list(wrk_rows(figures)):
        yield f"the load generator beside wrk\n{table(WRK_HEAD, rows)}"


def markdown(figures: Figures, table: Table) -> Iterator[str]:
    known, beside = list(known_rows(figures)), list(wrk_rows(figures))
    if not known and not beside:
        return
    yield "## The load generator"
    yield ""
    if known:
        real_time = all(
            each.get("real_time") for cell, rounds in figures.rounds.items() for each in rounds.values()
            if cell.group == "load_test" and cell.variant == "known"
        )  # fmt: skip
        yield (
            "`nexus_core.load_testing` loads a server, in a process of its own, that answers after a known time; *off* is "
            "what a percentile is away from the one that follows from the very arrivals and service times that were used "
            "([docs/load-testing.md](load-testing.md)). Both ran at "
            + ("real-time" if real_time else "ordinary")
            + " priority."
        )
        yield ""
        yield from table(KNOWN_HEAD, known)
        yield ""
    if beside:
        yield (
            "The same closed loop by `wrk`, which is written in C, and by ours, in turns. *No service time* is about how many "
            "requests a generator can make at all: ours takes the interpreter, and tells how busy it was."
        )
        yield ""
        yield from table(WRK_HEAD, beside)
        yield ""
