"""Processes of their own that use a shared tier."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import nexus_core

__all__ = ["BEGIN", "finish", "start"]

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
    end = time.monotonic() + 60
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
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + program, where, str(notes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What a process printed, once it has ended; one that hangs is ended with its children.

    Args:
        process: What `start()` returned.
    """
    try:
        output, _ = process.communicate(timeout=180)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        raise AssertionError(f"it hangs: {output}") from None
    return output
