"""The process that worker processes are forked from: one thread, and everything imported.

A process that has threads must not be forked, and starting a worker from nothing takes as long as importing
Kailash does. So one process does that once, stays without threads, and is forked for each worker.
"""

from __future__ import annotations

import array
import contextlib
import gc
import importlib
import os
import pickle
import random
import select
import signal
import socket
import sys
import time
import warnings
from typing import Any, NoReturn

from nexus_core.processes.fork_server import LENGTH, THE_PARENTS, _exactly

__all__ = ["main"]

_PR_SET_PDEATHSIG = 1
_ROOM = socket.CMSG_SPACE(8 * array.array("i").itemsize)
#: Seconds between two looks for a worker that is to end.
_LOOK = 0.0005


def main(descriptor: int, preloaded: list[str], address_space: int | None) -> NoReturn:
    """Serves until the parent closes its end.

    Args:
        descriptor: Of the socket to the parent.
        preloaded: Modules to import beside Kailash.
        address_space: The limit of address space that workers begin with, as ``resource`` has it.
    """
    if address_space is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (address_space, resource.getrlimit(resource.RLIMIT_AS)[1]))
    for number in THE_PARENTS:
        # Not ignored: what nodes start would ignore it as well.
        signal.signal(number, _leave_to_parent)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, THE_PARENTS)
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    for name in ("nexus_core.processes.worker", "nexus_core.runtime", *preloaded):
        # What cannot be imported is missed by whoever needs it, and told there.
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    while True:
        question, descriptors = _question(control)
        if question is None:
            # Nothing is cleaned up: workers are ended by the system.
            os._exit(0)
        kind, first, *rest = question
        answer: Any = _fork(control, first, descriptors) if kind == "fork" else _end(first, *rest)
        for received in descriptors:
            os.close(received)
        text = pickle.dumps(answer)
        try:
            control.sendall(LENGTH.pack(len(text)) + text)
        except OSError:
            os._exit(0)


def _leave_to_parent(number: int, frame: object) -> None:
    """It reaches the whole group of processes, or all of a service; the parent decides what comes of it."""


def as_usual() -> None:
    """In what a worker forks: signals do what they do in any process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _question(control: socket.socket) -> tuple[Any, list[int]]:
    try:
        data, ancillary, _, _ = control.recvmsg(LENGTH.size, _ROOM, getattr(socket, "MSG_CMSG_CLOEXEC", 0))
        descriptors = array.array("i")
        for level, kind, rights in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
        if not data:
            return None, []
        data += _exactly(control, LENGTH.size - len(data))
        return pickle.loads(_exactly(control, LENGTH.unpack(data)[0])), list(descriptors)
    except (OSError, EOFError):
        return None, []


def _fork(control: socket.socket, surroundings: dict[str, Any], descriptors: list[int]) -> int | str:
    channel, state = descriptors
    own = os.getpid()
    try:
        with warnings.catch_warnings():
            # Of threads: those of libraries, which start them anew.
            warnings.simplefilter("ignore")
            pid = os.fork()
    except OSError as refused:
        return str(refused)
    if pid:
        return pid
    try:
        control.close()
        _die_with(own)
        _settle(surroundings)
        from nexus_core.processes.worker import serve

        serve(socket.socket(fileno=channel), state)
    except BaseException:  # the loop of the parent must not go on here
        import traceback

        traceback.print_exc()
    finally:
        os._exit(1)


def _die_with(parent: int) -> None:
    """Has the system end this process when its parent ends."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has ended meanwhile
            os._exit(0)
    else:
        _watch(parent)


def _watch(parent: int) -> None:
    """The same where the system has nothing for it."""
    import threading

    def look() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(0)

    threading.Thread(target=look, daemon=True).start()


def _settle(surroundings: dict[str, Any]) -> None:
    """As the parent is now, which may have changed since the fork server began."""
    os.environ.clear()
    os.environ.update(surroundings["environment"])
    sys.path[:] = surroundings["path"]
    importlib.invalidate_caches()
    sys.setrecursionlimit(surroundings["recursion_limit"])
    if surroundings["folder"] is not None:
        with contextlib.suppress(OSError):
            os.chdir(surroundings["folder"])
    # Each worker's own: they would all draw the same.
    random.seed()
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _end(pid: int, patience: float) -> int | None:
    """How a worker has ended; it is killed if it does not within the time."""
    until = time.monotonic() + patience
    killed = False
    while True:
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if found:
            return os.waitstatus_to_exitcode(status)
        if not killed and time.monotonic() >= until:
            os.kill(pid, signal.SIGKILL)
            killed = True
        select.select([], [], [], _LOOK)
