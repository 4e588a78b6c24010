"""What a run of ``LocalRuntime`` asks of Kailash beside what its nodes ask."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from typing import Any

from kailash.runtime.validation.error_categorizer import ErrorCategorizer
from kailash.runtime.validation.metrics import get_metrics_collector
from kailash.sdk_exceptions import WorkflowExecutionError

from nexus_core.runtime import stock, validation_counts
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.log_visibility import is_visible
from nexus_core.runtime.node_contexts import ContextScope
from nexus_core.runtime.node_host import NodeHost, caused_by, while_handling
from nexus_core.runtime.observers import RunObserver
from nexus_core.runtime.time_limits import NodeEnded

__all__ = ["RunHost"]

_validation_logger = logging.getLogger("kailash.utils.data_validation")


class RunHost(NodeHost):
    """The Python side of one run of ``LocalRuntime``."""

    __slots__ = (
        "_failed",
        "_validated_by_stock",
        "context",
        "observer",
        "parameters",
        "scope",
    )

    def __init__(
        self,
        runtime: Any,
        workflow: Any,
        compiled: CompiledWorkflow,
        parameters: dict[str, Any] | None,
        context: dict[str, Any],
        token: Any,
        observer: RunObserver | None,
    ) -> None:
        super().__init__(runtime, workflow, compiled, token)
        self.parameters = parameters or {}
        self.context = context
        self.observer = observer
        self.scope: ContextScope | None = None
        self._failed: dict[int, Exception] = {}
        self._validated_by_stock: set[int] = set()

    # --- inputs -------------------------------------------------------------------

    def prepare_inputs(self, index: int) -> dict[str, Any]:
        """``LocalRuntime._prepare_node_inputs``."""
        self._validated_by_stock.add(index)
        inputs: dict[str, Any] = self.runtime._prepare_node_inputs(
            workflow=self.workflow,
            node_id=self.compiled.node_ids[index],
            node_instance=self.compiled.instances[index],
            node_outputs=self.run.outputs(),
            parameters=self.parameters,
            _node_ids=self.compiled.node_id_set,
        )
        if self.runtime.debug:
            self.runtime.logger.debug(f"Node {self.compiled.node_ids[index]} inputs: {inputs}")
        return inputs

    def connection_invalid(self, index: int, error: Exception) -> BaseException | None:
        """What ``_prepare_node_inputs`` does when a node refuses its inputs: logs or raises."""
        self._validated_by_stock.add(index)
        runtime = self.runtime
        node_id = self.compiled.node_ids[index]
        node = self.compiled.instances[index]
        node_type = type(node).__name__
        category = ErrorCategorizer().categorize_error(error, node_type)
        connection = {"source": "unknown", "target": node_id}
        for known in self.workflow.connections:
            if known.target_node == node_id:
                connection["source"] = known.source_node
                break
        metrics = get_metrics_collector()
        metrics.start_validation(node_id, node_type, runtime.connection_validation)
        metrics.end_validation(
            node_id,
            node_type,
            success=False,
            error_category=category,
            connection_info=connection,
        )
        if category.value == "security_violation":
            details = {"message": str(error), "category": "connection_validation"}
            metrics.record_security_violation(node_id, node_type, details, connection)
        text = runtime._generate_enhanced_validation_error(node_id, node, error, self.workflow, self.parameters)
        if runtime.connection_validation == "strict":
            return caused_by(error, text)
        runtime.logger.warning(text)
        return None

    def count_validations(self, finished: bool) -> None:
        """After the last node: counts the validations that stock has not recorded itself."""
        nodes = self.compiled.explanations
        recorded = self._validated_by_stock
        if not finished:
            ended = self.run.outputs()
            began = {*self._failed, *(p for p, n in enumerate(nodes) if n.node_id in ended)}
            recorded = recorded | (set(range(len(nodes))) - began)
        validation_counts.count(nodes, self.runtime.connection_validation, recorded or ())

    def sources_left_out(self, sources: list[int]) -> None:
        """Logs what stock makes of the outputs of nodes that were left out."""
        if not is_visible(_validation_logger, logging.WARNING):
            return
        for index in sources:
            _validation_logger.warning(
                f"Node '{self.compiled.node_ids[index]}' output should be a dict, got {type(None)}. "
                "Wrapping in result key."
            )

    def should_skip(self, index: int, inputs: dict[str, Any]) -> bool:
        """``ConditionalExecutionMixin._should_skip_conditional_node``."""
        node_id = self.compiled.node_ids[index]
        skip: bool = self.runtime._should_skip_conditional_node(self.workflow, node_id, inputs, self.run.outputs())
        if skip:
            self.skipped(index, inputs)
        return skip

    def skipped(self, index: int, inputs: dict[str, Any]) -> None:
        """Logs that a node is left out."""
        node_id = self.compiled.node_ids[index]
        if self.runtime.debug:
            self.runtime.logger.debug(f"DEBUG: Skipping {node_id} - inputs: {inputs}")
        self.runtime.logger.info(f"Skipping node {node_id} - all conditional inputs are None")

    # --- context and limits ---------------------------------------------------------

    def give_context(self, index: int, context: dict[str, Any]) -> None:
        """Lets a node see the run's workflow context."""
        if self.scope is not None:
            self.scope.give(self.compiled.instances[index])

    def context_functions(self) -> tuple[Callable[..., Any], Callable[..., None]]:
        """``get_workflow_context`` and ``set_workflow_context`` of this run."""
        context = self.context

        def get_workflow_context(key: str, default: Any = None) -> Any:
            return context.get(key, default)

        def set_workflow_context(key: str, value: Any) -> None:
            context[key] = value

        return get_workflow_context, set_workflow_context

    def content_failure(self, index: int, output: Any) -> BaseException | None:
        """The error for an output that says ``success: False``."""
        stop, text = stock.should_stop_on_content_failure(result=output, content_aware_mode=True, stop_on_error=True)
        if not stop:
            return None
        node_id = self.compiled.node_ids[index]
        result = output if isinstance(output, dict) else {"error": text}
        error: BaseException = stock.create_content_aware_error(node_id=node_id, result=result, error_message=text)
        error.__context__ = sys.exc_info()[1]
        self.runtime.logger.error(f"Content-aware failure detected in node {node_id}: {text}")
        if self.observer is not None:
            self.observer.reported_failure(index, error)
        return error

    def output_seen(self, index: int, output: Any) -> None:
        """After a node has returned, in a run that is debugged."""
        if self.runtime.debug:
            self.runtime.logger.debug(f"Node {self.compiled.node_ids[index]} outputs: {output}")

    def node_failed(
        self, index: int, error: Exception, inputs: Mapping[str, Any] | None
    ) -> dict[str, Any] | BaseException:
        """The record of a failure that the run survives, or the error that ends it.

        Follows the ``except`` branch of ``LocalRuntime._execute_workflow_async``.
        """
        runtime = self.runtime
        node_id = self.compiled.node_ids[index]
        if isinstance(error, NodeEnded):
            return error
        self._failed[index] = error
        try:
            text = f"Node {node_id} failed: {error}"
        except Exception as broken:  # its __str__ raises, and that is what stock raises
            while_handling(error, broken)
            return broken
        runtime.logger.error(text, exc_info=error if runtime.debug else None)
        if isinstance(error, stock.ContentAwareExecutionError):
            return caused_by(error, f"Content-aware failure in node '{node_id}': {error}")
        if "Trust verification denied" in str(error):
            return caused_by(error, str(error))
        if runtime._should_stop_on_error(self.workflow, node_id):
            return caused_by(error, f"Node '{node_id}' failed: {error}")
        return {
            "error": str(error),
            "error_type": type(error).__name__,
            "failed": True,
            "_exception": error,
        }

    def ended_by(self, failure: BaseException) -> None:
        """Names the nodes that failed before the one that ended the run.

        Only now is it known which: nodes that come first in topological order may
        have run, and failed, after it.
        """
        if len(self._failed) < 2 or type(failure) is not WorkflowExecutionError:
            return
        cause = failure.__cause__
        for index, error in self._failed.items():
            node_id = self.compiled.node_ids[index]
            if error is not cause or not str(failure).startswith(f"Node '{node_id}' failed: "):
                continue
            earlier = [self.compiled.node_ids[place] for place in sorted(self._failed) if place < index]
            if earlier:
                failure.args = (f"{failure} (Previously failed nodes: {earlier})",)
            return

    # --- whoever watches --------------------------------------------------------------

    def node_started(self, index: int) -> None:
        """Before a node's inputs are assembled, if anybody watches."""
        if self.observer is not None:
            self.observer.started(index)

    def node_ended(
        self,
        index: int,
        inputs: Mapping[str, Any] | None,
        output: Any,
        error: BaseException | None,
        seconds: float,
    ) -> None:
        """After a node, if anybody watches."""
        if self.observer is not None:
            self.observer.ended(index, inputs, output, error, seconds, self.was_taken(index))
