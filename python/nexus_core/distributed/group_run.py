"""Runs of some nodes, or of all, on a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nexus_core._core import Places, PlanStage, RunOptions, WorkflowRun
from nexus_core.distributed.messages import RunTerms
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.host import RunHost
from nexus_core.runtime.workflow_run import NativeRun
from nexus_core.shipping import Carried, carry

__all__ = ["GroupHost", "GroupRun", "WholeRun", "WorkerRun"]

Rows = tuple[int, list[Any], dict[int, str]]
Results = tuple[dict[str, Any], str | None]


class GroupHost(RunHost):
    """The Python side of a group's nodes, which remembers what has ended it."""

    __slots__ = ("enders",)

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        #: What each failure that ends the run has become, by the node's number.
        self.enders: dict[int, BaseException] = {}

    def node_failed(
        self, index: int, error: Exception, inputs: Mapping[str, Any] | None
    ) -> dict[str, Any] | BaseException:
        """As in any run."""
        kept = super().node_failed(index, error, inputs)
        if isinstance(kept, BaseException):
            self.enders[index] = kept
        return kept

    def ended_by(self, failure: BaseException) -> None:
        """Nothing: nodes of other groups may have failed before it."""

    @property
    def failed(self) -> list[int]:
        """Numbers of all nodes that have failed."""
        return list(self._failed)

    @property
    def validated(self) -> list[int]:
        """Numbers of nodes whose inputs Kailash itself has validated."""
        return list(self._validated_by_stock)


class WorkerRun(NativeRun):
    """A run without what belongs to the whole: that is where the caller is."""

    __slots__ = ("_ended_with", "_processed", "host", "native")

    _host_class = GroupHost
    #: Whether it decides itself which nodes run.
    is_whole = False

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        plan: CompiledWorkflow,
        processed: dict[str, Any] | None,
        token: Any,
        terms: RunTerms,
    ) -> None:
        super().__init__(runtime, workflow, plan, None, None, token, None)
        self._processed = processed
        self.run_id = terms.run_id
        self._history_id = (terms.run_id or terms.token) if terms.keeps_history else None
        self._ended_with: tuple[BaseException, BaseException | None] | None = None
        self.host: GroupHost | None = None
        #: The run of the nodes, for what is to be known of it after its end.
        self.native: WorkflowRun | None = None

    async def _execute(self) -> Results:
        try:
            return await self._run_members()
        except BaseException as error:
            self._ended_with = error, error.__context__
            raise

    async def _run_members(self) -> Results:
        raise NotImplementedError

    def as_raised(self, error: BaseException) -> BaseException:
        """What has ended the run, without what it has met on its way out of here.

        Args:
            error: The exception.
        """
        if self._ended_with is not None and self._ended_with[0] is error:
            error.__context__ = self._ended_with[1]
        return error.with_traceback(None)

    def rows(self) -> Rows | Carried:
        """For the run history, or why there are none: the history says so, and the run goes on."""
        if self._history_id is None:
            return 0, [], {}
        self._run = self.native
        try:
            return self._node_rows()
        except Exception as refused:
            return carry(refused)


class GroupRun(WorkerRun):
    """A run of some nodes.

    Args:
        runtime: The worker's runtime.
        workflow: The workflow.
        plan: Its plan.
        processed: Parameters by node id.
        token: Says whether the task was cancelled.
        terms: Of the run.
        stage: The nodes.
        prior: Outputs of nodes that they wait for, by node id.
    """

    __slots__ = ("_prior", "_stage")

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        plan: CompiledWorkflow,
        processed: dict[str, Any] | None,
        token: Any,
        terms: RunTerms,
        stage: PlanStage,
        prior: dict[str, Any],
    ) -> None:
        super().__init__(runtime, workflow, plan, processed, token, terms)
        self._stage = stage
        self._prior = prior

    def _start(
        self,
        host: RunHost,
        options: RunOptions,
        processed: dict[str, Any] | None,
        context: dict[str, Any],
        places: Places | None,
    ) -> WorkflowRun:
        assert isinstance(host, GroupHost)
        self.host = host
        self.native = self.plan.plan.start_stage(self._stage, self._prior, host, options, processed, context)
        return self.native

    def _log_beginning(self) -> None:
        """Nothing: it is a part of a run that its caller has told of."""

    async def _run_members(self) -> Results:
        return await self._run_nodes({}, False, self._processed), None


class WholeRun(WorkerRun):
    """A run of a whole workflow, whatever is in it; arguments as of :class:`GroupRun`."""

    __slots__ = ()

    is_whole = True

    def _start(self, *args: Any) -> WorkflowRun:
        host = args[0]
        self.native = super()._start(*args)
        self.host = host if isinstance(host, GroupHost) else None
        return self.native

    async def _run_members(self) -> Results:
        results = await self._results({}, False, self._processed)
        return results, self.run_id
