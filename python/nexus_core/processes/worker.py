"""A worker process: reads a task, runs it, replies, until the other end is closed."""

from __future__ import annotations

import contextvars
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, NoReturn

from nexus_core.errors import NotShippable
from nexus_core.processes import context_variables
from nexus_core.processes.frames import receive, send
from nexus_core.processes.log_records import Capture
from nexus_core.processes.tasks import Failed, NodeTask, NotTold, Phase, RaisedInNode, Reply, Unknown
from nexus_core.processes.zygote import as_usual
from nexus_core.shipping.exceptions import carry
from nexus_core.shipping.security_rules import SecurityRules
from nexus_core.shipping.values import Packed, pack, unpack

__all__ = ["serve"]


def serve(channel: socket.socket, state: int) -> NoReturn:
    """Runs tasks until the other end is closed.

    Args:
        channel: Where they come from.
        state: Descriptor of the memory in which it says how far it is.
    """
    global _schedstat
    _schedstat = _open_schedstat()
    worker = _Worker(mmap.mmap(state, mmap.PAGESIZE))
    os.close(state)
    own = os.getpid()
    # What a task forks has no part in this: it would keep the other end from seeing that the worker has ended.
    os.register_at_fork(after_in_child=channel.close)
    os.register_at_fork(after_in_child=as_usual)
    while True:
        try:
            packed = receive(channel)
        except (EOFError, ConnectionError):
            _flush()
            os._exit(0)
        reply = worker.reply_to(packed)
        del packed
        _flush()
        if os.getpid() != own:
            # Forked by the task, and come back from it: one reply is enough.
            os._exit(0)
        try:
            send(channel, reply)
        except OSError as refused:
            if isinstance(refused, (BrokenPipeError, ConnectionError)):
                os._exit(0)
            # There is no memory for it.
            send(channel, worker.told_instead(refused))
        worker.is_at(Phase.READING)
        del reply


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):  # closed, or nobody reads: as at any program's end
            continue


class _Clock:
    """What a stretch of the only thread's time is spent on."""

    def __init__(self) -> None:
        self._elapsed, self._work, self._kept = time.perf_counter(), time.thread_time(), _kept_from_running()

    def read(self) -> tuple[float, float, float]:
        """Seconds since: of work, all in all, and of waiting of its own accord."""
        elapsed, work = time.perf_counter() - self._elapsed, time.thread_time() - self._work
        kept = _kept_from_running() - self._kept
        return work, elapsed, max(elapsed - work - kept, 0.0)


def _kept_from_running() -> float:
    """Seconds for which the system had other things to do than to run this thread; 0 where it does not tell."""
    if _schedstat is None:
        return 0.0
    return int(os.pread(_schedstat, 128, 0).split()[1]) / 1e9


#: Where the system tells that, once a worker serves.
_schedstat: int | None = None


def _open_schedstat() -> int | None:
    try:
        descriptor = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    if len(os.pread(descriptor, 128, 0).split()) > 1:
        return descriptor
    os.close(descriptor)
    return None


#: What a reply holds beside the outcome: where, and what it is called.
_BESIDE = {"[4]": "context variables", "[5]": "workflow_context", "[7][0]": "attributes"}

#: Runs something: what it returns, what it sets in the workflow context, and in the node.
Run = Callable[[], tuple[Any, dict[str, Any], tuple[dict[str, Any], list[str]] | None]]


class _Worker:
    def __init__(self, state: mmap.mmap) -> None:
        self._state = state
        self._capture = Capture()
        self._capture.install()

    def is_at(self, phase: Phase) -> None:
        self._state[0] = phase

    def reply_to(self, packed: Packed) -> Packed:
        """Runs what is asked for."""
        try:
            task = unpack(packed)
        except BaseException as unreadable:
            return pack(Reply(Failed(carry(unreadable))))
        finally:
            del packed
        try:
            reply = self._run(task)
        except BaseException as broken:
            reply = Reply(Failed(carry(broken)))
        del task
        self.is_at(Phase.REPLYING)
        try:
            return pack(reply)
        except NotShippable as refused:
            return pack(self._without_outcome(reply, refused))
        except BaseException as broken:
            return pack(Reply(Failed(carry(broken))))

    def told_instead(self, refused: OSError) -> Packed:
        """In place of a reply that cannot be sent."""
        return pack(Reply(Failed(carry(refused))))

    def _without_outcome(self, reply: Reply, refused: NotShippable) -> Reply:
        """What of a reply can be told, if its outcome cannot."""
        try:
            pack(reply.outcome)
        except NotShippable as reason:
            outcome: Failed | NotTold = NotTold(reason.path.removeprefix("[0]"), reason.type_name, reason.reason)
        else:
            if isinstance(reply.outcome, Failed):
                # It says more than that what was set beside it cannot go.
                outcome = reply.outcome
            else:
                outcome = NotTold(refused.path, refused.type_name, refused.reason, "")
                for field, what in _BESIDE.items():
                    if refused.path.startswith(field):
                        outcome = outcome._replace(path=refused.path.removeprefix(field), what=what)
        return Reply(outcome, reply.work, reply.elapsed, reply.waited, records=reply.records)

    def _run(self, task: Any) -> Reply:
        if isinstance(task, NodeTask):
            # Loaded in no context, and by nobody: the task has not begun yet.
            from nexus_core.processes.worker_nodes import node_runner

            self._capture.heed(task.levels)
            run = node_runner(task)
            if run is None:
                return Reply(Unknown())
            return self._in_context(run, task.variables)
        if isinstance(task, SecurityRules):
            task.apply()
            return Reply((None,))
        assert isinstance(task, tuple)
        function, arguments, keywords, variables = task
        return self._in_context(lambda: (function(*arguments, **keywords), {}, None), variables)

    def _in_context(self, run: Run, variables: Mapping[ContextVar[Any], Any]) -> Reply:
        return contextvars.Context().run(self._timed, run, variables)

    def _timed(self, run: Run, variables: Mapping[ContextVar[Any], Any]) -> Reply:
        context_variables.apply(variables)
        outcome: tuple[Any] | Failed
        context: dict[str, Any] = {}
        state = None
        self.is_at(Phase.RUNNING)
        clock = _Clock()
        try:
            value, context, state = run()
            outcome = (value,)
        except RaisedInNode as raised:
            context, state = raised.context, raised.state
            outcome = Failed(carry(raised.error))
        except BaseException as error:
            # Those that would end a process, too: this one is not theirs to end.
            outcome = Failed(carry(error))
        return Reply(
            outcome, *clock.read(), context_variables.changed(variables), context, self._capture.taken(), state
        )
