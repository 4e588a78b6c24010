"""A checkpoint store in an SQLite file that a killed process leaves whole."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

__all__ = ["SqliteStore"]


class SqliteStore:
    """Saves are committed, and on the disk, when ``save`` returns.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.execute("CREATE TABLE IF NOT EXISTS checkpoints (key TEXT PRIMARY KEY, data BLOB NOT NULL)")

    async def save(self, key: str, data: bytes) -> None:
        await asyncio.to_thread(
            self._connection.execute, "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (key, data)
        )

    async def load(self, key: str) -> bytes | None:
        row = self._connection.execute("SELECT data FROM checkpoints WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()
