"""A forked child uses the tier by connections and threads of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.redis import RedisServer

from .support import start

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
children = []
for number in range(10):
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
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
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
    output, _ = start(_PROGRAM, where, tmp_path / "notes").communicate(timeout=60)
    assert output == f"{[0] * 10}\n{list(range(10))} {{}}\n"
