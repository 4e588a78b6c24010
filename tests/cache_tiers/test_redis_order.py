"""What is given up can be interrupted, and undoes nothing that came after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from connection_pool.support import eventually
from nexus_core.cache_tiers import RedisTier, TierFailure
from servers.proxy import Proxy
from servers.redis import RedisServer

KEY = b"k" * 32
TERMS: dict[str, Any] = {"ttl": None, "tags": (), "lease": None, "origin": b"o" * 16}


@pytest.fixture
def tier(redis_server: RedisServer) -> Iterator[RedisTier]:
    tier = RedisTier(redis_server.url(), timeout=60, client_name="ours")
    yield tier
    tier.close()


def _on_a_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_thread_has_one_connection_for_all(redis_server: RedisServer, tier: RedisTier) -> None:
    assert tier.set(KEY, b"data", **(TERMS | {"tags": ("t",)}))
    found = tier.get(KEY)
    assert found is not None
    assert found.data == b"data"
    lease = tier.acquire(KEY, "token", 10, ("t",)).lease
    assert lease is not None
    tier.release(lease, origin=b"")
    tier.clear(origin=b"")
    with redis_server.client() as client:
        assert [each["name"] for each in client.client_list()].count("ours") == 1


@pytest.mark.parametrize("call", ["get", "set", "acquire"])
def test_whatever_hangs_is_interrupted(redis_server: RedisServer, call: str) -> None:
    calls: dict[str, Callable[[RedisTier], object]] = {
        "get": lambda tier: tier.get(KEY),
        "set": lambda tier: tier.set(KEY, b"data", **TERMS),
        "acquire": lambda tier: tier.acquire(KEY, "token", 10, ()),
    }
    with Proxy(redis_server.port) as proxy:
        # It would wait longer than the test does.
        tier = RedisTier(redis_server.url(proxy.port), timeout=600)
        connected = threading.Event()
        may_go_on = threading.Event()
        failures = []

        def work() -> None:
            calls[call](tier)
            connected.set()
            may_go_on.wait(60)
            try:
                calls[call](tier)
            except TierFailure as failure:
                failures.append(failure)

        thread = _on_a_thread(work)
        connected.wait(60)
        proxy.hang()
        may_go_on.set()

        def ended() -> bool:
            # Until it is inside there is nothing to interrupt, and a connection that was cut is made anew.
            assert thread.ident is not None
            tier.interrupt(thread.ident)
            return bool(failures)

        try:
            eventually(ended)
        finally:
            proxy.cut()
            thread.join(60)
            tier.close()


def test_what_is_begun_after_a_change_was_given_up_is_of_a_later_epoch(tier: RedisTier) -> None:
    with tier._client(changes=True):
        before = tier._current_epoch()
        tier.interrupt(threading.get_ident())
        with pytest.raises(TierFailure, match="given up"):
            tier._current_epoch()
        epochs = []

        def later() -> None:
            with tier._client(changes=True):
                epochs.append(tier._current_epoch())

        _on_a_thread(later).join(60)
    assert epochs == [before + 1]


def test_a_change_is_not_lost_because_another_one_was_given_up(tier: RedisTier) -> None:
    assert tier.set(KEY, b"old", **TERMS)
    send = tier._script
    sent = []

    def script(client: Any, script: str, keys: list[Any], terms: list[Any]) -> Any:
        sent.append(terms[0])
        if len(sent) == 1:
            # It has been given its epoch, when another change is given up and one more arrives first.
            with tier._lock:
                tier._epoch += 1
            _on_a_thread(lambda: tier.set(b"m" * 32, b"another", **TERMS)).join(60)
        return send(client, script, keys, terms)

    tier._script = script  # type: ignore[method-assign]
    assert tier.set(KEY, b"new", **TERMS) is True
    assert sent == [0, 1, 1]
    found = tier.get(KEY)
    assert found is not None
    assert found.data == b"new"


def test_a_foreign_number_of_the_latest_change_is_a_failure_and_no_loop(
    redis_server: RedisServer, tier: RedisTier
) -> None:
    with redis_server.client() as client:
        client.set(tier._epoch_key, 10**9)
        with pytest.raises(TierFailure, match="somebody else changed"):
            tier.set(KEY, b"data", **TERMS)
        client.set(tier._epoch_key, "garbage")
        assert tier.set(KEY, b"data", **TERMS) is True
