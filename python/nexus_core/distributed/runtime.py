"""``LocalRuntime`` whose nodes run on a Dask cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from nexus_core.cached_runs.nodes import notes_on_cached_nodes
from nexus_core.distributed.cluster_plan import cluster_plan
from nexus_core.distributed.connection import Connection
from nexus_core.distributed.placement import Placement, Where, check_names, checked_annotations, may_run_again
from nexus_core.errors import ClusterError
from nexus_core.runtime.compiler import NotNative, compiled
from nexus_core.runtime.explain import Explanation
from nexus_core.runtime.local import LocalRuntime

if TYPE_CHECKING:
    from nexus_core.runtime.compiler import CompiledWorkflow
    from nexus_core.runtime.workflow_run import NativeRun

__all__ = ["DaskRuntime"]

_MISSING = "DaskRuntime needs Dask's distributed and cloudpickle: pip install 'nexus-core-rs[dask]'"

#: Reasons that are counted apart: some name what users have given.
_MOST_REASONS = 100

#: How the nodes of a run are treated, wherever they run.
_OPTIONS = (
    "enable_cycles",
    "enable_async",
    "max_concurrency",
    "connection_validation",
    "conditional_execution",
    "content_aware_success_detection",
)


class DaskRuntime(LocalRuntime):
    """Kailash's ``LocalRuntime`` with the same results, its nodes on a Dask ``distributed`` cluster.

    Follows ``kailash.runtime.local.LocalRuntime``. Nodes go out in groups: chains together, short nodes
    batched by what earlier runs have measured. What cannot go runs here; :meth:`explain` says why.

    Args:
        client_or_address: A ``distributed.Client``, a cluster with Dask's interface, the address of a
            scheduler, or ``None`` for a ``LocalCluster`` that is made on first use and closed with the runtime.
        timeout: Seconds within which the scheduler has to answer, and a first worker to be there.
        retry_on_worker_loss: Which nodes may run a second time when the worker that had begun them is gone:
            ``True`` for all, or ids, as ``"node"`` or ``"workflow/node"``. A workflow may say so by
            ``metadata["retry_on_worker_loss"]``, and a node by an attribute of that name.
        annotations: Dask's annotations by node id, or ``"workflow/node"``: ``priority``, ``resources``,
            ``retries``, ``workers``, ``allow_other_workers``. ``dask.annotate`` is heeded as well.
        batches: ``False`` sends each node by itself.
        cluster_options: For the ``LocalCluster``, such as ``{"n_workers": 4, "memory_limit": "2GiB"}``.
        **kwargs: As for :class:`LocalRuntime`; ``max_concurrency`` bounds the nodes of one group.

    Raises:
        ImportError: If Dask is not installed.
        TypeError: If `client_or_address` is nothing of what is listed.
        ValueError: If `timeout` is not positive, or an annotation is unknown.

    Example:
        >>> from kailash.workflow.builder import WorkflowBuilder
        >>> from distributed import LocalCluster
        >>> builder = WorkflowBuilder()
        >>> _ = builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
        >>> workflow = builder.build(name="sums")
        >>> cluster = LocalCluster(n_workers=1, processes=False, dashboard_address="127.0.0.1:0")
        >>> with cluster, DaskRuntime(cluster, enable_monitoring=False) as runtime:
        ...     results, run_id = runtime.execute(workflow)
        >>> results
        {'one': {'result': 1}}
    """

    def __init__(
        self,
        client_or_address: Any = None,
        *,
        timeout: float = 30.0,
        retry_on_worker_loss: bool | Collection[str] = False,
        annotations: Mapping[str, Mapping[str, Any]] | None = None,
        batches: bool = True,
        cluster_options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if not (find_spec("distributed") and find_spec("cloudpickle")):
            raise ImportError(_MISSING)
        if not timeout > 0:
            raise ValueError(f"timeout must be more than 0 seconds, got {timeout!r}")
        if isinstance(retry_on_worker_loss, str) or not isinstance(retry_on_worker_loss, (bool, Collection)):
            raise TypeError(f"retry_on_worker_loss must be a bool or hold node ids, got {retry_on_worker_loss!r}")
        if cluster_options is not None and client_or_address is not None:
            raise ValueError("cluster_options are for the cluster that is made here, and client_or_address is given")
        checked = checked_annotations(annotations)
        given = _checked(client_or_address)
        super().__init__(**kwargs)
        self._connection = Connection(given, timeout, cluster_options or {})
        self._annotations = checked
        self._placements: Counter[str] = Counter()
        self.retry_on_worker_loss = retry_on_worker_loss
        self.batches = batches

    @property
    def _run_class(self) -> type[NativeRun]:
        # Imported when Dask is known to be there.
        from nexus_core.distributed.cluster_run import ClusterRun

        return ClusterRun

    # --- what users ask about --------------------------------------------------------

    @property
    def client(self) -> Any:
        """The ``distributed.Client``; connects if that was not done yet.

        Raises:
            ClusterUnreachable: If the scheduler does not answer in time.
        """
        return self._connection.client()

    @property
    def cluster(self) -> Any:
        """The cluster, which has Dask's ``scale``; ``None`` if only a scheduler is known."""
        return self._connection.cluster

    @property
    def dashboard_link(self) -> str | None:
        """Where the cluster's dashboard is; ``None`` if it has none."""
        link: str | None = self._connection.client().dashboard_link
        return link

    def explain(self, workflow: Any) -> Explanation:
        """As :meth:`LocalRuntime.explain`, and where on the cluster the workflow runs.

        Args:
            workflow: A built workflow.
        """
        explanation = super().explain(workflow)
        if not explanation.native:
            return explanation
        try:
            plan = compiled(workflow, self._awaits())
        except NotNative:
            return explanation
        try:
            check_names(self, workflow, plan)
        except ClusterError as wrong:
            return Explanation(True, (), explanation.nodes, (*explanation.notes, f"a run fails: {wrong}"))
        placement = cluster_plan(workflow, plan).placement(self, workflow, plan)
        notes = [*explanation.notes, self._told(workflow, plan, placement)]
        if placement.where is not Where.HERE:
            cached = notes_on_cached_nodes(self, workflow, plan)
            notes = [note for note in notes if note not in cached]
            if cached:
                notes.append("nodes are not cached on the cluster, where each run computes them")
            notes.append("what nodes change in themselves stays on their worker")
        return Explanation(True, (), explanation.nodes, tuple(notes))

    def _told(self, workflow: Any, plan: CompiledWorkflow, placement: Placement) -> str:
        if placement.where is Where.HERE:
            return f"runs in this process: {placement.reason}"
        if placement.where is Where.WHOLE:
            return f"runs as one task on one worker: {placement.reason}"
        if not self._connection.is_open:
            return f"runs on the cluster: {len(plan.node_ids)} nodes in groups, once the cluster is known"
        try:
            _, slots = self._connection.ready()
        except ClusterError as unreachable:
            return f"is to run on the cluster: {unreachable}"
        known = cluster_plan(workflow, plan)
        groups = known.groups(workflow, plan, slots, self._annotations, self.retry_on_worker_loss, self.batches)
        measured = sum(seconds is not None for seconds in known.seconds)
        return (
            f"runs on the cluster: {len(plan.node_ids)} nodes in {len(groups)} groups for {slots} threads, "
            f"by the measured time of {measured} of them"
        )

    def engine_statistics(self) -> dict[str, Any]:
        """As :meth:`LocalRuntime.engine_statistics`, and where runs were.

        Returns:
            Also ``"placements"``: how many runs went where, and why not in groups to the cluster.
        """
        return {**super().engine_statistics(), "placements": dict(self._placements)}

    def close(self) -> None:
        """As :meth:`LocalRuntime.close`; when nobody uses the runtime any more, what it has opened is closed."""
        super().close()
        if self._ref_count <= 0:
            self._connection.close()

    # --- what its runs ask ----------------------------------------------------------------

    def _count_placement(self, placement: Placement) -> None:
        where = f"{placement.where.value}: {placement.reason}" if placement.reason else placement.where.value
        if where not in self._placements and len(self._placements) >= _MOST_REASONS:
            where = f"{placement.where.value}: other reasons"
        self._placements[where] += 1

    def _worker_options(self) -> tuple[tuple[str, Any], ...]:
        return tuple((name, getattr(self, name)) for name in _OPTIONS)

    def _rerun_of(self, workflow: Any, plan: CompiledWorkflow) -> tuple[bool, ...]:
        return may_run_again(self.retry_on_worker_loss, workflow, plan)


def _checked(given: Any) -> Any:
    """What may lead to a cluster.

    Raises:
        TypeError: If it does not.
        ValueError: If it is no address.
    """
    if given is None or hasattr(given, "scheduler_address") or (hasattr(given, "submit") and hasattr(given, "gather")):
        return given
    if not isinstance(given, str):
        raise TypeError(
            f"client_or_address must be a distributed.Client, a cluster or the address of a scheduler, got {given!r}"
        )
    if not given.strip():
        raise ValueError("client_or_address is an empty address; give one such as 'tcp://host:8786'")
    return given
