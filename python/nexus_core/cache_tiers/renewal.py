"""Keeps leases alive while what they are for is being computed."""

from __future__ import annotations

import threading
from collections.abc import Callable

from nexus_core.cache_tiers.tier import Lease

__all__ = ["Renewal"]


class Renewal:
    """A thread that renews leases, once there are any that need it.

    Args:
        renew: Called with a lease for whether it is held still; it may raise nothing.
        interval: Seconds between two times.
    """

    def __init__(self, renew: Callable[[Lease], bool], interval: float) -> None:
        self._renew = renew
        self._interval = interval
        self._lock = threading.Lock()
        self._leases: dict[str, Lease] = {}
        self._thread: threading.Thread | None = None
        self._wake = threading.Event()
        self._closed = threading.Event()

    def add(self, lease: Lease) -> None:
        """Renews a lease from now on."""
        with self._lock:
            self._leases[lease.token] = lease
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="nexus-core-leases", daemon=True)
                self._thread.start()
            self._wake.set()

    def remove(self, lease: Lease) -> None:
        """Renews it no more."""
        with self._lock:
            self._leases.pop(lease.token, None)

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._closed.is_set():
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                known = set(self._leases)
            while known and not self._closed.is_set():
                self._closed.wait(self._interval)
                with self._lock:
                    # What was added meanwhile is young.
                    leases = [lease for token, lease in self._leases.items() if token in known]
                    known = set(self._leases)
                for lease in leases:
                    if not self._renew(lease):
                        self.remove(lease)
