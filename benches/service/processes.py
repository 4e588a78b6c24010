"""Processes of a variant: scripts that print one line of JSON, and servers, each with a home of its own and a time limit."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
STOP_TIMEOUT = 10


class Unavailable(RuntimeError):
    """This cannot be measured here; the message says what is missing."""


class ProcessFailed(RuntimeError):
    """A process ended early, said nothing in time, or said something else; the message says which and why."""


@dataclass(frozen=True)
class Started:
    """A process that has said its first line."""

    process: subprocess.Popen[str]
    said: dict[str, Any]
    stop: Callable[[], None]


class Launcher:
    """Starts the scripts of a package in the environment to measure, and stops those that are left."""

    def __init__(self, python: Path, subject: Path | None, package: str = "service") -> None:
        self.python = python
        self._package = package
        paths = [str(HERE.parent), *([str(subject)] if subject is not None else [])]
        self.variables = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}
        self._stack = ExitStack()
        self._logs = 0

    def __enter__(self) -> Launcher:
        self._stack.__enter__()
        # Kailash keeps a history in the home folder; a benchmark must not write into the user's.
        home = self._stack.enter_context(
            tempfile.TemporaryDirectory(prefix="nexus-core-bench-", ignore_cleanup_errors=True)
        )
        self.folder = Path(home)
        self.variables |= {"HOME": home, "USERPROFILE": home}
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.__exit__(None, None, None)

    def command(self, module: str, options: Sequence[str]) -> list[str]:
        return [str(self.python), "-m", f"{self._package}.{module}", *options]

    def result(self, module: str, options: Sequence[str], *, timeout: float) -> dict[str, Any]:
        """What a script of this package measured: the last line that it printed."""
        title = " ".join([module, *options])
        try:
            done = subprocess.run(
                self.command(module, options), cwd=self.folder, env=self.variables, capture_output=True, text=True,
                timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{title}: no end after {timeout:.0f} s") from None
        if done.returncode:
            raise ProcessFailed(f"{title}: exit {done.returncode}: {last_line(done.stderr)}")
        return parsed(title, (done.stdout.strip().splitlines() or [""])[-1])

    def start(self, module: str, options: Sequence[str], *, timeout: float) -> Started:
        """Start a script that prints one line of JSON when it is ready and ends when its standard input does.

        What it prints goes to a file from then on, as it does in a deployment.
        """
        title = " ".join([module, *options])
        self._logs += 1
        path = self.folder / f"{module}-{self._logs}.log"
        with path.open("w") as log:
            process = subprocess.Popen(
                self.command(module, options), cwd=self.folder, env=self.variables, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=log, text=True,
            )  # fmt: skip
        # The first to stop it counts: by hand, or with the launcher.
        stop = ExitStack()
        stop.callback(end, process)
        self._stack.callback(stop.close)
        assert process.stdout is not None
        line = first_line(process.stdout, timeout)
        if not line:
            process.kill()
            process.wait(STOP_TIMEOUT)
            raise ProcessFailed(f"{title}: not ready after {timeout:.0f} s: {last_line(path.read_text())}")
        return Started(process, parsed(title, line), stop.close)


def first_line(stream: IO[str], timeout: float) -> str:
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=lambda: lines.put(stream.readline()), daemon=True).start()
    try:
        return lines.get(timeout=timeout)
    except queue.Empty:
        return ""


def end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.close()
    try:
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_TIMEOUT)
    process.stdout.close()


def parsed(title: str, line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ProcessFailed(f"{title}: printed {line!r} instead of what it measured")
    return found


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
