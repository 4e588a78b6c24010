"""The server that other tests use starts, stops, and leaves nothing behind."""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from .redis import RedisServer


def test_it_is_empty_on_the_same_port_after_it_was_away(redis_server: RedisServer) -> None:
    port = redis_server.port
    with redis_server.client() as client:
        client.set("kept", 1)
        with redis_server.away(), pytest.raises(redis.ConnectionError):
            client.get("kept")
    assert redis_server.port == port
    with redis_server.client() as client:
        assert client.get("kept") is None


def test_it_does_nothing_while_it_is_paused(redis_server: RedisServer) -> None:
    with redis.Redis(port=redis_server.port, socket_timeout=0.2, retry=None) as client:
        client.ping()
        with redis_server.paused(), pytest.raises(redis.TimeoutError):
            client.ping()
    with redis_server.client() as client:
        assert client.ping()


def test_its_settings_can_be_given_and_it_is_gone_when_it_is_removed() -> None:
    server = RedisServer(maxmemory_policy="allkeys-lru")
    folder = server._folder
    with server.client() as client:
        assert client.info("memory")["maxmemory_policy"] == "allkeys-lru"
    server.remove()
    assert not folder.exists()


def test_it_ends_with_a_process_that_is_killed() -> None:
    program = (
        "import os, signal\n"
        "from servers.redis import RedisServer\n"
        "server = RedisServer()\n"
        "print(server.port, server._folder, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    port, folder = done.stdout.split()
    end = time.monotonic() + 60
    while Path(folder).exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not Path(folder).exists()
    with pytest.raises(redis.ConnectionError):
        redis.Redis(port=int(port)).ping()


def test_a_port_that_is_taken_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken, socket.socket() as free:
        # Bound only: who connects is refused.
        taken.bind(("127.0.0.1", 0))
        free.bind(("127.0.0.1", 0))
        ports = iter((taken.getsockname()[1], free.getsockname()[1]))
        free.close()
        monkeypatch.setattr(random, "randrange", lambda *_: next(ports))
        server = RedisServer()
    server.remove()
