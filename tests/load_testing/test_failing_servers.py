"""Servers that die, stand still or refuse while they are tested: the test ends by itself, and counts them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from nexus_core.errors import LoadTestError
from nexus_core.load_testing import ClosedLoop, LoadProgress, LoadTest, OpenLoop, run_load_test

# Answers so many requests, then does with the next what its argument says.
_SERVER = """
    import http.server, os, sys, threading, time
    count, what = int(sys.argv[1]), sys.argv[2]

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        seen = 0
        lock = threading.Lock()

        def answer(self):
            body = b"{}"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = answer

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            with self.lock:
                Handler.seen += 1
                seen = Handler.seen
            if seen > count:
                if what == "dies":
                    os._exit(1)
                if what == "stands still":
                    time.sleep(600)
                if what == "hangs up":
                    self.close_connection = True
                    return
            self.answer()

        def log_message(self, *arguments):
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""


@contextmanager
def server(count: int, what: str) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(_SERVER), str(count), what], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.kill()
        process.wait(30)
        process.stdout.close()


@pytest.mark.parametrize("shape", [ClosedLoop(4, think_time=0.005), OpenLoop(200.0)])
def test_a_server_that_dies(shape: ClosedLoop | OpenLoop) -> None:
    with server(20, "dies") as url:
        result = run_load_test(None, "any", shape, requests=120, timeout=20, url=url)
    assert (result.stopped_by, result.requests, result.unfinished) == ("requests", 120, 0)
    assert 1 <= result.succeeded <= 20
    assert result.failed == 120 - result.succeeded
    assert {group.type for group in result.errors} <= {
        "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError",
        "nexus_core.load_testing.own_http_client.BadReply",
    }  # fmt: skip
    assert result.errors[0].type == "ConnectionRefusedError"
    # A fast refusal makes no service fast.
    assert result.latency.count == result.succeeded


def test_a_server_that_stands_still() -> None:
    with server(10, "stands still") as url:
        result = run_load_test(None, "any", ClosedLoop(3), requests=16, timeout=1.0, url=url)
    # On a busy machine a reply may be late, too.
    assert 1 <= result.succeeded <= 10
    assert [(group.type, group.count) for group in result.errors] == [("TimeoutError", 16 - result.succeeded)]
    assert result.error_latency.min >= 1.0


def test_a_server_that_hangs_up() -> None:
    with server(5, "hangs up") as url:
        result = run_load_test(None, "any", ClosedLoop(1), requests=8, url=url)
    assert (result.succeeded, result.failed) == (5, 3)
    assert result.errors[0].example == "the server closed the connection and did not reply"


def test_a_server_that_accepts_and_says_nothing_is_left_when_the_test_is_stopped() -> None:
    begun = threading.Event()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        begun.set()
        await reader.read()
        writer.close()

    async def main() -> None:
        silent = await asyncio.start_server(accept, "127.0.0.1", 0)
        test = LoadTest(
            None, "any", ClosedLoop(1), duration=600, timeout=600,
            url=f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}",
        )  # fmt: skip
        running = asyncio.ensure_future(asyncio.to_thread(test.run))
        assert await asyncio.to_thread(begun.wait, 60)
        test.stop()
        with pytest.raises(LoadTestError, match="was stopped before it began"):
            await running
        silent.close()

    asyncio.run(main())


def test_a_progress_callback_that_does_not_return_keeps_no_test_from_ending() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold(progress: LoadProgress) -> None:
        entered.set()
        leave.wait(60)

    try:
        with server(10**9, "dies") as url:
            result = run_load_test(
                None, "any", ClosedLoop(1), inputs=lambda number: {"held": entered.wait(60)}, requests=20, url=url,
                progress=hold, progress_interval=0.01,
            )  # fmt: skip
        assert entered.is_set()
        assert not leave.is_set()
        assert result.succeeded == 20
    finally:
        leave.set()
