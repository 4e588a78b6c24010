#!/usr/bin/env python3
"""Load one server by wrk and by our closed loop in turns; print what each has measured as one line of JSON.

Both keep as many connections busy for as long, and are processes of their own. The server answers after a known time.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "python"))

from load_generator.validate import start_server
from service import load

#: Title, seconds of service, connections.
CASES = (("20 ms, 10 connections", 0.02, 10), ("no service time, 16 connections", 0.0, 16))


def ours(url: str, station: str, connections: int, seconds: float) -> dict[str, float]:
    """Our closed loop, in a process of its own."""
    command = [sys.executable, __file__, "--once", url, station, str(connections), str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def once(url: str, station: str, connections: str, seconds: str) -> dict[str, float]:
    from nexus_core.load_testing import ClosedLoop, run_load_test

    found = run_load_test(None, station, ClosedLoop(int(connections)), duration=float(seconds), url=url)
    if found.failed:
        raise SystemExit(f"not every request was answered: {found.errors}")
    return {"requests": found.throughput, "p50": found.latency.p50, "p99": found.latency.p99}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=2, help="the length of a turn")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each")
    parser.add_argument("--once", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(once(*options.once)))
        return
    load.wrk()
    turns: list[dict[str, Any]] = []
    process, url = start_server()
    try:
        port = int(url.rpartition(":")[2])
        with tempfile.TemporaryDirectory() as folder:
            for title, service, connections in CASES:
                station = f"free-constant-{service}-1"
                for turn in range(options.rounds):
                    order = ("wrk", "ours") if turn % 2 == 0 else ("ours", "wrk")
                    for who in order:
                        if who == "wrk":
                            found = load.load(
                                Path(folder), port, station, connections=connections, seconds=options.seconds
                            )
                        else:
                            found = ours(url, station, connections, options.seconds)
                        turns.append({"case": title, "who": who, "turn": turn, **found})
    finally:
        process.terminate()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()
    print(json.dumps({"turns": turns}))


if __name__ == "__main__":
    main()
