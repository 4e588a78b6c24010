"""What a run of ``AsyncLocalRuntime`` asks of Kailash beside what its nodes ask."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any, Protocol

from kailash.sdk_exceptions import WorkflowExecutionError

from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.node_host import NodeHost, caused_by, while_handling

__all__ = ["AsyncHost", "Follower"]

_logger = logging.getLogger("kailash.runtime.async_local")


class Follower(Protocol):
    """Who is told of the nodes of one run, on whichever thread runs them."""

    def started(self, index: int, thread: str) -> None:
        """A node is about to run."""

    def ended(
        self, index: int, thread: str, output: Any, error: BaseException | None, seconds: float, cached: bool
    ) -> None:
        """A node has returned or raised, or its output was kept."""

    def skipped(self, index: int) -> None:
        """A node was left out."""

    def pauses(self, pause: Callable[[bool], None]) -> None:
        """Says how the run is paused, before it begins."""


class AsyncHost(NodeHost):
    """The Python side of one run of ``AsyncLocalRuntime``.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        compiled: Its plan.
        variables: What all nodes are given, and what single nodes are given under their id.
        metrics: Where stock keeps durations and counts errors; ``None`` if nobody will look.
        follower: Told of every node; ``None`` for nobody.
    """

    __slots__ = ("follower", "metrics", "variables")

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        compiled: CompiledWorkflow,
        variables: dict[str, Any],
        metrics: Any,
        follower: Follower | None,
    ) -> None:
        super().__init__(runtime, workflow, compiled, None)
        self.variables = variables
        self.metrics = metrics
        self.follower = follower

    @property
    def is_mixed(self) -> bool:
        """Whether the run takes stock's way of workflows that have asynchronous nodes."""
        return self.compiled.needs_loop

    def prepare_inputs(self, index: int) -> dict[str, Any]:
        """``AsyncLocalRuntime._prepare_async_node_inputs``, or the one for workflows without async nodes."""
        node_id = self.compiled.node_ids[index]
        outputs = self.run.outputs()
        inputs: dict[str, Any]
        if not self.is_mixed:
            inputs = self.runtime._prepare_sync_node_inputs(self.workflow, node_id, outputs, self.variables)
            return inputs
        steps = self.runtime._prepare_async_node_inputs(
            self.workflow, node_id, SimpleNamespace(node_outputs=outputs), SimpleNamespace(variables=self.variables)
        )
        try:
            steps.send(None)  # a coroutine that never waits
        except StopIteration as finished:
            inputs = finished.value
            return inputs
        steps.close()
        raise RuntimeError("the inputs of a node have to be awaited")

    def should_skip(self, index: int, inputs: dict[str, Any]) -> bool:
        """``ConditionalExecutionMixin._should_skip_conditional_node``."""
        node_id = self.compiled.node_ids[index]
        skip: bool = self.runtime._should_skip_conditional_node(self.workflow, node_id, inputs, self.run.outputs())
        if skip:
            self.skipped(index, inputs)
        return skip

    def skipped(self, index: int, inputs: dict[str, Any]) -> None:
        """Logs that a node is left out."""
        _logger.info(f"Skipping node {self.compiled.node_ids[index]} - all conditional inputs are None")

    def node_failed(self, index: int, error: Exception, inputs: Mapping[str, Any] | None) -> BaseException:
        """What ends the run; follows the ``except`` branches of ``AsyncLocalRuntime``.

        Whoever gets the error logs it: saying it here too would be twice, as stock does
        for workflows that have asynchronous nodes.
        """
        node_id = self.compiled.node_ids[index]
        who = "Sync node" if self.is_mixed and self.compiled.explanations[index].program != "async" else "Node"
        try:
            text = f"{who} '{node_id}' execution failed: {error}"
        except Exception as broken:  # its __str__ raises, and that is what stock raises
            while_handling(error, broken)
            return broken
        return caused_by(error, text)

    def node_started(self, index: int) -> None:
        """Before a node's inputs are assembled, if anybody watches."""
        if self.follower is not None:
            self.follower.started(index, threading.current_thread().name)

    def node_skipped(self, index: int) -> None:
        """A node was left out, if anybody watches."""
        if self.metrics is not None and self.is_mixed:
            self.metrics.node_durations[self.compiled.node_ids[index]] = 0.0
        if self.follower is not None:
            self.follower.skipped(index)

    def node_ended(
        self,
        index: int,
        inputs: Mapping[str, Any] | None,
        output: Any,
        error: BaseException | None,
        seconds: float,
    ) -> None:
        """After a node, if anybody watches."""
        if self.metrics is not None and self.is_mixed:
            if error is None:
                self.metrics.node_durations[self.compiled.node_ids[index]] = seconds
            elif isinstance(error, Exception):
                self.metrics.error_count += 1
        if self.follower is not None:
            thread = threading.current_thread().name
            self.follower.ended(index, thread, output, error, seconds, self.was_taken(index))


def raised_by_stock(error: BaseException) -> BaseException:
    """An error of a run as ``execute_workflow_async`` hands it on."""
    if isinstance(error, WorkflowExecutionError) or not isinstance(error, Exception):
        return error
    _logger.error(f"Workflow execution failed: {error}")
    return caused_by(error, f"Async execution failed: {error}")
