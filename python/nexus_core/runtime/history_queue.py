"""The queue in front of a history database, and the thread that empties it.

One thread serves all queues of the process and merges what waits into transactions.
Whoever has to wait (``flush``, a full queue, the interpreter's exit) writes with its
own hands instead of waiting for that thread, so nothing depends on a thread that a
fork or the interpreter's shutdown has taken away.
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
import time
from collections import deque
from itertools import islice
from typing import Any

from kailash.tracking.storage.database import SQLiteStorage

from nexus_core.runtime.history_rows import (
    PERSIST_WARNING,
    RunRecord,
    insert_runs,
    insert_tasks,
    transaction,
)

logger = logging.getLogger("nexus_core.runtime.history")

MAX_WAITING_ROWS = 50_000
MAX_WAITING_BYTES = 64 << 20
_BATCH_ROWS = 10_000
_LINGER = 0.002  # seconds the thread lets records gather once it is woken
_IDLE_CLOSE = 5.0  # seconds after which an unused connection is closed
_BUSY_TIMEOUT_MS = 100  # one attempt; short, so that flush() and fork() need not wait long
BUSY_PATIENCE = 5.0  # as long as stock waits for a lock
_ERROR_PATIENCE = 0.5  # read-only, full disk, no directory: seldom passes by itself
_MAX_BACKOFF = 0.25
_GIVEN_UP_BACKOFF = 2.0
_CHECKPOINT_PAGES = 4000

# What is wrong with the database rather than with a record: worth another attempt.
_STORE_ERRORS = (sqlite3.DatabaseError, OSError, MemoryError)
_RECORD_ERRORS = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError)


registry = threading.RLock()

#: Held while a database is opened: two of this process that make its tables at once would
#: both want to say which version they are.
opening = threading.RLock()
served: list[HistoryWriter] = []


class HistoryWriter:
    """The run history of one database file.

    Args:
        path: the database; created with its directory, as stock does.
        max_rows: rows (runs and tasks) that may wait before ``submit`` blocks.
        max_bytes: bytes of text that may wait before ``submit`` blocks.
    """

    def __init__(self, path: str, max_rows: int = MAX_WAITING_ROWS, max_bytes: int = MAX_WAITING_BYTES) -> None:
        self.path = path
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self.closed = False
        self._waiting: deque[RunRecord] = deque()
        self._storage: Any = None
        self._inode: tuple[int, int] | None = None
        self._used = 0.0
        self._failing_since: float | None = None
        self._last_error: BaseException | None = None
        self._warnings: list[BaseException] = []
        self._forget()
        with registry:
            served.append(self)

    def _forget(self) -> None:
        """Start afresh, also after a fork: what waited is the parent's to write."""
        # Both are re-entrant: a destructor that the garbage collector runs inside
        # one of our critical sections may itself run a workflow or read history.
        self._lock = threading.RLock()  # the queue and its counters
        self._io = threading.RLock()  # the connection; held while a batch is written
        self._writing = False
        self._waiting.clear()
        self._rows = self._bytes = 0
        self._submitted = self._settled = 0  # records
        self._written_rows = self._lost_rows = 0
        self._batches = self._failures = 0
        self._failing_since, self._gave_up, self._backoff, self._retry_at = None, False, 0.0, 0.0
        self._last_error = None
        self._warnings.clear()

    # --- callers ------------------------------------------------------------------

    def submit(self, record: RunRecord) -> None:
        """Take over a run; the caller must not change it any more.

        Never touches the disk, except that a full queue makes the caller write a
        batch itself, and that after ``close`` or during the interpreter's exit the
        record is written at once, as stock does.  If the database has been failing
        for longer than stock would wait and the queue is full, the record is lost:
        counted in ``stats()`` and warned about, as stock loses and warns.
        """
        rows = 1 + len(record.tasks)
        if not record.size:
            record.size = _text_size(record)
        if self._rows + rows > self._max_rows or self._bytes + record.size > self._max_bytes:
            self._make_room(rows, record.size)
        with self._lock:
            if self._gave_up and self._is_full(rows, record.size):
                self._lost_rows += rows
                if self._last_error is not None:
                    self._warnings.append(self._last_error)
                self._submitted += 1
                self._settled += 1
                lost = True
            else:
                self._waiting.append(record)
                self._rows += rows
                self._bytes += record.size
                self._submitted += 1
                lost = False
        if lost:
            self._warn()
        elif (self.closed or not worker.ring()) and not self.flush(BUSY_PATIENCE) and (self.closed or worker.stopped):
            self._abandon()

    def flush(self, timeout: float | None = None) -> bool:
        """Write everything submitted before this call; seconds or None.

        Returns False when some of it still waits: the time is over, or the database
        has failed for longer than stock would wait (5 s for a lock, 0.5 s for
        other errors).  With None it therefore ends as well.
        """
        target = self._submitted
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._settled < target:
            left = -1.0 if deadline is None else deadline - time.monotonic()
            if deadline is not None and left <= 0:
                return False
            if not self._io.acquire(timeout=left):
                return False
            try:
                if self._writing:  # re-entered by the thread that is writing
                    return False
                written = self._settled >= target or self._write_batch()
            finally:
                self._io.release()
            self._warn()
            if not written:
                if self._gave_up:
                    return False
                time.sleep(self._backoff)
        return True

    def close(self) -> None:
        """Make a last attempt to write what waits, and close the connection.

        What cannot be written even then is lost, counted and warned about.
        """
        self.closed = True
        self._fresh_patience()
        if not self.flush():
            self._abandon()
        with self._io:
            if not self._writing:
                self._disconnect()
        with registry:
            if self in served:
                served.remove(self)

    def stats(self) -> dict[str, Any]:
        """Counters since the start; rows are those of runs and tasks together."""
        with self._lock:
            return {
                "submitted_runs": self._submitted,
                "waiting_runs": len(self._waiting),
                "waiting_rows": self._rows,
                "waiting_bytes": self._bytes,
                "written_rows": self._written_rows,
                "lost_rows": self._lost_rows,
                "batches": self._batches,
                "failed_attempts": self._failures,
                "failing": self._gave_up,
                "last_error": None if self._last_error is None else str(self._last_error),
            }

    def is_waiting(self) -> bool:
        """Whether something is submitted and not yet committed."""
        return bool(self._waiting)

    # --- backpressure and loss ----------------------------------------------------

    def _is_full(self, rows: int, size: int) -> bool:
        return bool(self._waiting) and (self._rows + rows > self._max_rows or self._bytes + size > self._max_bytes)

    def _make_room(self, rows: int, size: int) -> None:
        while self._is_full(rows, size) and not self._gave_up:
            with self._io:
                if self._writing:
                    return
                written = not self._is_full(rows, size) or self._write_batch()
            self._warn()
            if not written:
                time.sleep(self._backoff)

    def _abandon(self) -> None:
        with self._io, self._lock:
            if self._writing or not self._waiting:
                return
            self._lost_rows += self._rows
            self._settled += len(self._waiting)
            self._waiting.clear()
            self._rows = self._bytes = 0
            if self._last_error is not None:
                self._warnings.append(self._last_error)
        self._warn()

    def _warn(self) -> None:
        # Outside of our locks: a logging handler is somebody else's code.
        while self._warnings:
            try:
                error = self._warnings.pop(0)
            except IndexError:
                return
            logger.warning(PERSIST_WARNING, error)

    # --- writing; the caller holds self._io ----------------------------------------

    def _write_batch(self) -> bool:
        """Write the oldest records in one transaction; False if the database refuses."""
        with self._lock:
            count = rows = 0
            for record in self._waiting:
                rows += 1 + len(record.tasks)
                if count and rows > _BATCH_ROWS:
                    break
                count += 1
            batch = list(islice(self._waiting, count))
        if not batch:
            return True
        self._writing = True
        try:
            conn = self._connection()
            try:
                with transaction(conn):
                    insert_runs(conn, batch)
                    insert_tasks(conn, batch)
                lost = 0
            except Exception as error:
                if isinstance(error, _STORE_ERRORS) and not isinstance(error, _RECORD_ERRORS):
                    raise
                lost = self._write_one_by_one(conn, batch)
        except _STORE_ERRORS as error:
            self._failed(error)
            return False
        finally:
            self._writing = False
        with self._lock:
            for record in batch:
                self._waiting.popleft()
                self._rows -= 1 + len(record.tasks)
                self._bytes -= record.size
                self._written_rows += 1 + len(record.tasks)
            self._written_rows -= lost
            self._lost_rows += lost
            self._settled += len(batch)
            self._batches += 1
        self._used = time.monotonic()
        self._failing_since, self._gave_up, self._backoff, self._retry_at = None, False, 0.0, 0.0
        return True

    def _write_one_by_one(self, conn: sqlite3.Connection, batch: list[RunRecord]) -> int:
        """Write what SQLite accepts, in stock's steps, so one bad run spoils no other."""
        lost = 0
        for record in batch:
            missing = 1 + len(record.tasks)
            try:
                with transaction(conn):
                    insert_runs(conn, [record])
                missing -= 1
                with transaction(conn):
                    insert_tasks(conn, [record])
            except Exception as error:
                if isinstance(error, _STORE_ERRORS) and not isinstance(error, _RECORD_ERRORS):
                    raise  # all again later; OR REPLACE makes that harmless
                lost += missing
                self._last_error = error
                self._warnings.append(error)
        return lost

    def _failed(self, error: BaseException) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        self._failures += 1
        self._last_error = error
        self._backoff = min(_MAX_BACKOFF, self._backoff * 2 or 0.01)
        self._retry_at = now + self._backoff
        busy = "locked" in str(error) or "busy" in str(error)
        patience = BUSY_PATIENCE if busy else _ERROR_PATIENCE
        if not self._gave_up and now - self._failing_since >= patience:
            self._gave_up = True
            self._warnings.append(error)
        if self._gave_up:
            self._retry_at = now + _GIVEN_UP_BACKOFF
        if not busy:
            self._disconnect()

    def _fresh_patience(self) -> None:
        with self._io:
            if not self._writing:
                self._failing_since, self._gave_up, self._backoff = None, False, 0.0

    def _connection(self) -> sqlite3.Connection:
        if self._storage is not None and _inode(self.path) != self._inode:
            self._disconnect()
        if self._storage is None:
            storage = SQLiteStorage(self.path)
            conn = storage.conn
            conn.isolation_level = None
            conn.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
            conn.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            # insert_runs and insert_tasks check the status, the schema's only CHECK.
            conn.execute("PRAGMA ignore_check_constraints=ON")
            self._storage, self._inode = storage, _inode(self.path)
        self._used = time.monotonic()
        return self._storage.conn

    def _disconnect(self) -> None:
        storage, self._storage, self._inode = self._storage, None, None
        if storage is not None:
            try:
                storage.close()
            except _STORE_ERRORS as error:
                self._last_error = error

    # --- the thread -----------------------------------------------------------------

    def _is_due(self) -> bool:
        return bool(self._waiting) and time.monotonic() >= self._retry_at

    def _serve(self) -> float | None:
        """Write a batch if one is due; seconds until the next visit, None for never."""
        if self._waiting and time.monotonic() >= self._retry_at:
            with self._io:
                self._write_batch()
            self._warn()
        now = time.monotonic()
        if self._waiting:
            return max(0.0, self._retry_at - now)
        if self._storage is None:
            return None
        if now - self._used < _IDLE_CLOSE:
            return _IDLE_CLOSE - (now - self._used)
        with self._io:
            if not self._waiting:
                self._disconnect()
        return None


