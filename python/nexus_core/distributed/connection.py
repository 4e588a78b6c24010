"""A runtime's way to its cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future as ConcurrentFuture
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from nexus_core.distributed.answers import NoAnswer, answer_of, probe
from nexus_core.errors import ClusterError, ClusterUnreachable

if TYPE_CHECKING:
    from distributed import Client, Future

    from nexus_core.shipping import ShippedWorkflow

__all__ = ["Connection"]

_logger = logging.getLogger("nexus_core.distributed")

#: What workers of our own import when they start.
_WORKER_SETUP = "nexus_core.distributed.worker_setup"

#: Descriptions of workflows that stay on the cluster between runs.
_MOST_PLANS = 64


class Connection:
    """A client, made on first use, and the cluster that is made for it if none is given.

    Args:
        given: A client, a cluster, the address of a scheduler, or ``None`` for a cluster of this machine.
        timeout: Seconds to wait for the scheduler's answers and for a first worker.
        cluster_options: For the cluster that is made.
    """

    def __init__(self, given: Any, timeout: float, cluster_options: Mapping[str, Any]) -> None:
        self._given = given
        self._cluster_options = dict(cluster_options)
        self.timeout = timeout
        self._client: Client | None = None
        self._cluster: Any = None
        self._scheduler_id: str | None = None
        self._plans: OrderedDict[str, Future] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def is_open(self) -> bool:
        """Whether there is a client."""
        return self._client is not None

    def client(self) -> Client:
        """The client.

        Raises:
            ClusterUnreachable: If the scheduler does not answer in time.
            ClusterError: If it cannot be used.
        """
        with self._lock:
            if self._client is None or self._client.status in ("closed", "closing"):
                self._open()
            assert self._client is not None
            return self._client

    @property
    def cluster(self) -> Any:
        """The cluster that belongs to the client: what has Dask's ``scale``; ``None`` for a bare scheduler."""
        return self._cluster if self._cluster is not None else getattr(self.client(), "cluster", None)

    def close(self) -> None:
        """Closes what was opened here; what was given stays as it is."""
        with self._lock:
            client, cluster = self._client, self._cluster
            self._client = self._cluster = self._scheduler_id = None
            self._plans.clear()
        if client is not None and client is not self._given:
            client.close(timeout=self.timeout)
        if cluster is not None and cluster is not self._given:
            cluster.close(timeout=self.timeout)

    # --- opening --------------------------------------------------------------------------

    def _open(self) -> None:
        from distributed import Client, Status

        given = self._given
        self._plans.clear()
        if isinstance(given, Client):
            if given.asynchronous:
                raise ClusterError(
                    "the client is asynchronous, and runs wait for it; give one made without asynchronous=True"
                )
            if given.status not in ("running", "connecting"):
                raise ClusterError(f"the client {given!r} is {given.status}; give one that is connected")
            self._client = given
            return
        target, address = given, given
        if given is None:
            # The user may have closed the client and not the cluster.
            if self._cluster is None or self._cluster.status is not Status.running:
                self._cluster = _local_cluster(self._cluster_options)
            target = self._cluster
        if not isinstance(given, str):
            address = getattr(target, "scheduler_address", repr(target))
        try:
            if isinstance(given, str):
                probe(given, self.timeout)
            self._client = Client(target, timeout=self.timeout, set_as_default=False, direct_to_workers=given is None)
        except BaseException as refused:
            if self._cluster is not None:
                self._cluster.close(timeout=self.timeout)
                self._cluster = None
            if isinstance(refused, (OSError, TimeoutError, ValueError)):
                raise ClusterUnreachable(str(address), self.timeout, _in_short(refused)) from refused
            raise

    def _prepare(self, client: Client, identity: Mapping[str, Any]) -> None:
        """Has the scheduler answer for claims; again if it is another one than it was."""
        if identity["id"] == self._scheduler_id:
            return
        from nexus_core.distributed.claims import Claims

        self._plans.clear()
        try:
            client.register_plugin(Claims())
        except Exception as refused:
            raise ClusterError(
                f"the scheduler at {self.address} cannot be prepared: {_in_short(refused)}; "
                "nexus-core-rs[dask] has to be installed there, in the same version as here"
            ) from refused
        self._scheduler_id = identity["id"]

    @property
    def address(self) -> str:
        """Of the scheduler, as it is known here."""
        scheduler = None if self._client is None else self._client.scheduler
        return str(getattr(scheduler, "address", None) or self._given)

    # --- what runs ask --------------------------------------------------------------------

    def ready(self, look: Callable[[], object] = lambda: None) -> tuple[Client, int]:
        """The client, and how many tasks the cluster can run at the same time; waits for a first worker.

        Args:
            look: Called in turns while there is none; ends the waiting by raising.

        Raises:
            ClusterUnreachable: If the scheduler does not answer in time.
            ClusterError: If there is no worker in time, or the client cannot be used.
        """
        client = self.client()
        deadline = time.monotonic() + self.timeout
        while True:
            identity = self.ask(client.scheduler.identity(n_workers=0))
            with self._lock:
                self._prepare(client, identity)
            if identity["total_threads"]:
                return client, int(identity["total_threads"])
            look()
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"the scheduler at {self.address} has no workers, and none came within {self.timeout:g} s; "
                    f"start some (dask worker {self.address}), or raise timeout"
                )
            time.sleep(0.05)

    def plan(self, client: Client, shipped: ShippedWorkflow, name: str) -> Future:
        """A workflow's description on the cluster, sent there once.

        Args:
            client: The client.
            shipped: The description.
            name: The workflow's.
        """
        from nexus_core.distributed.tasks import hold

        with self._lock:
            known = self._plans.get(shipped.digest)
            if known is not None and known.status in ("pending", "finished"):
                self._plans.move_to_end(shipped.digest)
                return known
            label = f"nexus plan {name}".replace("-", "_")
            # One that could not be brought there is let go of some time later, and until then it is under its key.
            suffix = shipped.digest[:32] if known is None else uuid4().hex
            # What a run is annotated with is not the plan's, which other runs need as well.
            future = Context().run(client.submit, hold, shipped, key=f"{label}-{suffix}", pure=False)
            self._plans[shipped.digest] = future
            if len(self._plans) > _MOST_PLANS:
                self._plans.popitem(last=False)
            return future

    def begin(self, steps: Coroutine[Any, Any, Any]) -> ConcurrentFuture[Any]:
        """Has a coroutine run on the client's loop.

        Args:
            steps: The coroutine.
        """
        assert self._client is not None
        loop: Any = self._client.loop
        try:
            return asyncio.run_coroutine_threadsafe(steps, loop.asyncio_loop)
        except RuntimeError:  # it has ended
            steps.close()
            raise

    def ask(self, question: Any) -> Any:
        """The scheduler's answer.

        Args:
            question: A call of its, to be awaited.

        Raises:
            ClusterUnreachable: If there is none in time.
        """

        async def answer() -> Any:
            return await question

        try:
            return answer_of(self.begin(answer()), self.timeout)
        except NoAnswer:
            raise ClusterUnreachable(self.address, self.timeout) from None
        except OSError as refused:
            raise ClusterUnreachable(self.address, self.timeout, _in_short(refused)) from refused

    def forget(self, token: str) -> None:
        """Tells the scheduler that a run is over, without waiting for it.

        Args:
            token: The run's.
        """
        client = self._client
        if client is None or client.scheduler is None:
            return

        async def tell() -> None:
            with suppress(Exception):  # a scheduler that is gone has forgotten it already
                await client.scheduler.nexus_core_forget(run=token)

        with suppress(RuntimeError):  # its loop has ended
            self.begin(tell())


def _in_short(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _local_cluster(options: dict[str, Any]) -> Any:
    """A cluster of this machine, on its loopback address."""
    from distributed import LocalCluster

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = options.get("n_workers", cores)
    defaults = {
        "n_workers": workers,
        "threads_per_worker": 1,
        "dashboard_address": "127.0.0.1:0",
    }
    if options.get("processes", True):
        defaults["host"] = "127.0.0.1"  # without processes nothing listens
        given = options.get("preload") or []
        options = {**options, "preload": [_WORKER_SETUP, *([given] if isinstance(given, str) else given)]}
    return LocalCluster(**{**defaults, **options})
