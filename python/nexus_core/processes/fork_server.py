"""The process that worker processes are forked from, as its parent sees it."""

from __future__ import annotations

import array
import atexit
import contextlib
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import threading
from typing import Any

from nexus_core.errors import ForkServerError

__all__ = ["ForkServer", "fork_server"]

LENGTH = struct.Struct("<I")

#: Signals that reach groups of processes (Ctrl-C) or all that belong to a service: workers leave them to their parent.
THE_PARENTS = frozenset({signal.SIGINT, signal.SIGTERM})

#: Imported by the fork server if the application has done so: what Kailash looks for in every value.
_SCIENCE = ("numpy", "pandas", "scipy", "sklearn", "matplotlib", "seaborn", "plotly")

#: Seconds in which it has to answer. Its first answer takes as long as importing Kailash.
_PATIENCE = 120.0


class ForkServer:
    """Starts and ends worker processes, from a process of one thread that has everything imported.

    Workers die with it, and it ends when its parent does, however that happens: nothing is left behind.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._channel: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._gives_up = False
        self.starts = 0

    def fork(self, channel: socket.socket, state: int) -> int:
        """Starts a worker.

        Args:
            channel: Its end of what it is sent tasks through.
            state: Descriptor of the memory in which it says how far it is.

        Returns:
            Its process id.

        Raises:
            ForkServerError: If that is not possible, whatever the reason.
        """
        surroundings = {
            "environment": dict(os.environ),
            "folder": _folder(),
            "path": list(sys.path),
            "recursion_limit": sys.getrecursionlimit(),
        }
        answer = self._ask(("fork", surroundings), [channel.fileno(), state])
        if not isinstance(answer, int):
            raise ForkServerError(f"no worker process could be started: {answer}")
        return answer

    def end(self, pid: int, patience: float) -> int | None:
        """Waits for a worker to end, and ends it if it does not.

        Args:
            pid: Its process id.
            patience: Seconds to wait; 0 ends it at once.

        Returns:
            Its exit status, negative for the signal that ended it; ``None`` if nobody knows any more.
        """
        try:
            answer = self._ask(("end", pid, patience), [], begin=False)
        except ForkServerError:  # it has gone, and its workers with it
            return None
        return answer if isinstance(answer, int) else None

    def close(self) -> None:
        """Ends it, and all workers with it."""
        if not self._lock.acquire(blocking=False):
            # It is being asked something. That may take as long as importing Kailash does, and nobody needs the answer.
            self._gives_up = True
            process = self._process
            if process is not None:
                process.kill()
            self._lock.acquire()
        try:
            self._gives_up = False
            self._close()
        finally:
            self._lock.release()

    def forget(self) -> None:
        """In a forked child: it is the parent's."""
        self._lock = threading.Lock()
        self._gives_up = False
        if self._channel is not None:
            self._channel.close()
        if self._process is not None:
            # It is no child of this process, and need not be waited for.
            self._process.returncode = 0
        self._channel = self._process = None

    def _ask(self, question: Any, descriptors: list[int], begin: bool = True) -> Any:
        with self._lock:
            for attempt in range(2):
                if self._channel is None:
                    if not begin:
                        raise ForkServerError("there is no process to fork workers from")
                    self._start()
                try:
                    return self._exchange(question, descriptors)
                except (OSError, EOFError) as lost:
                    # It may have been killed since it was last asked.
                    self._close()
                    if attempt or not begin or self._gives_up:
                        raise ForkServerError(
                            f"the process that workers are forked from does not answer: {lost!r}"
                        ) from lost
                except BaseException:
                    # Interrupted: the answer that is still to come would be taken for that to the next question.
                    self._close()
                    raise
            raise AssertionError

    def _exchange(self, question: Any, descriptors: list[int]) -> Any:
        assert self._channel is not None
        text = pickle.dumps(question)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        message = LENGTH.pack(len(text)) + text
        sent = self._channel.sendmsg([message], rights)
        self._channel.sendall(memoryview(message)[sent:])
        return read(self._channel)

    def _start(self) -> None:
        if os.name != "posix":
            raise ForkServerError(f"worker processes need fork, which {sys.platform} does not have: use threads")
        ours, theirs = socket.socketpair()
        command = [
            sys.executable,
            *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]  # as multiprocessing does
            "-c",
            f"import sys; sys.path[:] = {sys.path!r}; "
            f"from nexus_core.processes.zygote import main; main({theirs.fileno()}, {_preloaded()!r}, {_address_space()!r})",
        ]
        # Until it has handlers of its own.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, THE_PARENTS)
        try:
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        except OSError as refused:
            ours.close()
            raise ForkServerError(f"{sys.executable} cannot be started: {refused}") from refused
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            theirs.close()
        ours.settimeout(_PATIENCE)
        self._channel = ours
        self.starts += 1

    def _close(self) -> None:
        channel, self._channel = self._channel, None
        process, self._process = self._process, None
        if channel is not None:
            channel.close()
        if process is not None:
            try:
                process.wait(5.0)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _folder() -> str | None:
    with contextlib.suppress(OSError):  # it may have been deleted
        return os.getcwd()
    return None


def _address_space() -> int | None:
    """The limit of address space that the process has, but for what Kailash has set while a node runs.

    That is over a node of this process, and would be inherited.
    """
    try:
        import resource
    except ImportError:
        return None
    saved = getattr(sys.modules.get("kailash.security"), "_address_space_saved", None)
    if isinstance(saved, tuple):
        return int(saved[0])
    return resource.getrlimit(resource.RLIMIT_AS)[0]


def _preloaded() -> list[str]:
    return [name for name in _SCIENCE if name in sys.modules]


def read(channel: socket.socket) -> Any:
    """Reads what was pickled, after its length.

    Args:
        channel: A stream socket.

    Raises:
        EOFError: If the other end is closed.
    """
    (length,) = LENGTH.unpack(_exactly(channel, LENGTH.size))
    return pickle.loads(_exactly(channel, length))


def _exactly(channel: socket.socket, length: int) -> bytes:
    parts = []
    while length:
        part = channel.recv(min(length, 1 << 20))
        if not part:
            raise EOFError("the other end is closed")
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


_server = ForkServer()


def fork_server() -> ForkServer:
    """The one of this process."""
    return _server


atexit.register(_server.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_server.forget)
