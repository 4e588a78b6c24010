"""Whatever Redis does: no wrong result, no error, no wait without end."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from connection_pool.support import eventually
from nexus_core import TieredCache
from nexus_core.cache_tiers import RedisTier, TierFailure
from nexus_core.keys import digest
from servers.proxy import Proxy
from servers.redis import RedisServer

#: Far more than any operation may take with the time-out below, far less than for ever.
PATIENCE = 20.0
#: For caches whose tier is to run into it.
SHORT = 0.3


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[Proxy]:
    with Proxy(redis_server.port) as between:
        yield between


@pytest.fixture
def make(redis_server: RedisServer) -> Iterator[Callable[..., TieredCache[Any, Any]]]:
    caches = []

    # Where nothing hangs the time-out is not to strike, however slow the machine is.
    def made(port: int = 0, timeout: float = 10.0, **options: Any) -> TieredCache[Any, Any]:
        tier = RedisTier(redis_server.url(port or None), timeout=timeout, connect_timeout=timeout)
        options = {"backoff": 0.02, "max_backoff": 0.1} | options
        caches.append(TieredCache(tier, **options))
        return caches[-1]

    yield made
    for cache in caches:
        cache.close()


@contextmanager
def bounded() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < PATIENCE


def _use(cache: TieredCache[Any, Any], prefix: str = "use") -> None:
    """Everything that a cache can do, with what is right for a cache that is alone."""
    with bounded():
        cache.set((prefix, 1), [1], tags="t")
        assert cache.get((prefix, 1)) == [1]
        assert cache.get_or_set((prefix, 2), lambda: [2]) == [2]
        assert cache.get_or_set((prefix, 2), lambda: [3]) == [2]
        assert cache.pop((prefix, 2)) == [2]
        assert cache.get((prefix, 2)) is None
        cache.invalidate((prefix, 1))
        assert cache.get((prefix, 1)) is None
        cache.set((prefix, 3), 3, tags="t")
        cache.invalidate_tag("t")
        assert cache.get((prefix, 3)) is None
        with pytest.raises(ZeroDivisionError):
            cache.get_or_set((prefix, 4), lambda: 1 // 0)

        async def tasks() -> None:
            await cache.aset((prefix, 5), 5)
            assert await cache.aget((prefix, 5)) == 5
            assert await cache.aget_or_set((prefix, 6), lambda: asyncio.sleep(0, 6)) == 6
            await cache.ainvalidate((prefix, 6))
            assert await cache.aget((prefix, 6)) is None

        asyncio.run(tasks())


def _back(cache: TieredCache[Any, Any]) -> None:
    """It uses its tier again."""
    number = iter(range(10**6))

    def works() -> bool:
        key = ("back", next(number))
        cache.set(key, 1)
        cache.clear_local()
        is_there = cache.get(key) == 1
        figures = cache.statistics()
        # Together: leases that are given back late may fail after the first call that succeeds.
        return is_there and figures.unsent == 0 and figures.breaker == "closed"

    eventually(works)


def test_a_redis_that_is_not_there(redis_server: RedisServer, make: Any) -> None:
    cache = make(timeout=SHORT)
    with redis_server.away():
        _use(cache)
        errors = cache.statistics().errors
        assert errors["connection"] >= 3
        assert errors["open"] >= 1
    _back(cache)


def test_a_redis_that_goes_away_and_comes_back_empty(redis_server: RedisServer, make: Any) -> None:
    cache, other = make(), make()
    cache.set("k", 1)
    assert other.get("k") == 1
    with redis_server.away():
        _use(cache)
        assert cache.get("k") == 1
    _back(cache)
    _back(other)
    # It has forgotten the key, and may have forgotten a removal: what is local goes too.
    eventually(lambda: cache.get("k") is None and other.get("k") is None)


def test_a_redis_that_is_paused(redis_server: RedisServer, make: Any) -> None:
    cache = make(timeout=SHORT)
    _use(cache, "before")
    with redis_server.paused():
        _use(cache)
        assert cache.statistics().errors["timeout"] >= 3
    _back(cache)


def test_a_redis_that_is_killed_in_the_middle_of_requests(redis_server: RedisServer, make: Any) -> None:
    cache = make(timeout=SHORT)
    stop = threading.Event()
    wrong = []

    def work(number: int) -> int:
        count = 0
        while not stop.is_set():
            key = (number, count % 50)
            cache.set(key, key)
            cache.clear_local()
            found = cache.get(key)
            if found not in (None, key):
                wrong.append((key, found))
            if cache.get_or_set(key, lambda key=key: key) != key:
                wrong.append(key)
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        workers = [pool.submit(work, number) for number in range(8)]
        try:
            for _ in range(5):
                time.sleep(0.2)
                with redis_server.away():
                    time.sleep(0.1)
        finally:
            stop.set()
        assert all(worker.result(60) for worker in workers)
    assert not wrong
    _back(cache)


@pytest.mark.parametrize("how", ["hang", "cut", "refuse"])
def test_a_network_that_fails(proxy: Proxy, make: Any, how: str) -> None:
    cache = make(proxy.port, timeout=SHORT)
    _use(cache, "before")
    getattr(proxy, how)()
    if how == "refuse":
        proxy.cut()
    _use(cache)
    proxy.forward()
    _back(cache)


def test_a_server_that_answers_byte_by_byte(redis_server: RedisServer, make: Any) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def dribble() -> None:
            try:
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=drip, args=(connection,), daemon=True).start()
            except OSError:
                return

        def drip(connection: socket.socket) -> None:
            with connection:
                try:
                    connection.sendall(b"$100000\r\n")
                    while True:
                        connection.sendall(b"x")
                        time.sleep(0.05)
                except OSError:
                    return

        thread = threading.Thread(target=dribble)
        thread.start()
        cache = make(listener.getsockname()[1], timeout=SHORT)
        _use(cache)
        assert cache.statistics().errors["timeout"] >= 1
        cache.close()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def test_a_redis_that_is_full(redis_server: RedisServer, make: Any) -> None:
    cache, other = make(), make()
    cache.set("old", 1)
    assert other.get("old") == 1
    with redis_server.client() as client:
        client.config_set("maxmemory", 1)
        try:
            _use(cache)
            errors = cache.statistics().errors
            assert errors["full"] >= 1
            assert cache.statistics().breaker == "closed", "it can be read"
            # Room for removals there is: what is overwritten is not what was.
            cache.set("old", 2)
            assert cache.get("old") == 2
            eventually(lambda: other.get("old") is None)
            # And what was there is found.
            assert cache.statistics().unsent == 0
        finally:
            client.config_set("maxmemory", 0)
    eventually(lambda: cache.statistics().write_breaker != "open")
    _back(cache)


def test_a_redis_that_can_only_be_read(redis_server: RedisServer, make: Any) -> None:
    cache, other = make(), make()
    cache.set("old", 1)
    cache.set("kept", 1)
    with redis_server.client() as client:
        client.config_set("replica-read-only", "yes")
        # Of a server that is not there: it stays as it is, and takes no writes.
        client.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            _use(cache)
            assert cache.statistics().errors["read_only"] >= 1
            assert other.get("kept") == 1
            cache.invalidate("old")
            assert cache.get("old") is None, "it is removed, though Redis has it still"
            assert cache.statistics().unsent >= 1
        finally:
            client.execute_command("REPLICAOF", "NO", "ONE")
    _back(cache)
    eventually(lambda: other.get("old") is None)


def test_removals_that_redis_missed_are_told_later(redis_server: RedisServer, proxy: Proxy, make: Any) -> None:
    cache, other = make(proxy.port), make()
    for key in ("removed", "tagged", "written", "kept"):
        cache.set(key, "old", tags=["t"] if key == "tagged" else None)
    proxy.refuse()
    proxy.cut()
    cache.invalidate("removed")
    cache.invalidate_tag("t")
    cache.set("written", "new")
    assert cache.statistics().unsent == 3
    assert (cache.get("removed"), cache.get("tagged"), cache.get("written")) == (None, None, "new")
    assert other.get("removed") == "old", "nobody could tell it"
    proxy.forward()
    _back(cache)
    eventually(
        lambda: [other.get(key) for key in ("removed", "tagged", "written", "kept")] == [None, None, None, "old"]
    )
    assert [cache.get(key) for key in ("removed", "tagged", "kept")] == [None, None, "old"]


def test_clearing_is_told_later_too(redis_server: RedisServer, proxy: Proxy, make: Any) -> None:
    cache, other = make(proxy.port), make()
    cache.set("k", 1)
    proxy.refuse()
    proxy.cut()
    cache.clear()
    assert cache.get("k") is None
    proxy.forward()
    _back(cache)
    eventually(lambda: other.get("k") is None)


def test_a_write_that_arrives_after_a_later_one_is_not_carried_out(redis_server: RedisServer, make: Any) -> None:
    for number in range(10):
        cache, other = make(timeout=SHORT, failures=1000), make()
        key = ("late", number)
        with redis_server.paused():
            # It lies in the server's ear and is given up.
            cache.set(key, "first")
        cache.set(key, "second")
        cache.clear_local()
        assert cache.get(key) in ("second", None)
        eventually(lambda cache=cache: cache.statistics().unsent == 0 or cache.get("x"))
        assert other.get(key) in ("second", None)


@pytest.mark.parametrize("command", ["SET {} x", "RPUSH {} x", "SADD {} x", "HSET {} other x", "ZADD {} 1 x"])
def test_foreign_values_of_any_type_under_our_keys(redis_server: RedisServer, make: Any, command: str) -> None:
    make().set("warm", 1)
    cache = make()
    with redis_server.client() as client:
        for key in ("k", "m"):
            name = digest(key).hex()
            for ours in (f"entry:{name}", f"lease:{name}", "tag:t"):
                client.execute_command(*command.format("nexus:{default}:" + ours).split())
        client.delete("nexus:{default}:generation")
        client.execute_command(*command.format("nexus:{default}:generation").split())
    with bounded():
        assert cache.get("k") is None
        # A string under the key of a lease is somebody's lease without end.
        computed = cache.get_or_set("k", lambda: 1, tags="t") if not command.startswith("SET") else 1
        assert computed == 1
        cache.set("m", 2, tags="t")
        assert cache.get("m") == 2
    reader = make()
    assert reader.get("m") == 2
    cache.invalidate_tag("t")
    eventually(lambda: reader.get("m") is None)
    assert cache.statistics().breaker == "closed"


def test_a_lease_of_somebody_else_without_end_is_waited_for_in_bounds(redis_server: RedisServer, make: Any) -> None:
    cache = make(max_wait=0.3)
    with redis_server.client() as client:
        client.set("nexus:{default}:lease:" + digest("k").hex(), "foreign")
    with bounded():
        assert cache.get_or_set("k", lambda: 1) == 1
    assert cache.statistics().errors["waited_too_long"] == 1


def test_tokens_that_redis_evicted_take_their_entries_with_them(redis_server: RedisServer, make: Any) -> None:
    cache, reader = make(), make()
    for token, tags in (("tag:t", "t"), ("generation", None)):
        cache.set("k", 1, tags=tags)
        with redis_server.client() as client:
            assert client.delete("nexus:{default}:" + token)
        assert reader.get("k") is None


def test_a_subscription_that_was_lost_costs_the_local_entries(redis_server: RedisServer, make: Any) -> None:
    cache, other = make(), make()
    cache.set("k", 1)
    assert other.get("k") == 1
    before = other.statistics().gaps
    with redis_server.client() as client:
        client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        # Nobody hears this.
        client.delete("nexus:{default}:entry:" + digest("k").hex())
    eventually(lambda: other.statistics().gaps > before)
    assert other.get("k") is None


def test_a_subscription_that_hangs_is_noticed(redis_server: RedisServer, proxy: Proxy, make: Any) -> None:
    cache, other = make(), make(proxy.port, timeout=3.0)
    cache.set("k", 1)
    assert other.get("k") == 1
    before = other.statistics().gaps
    with proxy.hanging():
        cache.invalidate("k")
        # No sign of life: it leaves the connection that hangs.
        eventually(lambda: not other._backing._subscription._ready.is_set())
    eventually(lambda: other.statistics().gaps > before)
    assert other.get("k") is None


def test_messages_of_others_on_our_channel_harm_nobody(redis_server: RedisServer, make: Any) -> None:
    cache = make()
    cache.set("k", 1)
    with redis_server.client() as client:
        for message in (b"", b"k", b"k" * 17, b"t" + bytes(16) + b"\xff", b"z" * 100, b"k" + bytes(16) + b"short"):
            client.publish("nexus:{default}:events", message)
        client.publish("nexus:{default}:events", b"k" + bytes(16) + digest("m"))
    eventually(lambda: cache.statistics().events >= 1)
    assert cache.get("k") == 1
    assert cache.statistics().gaps == 1


def test_a_wrong_password_makes_the_cache_local(redis_server: RedisServer) -> None:
    tier = RedisTier(redis_server.url(), password="wrong", timeout=10.0)
    with TieredCache(tier) as cache:
        _use(cache)
        assert cache.statistics().errors["denied"] >= 1


def test_namespaces_do_not_see_each_other(redis_server: RedisServer) -> None:
    tiers = [RedisTier(redis_server.url(), namespace=name, timeout=10.0) for name in ("a*", "ab")]
    with TieredCache(tiers[0]) as one, TieredCache(tiers[1]) as other:
        one.set("k", 1)
        assert other.get("k") is None
        other.set("k", 2)
        one.clear()
        other.clear_local()
        assert (one.get("k"), other.get("k")) == (None, 2)


def test_the_event_loop_goes_on_while_redis_hangs(redis_server: RedisServer, make: Any) -> None:
    cache = make(timeout=60.0)
    cache.set("warm", 1)

    async def main() -> None:
        with redis_server.paused():
            asked = asyncio.gather(*(cache.aget(("none", each)) for each in range(20)), cache.aset("k", 1))
            for _ in range(1000):
                await asyncio.sleep(0)
            assert not asked.done()
        await asked

    # Redis goes on when the loop has turned: a loop that is blocked waits for the time-out.
    with bounded():
        asyncio.run(main())


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"url": "http://x"}, ValueError, "scheme"), ({"decode_responses": True}, ValueError, "entries are bytes"), ({"timeout": 0}, ValueError, "timeout"), ({"timeout": "1"}, TypeError, "timeout"),
        ({"namespace": "a{b}"}, ValueError, "without braces"), ({"prefix": 5}, TypeError, "prefix"), ({"max_connections": 0}, ValueError, "max_connections"),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        RedisTier(**arguments)


def test_the_tier_itself_says_what_failed(redis_server: RedisServer) -> None:
    tier = RedisTier(redis_server.url(), timeout=SHORT)
    with redis_server.paused(), pytest.raises(TierFailure, match="timeout") as raised:
        tier.get(b"k" * 32)
    assert raised.value.concerns == "all"
    tier.close()
