"""A forked child uses the tier by connections and threads of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.redis import RedisServer

from .support import finish, start

_PROGRAM = """
cache = make()
cache.set("k", 1)
assert cache.get("k") == 1
stop = threading.Event()
def busy():
    while not stop.is_set():
        cache.set("busy", 1)
        cache.clear_local()
        cache.get("busy")
threads = [threading.Thread(target=busy) for _ in range(4)]
for thread in threads: thread.start()
statuses = []
def fork(number):
    child = os.fork()
    if child == 0:
        try:
            assert cache.get("k") == 1
            cache.set(("child", number), number)
            assert cache.get_or_set(("computed", number), lambda: number) == number
            statistics = cache.statistics()
            assert statistics.hits >= 1, statistics
        except BaseException as error:
            sys.stderr.write(repr(error)); os._exit(1)
        os._exit(0)
    statuses.append(os.waitpid(child, 0)[1])
# Two at once: neither lets anybody in before the other one has forked.
forks = [threading.Thread(target=lambda numbers=numbers: [*map(fork, numbers)]) for numbers in (range(5), range(5, 10))]
for thread in forks: thread.start()
for thread in forks: thread.join()
print(statuses)
stop.set()
for thread in threads: thread.join()
print([cache.get(("child", number)) for number in range(10)], cache.statistics().errors)
cache.close()
"""


@pytest.fixture(params=["redis", "sqlite"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "cache.sqlite")
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        yield server.url()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_forked_children_share_the_tier(where: str, tmp_path: Path) -> None:
    output = finish(start(_PROGRAM, where, tmp_path / "notes"))
    assert output == f"{[0] * 10}\n{list(range(10))} {{}}\n"


_SURVIVOR = """
cache = make()
cache.set("k", 1)
child = os.fork()
if child == 0:
    try:
        cache.set("first", 1)
        note("begun")
        until(lambda: "closed" in noted())
        for number in range(100): cache.set(("late", number), number)
        assert cache.statistics().errors == {}
    except BaseException as error:
        sys.stderr.write(repr(error)); os._exit(1)
    os._exit(0)
until(lambda: "begun" in noted())
# The last one of the parent's that closes the file.
cache.close()
note("closed")
print(os.waitpid(child, 0)[1])
with make() as cache:
    print([cache.get(("late", number)) for number in range(100)] == list(range(100)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_what_a_child_writes_after_its_parent_closed_is_there(where: str, tmp_path: Path) -> None:
    assert finish(start(_SURVIVOR, where, tmp_path / "notes")) == "0\nTrue\n"


_BUSY = """
from nexus_core.cache_tiers import sqlite_forks
cache = TieredCache(SQLiteTier(where, timeout=0.1))
cache.set("k", 1)
inside, may_leave = threading.Event(), threading.Event()
def busy():
    with sqlite_forks.INSIDE:
        inside.set()
        may_leave.wait(60)
thread = threading.Thread(target=busy)
thread.start()
inside.wait(60)
child = os.fork()
if child == 0:
    try:
        assert cache.get("k") is None
        cache.set("k", 2)
        assert cache.get("k") == 2
        assert cache.get_or_set("m", lambda: 3) == 3
        assert cache.statistics().errors["forked"] >= 1, cache.statistics()
    except BaseException as error:
        sys.stderr.write(repr(error)); os._exit(1)
    os._exit(0)
print(os.waitpid(child, 0)[1])
may_leave.set()
thread.join()
cache.clear_local()
print(cache.get("k"), cache.statistics().errors)
cache.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_was_forked_while_sqlite_was_busy_is_local(tmp_path: Path) -> None:
    output = finish(start(_BUSY, str(tmp_path / "cache.sqlite"), tmp_path / "notes"))
    assert output.splitlines()[-2:] == ["0", "1 {}"]
