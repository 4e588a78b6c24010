"""A worker process, as its parent sees it."""

from __future__ import annotations

import mmap
import os
import select
import socket
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

from nexus_core.processes.bell import Bell
from nexus_core.processes.fork_server import fork_server
from nexus_core.processes.frames import receive, send
from nexus_core.processes.tasks import Failed, Phase
from nexus_core.shipping.exceptions import restore
from nexus_core.shipping.security_rules import SecurityRules
from nexus_core.shipping.values import Packed, pack, unpack

__all__ = ["Abandoned", "Limits", "Lost", "Overdue", "WorkerInfo", "WorkerProcess"]

#: Workflows of which it is noted that a worker has them: more than it keeps.
_MOST_KNOWN = 256

#: Seconds between two looks whether a task is still wanted.
_LOOK = 0.05


class Lost(Exception):
    """The worker has ended."""

    def __init__(self, has_begun: bool) -> None:
        #: What it was sent may have run, in part.
        self.has_begun = has_begun


class Overdue(Exception):
    """A task has not ended in time."""


class Abandoned(Exception):
    """Nobody wants a task any more."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a task may take.

    Attributes:
        seconds: From its start in a worker, which has read it then; ``None`` for no limit.
        is_abandoned: Asked now and then whether nobody wants it any more.
    """

    seconds: float | None = None
    is_abandoned: Callable[[], bool] | None = None


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker process.

    Attributes:
        name: Its name.
        pid: Its process id.
        started: When it was started, in seconds since the epoch.
        state: ``"idle"``, ``"busy"``, or ``"leaving"`` if it ends after what it is doing.
        tasks: What it has done so far.
        busy_seconds: For how long it has worked.
    """

    name: str
    pid: int
    started: float
    state: str
    tasks: int
    busy_seconds: float


class WorkerProcess:
    """Starts a worker process.

    Args:
        name: Its name.

    Raises:
        ForkServerError: If it cannot be started.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = time.time()
        self.tasks = 0
        self.busy_seconds = 0.0
        #: Whose it is; nobody's while it has nothing to do.
        self.lease: object = None
        #: On the monotonic clock, as far as it is somebody's.
        self.busy_since = 0.0
        self.free_since = 0.0
        #: It ends when it has nothing to do.
        self.leaves = False
        #: ``"killed"`` or ``"lost"`` once it is to end at once.
        self.fate: str | None = None
        #: How it has ended, once that rings.
        self.status: int | None = None
        self.gone = Bell()
        #: Digests of workflows that it has.
        self.known: set[str] = set()
        #: What it was last told of levels of loggers.
        self.levels: object = None
        #: And of what nodes may do.
        self._rules: SecurityRules | None = None
        self._channel, theirs = socket.socketpair()
        descriptor = _shared_page()
        try:
            self._state = mmap.mmap(descriptor, mmap.PAGESIZE)
            self.pid = fork_server().fork(theirs, descriptor)
        except BaseException:
            self._channel.close()
            raise
        finally:
            theirs.close()
            os.close(descriptor)

    def info(self) -> WorkerInfo:
        """What it is, and what it does now."""
        is_busy = self.is_busy
        busy = self.busy_seconds + (time.monotonic() - self.busy_since if is_busy else 0.0)
        state = "leaving" if self.leaves else "busy" if is_busy else "idle"
        return WorkerInfo(self.name, self.pid, self.started, state, self.tasks, busy)

    @property
    def is_busy(self) -> bool:
        """Whether it is somebody's."""
        return self.lease is not None

    @property
    def is_to_go(self) -> bool:
        """Whether it is to be ended now."""
        return self.fate is not None or (self.leaves and self.lease is None)

    def has(self, digest: str) -> None:
        """Notes that it has a workflow.

        Args:
            digest: Of the workflow.
        """
        if len(self.known) >= _MOST_KNOWN:
            # It is sent what it may have: it minds little.
            self.known.clear()
        self.known.add(digest)

    def tell(self, rules: SecurityRules | None) -> None:
        """Sends rules that hold from the next task on, if they differ from those that do.

        Args:
            rules: The rules; ``None`` if there are none.

        Raises:
            Lost: If the worker has ended.
            Exception: If they cannot hold there, whatever the reason.
        """
        if rules is None or rules == self._rules:
            return
        try:
            send(self._channel, pack(rules))
            outcome = unpack(receive(self._channel)).outcome
        except (EOFError, ConnectionError) as end:
            raise Lost(has_begun=False) from end
        if isinstance(outcome, Failed):
            # Those that hold there may be laxer.
            raise restore(outcome.error)
        self._rules = rules

    def exchange(self, packed: Packed, limits: Limits) -> tuple[Packed, int]:
        """Sends a task and waits for the reply.

        Args:
            packed: The task.
            limits: How long it may take.

        Returns:
            The reply, and bytes that were copied on the way to it.

        Raises:
            Lost: If the worker has ended.
            Overdue: If there was no reply in time; the worker still runs.
            Abandoned: If nobody wants it any more; the worker still runs.
        """
        self._state[0] = Phase.READING
        try:
            copied = send(self._channel, packed)
            del packed
            if limits.seconds is not None or limits.is_abandoned is not None:
                self._wait(limits)
            return receive(self._channel), copied
        except (EOFError, ConnectionError) as end:
            raise Lost(self._state[0] != Phase.READING) from end

    def _wait(self, limits: Limits) -> None:
        until: float | None = None
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        while True:
            # What it reads may have to be imported first, which is not the task's time.
            if until is None and limits.seconds is not None and self._state[0] != Phase.READING:
                until = time.monotonic() + limits.seconds
            left = _LOOK if until is None else min(_LOOK, until - time.monotonic())
            if poll.poll(max(left, 0.0) * 1000):
                return
            if until is not None and time.monotonic() >= until:
                raise Overdue
            if limits.is_abandoned is not None and limits.is_abandoned():
                raise Abandoned

    def end(self, patience: float) -> None:
        """Ends it, once it has done what it is doing.

        Args:
            patience: Seconds after which it is killed; 0 ends it at once.
        """
        if self.lease is None:
            # Otherwise somebody may be reading there.
            self.close()
        self.status = fork_server().end(self.pid, patience)

    def forget_told(self) -> None:
        """Nothing is certain of what it was told: it is told again."""
        self.known.clear()
        self.levels = None

    def close(self) -> None:
        """Nobody sends it anything any more."""
        self._channel.close()


def _shared_page() -> int:
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("nexus-core", os.MFD_CLOEXEC)
    else:
        descriptor, path = tempfile.mkstemp()
        os.unlink(path)
    os.ftruncate(descriptor, mmap.PAGESIZE)
    return descriptor
