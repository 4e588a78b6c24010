"""One mailbox an event loop, in which worker threads leave word for it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from nexus_core._core import LoopMailbox

__all__ = ["mailbox_of"]

_mailboxes: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, LoopMailbox] = weakref.WeakKeyDictionary()


def mailbox_of(loop: asyncio.AbstractEventLoop) -> LoopMailbox:
    """The loop's mailbox, made when it is first asked for.

    Args:
        loop: A loop; the mailbox does not keep it alive.
    """
    mailbox = _mailboxes.get(loop)
    if mailbox is None:
        mailbox = _mailboxes[loop] = LoopMailbox(_waker(weakref.ref(loop)))
    return mailbox


def _waker(known: weakref.ref[asyncio.AbstractEventLoop]) -> Callable[[Callable[[], Any]], None]:
    def wake(deliver: Callable[[], Any]) -> None:
        loop = known()
        if loop is not None:
            loop.call_soon_threadsafe(deliver)

    return wake
