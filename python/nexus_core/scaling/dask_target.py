"""A Dask cluster as a target: workers that are to go are drained first, which Dask's ``scale`` alone does not do."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from nexus_core.cache_tiers.forks import after_fork
from nexus_core.errors import TargetError
from nexus_core.scaling.worker import Worker

__all__ = ["DaskTarget", "is_dask"]

_log = logging.getLogger("nexus_core.scaling")

# So long an answer is waited for.
_TIMEOUT = 5.0
# How often workers that drain are looked at, and how long after the last thing that went wrong with them.
_EVERY, _AFTER_FAILURE = 0.1, 2.0
# Who closes a target waits so long for it.
_CLOSING = 1.0


def is_dask(given: Any) -> bool:
    """Whether something is a Dask cluster, or a client that was made with one."""
    cluster = getattr(given, "cluster", given)
    return callable(getattr(cluster, "scale", None)) and hasattr(cluster, "scheduler_address")


class DaskTarget:
    """Anything with Dask's ``scale(n)`` and ``scheduler_address``: a ``LocalCluster``, or one on other machines.

    Dask ends a worker whatever it runs, and runs that again elsewhere. Here workers that are to go are first given no
    more work (Dask's ``retire_workers`` moves what they hold to others), and end once they run nothing. What waits
    on them meanwhile has not begun, and goes to others then.

    No answer is waited for longer than 5 s.

    Args:
        cluster: The cluster, or a ``distributed.Client`` that was made with one.

    Raises:
        TargetError: If Dask is not installed, it cannot be scaled, or its scheduler does not answer.
    """

    def __init__(self, cluster: Any) -> None:
        try:
            from distributed import Client

            from nexus_core.distributed.answers import probe
        except ImportError as missing:
            raise TargetError("a Dask cluster needs distributed: pip install nexus-core-rs[dask]") from missing
        if not is_dask(cluster):
            raise TargetError(f"only a cluster with scale(n) can be scaled, got {cluster!r}")
        self.cluster = getattr(cluster, "cluster", cluster)
        #: Where the scheduler is, or was when this was made.
        self.address = address = str(self.cluster.scheduler_address)
        security = getattr(self.cluster, "security", None)
        self._wanted: int | None = None
        # By address the names of workers that are to go, and the addresses of those whose end the cluster was told.
        self._draining: dict[str, Any] = {}
        self._told: set[str] = set()
        self._first_seen: dict[str, float] = {}
        self._asked, self._seen = 0, 0
        # Guards what is remembered: nobody is asked anything under it.
        self._lock = threading.Lock()
        # One change at a time.
        self._changing = threading.Lock()
        self._drainer: threading.Thread | None = None
        self._closed = self._has_warned = False
        self._process = os.getpid()
        try:
            if "://" not in address or address.startswith(("tcp", "tls")):
                probe(address, _TIMEOUT, security)
            # One of its own, which never becomes the caller's default.
            connect: Any = Client
            self._client: Any = connect(
                address, timeout=_TIMEOUT, set_as_default=False, name="nexus-core-scaler", security=security
            )
        except (OSError, ValueError) as error:
            raise TargetError(f"the Dask scheduler at {address!r} does not answer: {_in_short(error)}") from error
        after_fork(self)

    def current(self) -> int:
        """How many workers there are, without those that drain.

        Raises:
            TargetError: If the scheduler does not answer.
        """
        self._check_open()
        with self._lock:
            going = set(self._draining)
        known = self._known()
        with self._lock:
            # Those too that went while it was asked.
            return len(known.keys() - going - self._draining.keys())

    def scale(self, n: int) -> None:
        """Has so many workers from soon on.

        Args:
            n: How many.

        Raises:
            TargetError: If the scheduler does not answer.
        """
        self._check_open()
        with self._change():
            known = self._known()
            with self._lock:
                staying = [address for address in known if address not in self._draining]
                leaving = len(self._draining.keys() - self._told)
                self._wanted = n
            if n < len(staying):
                self._drain(known, staying[n:])
            else:
                # Those that drain cannot be called back, and are still among those that the cluster counts.
                self.cluster.scale(n + leaving)

    def queued(self) -> int:
        """Tasks that wait for a worker.

        Raises:
            TargetError: If the scheduler does not answer.
        """
        self._check_open()
        unfinished: int = self._answer(self._client.run_on_scheduler, _unfinished)
        return max(0, unfinished - sum(self._running().values()))

    def workers(self) -> list[Worker]:
        """The workers, in the order in which they came.

        Raises:
            TargetError: If the scheduler does not answer.
        """
        self._check_open()
        known, running = self._known(), self._running()
        found = []
        with self._lock:
            for address, worker in known.items():
                tasks = running.get(address, 0)
                state = "draining" if address in self._draining else "busy" if tasks else "idle"
                load = min(1.0, tasks / max(1, worker["nthreads"]))
                # One that has gone meanwhile is not remembered any more.
                started = self._first_seen.get(address, time.time())
                found.append(Worker(str(worker["name"]), started, state, load))
        return found

    def close(self) -> None:
        """Lets go of the scheduler once the workers that drain have ended; the cluster stays as it is.

        What they run may take long, and is not waited for: that goes on in the background.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._drainer is not None:
                return
            self._drainer = closer = self._begin_draining()
        # A scheduler that does not answer holds nobody up.
        closer.join(_CLOSING)

    # --- asking -----------------------------------------------------------------------

    def _check_open(self) -> None:
        if self._closed:
            raise TargetError("the target is closed, as its scaler may be; make a new one")
        if os.getpid() != self._process:
            raise TargetError("the connection to the Dask scheduler stays behind in a fork; make a new scaler")

    def _after_fork(self) -> None:
        self._lock, self._changing = threading.Lock(), threading.Lock()

    def _answer(self, question: Any, *args: Any, **options: Any) -> Any:
        """What a call of the client's answers in time."""
        from nexus_core.distributed.answers import NoAnswer

        if self._is_gone():
            raise TargetError(f"the Dask cluster {self.cluster.name!r} is {self.cluster.status.name}")

        async def ask() -> Any:
            return await question(*args, **options)

        try:
            return self._waited_for(self._client.loop, ask())
        except (OSError, RuntimeError, NoAnswer) as error:
            raise TargetError(f"the Dask scheduler at {self.address!r} does not answer: {_in_short(error)}") from error

    @staticmethod
    def _waited_for(loop: Any, steps: Coroutine[Any, Any, Any], cancels: bool = True) -> Any:
        from nexus_core.distributed.answers import answer_of

        try:
            asked = asyncio.run_coroutine_threadsafe(steps, loop.asyncio_loop)
        except RuntimeError:  # it has ended
            steps.close()
            raise
        return answer_of(asked, _TIMEOUT, cancels=cancels)

    def _is_gone(self) -> bool:
        status = getattr(self.cluster, "status", None)
        return status is not None and status.name in ("closing", "closed", "failed")

    def _known(self) -> dict[str, Any]:
        """The workers by address, the oldest first."""
        with self._lock:
            self._asked += 1
            number = self._asked
        found: dict[str, Any] = self._answer(self._identity)["workers"]
        now = time.time()
        with self._lock:
            for address in found:
                self._first_seen.setdefault(address, now)
            # What was asked before and came later tells of no one that he is gone.
            if number > self._seen:
                self._seen = number
                for gone in self._first_seen.keys() - found.keys():
                    del self._first_seen[gone]
                for gone in self._draining.keys() - found.keys():
                    del self._draining[gone]
                self._told &= self._draining.keys()
        return dict(sorted(found.items(), key=lambda item: _order(item[1]["name"])))

    async def _identity(self) -> Any:
        return await self._client.scheduler.identity(n_workers=-1)

    def _running(self, addresses: list[str] | None = None) -> dict[str, int]:
        """By address how many tasks a worker is in the middle of; asked of the workers, as the scheduler learns late."""
        found: dict[str, int] = self._answer(self._client.run, _executing, workers=addresses, on_error="ignore")
        return found

    # --- draining ---------------------------------------------------------------------

    @contextmanager
    def _change(self) -> Iterator[None]:
        if not self._changing.acquire(timeout=_TIMEOUT):
            raise TargetError(f"the Dask cluster {self.cluster.name!r} is still busy with the last change")
        try:
            yield
        finally:
            self._changing.release()

    def _drain(self, known: dict[str, Any], addresses: list[str]) -> None:
        with self._lock:
            for address in addresses:
                self._draining[address] = known[address]["name"]
        # Neither closed nor forgotten by it: what they run goes on. Their scheduler gives them nothing else.
        try:
            self._answer(self._client.retire_workers, workers=addresses, close_workers=False, remove=False)
        except BaseException:
            # They are as they were, or would count as gone with nobody to end them.
            with self._lock:
                for address in addresses:
                    self._draining.pop(address, None)
            raise
        with self._lock:
            if self._drainer is None:
                self._drainer = self._begin_draining()

    def _begin_draining(self) -> threading.Thread:
        thread = threading.Thread(target=self._end_idle, name="nexus-core-drain", daemon=True)
        thread.start()
        return thread

    def _end_idle(self) -> None:
        """Ends workers that drain as soon as they run nothing, until there is none."""
        while not self._is_gone():
            wait = _EVERY
            try:
                self._go_on()
            except Exception as error:
                # They are still there, and are looked at again.
                level = logging.DEBUG if self._has_warned else logging.WARNING
                self._has_warned = True
                _log.log(
                    level,
                    "workers of %r that drain could not be ended, and are looked at again: %s",
                    self.cluster,
                    error,
                )
                wait = _AFTER_FAILURE
            with self._lock:
                if not self._draining:
                    if not self._closed:
                        self._drainer = None
                        return
                    break
            time.sleep(wait)
        with suppress(Exception):  # a scheduler that is gone has let go of it
            self._client.close(timeout=_TIMEOUT)

    def _go_on(self) -> None:
        with self._lock:
            if not self._draining:
                return
        self._known()
        with self._lock:
            left = {address: name for address, name in self._draining.items() if address not in self._told}
        if not left:
            return
        running = self._running(list(left))
        idle = {address: name for address, name in left.items() if not running.get(address)}
        can_choose = hasattr(self.cluster, "scale_down")
        if not idle or not (can_choose or len(idle) == len(left)):
            return
        # What they have computed since moves to others, too: lost, it would be computed again.
        self._answer(self._client.retire_workers, workers=list(idle), close_workers=False, remove=False)
        with self._change():
            if can_choose:
                self._end(idle)
            else:
                # It ends the newest, which are those that drain.
                self.cluster.scale(self._wanted)
            with self._lock:
                self._told |= idle.keys()

    def _end(self, idle: dict[str, Any]) -> None:
        from nexus_core.distributed.answers import NoAnswer

        async def end() -> None:
            await self.cluster.scale_down(list(idle.values()))

        if not hasattr(self.cluster, "loop"):
            self.cluster.scale_down(list(idle.values()))
            return
        # It has been told then, and may take its time.
        with suppress(NoAnswer):
            self._waited_for(self.cluster.loop, end(), cancels=False)


def _unfinished(dask_scheduler: Any) -> int:
    """Tasks that workers have, and those that no worker has yet."""
    at_workers = sum(len(worker.processing) for worker in dask_scheduler.workers.values())
    return at_workers + len(dask_scheduler.queued) + len(dask_scheduler.unrunnable)


def _executing(dask_worker: Any) -> int:
    return len(dask_worker.state.executing)


def _order(name: Any) -> tuple[int, Any]:
    return (0, name) if isinstance(name, int) else (1, str(name))


def _in_short(error: BaseException) -> str:
    return str(error) or type(error).__name__
