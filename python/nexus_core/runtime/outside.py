"""Calls that a coroutine leaves to whoever drives it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

__all__ = ["Request", "driven"]

_T = TypeVar("_T")


class Request:
    """Something that is done for a run outside of its coroutine.

    What is being handled outside is the context of exceptions in a coroutine, and cannot be
    hidden from inside.
    """

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call

    def __await__(self) -> Generator[Request, Any, Any]:
        return (yield self)


def driven(steps: Coroutine[Any, Any, _T]) -> _T:
    """Runs a coroutine to its end that awaits nothing but :class:`Request` s, without an event loop.

    Args:
        steps: The coroutine.
    """
    try:
        request: Request = steps.send(None)
        while True:
            failure = None
            try:
                value = request.call()
            except BaseException as error:
                failure = error
            request = steps.send(value) if failure is None else steps.throw(failure)
    except StopIteration as finished:
        outcome: _T = finished.value
        return outcome
    finally:
        steps.close()
