"""A SQLite file that several processes and threads use, and that begins anew when it is damaged."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from nexus_core.cache_tiers import sqlite_forks
from nexus_core.cache_tiers.forks import after_fork
from nexus_core.cache_tiers.tier import TierFailure

__all__ = ["SQLiteFile"]

# Windows has none: there an open file cannot be replaced, and a damaged one stays a miss.
fcntl: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None

#: Kept in the file: another layout is another file to this program, and begins anew.
_LAYOUT = 1
_APPLICATION = 0x4E785430

_SCHEMA = f"""
begin immediate;
create table if not exists entries (
    key blob primary key, data blob not null, expires real, used real not null, size integer not null
);
create index if not exists entries_used on entries (used, size);
create index if not exists entries_expire on entries (expires) where expires is not null;
create table if not exists tags (tag blob not null, key blob not null, primary key (tag, key)) without rowid;
create index if not exists tags_key on tags (key);
create table if not exists leases (key blob primary key, token text not null, expires real not null) without rowid;
create table if not exists events (
    number integer primary key autoincrement, at real not null, kind text not null, origin blob not null, what blob not null
);
create table if not exists totals (bytes integer not null);
insert into totals select 0 where not exists (select 1 from totals);
create trigger if not exists entries_in after insert on entries begin
    update totals set bytes = bytes + new.size;
end;
create trigger if not exists entries_out after delete on entries begin
    update totals set bytes = bytes - old.size;
    delete from tags where key = old.key;
