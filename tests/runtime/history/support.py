"""Runs to submit, and what the database then holds."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path
from typing import Any

from kailash.tracking.storage.database import SQLiteStorage

from nexus_core.runtime.history import RunRecord, TaskRow

LIMIT = 60  # seconds for a subprocess


def database(home: Path) -> Path:
    return home / ".kailash" / "tracking" / "tracking.db"


def rows(home: Path, table: str) -> list[dict[str, Any]]:
    conn = sqlite3.connect(database(home))
    try:
        conn.row_factory = sqlite3.Row
        return [dict(row) for row in conn.execute(f"SELECT * FROM {table} ORDER BY rowid")]
    finally:
        conn.close()


def task(node: str = "a", result: str | None = '{"result": 1}') -> TaskRow:
    now = time.time()
    return TaskRow(node, "PythonCodeNode", "completed", now, now, result, None, None, 0.25)


def record(*nodes: str, name: str = "w", run_id: str | None = None) -> RunRecord:
    now = time.time()
    tasks = [task(node) for node in nodes or ("a",)]
    return RunRecord(run_id or str(uuid.uuid4()), name, "completed", now, now, "{}", None, tasks)


def run_python(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "HOME": str(home), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PRELUDE) + textwrap.dedent(code)],
        env=env, capture_output=True, text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


PRELUDE = """
    import os, threading, time, uuid
    def record(name="w", n=2):
        from nexus_core.runtime.history import RunRecord
        now = time.time()
        row = ("a", "PythonCodeNode", "completed", now, now, '{"result": 1}', None, None, 0.25, None)
        return RunRecord(str(uuid.uuid4()), name, "completed", now, now, "{}", None, [row] * n)
"""


def lock(home: Path) -> sqlite3.Connection:
    SQLiteStorage(str(database(home))).close()
    holder = sqlite3.connect(database(home), isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN EXCLUSIVE")
    return holder
