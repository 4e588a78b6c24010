"""A missing value is computed once by all threads and tasks of all processes."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.redis import RedisServer

from .support import finish, start, wait

_THREADS = """
cache = make(lease=100.0, max_wait=1000.0)
def factory():
    note("computed")
    until(lambda: cache.statistics().local.load_waits >= 900)
    return os.getpid()
results = []
threads = [threading.Thread(target=lambda: results.append(cache.get_or_set("k", factory))) for _ in range(1000)]
note("ready")
until(lambda: noted().count("ready") == 2)
for thread in threads: thread.start()
for thread in threads: thread.join(100)
print(f"{len(results)} {set(results)}\\n", end="")
cache.close()
"""

_TASKS = """
cache = make(lease=100.0, max_wait=1000.0)
async def factory():
    note("computed")
    while cache.statistics().local.load_waits < 999:
        await asyncio.sleep(0.01)
    return os.getpid()
async def main():
    note("ready")
    until(lambda: noted().count("ready") == 2)
    return await asyncio.gather(*(cache.aget_or_set("k", factory) for _ in range(1000)))
results = asyncio.run(main())
print(f"{len(results)} {set(results)}\\n", end="")
cache.close()
"""


@pytest.fixture(params=["redis", "sqlite"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield str(tmp_path / "cache.sqlite")
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        yield server.url()


@pytest.mark.parametrize(("one", "other"), [(_THREADS, _THREADS), (_TASKS, _TASKS), (_THREADS, _TASKS)])
def test_two_processes_of_a_thousand_compute_once(where: str, tmp_path: Path, one: str, other: str) -> None:
    notes = tmp_path / "notes"
    processes = [start(program, where, notes) for program in (one, other)]
    outputs = [finish(process) for process in processes]
    assert notes.read_text().split().count("computed") == 1, outputs
    assert outputs[0] == outputs[1]
    assert outputs[0].startswith("1000 {")


# A lease that is long enough for a slow machine; that of the leader is to run out.
_WAITS = """
cache = make(lease=100.0)
def factory():
    note("computed")
    time.sleep(0.2)
    return "taken over"
results = []
threads = [threading.Thread(target=lambda: results.append(cache.get_or_set("k", factory))) for _ in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join(100)
print(len(results), *set(results))
cache.close()
"""


def _leader(where: str, notes: Path, last: str) -> subprocess.Popen[str]:
    program = f"""
cache = make(lease=1.0)
def factory():
    note("leads")
    {last}
    return "late"
print(cache.get_or_set("k", factory), cache.statistics().fenced, cache.get("k"))
cache.close()
"""
    process = start(program, where, notes)
    wait(process, lambda: notes.exists() and "leads" in notes.read_text())
    return process


def test_exactly_one_takes_over_from_a_process_that_is_killed(where: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    leader = _leader(where, notes, "time.sleep(100)")
    others = [start(_WAITS, where, notes) for _ in range(2)]
    leader.kill()
    leader.communicate()
    outputs = [finish(process) for process in others]
    assert outputs == ["20 taken over\n"] * 2
    assert notes.read_text().split() == ["leads", "computed"]


def test_a_process_that_was_stopped_too_long_does_not_overwrite(where: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    leader = _leader(where, notes, "until(lambda: 'go' in noted())")
    os.kill(leader.pid, signal.SIGSTOP)
    try:
        output = finish(start(_WAITS, where, notes))
        assert output == "20 taken over\n"
    finally:
        os.kill(leader.pid, signal.SIGCONT)
    with notes.open("a") as file:
        file.write("go\n")
    output = finish(leader)
    # Its own caller gets what it computed; the key's value is the other one's.
    assert output == "late 1 taken over\n"


def test_each_process_computes_once_where_redis_is_away(redis_server: RedisServer, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    with redis_server.away():
        processes = [start(program, redis_server.url(), notes) for program in (_THREADS, _TASKS)]
        outputs = [finish(process) for process in processes]
    assert notes.read_text().split().count("computed") == 2, outputs
    # Around it there may be warnings that the tier is left alone.
    results = [[line for line in output.splitlines() if line.startswith("1000 {")] for output in outputs]
    assert [len(each) for each in results] == [1, 1], outputs
    assert results[0] != results[1]