end;
pragma application_id = {_APPLICATION};
pragma user_version = {_LAYOUT};
commit;
"""

_KINDS: dict[int, tuple[str, Literal["all", "writes", "key"]]] = {
    sqlite3.SQLITE_FULL: ("full", "writes"),
    sqlite3.SQLITE_READONLY: ("read_only", "writes"),
    sqlite3.SQLITE_BUSY: ("locked", "writes"),
    sqlite3.SQLITE_LOCKED: ("locked", "writes"),
    sqlite3.SQLITE_INTERRUPT: ("timeout", "all"),
    sqlite3.SQLITE_CANTOPEN: ("cannot_open", "all"),
    sqlite3.SQLITE_PERM: ("denied", "all"),
    sqlite3.SQLITE_AUTH: ("denied", "all"),
    sqlite3.SQLITE_IOERR: ("io", "all"),
    sqlite3.SQLITE_NOMEM: ("memory", "all"),
}
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class SQLiteFile:
    """Connections of threads to one file.

    Args:
        path: The file; its folder is made if it is missing.
        timeout: Seconds that a thread waits for others who write.
        max_pages: How many pages the file may have; ``None`` for no limit.
    """

    def __init__(self, path: Path, timeout: float, max_pages: int | None) -> None:
        self.path = path
        self.timeout = timeout
        self._max_pages = max_pages
        # What could not be closed before a fork must not be used in the child, not even closed.
        self._of_parents: list[sqlite3.Connection] = []
        self._begin()
        sqlite_forks.closed_at_forks(self)
        after_fork(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._mine = threading.local()
        self._open: dict[int, sqlite3.Connection] = {}
        self._interrupted: set[int] = set()

    def _before_fork(self) -> bool:
        return self._close_all()

    def _after_fork(self) -> None:
        self._of_parents += self._open.values()
        self._begin()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection, inside a block whose failures are told as a tier's."""
        with self._told():
            yield self._connection()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """The same within a transaction that has the right to write from its beginning."""
        with self._told():
            connection = self._connection()
            connection.execute("begin immediate")
            try:
                # What was given up while it waited must not come after what was done since.
                if threading.get_ident() in self._interrupted:
                    raise TierFailure("timeout", "it was given up")
                yield connection
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        connection.execute("rollback")
                raise

    def interrupt(self, thread: int) -> None:
        """Has what a thread is doing fail."""
        with self._lock:
            # Also while it opens the file.
            self._interrupted.add(thread)
            connection = self._open.get(thread)
            if connection is not None:
                connection.interrupt()

    def version(self) -> tuple[int, int, int]:
        """Changes whenever somebody else wrote to the file, or it is another file."""
        with self._told():
            connection = self._connection()
            (written,) = connection.execute("pragma data_version").fetchone()
            return (*self._mine.file, written)

    def close(self) -> None:
        """Closes all connections."""
        with sqlite_forks.INSIDE:
            self._close_all()

    def close_mine(self) -> None:
        """Closes this thread's connection."""
        with sqlite_forks.INSIDE:
            self._close_mine()

    # --- connections ------------------------------------------------------------------

    def _close_all(self) -> bool:
        with self._lock:
            connections = list(self._open.values())
            # Whoever had one opens another.
            self._mine = threading.local()
            self._open = {}
        # Each of them, also after one that could not be closed.
        closed = [_close(connection) for connection in connections]
        return all(closed)

    def _close_mine(self) -> None:
        with self._lock:
            self._open.pop(threading.get_ident(), None)
        connection, self._mine.connection = getattr(self._mine, "connection", None), None
        if connection is not None:
            _close(connection)

    def _connection(self) -> sqlite3.Connection:
        if not sqlite_forks.is_usable():
            raise TierFailure("forked", "this process was forked while SQLite was busy, and cannot use it")
        self._interrupted.discard(threading.get_ident())
        connection: sqlite3.Connection | None = getattr(self._mine, "connection", None)
        if connection is not None:
            if self._mine.file == _identity(self.path):
                return connection
            # Somebody began the file anew.
            self._close_mine()
        with self._exclusively():
            # Also of one that turns out to be damaged, so that it is known if somebody begins it anew first.
            self._mine.file = _identity(self.path)
            connection = self._opened()
            self._mine.file = _identity(self.path)
        self._mine.connection = connection
        with self._lock:
            self._open[threading.get_ident()] = connection
        return connection

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self.timeout, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            (application,) = connection.execute("pragma application_id").fetchone()
            (layout,) = connection.execute("pragma user_version").fetchone()
            (tables,) = connection.execute("select count(*) from sqlite_schema").fetchone()
            if tables and application != _APPLICATION:
                raise TierFailure("foreign", f"{self.path} is a database of another program; choose another path")
            if tables and layout != _LAYOUT:
                raise _damaged(f"layout {layout}")
            connection.execute("pragma journal_mode = wal").fetchone()
            connection.execute("pragma synchronous = normal")
            connection.execute(f"pragma journal_size_limit = {16 * 2**20}")
            if self._max_pages is not None:
                connection.execute(f"pragma max_page_count = {self._max_pages}").fetchone()
            if not tables:
                connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        """Nobody else opens the file or begins it anew meanwhile."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if fcntl is None:
            yield
            return
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = time.monotonic() + self.timeout
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise TierFailure("locked", "the file is being opened by others") from None
                    time.sleep(0.002)
            yield
        finally:
            # Not only closed: a child that was forked meanwhile has it open too.
            fcntl.flock(lock, fcntl.LOCK_UN)
            os.close(lock)

    @contextmanager
    def _told(self) -> Iterator[None]:
        with sqlite_forks.INSIDE:
            try:
                yield
            except sqlite3.Error as error:
                code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                if code in _DAMAGED or _is_ours(error):
                    self._begin_anew()
                    raise TierFailure("damaged", f"{error}; {self.path} was begun anew", "key") from error
                self._close_mine()
                kind, concerns = _KINDS.get(code, ("refused", "all"))
                raise TierFailure(kind, str(error), concerns) from error
            except OSError as error:
                self._close_mine()
                raise TierFailure("cannot_open", str(error)) from error

    def _begin_anew(self) -> None:
        """Puts a damaged file aside, unless somebody else has."""
        file = getattr(self._mine, "file", None)
        self._close_mine()
        with contextlib.suppress(OSError), self._exclusively():
            if file is not None and file != _identity(self.path):
                return
            # The journal is the damaged file's: it must not be taken for that of the next one.
            for suffix in ("", "-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{self.path}{suffix}", f"{self.path}.damaged{suffix}")


def _close(connection: sqlite3.Connection) -> bool:
    try:
        connection.close()
    except sqlite3.Error:
        return False
    return True


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


def _damaged(why: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_NOTADB
    return error


def _is_ours(error: sqlite3.Error) -> bool:
    """Whether a table is missing, or is not as this program makes it."""
    text = str(error)
    return isinstance(error, sqlite3.OperationalError) and text.startswith(("no such table", "no such column"))
