"""The route's app in front of Nexus's own, which lets runs know the client of their request."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from nexus_core._core import Noticing
from nexus_core.runtime.clients import current_client, has_left


async def nobody_asks() -> Any:
    raise AssertionError("nobody receives")


class Sent:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def __call__(self, message: Any) -> None:
        self.messages.append(message)


def noticing(inner: Callable[..., Any]) -> Noticing:
    return Noticing(inner)


def test_the_client_is_known_while_the_request_is_handled() -> None:
    seen: list[Any] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        own = current_client()
        assert own is not None
        seen.append((scope, own.receive is receive, own.answered))
        await send({"type": "http.response.start"})
        await asyncio.sleep(0)
        seen.append(own.answered)
        await send({"type": "http.response.body"})

    async def main() -> None:
        sent = Sent()
        await noticing(inner)({"type": "http"}, nobody_asks, sent)
        assert current_client() is None
        assert [message["type"] for message in sent.messages] == ["http.response.start", "http.response.body"]

    asyncio.run(main())
    assert seen == [({"type": "http"}, True, False), True]


def test_what_it_raises_passes_and_the_client_is_forgotten() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        raise LookupError("lost")

    async def main() -> None:
        with pytest.raises(LookupError, match="lost"):
            await noticing(inner)({}, nobody_asks, nobody_asks)
        assert current_client() is None

    asyncio.run(main())


def test_a_request_can_be_cancelled_and_cleans_up() -> None:
    steps: list[str] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            steps.append("cancelled")
            assert current_client() is not None
            await asyncio.sleep(0)
            steps.append("cleaned up")
            raise

    async def main() -> None:
        handled = asyncio.ensure_future(noticing(inner)({}, nobody_asks, nobody_asks))
        await asyncio.sleep(0)
        handled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await handled

    asyncio.run(main())
    assert steps == ["cancelled", "cleaned up"]


def test_one_that_is_closed_closes_the_inner_one() -> None:
    closed: list[bool] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    steps: Any = noticing(inner)({}, nobody_asks, nobody_asks)
    loop = asyncio.new_event_loop()

    async def main() -> None:
        steps.send(None)
        steps.close()
        assert current_client() is None

    loop.run_until_complete(main())
    loop.close()
    assert closed == [True]


def test_what_is_awaited_need_not_be_a_coroutine() -> None:
    class Answer:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return 7

    async def main() -> None:
        assert await noticing(lambda scope, receive, send: Answer())({}, nobody_asks, nobody_asks) == 7

    asyncio.run(main())


@pytest.mark.parametrize(("answers", "left"), [(True, False), (False, True)])
def test_a_client_has_left_only_without_its_reply(answers: bool, left: bool) -> None:
    messages = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0)

    async def inner(scope: Any, receive: Any, send: Any) -> bool:
        own = current_client()
        assert own is not None
        if answers:
            await send({})
        return await has_left(own)

    async def main() -> Any:
        return await noticing(inner)({}, receive, Sent())

    assert asyncio.run(main()) is left


def test_a_task_of_its_own_has_no_client() -> None:
    seen: list[Any] = []

    async def look() -> None:
        seen.append(current_client())

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.create_task(look())
        seen.append(current_client() is not None)

    async def main() -> None:
        await noticing(inner)({}, nobody_asks, nobody_asks)

    asyncio.run(main())
    assert seen == [None, True]


def test_a_request_that_is_never_awaited_leaves_nothing() -> None:
    class Scope:
        pass

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("never awaited")

    scope = Scope()
    died = weakref.ref(scope)
    request: Any = noticing(inner)(scope, nobody_asks, nobody_asks)
    request.close()
    del scope, request
    gc.collect()
    assert died() is None


def test_a_request_is_handled_once() -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        pass

    async def main() -> None:
        request = noticing(inner)({}, nobody_asks, nobody_asks)
        await request
        with pytest.raises(RuntimeError, match="handled already"):
            await request

    asyncio.run(main())
