"""Thousands of requests over real sockets, a third given up midway and a third failing, leave nothing behind."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nexus")
if not Path("/proc/self/fd").exists():
    pytest.skip("accounts are taken from /proc", allow_module_level=True)

from soak import accounts, plan
from soak.client import send_all


class Soaked:
    """The server, and what it says."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: queue.Queue[str] = queue.Queue()
        self.end = time.monotonic() + plan.LIMIT
        self.reading = threading.Thread(target=self.read, daemon=True)
        self.reading.start()

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("null")

    def hear(self) -> Any:
        return json.loads(self.lines.get(timeout=max(0.1, self.end - time.monotonic())))

    def ask(self, question: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.hear()


@contextmanager
def soaked(home: Path) -> Iterator[Soaked]:
    with (home / "stderr").open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "soak.server"],
            env={**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
    server = Soaked(process)
    try:
        yield server
    finally:
        process.kill()
        process.wait(20)
        server.reading.join(20)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


@pytest.mark.timeout(plan.LIMIT + 60)
def test_requests_that_end_in_every_way_leave_nothing_behind(tmp_path: Path) -> None:
    ended: Counter[str] = Counter()
    memory: list[int] = []
    before: accounts.Account = {}
    with soaked(tmp_path) as server:
        started = server.hear()
        assert started is not None, (tmp_path / "stderr").read_text()[-3000:]
        for tenth, orders in enumerate(plan.shares()):
            left = server.end - time.monotonic()
            ended += asyncio.run(asyncio.wait_for(send_all(started["port"], orders), left))
            if tenth == 1:
                time.sleep(1)
                before = server.ask("account")
            memory.append(server.ask("memory"))
        settled = time.monotonic() + plan.SETTLING
        runs = plan.RUNS * (plan.TENTHS - 2) // plan.TENTHS
        time.sleep(1)
        while (leaks := accounts.leaks(before, server.ask("account"), runs=runs)) and time.monotonic() < settled:
            time.sleep(0.5)
        assert server.process.stdin is not None
        server.process.stdin.close()
        closed = server.hear()
        assert server.process.wait(20) == 0, (tmp_path / "stderr").read_text()[-3000:]
    every = [order for orders in plan.shares() for order in orders]
    assert ended == {
        "is fine: fine": sum(order.ending == "is fine" for order in every),
        "fails while waiting: failed": sum(order.ending == "fails while waiting" for order in every),
        "fails at the end: failed": sum(order.ending == "fails at the end" for order in every),
        "is cancelled: went away": sum(order.cancelled for order in every),
    }
    assert leaks == []
    assert (growth := accounts.growth(memory)) is None, growth
    assert closed == {"acquired": 1}
