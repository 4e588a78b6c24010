"""Processes of their own that use a shared tier."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nexus_core

__all__ = ["BEGIN", "end_all", "finish", "start", "wait"]

_PATIENCE = 180.0
_started: list[subprocess.Popen[str]] = []

#: What such a process begins with: `make()` for a cache, and `note()` for a line that all of them write to.
BEGIN = """
import asyncio, os, sys, threading, time
from nexus_core import TieredCache
from nexus_core.cache_tiers import RedisTier, SQLiteTier
where, notes = sys.argv[1:3]
def make(**options):
    tier = RedisTier(where, timeout=20) if where.startswith("redis:") else SQLiteTier(where, timeout=20, poll=0.02)
    return TieredCache(tier, **options)
def note(text):
    with open(notes, "a") as file:
        file.write(text + "\\n")
def noted():
    return open(notes).read().split() if os.path.exists(notes) else []
def until(holds):
    end = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)
"""


def start(program: str, where: str, notes: Path) -> subprocess.Popen[str]:
    """Starts a program in a process of its own.

    Args:
        program: Its code, after `BEGIN`.
        where: The tier: an URL of Redis, or a file.
        notes: The file that the processes write to.
    """
    path = os.pathsep.join([str(Path(nexus_core.__file__).parent.parent), str(Path(__file__).parent.parent)])
    process = subprocess.Popen(
        [sys.executable, "-c", BEGIN + program, where, str(notes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    _started.append(process)
    return process


def wait(process: subprocess.Popen[str], holds: Callable[[], object]) -> None:
    """Waits until a process has got somewhere; it first has to start, which takes a busy machine long.

    Args:
        process: What `start()` returned.
        holds: Whether it has.
    """
    end = time.monotonic() + _PATIENCE
    while not holds():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end, "it never held"
        time.sleep(0.005)


def end_all() -> None:
    """Ends what a test that failed left behind."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    """What a process printed, once it has ended; one that hangs is ended with its children.

    Args:
        process: What `start()` returned.
    """
    try:
        output, _ = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"it hangs: {output}") from None
    return output
