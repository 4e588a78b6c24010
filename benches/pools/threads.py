"""The pools of threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from pools import QUEUE, WORKERS, PoolPeer, Workers


def trivial() -> None:
    """The least that can be done."""


def _of_executor(executor: Executor) -> Workers:
    submit = executor.submit

    def submit_all(count: int) -> None:
        futures = [submit(trivial) for _ in range(count)]
        for future in futures:
            future.result()

    def round_trips(count: int) -> None:
        for _ in range(count):
            submit(trivial).result()

    return Workers(submit_all, round_trips)


@contextmanager
def standard() -> Iterator[Workers]:
    with ThreadPoolExecutor(WORKERS) as executor:
        yield _of_executor(executor)


@contextmanager
def standard_map() -> Iterator[Workers]:
    with ThreadPoolExecutor(WORKERS) as executor:
        yield _of_map(executor)


def _of_map(executor: Executor, **options: Any) -> Workers:
    def map_all(count: int) -> None:
        for _ in executor.map(_ignore, range(count), **options):
            pass

    return Workers(map_all, lambda count: None)


def _ignore(_: object) -> None:
    """The least that can be done with an item."""


@contextmanager
def standard_bounded() -> Iterator[Workers]:
    """The usual recipe: a semaphore around `submit`."""
    with ThreadPoolExecutor(WORKERS) as executor:
        room = threading.BoundedSemaphore(QUEUE + WORKERS)

        def left(_: Future[None]) -> None:
            room.release()

        def submit_all(count: int) -> None:
            futures = []
            for _ in range(count):
                room.acquire()
                future = executor.submit(trivial)
                future.add_done_callback(left)
                futures.append(future)
            for future in futures:
                future.result()

        yield Workers(submit_all, lambda count: None)


@contextmanager
def ours(**options: Any) -> Iterator[Workers]:
    from nexus_core import ThreadPool

    with ThreadPool(WORKERS, **options) as pool:
        yield _of_executor(pool)


@contextmanager
def ours_map() -> Iterator[Workers]:
    from nexus_core import ThreadPool

    with ThreadPool(WORKERS) as pool:
        yield _of_map(pool, chunksize=100)


PEERS = {
    peer.key: peer
    for peer in (
        PoolPeer("nexus_core", "nexus_core ThreadPool", ours),
        PoolPeer("executor", "ThreadPoolExecutor", standard),
    )
}
MAPS = {
    peer.key: peer
    for peer in (
        PoolPeer("nexus_core_map", "nexus_core ThreadPool.map, chunks of 100", ours_map),
        PoolPeer("executor_map", "ThreadPoolExecutor.map", standard_map),
    )
}
BOUNDED = {
    peer.key: peer
    for peer in (
        PoolPeer("nexus_core_bounded", f"nexus_core ThreadPool, queue of {QUEUE}", lambda: ours(max_queue_size=QUEUE)),
        PoolPeer("executor_bounded", f"ThreadPoolExecutor and a semaphore of {QUEUE + WORKERS}", standard_bounded),
    )
}
