"""The proxy does to connections what it says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from .proxy import Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that sends back what it gets, and its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(4096):
                    connection.sendall(data)
            except OSError:
                pass

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    """A proxy in front of it."""
    with Proxy(echo) as made:
        yield made


def _connect(proxy: Proxy, timeout: float = 10.0) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=timeout)


def _ask(connection: socket.socket, words: bytes) -> bytes:
    connection.sendall(words)
    answer = b""
    while len(answer) < len(words):
        part = connection.recv(len(words) - len(answer))
        if not part:
            raise EOFError
        answer += part
    return answer


def test_it_forwards_both_ways(proxy: Proxy) -> None:
    with _connect(proxy) as first, _connect(proxy) as second:
        assert _ask(first, b"one") == b"one"
        assert _ask(second, b"x" * 300_000) == b"x" * 300_000
        assert proxy.connections == 2


def test_while_it_hangs_nothing_comes_back_and_afterwards_everything_does(proxy: Proxy) -> None:
    with _connect(proxy, timeout=0.2) as connection:
        assert _ask(connection, b"before") == b"before"
        proxy.hang()
        connection.sendall(b"lost?")
        with pytest.raises(TimeoutError):
            connection.recv(10)
        proxy.forward()
        connection.settimeout(10.0)
        assert connection.recv(5, socket.MSG_WAITALL) == b"lost?"
        assert _ask(connection, b"again") == b"again"


def test_while_it_hangs_a_connection_is_taken_but_not_served(proxy: Proxy) -> None:
    with proxy.hanging(), _connect(proxy, timeout=0.2) as connection:
        connection.sendall(b"hello")
        with pytest.raises(TimeoutError):
            connection.recv(10)


def test_it_refuses_new_connections_and_keeps_old_ones(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        assert _ask(connection, b"old") == b"old"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            _connect(proxy)
        assert _ask(connection, b"still") == b"still"
    port = proxy.port
    proxy.forward()
    assert proxy.port == port
    with _connect(proxy) as connection:
        assert _ask(connection, b"again") == b"again"


def test_it_resets_connections(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        assert _ask(connection, b"here") == b"here"
        proxy.cut()
        with pytest.raises((ConnectionResetError, BrokenPipeError, EOFError)):
            _ask(connection, b"gone?")
            _ask(connection, b"gone!")
    assert proxy.connections == 0


def test_a_hanging_connection_can_be_reset(proxy: Proxy) -> None:
    with _connect(proxy) as connection:
        proxy.hang()
        connection.sendall(b"hello")
        proxy.cut()
        with pytest.raises((ConnectionResetError, BrokenPipeError, EOFError)):
            _ask(connection, b"gone?")
            _ask(connection, b"gone!")


def test_closing_it_leaves_no_thread(echo: int) -> None:
    proxy = Proxy(echo)
    with _connect(proxy):
        proxy.close()
    proxy.close()
    assert "test-proxy" not in {thread.name for thread in threading.enumerate()}
