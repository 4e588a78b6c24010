#!/usr/bin/env python3
"""Measure a server whose response times are known, and compare percentiles: each is to be within 5 %.

For every case the expected percentiles are those of the very arrivals and service times that were used (Lindley's
recursion), so that chance has no part in the difference; the formula's are beside them. What the server saw of its own,
from a request's receipt to its reply, tells the client's share in a difference from the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))

from nexus_core.load_testing import ClosedLoop, LatencyHistogram, OpenLoop
from nexus_core.load_testing.generator import Limits, LoadGenerator
from nexus_core.load_testing.precise_loop import precise_loop
from nexus_core.load_testing.targets import HttpTarget

from load_generator.server import STALL, service_times
from load_generator.theory import exponential_quantile, lindley, md1_quantile, rank

SHARES = (0.5, 0.9, 0.95, 0.99)
LIMIT = 0.05


@dataclass(frozen=True)
class Case:
    """A load on some stations at once, whose requests are counted together.

    ``line`` and ``model`` are the server's; ``expected`` is the formula, where there is one.
    """

    name: str
    line: str
    model: str
    service: float
    stations: int
    shape: Callable[[int], ClosedLoop | OpenLoop]
    seconds: float
    expected: Callable[[float], float] | None = None
    shares: Sequence[float] = SHARES

    def station(self, number: int) -> str:
        return f"{self.line}-{self.model}-{self.service}-{number}"


def cases(scale: float, slower: int) -> list[Case]:
    """The cases, at full length or a part of it, with longer service times where the machine is busy.

    Slower, there are as many more servers, so that as many requests are sent in the same time.
    """
    service, rate, servers = 0.05 * slower, 10.0 / slower, 20 * slower

    def poisson(number: int) -> OpenLoop:
        return OpenLoop(rate, "poisson", seed=number)

    everywhere: list[tuple[Any, ...]] = [
        ("constant, no line, 100/s", "free", "constant", service, 1, lambda _: OpenLoop(100), 20 * scale, lambda _: service),
        (
            "exponential, no line, Poisson 200/s", "free", "exponential", service, 1,
            lambda number: OpenLoop(200, "poisson", seed=number), 60 * scale, exponential_quantile(service),
        ),
        (f"M/D/1 at 50 %, {servers} servers", "queue", "constant", service, servers, poisson, 60 * scale, md1_quantile(rate, service)),
        (
            f"M/M/1 at 50 %, {servers} servers", "queue", "exponential", service, servers, poisson, 60 * scale,
            exponential_quantile(1 / (1 / service - rate)),
        ),
        ("10 users, one server", "queue", "constant", 0.02 * slower, 1, lambda _: ClosedLoop(10), 20 * scale, lambda _: 0.2 * slower),
        # Of 2,000 requests those that come while one takes two seconds wait for what is left: in an open loop.
        (f"a stall of {STALL:g} s, 100/s", "queue", "stall", 0.001, 1, lambda _: OpenLoop(100), 20, None, (0.95, 0.99)),
        (f"a stall of {STALL:g} s, one user", "queue", "stall", 0.001, 1, lambda _: ClosedLoop(1, 0.009), 20, None, ()),
    ]  # fmt: skip
    return [Case(*each) for each in everywhere]


def predicted(case: Case, started: Sequence[int]) -> list[float]:
    """The response times of the very requests that were sent, or none for a closed loop."""
    found: list[float] = []
    for number, count in enumerate(started):
        shape = case.shape(number)
        if isinstance(shape, ClosedLoop):
            return []
        arrivals = itertools.islice(shape.offsets(), count)
        services = itertools.islice(service_times(case.model, case.service, number), count)
        found += list(services) if case.line == "free" else lindley(arrivals, services)
    return found


async def measure(case: Case, url: str) -> tuple[LatencyHistogram, list[int], LatencyHistogram, list[float]]:
    """The latencies of all stations together, requests of each, lateness, and what the server saw."""
    latency, lateness = LatencyHistogram(), LatencyHistogram()
    targets = [HttpTarget(url, case.station(number), 60) for number in range(case.stations)]
    for target in targets:
        await target.open()
    body = targets[0].prepared({})
    generators = [
        LoadGenerator(target, case.shape(number), lambda _: body, Limits(0, case.seconds, None, 60), asyncio.Event())
        for number, target in enumerate(targets)
    ]
    await asyncio.gather(*(generator.run() for generator in generators))
    seen: list[float] = []
    # A proxy would be asked for this machine, too.
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for number, (target, generator) in enumerate(zip(targets, generators, strict=True)):
        assert not generator.recorder.failed, generator.recorder.errors()
        latency.merge(generator.recorder.latency)
        lateness.merge(generator.recorder.lateness)
        with direct.open(f"{url}/observed/{case.station(number)}", timeout=60) as reply:
            seen += json.load(reply)
        await target.close()
    return latency, [generator.recorder.started for generator in generators], lateness, seen


def start_server() -> tuple[subprocess.Popen[str], str]:
    """Each case has a server of its own, so that no station remembers anything."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("server.py"))], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{int(process.stdout.readline())}"


def compare(case: Case) -> list[dict[str, Any]]:
    process, url = start_server()
    try:
        with asyncio.Runner(loop_factory=precise_loop) as runner:
            latency, started, lateness, seen = runner.run(measure(case, url))
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
    exact = predicted(case, started)
    rows = []
    for share in case.shares or SHARES:
        formula = case.expected(share) if case.expected is not None else None
        expected = rank(exact, share) if exact else formula
        found = latency.quantile(share)
        rows.append(
            {
                "case": case.name,
                "requests": latency.count,
                "share": share,
                "measured": found,
                "expected": expected,
                "formula": formula,
                "server": rank(seen, share),
                "late": lateness.quantile(0.99),
                "difference": None if expected is None or not case.shares else found / expected - 1,
            }
        )
    return rows


def real_time() -> bool:
    """Lets this process and the server go before others, where that is allowed; whether it was."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    except (AttributeError, OSError):
        return False
    return True


def milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds * 1e3:.1f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a quarter of the time: a first impression")
    parser.add_argument(
        "--slower",
        type=int,
        default=1,
        metavar="N",
        help="N times the service times, N times the servers: for a busy machine",
    )
    parser.add_argument("--real-time", action="store_true", help="at real-time priority, where that is allowed")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of a table")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    ahead = options.real_time and real_time()
    chosen = cases(0.25 if options.quick else 1.0, options.slower)
    if options.json:
        rows = [row for case in chosen for row in compare(case)]
        print(json.dumps({"rows": rows, "load": load, "real_time": ahead}))
        return 0
    priority = "at real-time priority" if ahead else "at ordinary priority"
    print(f"Milliseconds; {priority}; the machine's load was {load:.1f} on {os.cpu_count()} cores when it began.\n")
    print("| case | requests | | measured | expected | difference | by formula | server's own | late (p99) |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|")
    missed = 0
    for case in chosen:
        for row in compare(case):
            difference = "–" if row["difference"] is None else f"{row['difference']:+.1%}"
            missed += row["difference"] is not None and abs(row["difference"]) > LIMIT
            print(
                f"| {row['case']} | {row['requests']:,} | p{row['share'] * 100:g} | {milliseconds(row['measured'])} | "
                f"{milliseconds(row['expected'])} | {difference} | {milliseconds(row['formula'])} | "
                f"{milliseconds(row['server'])} | {milliseconds(row['late'])} |",
                flush=True,
            )
    print(f"\n{missed} percentiles were more than {LIMIT:.0%} away." if missed else f"\nAll within {LIMIT:.0%}.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
