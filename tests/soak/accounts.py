"""What a process holds: tasks, threads, file descriptors, objects, references, memory."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

Account = dict[str, Any]

WORKER = "nexus-core-worker-"
FEW_WORKERS = 8


def take(runtime: Any, workflow: Any) -> Account:
    """An account of this process, after a full garbage collection; call it on the event loop.

    Args:
        runtime: The runtime whose references are counted.
        workflow: The workflow whose references are counted.
    """
    for _ in range(3):
        gc.collect()
    names = sorted(thread.name for thread in threading.enumerate())
    kinds = Counter(f"{type(found).__module__}.{type(found).__qualname__}" for found in gc.get_objects())
    return {
        "tasks": sorted(task.get_coro().__qualname__ for task in asyncio.all_tasks()),  # type: ignore[union-attr]
        "threads": [name for name in names if not name.startswith(WORKER)],
        "workers": len([name for name in names if name.startswith(WORKER)]),
        "native_threads": len(os.listdir("/proc/self/task")),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "objects": dict(kinds),
        "references": {
            "runtime": sys.getrefcount(runtime),
            "workflow": sys.getrefcount(workflow),
            **{f"node {node_id}": sys.getrefcount(node) for node_id, node in workflow._node_instances.items()},
        },
        "acquired": runtime.ref_count,
        "memory": resident(),
    }


def resident() -> int:
    """Resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def leaks(before: Account, after: Account, *, runs: int) -> list[str]:
    """What the second account has that the first had not, in words; nothing if nothing was left behind.

    Args:
        before: Taken when everything was warm.
        after: Taken when everything had ended.
        runs: How many runs lie between them.
    """
    found = []
    for name in ("tasks", "threads"):
        more = Counter(after[name]) - Counter(before[name])
        found += [f"{count} {name} more: {what}" for what, count in more.items()]
    for name in ("workers", "native_threads"):
        # Workers come as load demands, and its peak may come late; one for each run would be thousands.
        if after[name] > before[name] + FEW_WORKERS:
            found.append(f"{name}: {before[name]} before, {after[name]} after")
    for name in ("descriptors", "acquired"):
        if after[name] > before[name]:
            found.append(f"{name}: {before[name]} before, {after[name]} after")
    for name, count in after["references"].items():
        if count > before["references"][name]:
            found.append(f"references to {name}: {before['references'][name]} before, {count} after")
    # What leaks with every run of a kind shows in hundreds; caches of the interpreter and of Kailash grow by a few.
    for kind, count in after["objects"].items():
        more_objects = count - before["objects"].get(kind, 0)
        allowed = 0 if kind.startswith("nexus_core.") else 50 + runs // 50
        if more_objects > allowed:
            found.append(f"{more_objects} objects more: {kind}")
    return found


def growth(memory: list[int]) -> str | None:
    """Whether resident memory grew from the second tenth to the last, beyond any doubt; in words.

    Args:
        memory: Bytes at the end of each tenth.
    """
    grown = memory[-1] - memory[1]
    if grown <= max(12 << 20, memory[1] // 10):
        return None
    listed = ", ".join(f"{figure / (1 << 20):.1f}" for figure in memory)
    return f"{grown / (1 << 20):.1f} MiB more in the last tenth than in the second; MiB by tenth: {listed}"
