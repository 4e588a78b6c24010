"""Whatever happens to the file: no wrong result, no error, no wait without end."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connection_pool.support import eventually
from nexus_core import TieredCache
from nexus_core.cache_tiers import SQLiteTier, TierFailure
from nexus_core.cache_tiers.sqlite_file import SQLiteFile

from .support import start, wait

_TERMS: dict[str, Any] = {"ttl": None, "tags": (), "lease": None, "origin": b""}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "cache.sqlite"


@pytest.fixture
def make(path: Path) -> Iterator[Callable[..., TieredCache[Any, Any]]]:
    caches = []

    def made(timeout: float = 5.0, max_bytes: int = 2**24, **options: Any) -> TieredCache[Any, Any]:
        tier = SQLiteTier(path, poll=0.02, timeout=timeout, max_bytes=max_bytes)
        caches.append(TieredCache(tier, **({"backoff": 0.02, "max_backoff": 0.1} | options)))
        return caches[-1]

    yield made
    for cache in caches:
        cache.close()


def _use(cache: TieredCache[Any, Any]) -> None:
    """What is right for a cache that is alone."""
    began = time.monotonic()
    cache.set("use", [1], tags="t")
    assert cache.get("use") == [1]
    assert cache.get_or_set("use-2", lambda: [2]) == [2]
    assert cache.pop("use-2") == [2]
    assert cache.get("use-2") is None
    cache.invalidate_tag("t")
    assert cache.get("use") is None
    assert cache.get("nobody") is None
    assert time.monotonic() - began < 20


def _key(number: int) -> bytes:
    return number.to_bytes(32, "big")


def test_results_outlive_the_process(make: Any, path: Path) -> None:
    cache = make()
    cache.set("k", (1, {2}))
    cache.close()
    assert make().get("k") == (1, {2})
    assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0, "nobody else reads it"


def test_by_default_it_is_in_the_users_folder() -> None:
    assert SQLiteTier().path == Path.home() / ".kailash" / "nexus" / "cache.sqlite"


def test_its_size_is_bounded_and_what_was_used_stays(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nexus_core.cache_tiers.sqlite_tier as module

    monkeypatch.setattr(module, "_USE_INTERVAL", 0.0)
    tier = SQLiteTier(path, max_bytes=200_000)
    for number in range(500):
        assert tier.set(_key(number), bytes(1000), **_TERMS)
        assert tier.get(_key(0)) is not None
    with sqlite3.connect(path) as connection:
        (count, size) = connection.execute("select count(*), sum(size) from entries").fetchone()
        (total,) = connection.execute("select bytes from totals").fetchone()
    connection.close()
    assert total == size <= 200_000
    assert count > 100
    assert tier.get(_key(499)) is not None
    assert tier.get(_key(1)) is None
    assert tier.set(_key(1), bytes(300_000), **_TERMS) is False
    assert path.stat().st_size < 3_000_000
    tier.close()


def test_what_expired_goes_before_what_lives(path: Path) -> None:
    tier = SQLiteTier(path, max_bytes=20_000)
    lasts = _TERMS | {"ttl": 1000}
    assert tier.set(_key(0), bytes(5000), **lasts)
    for number in range(1, 30):
        tier.set(_key(number), bytes(5000), **(_TERMS | {"ttl": 0.001}))
        time.sleep(0.002)
    assert tier.get(_key(0)) is not None
    tier.close()


def test_events_are_thinned_out_and_a_gap_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nexus_core.cache_tiers.sqlite_tier as module

    monkeypatch.setattr(module, "_EVENTS", 100)
    tier = SQLiteTier(path)
    old = tier.acquire(_key(1), "one", 100, ("t",)).lease
    for _ in range(600):
        tier.delete(_key(2), origin=b"")
    with sqlite3.connect(path) as connection:
        (count,) = connection.execute("select count(*) from events").fetchone()
    connection.close()
    assert count < 400
    # Whether the tag was removed is not known any more.
    assert tier.set(_key(1), b"x", **(_TERMS | {"lease": old})) is False
    tier.close()


@pytest.mark.parametrize("damage", ["garbage", "half", "empty", "zeros", "foreign-tables", "no-tables"])
def test_a_damaged_file_is_begun_anew(make: Any, path: Path, damage: str) -> None:
    cache = make()
    for number in range(300):
        cache.set(number, "x" * 500)
    cache.close()
    data = path.read_bytes()
    if damage == "garbage":
        path.write_bytes(os.urandom(len(data)))
    elif damage == "half":
        path.write_bytes(data[: len(data) // 2 // 4096 * 4096])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "zeros":
        path.write_bytes(data[:4096] + bytes(len(data) - 4096))
    else:
        with sqlite3.connect(path) as connection:
            connection.execute("drop table leases" if damage == "no-tables" else "drop table entries")
            if damage == "foreign-tables":
                connection.execute("create table entries (something)")
        connection.close()
    cache = make()
    for number in range(300):
        assert cache.get(number) in (None, "x" * 500)
    assert cache.get_or_set("after", lambda: 1) == 1
    eventually(lambda: cache.set("again", 2) or make().get("again") == 2)
    _use(make())


def test_a_damaged_entry_is_a_miss(make: Any, path: Path) -> None:
    make().set("k", "value")
    with sqlite3.connect(path) as connection:
        (data,) = connection.execute("select data from entries").fetchone()
        connection.execute("update entries set data = ?", (data[:-1] + b"X",))
    connection.close()
    cache = make()
    assert cache.get("k") is None
    assert cache.statistics().rejected == {"damaged": 1}


def test_a_file_that_is_damaged_while_it_is_used(make: Any, path: Path) -> None:
    cache, other = make(maxsize=0), make(maxsize=0)
    for number in range(300):
        cache.set(number, "x" * 500)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))
    for _ in range(3):
        for number in range(300):
            for each in (cache, other):
                assert each.get(number) in (None, "x" * 500)
                each.set(number, "x" * 500)
    eventually(lambda: cache.set("new", 1) or other.get("new") == 1)


def test_a_file_that_is_removed_is_begun_anew(make: Any, path: Path) -> None:
    cache = make()
    cache.set("k", 1)
    for each in path.parent.iterdir():
        each.unlink()
    eventually(lambda: cache.get("k") is None)
    cache.set("k", 2)
    assert make().get("k") == 2


def test_a_database_of_somebody_else_is_left_alone(make: Any, path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("create table theirs (x)")
    connection.close()
    before = path.read_bytes()
    cache = make()
    _use(cache)
    assert cache.statistics().errors["foreign"] >= 1
    assert path.read_bytes() == before
    with pytest.raises(TierFailure, match="choose another path"):
        SQLiteTier(path).get(_key(1))


def test_a_disk_that_is_full(make: Any, path: Path) -> None:
    # The file may have a little more than four MiB, twice the entries and some; these do not fit.
    # A listener that begins late drops what is here, and there it is not: it is waited for.
    cache = make(max_bytes=2**20, timeout=60)
    cache._backing.tier._file._max_pages = 200
    text = os.urandom(20_000).hex()
    for number in range(60):
        cache.set(number, text)
        assert cache.get(number) == text
    assert cache.statistics().errors["full"] >= 1
    _use(cache)
    # What was found in the tier before the disk was full is found still, and what is overwritten is not.
    other = make()
    assert other.get(0) == text
    cache.set(0, text + "new")
    eventually(lambda: other.get(0) is None)
    assert cache.get(0) == text + "new"


def test_a_file_that_others_lock(make: Any, path: Path) -> None:
    cache, other = make(timeout=0.2), make()
    other.set("k", 1)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("begin immediate")
    try:
        _use(cache)
        errors = cache.statistics().errors
        assert errors.get("locked", 0) + errors.get("timeout", 0) >= 1
        assert other.get("k") == make().get("k") == 1, "reading goes on"
    finally:
        connection.execute("rollback")
        connection.close()
    eventually(lambda: cache.statistics().write_breaker != "open")
    cache.set("after", 1)
    eventually(lambda: make().get("after") == 1 or cache.set("after", 1))


def test_a_folder_that_cannot_be_written() -> None:
    program = """
