"""Servers in processes of their own, and programs that are run in one."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import requests

LIMIT = 120  # seconds: what may hang gets no more

_SERVER = Path(__file__).with_name("server.py")


@contextlib.contextmanager
def quiet_loggers() -> Iterator[None]:
    """Kailash's logs go nowhere, as in an ordinary program."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def environment(home: Path) -> dict[str, str]:
    """A child process's: it finds the modules that this one finds."""
    return {**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def run_program(
    *arguments: str, home: Path, timeout: float = LIMIT, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs Python with these arguments."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(home), cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


def run_strictly(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program in which every warning is an error, those of finalisers at the end included.

    An error in a finaliser cannot be raised; it is written to stderr, which has to be empty.
    """
    ending = "\nimport gc\ngc.collect()\nprint('ended')\n"
    return run_program("-W", "error", "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(code) + ending, home=home)


PRELUDE = """
    import asyncio, logging, threading
    logging.disable(logging.CRITICAL)
    import nexus
    import nexus_core
    from kailash.workflow.builder import WorkflowBuilder
    from nexus_core.runtime import AsyncLocalRuntime

    def make_app(**options):
        return nexus.Nexus(
            api_port=0, mcp_port=0, enable_auth=False, rate_limit=None, enable_durability=False, **options
        )

    def one_node(code="result = 1"):
        builder = WorkflowBuilder()
        builder.add_node("PythonCodeNode", "node", {"code": code})
        return builder.build()
"""


class Server:
    """A server process, which says on its first line of output where it listens.

    Args:
        variant: ``attached``, ``stock`` or ``installed``.
        home: The home directory of the process.
        options: More arguments for the server's script.
    """

    def __init__(self, variant: str, home: Path, *options: str) -> None:
        self._command = [sys.executable, "-W", "error::ResourceWarning", str(_SERVER), variant, *options]
        self._home = home
        self._lines: list[str] = []
        self.http = self.websocket = self.mcp = ""

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            self._command, env=environment(self._home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,), daemon=True)
        self._reader.start()
        ports = self._process.stdout.readline()
        if not ports:
            self._process.wait(LIMIT)
            self._reader.join(10)
            self._process.stdout.close()
            raise AssertionError("the server did not start:\n" + self.log)
        found = json.loads(ports)
        self.http = f"http://127.0.0.1:{found['http']}"
        self.websocket = f"ws://127.0.0.1:{found['websocket']}"
        self.mcp = f"ws://127.0.0.1:{found['mcp']}"
        # Nexus starts its servers on threads of their own.
        self._wait_for(set(found.values()))
        return self

    def _wait_for(self, ports: set[int]) -> None:
        """Waits until all are listened on, without connecting, of which the servers would tell their logs."""
        server = psutil.Process(self._process.pid)
        deadline = time.monotonic() + LIMIT
        while missing := ports - {each.laddr.port for each in server.net_connections("tcp") if each.status == "LISTEN"}:
            if time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"nobody listens on {missing}:\n{self.log}")
            time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self.status = self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        finally:
            self._reader.join(10)
            assert self._process.stdout is not None
            self.output = self._process.stdout.read()
            self._process.stdout.close()

    def _read(self, stream: Any) -> None:
        with stream:
            self._lines.extend(stream)

    @property
    def log(self) -> str:
        """What the process has written to stderr so far."""
        return "".join(self._lines)

    def post(self, path: str, **arguments: Any) -> requests.Response:
        """Posts to the server."""
        return requests.post(self.http + path, timeout=60, **arguments)

    def get(self, path: str, **arguments: Any) -> requests.Response:
        """Gets from the server."""
        return requests.get(self.http + path, timeout=60, **arguments)

    def calls(self) -> dict[str, int]:
        """How often each method of the attached runtime has been called."""
        counts: dict[str, int] = self.get("/calls").json()
        return counts

    @contextlib.contextmanager
    def expecting_calls(self, **expected: int) -> Iterator[None]:
        """Holds that the block makes exactly these calls of the attached runtime."""
        before = self.calls()
        yield
        after = self.calls()
        made = {name: after[name] - before[name] for name in after}
        assert {name: count for name, count in made.items() if count} == expected
