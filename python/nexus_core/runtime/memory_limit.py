"""Kailash's memory ceiling for code nodes, put in force for more than one node at a time.

Stock bounds the address space that one code node may add: it reads ``/proc``, sets
``RLIMIT_AS`` and takes it back, around every node. Here the ceiling stays in force from
node to node and is set anew when a run has gone on for a while, so that what earlier
nodes keep is not held against later ones. Stock's own book-keeping is used, because
its guards may be active at the same time on other threads.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from nexus_core.runtime import stock

__all__ = ["MemoryLimit"]

_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
#: ``/proc/self/statm``, kept open: opening it costs more than all the rest.
_statm: int | None = None


def _open_statm() -> None:
    """Opens the file of this process; in a forked child the old one is its parent's."""
    global _statm
    try:
        _statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        _statm = None


_open_statm()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_statm)


def _register(limit: int) -> int | None:
    """``kailash.security._enter_address_space_guard``; its lock is held.

    The same book-keeping with a cheaper look at the address space. Whatever is out of
    the ordinary is left to it.
    """
    security = stock.security
    resource = security.resource
    if _statm is None:
        return security._enter_address_space_guard(limit)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    requests = security._address_space_requests
    if requests or security._address_space_saved is not None or soft != resource.RLIM_INFINITY:
        return security._enter_address_space_guard(limit)
    ceiling = int(os.pread(_statm, 32, 0).split(b" ", 1)[0]) * _PAGE + limit
    if hard != resource.RLIM_INFINITY and ceiling > hard:
        ceiling = hard
    try:
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, hard))
    except Exception:  # stock says once that the limit cannot be had
        return security._enter_address_space_guard(limit)
    requests.append(ceiling)
    security._address_space_saved = (soft, hard)
    security._address_space_applied = ceiling
    return ceiling


class MemoryLimit:
    """The ceiling that a run's code nodes are under.

    Stock's nodes run one after the other, and each may add the limit to what the
    process uses then. Nodes that run together share one address space: they may add it
    once for each of them, or ten that fit one by one would fail together.

    Args:
        config: The security configuration of the nodes.
        together: How many of them can run at the same time.
    """

    __slots__ = ("_ceiling", "_depth", "_lock", "_owner", "_shares", "_together", "limit")

    def __init__(self, config: Any, together: int) -> None:
        self.limit: int = config.memory_limit
        self._together = together
        self._shares = 1
        self._owner = threading.get_ident()
        self._ceiling: int | None = None
        self._depth = 0
        self._lock = threading.Lock()

    @property
    def in_force(self) -> bool:
        """Whether a ceiling is set, so that ``MemoryError`` means it was reached."""
        return self._ceiling is not None

    @property
    def is_shared(self) -> bool:
        """Whether nodes ran on other threads than the caller's."""
        return self._shares > 1

    def enter_run(self, shared: bool) -> None:
        """Puts the ceiling in force for a whole run.

        Args:
            shared: Whether its nodes are known to run together.
        """
        if shared:
            self._shares = self._together
        self.enter()

    def enter(self) -> None:
        """Puts the ceiling in force, counted."""
        with self._lock:
            self._depth += 1
            if self._depth > 1:
                self._shares = self._depth
                self._unset()
            self._set()

    def leave(self) -> None:
        """Takes it back when nobody needs it any more."""
        with self._lock:
            self._depth -= 1
            if self._depth == 0:
                self._unset()
                self._shares = 1

    def rebase(self) -> None:
        """Measures the ceiling of a run from what the process uses now, before a node."""
        with self._lock:
            if self._ceiling is not None:
                if threading.get_ident() != self._owner:
                    self._shares = self._together
                self._unset()
                self._set()

    def _set(self) -> None:
        security = stock.security
        if not self.limit:
            return
        if security.resource is None or not hasattr(security.resource, "RLIMIT_AS"):
            # Lets stock say once that nothing is enforced here.
            with security.memory_limit_guard(self.limit):
                return
        with security._ADDRESS_SPACE_LOCK:
            self._ceiling = _register(self.limit * self._shares)

    def _unset(self) -> None:
        if self._ceiling is not None:
            with stock.security._ADDRESS_SPACE_LOCK:
                stock.security._exit_address_space_guard(self._ceiling)
            self._ceiling = None