import os, sys, tempfile
from nexus_core import TieredCache
from nexus_core.cache_tiers import SQLiteTier
folder = tempfile.mkdtemp()
os.chmod(folder, 0o500)
if os.geteuid() == 0:
    os.setuid(65534)
for path in (folder + "/cache.sqlite", "/dev/null/cache.sqlite", folder + "/deeper/cache.sqlite"):
    with TieredCache(SQLiteTier(path)) as cache:
        assert cache.get_or_set("k", lambda: 1) == 1
        cache.set("m", 2)
        cache.invalidate("k")
        print(cache.get("k"), cache.get("m"), cache.statistics().errors.get("cannot_open", 0) > 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "None 2 True\n" * 3, done.stderr


_WRITES = """
cache = make()
number = 0
while True:
    cache.set(number % 200, [number] * 500, tags=["t"])
    note("wrote")
    number += 1
"""


def test_processes_that_are_killed_in_the_middle_of_writes(make: Any, path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    for round_ in range(3):
        notes = tmp_path / f"notes-{round_}"
        writers = [start(_WRITES, str(path), notes) for _ in range(2)]
        wait(writers[0], lambda notes=notes: notes.exists() and notes.read_text().count("wrote") > 100)
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.communicate()
        cache = make()
        found = [cache.get(number) for number in range(200)]
        assert any(found)
        assert all(each is None or (len(each) == 500 and len(set(each)) == 1) for each in found)
        assert cache.statistics().rejected == {}
        assert cache.statistics().errors == {}
        cache.close()
    connection = sqlite3.connect(path)
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    (total,) = connection.execute("select bytes from totals").fetchone()
    assert connection.execute("select sum(size) from entries").fetchone() == (total,)
    connection.close()


def test_many_threads_write_and_remove(make: Any) -> None:
    caches = [make(timeout=60), make(timeout=60)]
    wrong = []

    def work(mine: int) -> None:
        cache = caches[mine % 2]
        for number in range(60):
            key = (mine, number % 10)
            cache.set(key, (key, number), tags=[f"t{mine}"])
            cache.clear_local()
            if (found := cache.get(key)) != (key, number):
                wrong.append((key, number, found, cache.statistics().errors))
            if number % 20 == 19:
                cache.invalidate_tag(f"t{mine}")
                if any(cache.get((mine, each)) is not None for each in range(10)):
                    wrong.append(mine)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    assert not wrong
    assert [cache.statistics().errors for cache in caches] == [{}, {}]


def test_a_write_that_was_given_up_does_not_come_after_a_later_one(make: Any, path: Path) -> None:
    cache = make(timeout=0.2, failures=1000)
    cache.set("k", "zero")
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    for number in range(5):
        connection.execute("begin immediate")
        cache.set("k", ("first", number))
        connection.execute("rollback")
        eventually(lambda: cache.statistics().write_breaker != "open")
        cache.set("k", ("second", number))
        # Also that one may have been given up, which is told then.
        eventually(lambda: cache.statistics().unsent == 0 or cache.get("x"))
        assert make().get("k") in (None, ("second", number))
    connection.close()


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"max_bytes": 0}, ValueError, "max_bytes"), ({"max_bytes": 1.5}, TypeError, "max_bytes"), ({"timeout": -1}, ValueError, "timeout"),
        ({"poll": 0}, ValueError, "poll"), ({"max_connections": True}, TypeError, "max_connections"), ({"path": 5}, TypeError, "5|int"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        SQLiteTier(**arguments)


def test_a_write_that_was_given_up_while_the_file_was_opened_is_not_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = SQLiteTier(path)
    opened = SQLiteFile._opened

    def slowly(file: SQLiteFile) -> sqlite3.Connection:
        tier.interrupt(threading.get_ident())
        return opened(file)

    monkeypatch.setattr(SQLiteFile, "_opened", slowly)
    with pytest.raises(TierFailure, match="given up"):
        tier.set(b"k" * 32, b"data", ttl=None, tags=(), lease=None, origin=b"")
    assert tier.get(b"k" * 32) is None
    tier.close()


def test_what_is_written_anew_after_the_file_let_go_of_it_leaves_other_local_caches(make: Any, path: Path) -> None:
    one, other = make(), make()
    one.set("k", "old")
    assert other.get("k") == "old"
    connection = sqlite3.connect(path)
    # As if there had been no room, or its time had been over.
    connection.execute("delete from entries")
    connection.commit()
    connection.close()
    one.set("k", "new")
    eventually(lambda: other.get("k") == "new")
