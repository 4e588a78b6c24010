"""A tier in a SQLite file, for results that outlive the process."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from nexus_core.cache_tiers.sqlite_file import SQLiteFile
from nexus_core.cache_tiers.tier import Acquired, Event, Lease, Stored, Subscription, TierFailure

__all__ = ["SQLiteTier"]

_log = logging.getLogger("nexus_core.cache_tiers")

#: Seconds for which a use is not noted again: reading is not to be writing.
_USE_INTERVAL = 60.0
#: How many events are kept, and how often they are thinned out.
_EVENTS = 10_000
_THIN_EVERY = 256


class SQLiteTier:
    """A tier in a file on a local disk, shared by the processes of one machine.

    Once it holds `max_bytes` what was not used for longest goes, with an accuracy of a minute. A file that
    is damaged is put aside, with ``.damaged`` behind its name, and begun anew.

    Args:
        path: The file; by default ``~/.kailash/nexus/cache.sqlite``. Its folder is made if it is missing.
        max_bytes: How much the entries may take together.
        timeout: Seconds within which an operation ends.
        poll: Seconds after which it is looked for what other processes removed.
        max_connections: How many operations may be under way at once.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a size or a time is not positive.

    Example:
        >>> import tempfile
        >>> from nexus_core.cache_tiers import SQLiteTier
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tier = SQLiteTier(f"{folder}/cache.sqlite")
        ...     _ = tier.set(b"k" * 32, b"data", ttl=60, tags=(), lease=None, origin=b"")
        ...     tier.get(b"k" * 32).data
        ...     tier.close()
        b'data'
    """

    kind = "sqlite"

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        max_bytes: int = 512 * 2**20,
        timeout: float = 1.0,
        poll: float = 0.2,
        max_connections: int = 4,
    ) -> None:
        for name, seconds in (("timeout", timeout), ("poll", poll)):
            if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
                raise TypeError(f"{name} must be a number of seconds, got {seconds!r}")
            if not 0 < seconds < float("inf"):
                raise ValueError(f"{name} must be a positive number of seconds, got {seconds!r}")
        for name, number in (("max_bytes", max_bytes), ("max_connections", max_connections)):
            if isinstance(number, bool) or not isinstance(number, int):
                raise TypeError(f"{name} must be an integer, got {number!r}")
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        if path is None:
            path = Path.home() / ".kailash" / "nexus" / "cache.sqlite"
        self.timeout = float(timeout)
        self.max_connections = max_connections
        self._max_bytes = max_bytes
        self._poll = float(poll)
        # Twice: an entry takes whole pages, and there are indexes.
        pages = 2 * max_bytes // 4096 + 1024
        self._file = SQLiteFile(Path(path).expanduser().absolute(), self.timeout * 0.8, pages)

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    # --- entries ----------------------------------------------------------------------

    def get(self, key: bytes) -> Stored | None:
        """What is kept under a key."""
        with self._file.reading() as connection:
            now = time.time()
            found = _read(connection, key, now)
        if found is None:
            return None
        stored, used = found
        if now - used > _USE_INTERVAL:
            self._note_use(key, now)
        return stored

    def _note_use(self, key: bytes, now: float) -> None:
        try:
            with self._file.writing() as connection:
                connection.execute("update entries set used = ? where key = ?", (now, key))
        except TierFailure as failure:
            # It was found all the same; without the note it may go earlier.
            _log.debug("a use was not noted: %s", failure)

    def set(
        self, key: bytes, data: bytes, *, ttl: float | None, tags: tuple[str, ...], lease: Lease | None, origin: bytes
    ) -> bool:
        """Keeps bytes under a key."""
        size = len(data) + 256
        with self._file.writing() as connection:
            now = time.time()
            keeps = size <= self._max_bytes and (ttl is None or ttl > 0)
            if lease is not None:
                held = _ended(connection, lease)
                keeps = keeps and held and not _removed_since(connection, lease, tags)
                if held:
                    _tell(connection, now, "done", origin, key)
                if not keeps:
                    return False
            else:
                connection.execute("delete from leases where key = ?", (key,))
                # Also where there was nothing in here: others may still have what there was once.
                _tell(connection, now, "key", origin, key)
            connection.execute("delete from entries where key = ?", (key,))
            if not keeps:
                return False
            self._make_room(connection, size, now)
            expires = None if ttl is None else now + ttl
            connection.execute("insert into entries values (?, ?, ?, ?, ?)", (key, data, expires, now, size))
            for tag in set(tags):
                connection.execute("insert into tags values (?, ?)", (_text(tag), key))
            return True

    def _make_room(self, connection: sqlite3.Connection, size: int, now: float) -> None:
        while True:
            (total,) = connection.execute("select bytes from totals").fetchone()
            over = total + size - self._max_bytes
            if over <= 0:
                return
            if connection.execute("delete from entries where expires <= ?", (now,)).rowcount:
                continue
            # A little more than needed, so that not every entry has to look.
            over += self._max_bytes // 100
            goes = []
            for key, each in connection.execute("select key, size from entries order by used limit 1000"):
                goes.append((key,))
                over -= each
                if over <= 0:
                    break
            if not goes:
                # The sum is not what it should be; it is made right.
                connection.execute("update totals set bytes = (select coalesce(sum(size), 0) from entries)")
                return
            connection.executemany("delete from entries where key = ?", goes)

    def delete(self, key: bytes, *, origin: bytes) -> bool:
        """Removes a key and ends its lease."""
        with self._file.writing() as connection:
            _tell(connection, time.time(), "key", origin, key)
            connection.execute("delete from leases where key = ?", (key,))
            return bool(connection.execute("delete from entries where key = ?", (key,)).rowcount)

    def delete_tag(self, tag: str, *, origin: bytes) -> None:
        """Removes what has a tag."""
        with self._file.writing() as connection:
            _tell(connection, time.time(), "tag", origin, _text(tag))
            connection.execute("delete from entries where key in (select key from tags where tag = ?)", (_text(tag),))

    def clear(self, *, origin: bytes) -> None:
        """Removes everything."""
        with self._file.writing() as connection:
            _tell(connection, time.time(), "clear", origin, b"")
            connection.execute("delete from leases")
            connection.execute("delete from entries")

    # --- leases -----------------------------------------------------------------------

    def acquire(self, key: bytes, token: str, seconds: float, tags: tuple[str, ...]) -> Acquired:
        """Asks for the lease of a key."""
        with self._file.writing() as connection:
            now = time.time()
            holder = connection.execute("select token, expires from leases where key = ?", (key,)).fetchone()
            # A clock that was set back does not make a lease last longer.
            if holder is not None and holder[0] != token and now < holder[1] <= now + 3600 + 10 * seconds:
                return Acquired(seconds_left=holder[1] - now)
            connection.execute("insert or replace into leases values (?, ?, ?)", (key, token, now + seconds))
            (latest,) = connection.execute("select coalesce(max(number), 0) from events").fetchone()
            found = _read(connection, key, now)
            return Acquired(Lease(key, token, (latest,)), None if found is None else found[0])

    def renew(self, lease: Lease, seconds: float) -> bool:
        """Lets a lease last longer."""
        with self._file.writing() as connection:
            terms = (time.time() + seconds, lease.key, lease.token)
            changed = connection.execute("update leases set expires = ? where key = ? and token = ?", terms)
            return bool(changed.rowcount)

    def release(self, lease: Lease, *, origin: bytes) -> bool:
        """Ends a lease."""
        with self._file.writing() as connection:
            held = _ended(connection, lease)
            if held:
                _tell(connection, time.time(), "done", origin, lease.key)
            return held

    # --- the rest ---------------------------------------------------------------------

    def subscribe(self, listener: Callable[[Event], None]) -> Subscription:
        """Has a listener told of what happens."""
        return _Watch(self._file, listener, self._poll)

    def interrupt(self, thread: int) -> None:
        """Has what a thread is doing in here fail."""
        self._file.interrupt(thread)

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def __repr__(self) -> str:
        return f"<SQLiteTier {str(self.path)!r}>"


class _Watch:
    """Looks for events now and then."""

    def __init__(self, file: SQLiteFile, listener: Callable[[Event], None], poll: float) -> None:
        self._file = file
        self._listener = listener
        self._poll = poll
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nexus-core-sqlite-events", daemon=True)
        self._thread.start()

    def wait_ready(self, timeout: float) -> bool:
        """Waits until it looks."""
        return self._ready.wait(timeout)

    def close(self) -> None:
        """Ends it."""
        self._closed.set()
        if self._thread is not threading.current_thread():
            self._thread.join(self._poll + self._file.timeout + 1.0)

    def _run(self) -> None:
        seen: tuple[int, int, int] | None = None
        last = -1
        while not self._closed.is_set():
            try:
                version = self._file.version()
                if version != seen:
                    if seen is None or version[:2] != seen[:2]:
                        last = self._begin()
                        self._ready.set()
                    else:
                        last = self._tell(last)
                    seen = version
            except Exception as error:
                # Whatever it is, the way back is the same: everything anew, later.
                if seen is not None:
                    _log.info("events of other processes may be missed: %s", error)
                seen = None
                self._ready.clear()
            self._closed.wait(self._poll if seen is not None else max(self._poll, 0.5))
        self._file.close_mine()

    def _begin(self) -> int:
        with self._file.reading() as connection:
            (last,) = connection.execute("select coalesce(max(number), 0) from events").fetchone()
        self._listener(Event("gap"))
        return int(last)

    def _tell(self, last: int) -> int:
        with self._file.reading() as connection:
            (first,) = connection.execute("select coalesce(min(number), 0) from events").fetchone()
            rows = connection.execute(
                "select number, kind, origin, what from events where number > ? order by number", (last,)
            ).fetchall()
        if first > last + 1:
            self._listener(Event("gap"))
        for number, kind, origin, what in rows:
            last = number
            if kind == "tag":
                self._listener(Event("tag", origin, tag=bytes(what).decode("utf-8", "surrogatepass")))
            elif kind in ("key", "done", "clear"):
                self._listener(Event(kind, origin, key=what))
        return last


def _read(connection: sqlite3.Connection, key: bytes, now: float) -> tuple[Stored, float] | None:
    row = connection.execute("select data, expires, used from entries where key = ?", (key,)).fetchone()
    if row is None:
        return None
    data, expires, used = row
    if not isinstance(data, bytes) or (expires is not None and not expires > now):
        return None
    return Stored(data, None if expires is None else expires - now), used


def _ended(connection: sqlite3.Connection, lease: Lease) -> bool:
    terms = (lease.key, lease.token)
    return bool(connection.execute("delete from leases where key = ? and token = ?", terms).rowcount)


def _removed_since(connection: sqlite3.Connection, lease: Lease, tags: tuple[str, ...]) -> bool:
    """Whether a tag or everything was removed since a lease was granted, as far as that is known still."""
    (since,) = lease.state
    first, latest = connection.execute("select min(number), max(number) from events").fetchone()
    if latest is None or latest <= since:
        return False
    if first > int(since) + 1:
        return True
    marks = ",".join("?" * len(tags))
    question = f"select 1 from events where number > ? and (kind = 'clear' or (kind = 'tag' and what in ({marks})))"
    return connection.execute(question + " limit 1", (since, *map(_text, tags))).fetchone() is not None


def _tell(connection: sqlite3.Connection, now: float, kind: str, origin: bytes, what: bytes) -> None:
    cursor = connection.execute(
        "insert into events (at, kind, origin, what) values (?, ?, ?, ?)", (now, kind, origin, what)
    )
    number = cursor.lastrowid or 0
    if number % _THIN_EVERY == 0:
        connection.execute("delete from events where number <= ?", (number - _EVENTS,))


def _text(tag: str) -> bytes:
    return tag.encode("utf-8", "surrogatepass")
