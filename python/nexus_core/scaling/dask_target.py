"""A Dask cluster as a target: workers that are to go are drained first, which Dask's ``scale`` alone does not do."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from nexus_core.errors import TargetError
from nexus_core.scaling.worker import Worker

__all__ = ["DaskTarget", "is_dask"]

_log = logging.getLogger("nexus_core.scaling")

# So long a scheduler is waited for.
_TIMEOUT = 5.0
# How often workers that drain are looked at.
_EVERY = 0.1


def is_dask(given: Any) -> bool:
    """Whether something is a Dask cluster, or a client that was made with one."""
    cluster = getattr(given, "cluster", given)
    return callable(getattr(cluster, "scale", None)) and hasattr(cluster, "scheduler_address")


class DaskTarget:
    """Anything with Dask's ``scale(n)`` and ``scheduler_address``: a ``LocalCluster``, or one on other machines.

    Dask ends a worker whatever it runs, and runs that again elsewhere. Here workers that are to go are first given no
    more work (Dask's ``retire_workers`` moves what they hold to others), and end once they run nothing. What waits
    on them meanwhile has not begun, and goes to others then.

    Args:
        cluster: The cluster, or a ``distributed.Client`` that was made with one.

    Raises:
        TargetError: If Dask is not installed, it cannot be scaled, or its scheduler does not answer.
    """

    def __init__(self, cluster: Any) -> None:
        try:
            from distributed import Client
        except ImportError as missing:
            raise TargetError("a Dask cluster needs distributed: pip install nexus-core-rs[dask]") from missing
        if not is_dask(cluster):
            raise TargetError(f"only a cluster with scale(n) can be scaled, got {cluster!r}")
        self.cluster = getattr(cluster, "cluster", cluster)
        address = self.cluster.scheduler_address
        self._wanted: int | None = None
        self._draining: dict[str, Any] = {}
        self._first_seen: dict[str, float] = {}
        self._lock = threading.RLock()
        self._drainer: threading.Thread | None = None
        self._closed = False
        try:
            # One of its own, which never becomes the caller's default.
            connect: Any = Client
            self._client: Any = connect(address, timeout=_TIMEOUT, set_as_default=False, name="nexus-core-scaler")
        except (OSError, ValueError) as error:
            raise TargetError(f"the Dask scheduler at {address!r} does not answer: {error}") from error

    def current(self) -> int:
        """How many workers there are, without those that drain.

        Raises:
            TargetError: If the scheduler does not answer.
        """
        with self._lock:
            return len(self._known()) - len(self._draining)

    def scale(self, n: int) -> None:
        """Has so many workers from soon on.

        Args:
            n: How many.

        Raises:
            TargetError: If the scheduler does not answer.
        """
        with self._lock:
            known = self._known()
            staying = [address for address in known if address not in self._draining]
            self._wanted = n
            if n < len(staying):
                self._drain(known, staying[n:])
            else:
                # Those that drain cannot be called back, and are still among those that the cluster counts.
                self.cluster.scale(n + len(self._draining))

    def queued(self) -> int:
        """Tasks that wait for a worker.

        Raises:
            TargetError: If the scheduler does not answer.
        """
        unfinished: int = self._asked(self._client.run_on_scheduler, _unfinished)
        return max(0, unfinished - sum(self._running().values()))

    def workers(self) -> list[Worker]:
        """The workers, in the order in which they came.

        Raises:
            TargetError: If the scheduler does not answer.
        """
        with self._lock:
            known, running = self._known(), self._running()
        found = []
        for address, worker in known.items():
            tasks = running.get(address, 0)
            state = "draining" if address in self._draining else "busy" if tasks else "idle"
            load = min(1.0, tasks / max(1, worker["nthreads"]))
            found.append(Worker(str(worker["name"]), self._first_seen[address], state, load))
        return found

    def close(self) -> None:
        """Lets go of the scheduler; the cluster stays as it is."""
        self._closed = True
        self._client.close(timeout=_TIMEOUT)

    # --- inside -----------------------------------------------------------------------

    def _asked(self, question: Any, *args: Any, **options: Any) -> Any:
        if self._is_gone():
            raise TargetError(f"the Dask cluster {self.cluster.name!r} is {self.cluster.status.name}")
        try:
            return question(*args, **options)
        except (OSError, TimeoutError) as error:
            raise TargetError(
                f"the Dask scheduler at {self.cluster.scheduler_address!r} does not answer: {error}"
            ) from error

    def _is_gone(self) -> bool:
        status = getattr(self.cluster, "status", None)
        return status is not None and status.name in ("closing", "closed", "failed")

    def _known(self) -> dict[str, Any]:
        """The workers by address, the oldest first."""
        found: dict[str, Any] = self._asked(self._client.scheduler_info)["workers"]
        now = time.time()
        for address in found:
            self._first_seen.setdefault(address, now)
        for gone in self._first_seen.keys() - found.keys():
            del self._first_seen[gone]
        for gone in self._draining.keys() - found.keys():
            del self._draining[gone]
        return dict(sorted(found.items(), key=lambda item: _order(item[1]["name"])))

    def _running(self, addresses: list[str] | None = None) -> dict[str, int]:
        """By address how many tasks a worker is in the middle of; asked of the workers, as the scheduler learns late."""
        found: dict[str, int] = self._asked(self._client.run, _executing, workers=addresses, on_error="ignore")
        return found

    def _drain(self, known: dict[str, Any], addresses: list[str]) -> None:
        for address in addresses:
            self._draining[address] = known[address]["name"]
        # Neither closed nor forgotten by it: what they run goes on. Their scheduler gives them nothing else.
        try:
            self._asked(self._client.retire_workers, workers=addresses, close_workers=False, remove=False)
        except BaseException:
            # They are as they were, or would count as gone with nobody to end them.
            for address in addresses:
                self._draining.pop(address, None)
            raise
        if self._drainer is None:
            self._drainer = threading.Thread(target=self._end_idle, name="nexus-core-drain", daemon=True)
            self._drainer.start()

    def _end_idle(self) -> None:
        """Ends workers that drain as soon as they run nothing, until there is none."""
        while not self._closed and not self._is_gone():
            try:
                with self._lock:
                    self._go_on()
                    if not self._draining:
                        self._drainer = None
                        return
            except Exception as error:
                # They are still there, and are looked at again.
                _log.debug("workers of %r drain on: %s", self.cluster, error)
            time.sleep(_EVERY)

    def _go_on(self) -> None:
        self._known()
        running = self._running(list(self._draining))
        idle = {address: name for address, name in self._draining.items() if not running.get(address)}
        can_choose = hasattr(self.cluster, "scale_down")
        if not idle or not (can_choose or len(idle) == len(self._draining)):
            return
        # What they have computed since moves to others, too: lost, it would be computed again.
        self._asked(self._client.retire_workers, workers=list(idle), close_workers=False, remove=False)
        if can_choose:
            self._asked(self.cluster.sync, self.cluster.scale_down, list(idle.values()))
        else:
            # It ends the newest, which are those that drain.
            self.cluster.scale(self._wanted)
        for address in idle:
            del self._draining[address]


def _unfinished(dask_scheduler: Any) -> int:
    """Tasks that workers have, and those that no worker has yet."""
    at_workers = sum(len(worker.processing) for worker in dask_scheduler.workers.values())
    return at_workers + len(dask_scheduler.queued) + len(dask_scheduler.unrunnable)


def _executing(dask_worker: Any) -> int:
    return len(dask_worker.state.executing)


def _order(name: Any) -> tuple[int, Any]:
    return (0, name) if isinstance(name, int) else (1, str(name))
