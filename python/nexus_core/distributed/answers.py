"""Answers of a scheduler that are waited for so long and no longer, whatever it does."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

__all__ = ["NoAnswer", "answer_of", "probe"]

# So often Ctrl-C is heard.
_TURN = 0.05


class NoAnswer(Exception):
    """Nothing was answered in time."""


def answer_of(asked: Future[Any], timeout: float, *, cancels: bool = True) -> Any:
    """What a question has come to that runs on a client's loop.

    Args:
        asked: The question.
        timeout: Seconds.
        cancels: Whether it is given up when it is too late.

    Raises:
        NoAnswer: If it is too late; also if that loop stands still. What the question itself raises, is raised.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            return asked.result(_TURN)
        except TimeoutError:
            if asked.done():
                # It was the question's own, or it came just now.
                return asked.result()
            if time.monotonic() > deadline:
                if cancels:
                    asked.cancel()
                raise NoAnswer(f"nothing within {timeout:g} s") from None


def probe(address: str, timeout: float, security: Any = None) -> None:
    """Asks a scheduler who it is. A client would wait without end for one that accepts and says nothing.

    Args:
        address: Where it listens.
        timeout: Seconds.
        security: A ``distributed.Security``; by default that of Dask's configuration.

    Raises:
        OSError: If nobody is there, or nothing is answered in time.
        ValueError: If it is no address.
    """
    from distributed import Security, rpc

    async def ask() -> None:
        arguments = (security or Security()).get_connection_args("client")
        async with rpc(address, timeout=timeout, connection_args=arguments) as scheduler:
            await scheduler.identity(n_workers=0)

    async def ask_in_time() -> None:
        await asyncio.wait_for(ask(), timeout)

    # On a thread: the caller may be on an event loop of its own.
    with ThreadPoolExecutor(1, "nexus-core-probe") as thread:
        asked = thread.submit(asyncio.run, ask_in_time())
        while True:
            done, _ = wait([asked], _TURN)
            if done:
                asked.result()
                return