def _text_size(record: RunRecord) -> int:
    texts = sum([len(task[5] or task[6] or "") for task in record.tasks])
    return texts + len(record.metadata_json) + 200 * (1 + len(record.tasks))


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Worker:
    """The one thread; it serves every writer of the process."""

    def __init__(self) -> None:
        # SimpleQueue.put may be interrupted by a destructor that puts as well.
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._asleep = False
        self._thread: threading.Thread | None = None
        self._start_lock = threading.RLock()
        self.stopped = False

    def start(self) -> bool:
        """True if the thread runs; it cannot be started during shutdown, for one."""
        if self._thread is not None and self._thread.is_alive():
            return True
        with self._start_lock:
            if self._thread is not None and self._thread.is_alive():
                return True
            thread = threading.Thread(target=self._run, name="nexus-core-history", daemon=True)
            try:
                thread.start()
            except (RuntimeError, MemoryError):
                return False
            self._thread = thread
        return True

    def ring(self) -> bool:
        """Say that something waits; False if nobody would hear."""
        if self.stopped:
            return False
        if self._asleep:
            self._asleep = False
            self._bell.put(None)
            return True
        return self.start()

    def _run(self) -> None:
        while True:
            visits = [writer._serve() for writer in list(served)]
            self._asleep = True
            # Looked at after the flag is set: a record that came in before saw
            # the thread awake and did not ring.
            if not any(writer._is_due() for writer in list(served)):
                delays = [delay for delay in visits if delay is not None]
                try:
                    self._bell.get(timeout=min(delays, default=None))
                    time.sleep(_LINGER)
                except queue.Empty:
                    pass
            self._asleep = False


worker = Worker()


def before_fork() -> None:
    # SQLite's connections and its own mutexes must not cross a fork, so nobody is
    # inside SQLite on our behalf while it happens.
    registry.acquire()
    worker._start_lock.acquire()
    for writer in served:
        writer._io.acquire()
        if not writer._writing:
            writer._disconnect()
        writer._lock.acquire()


def after_fork_in_parent() -> None:
    for writer in reversed(served):
        writer._lock.release()
        writer._io.release()
    worker._start_lock.release()
    registry.release()


def after_fork_in_child() -> None:
    global opening, registry, worker
    registry, opening = threading.RLock(), threading.RLock()
    worker = Worker()
    for writer in served:
        writer._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=before_fork,
        after_in_parent=after_fork_in_parent,
        after_in_child=after_fork_in_child,
    )
