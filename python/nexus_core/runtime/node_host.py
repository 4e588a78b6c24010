"""What native node programs ask of Kailash, whichever runtime they run for.

Called by the engine from whichever thread runs a node, always with the node's place in
topological order.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from kailash.sdk_exceptions import NodeExecutionError, NodeValidationError, WorkflowExecutionError

from nexus_core._core import WorkflowRun, _NodeCaching, _RemoteNodes
from nexus_core.cached_runs.nodes import node_caching
from nexus_core.runtime import stock
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.named_functions import call_named_function, without_own_frames
from nexus_core.runtime.time_limits import NodeEnded, ends_nodes

if TYPE_CHECKING:
    from nexus_core.processes.isolated_nodes import IsolatedNodes
    from nexus_core.processes.isolation import Isolation
    from nexus_core.processes.watched_run import WatchedRun

__all__ = ["NodeHost", "caused_by", "nodes_elsewhere", "while_handling"]

_code_logger = logging.getLogger("kailash.nodes.code.python")
_security_logger = logging.getLogger("kailash.security")


class NodeHost:
    """The Python side of one run, as far as it concerns single nodes."""

    __slots__ = ("caching", "compiled", "elsewhere", "is_over", "levels", "run", "runtime", "token", "workflow")

    def __init__(self, runtime: Any, workflow: Any, compiled: CompiledWorkflow, token: Any) -> None:
        self.runtime = runtime
        self.workflow = workflow
        self.compiled = compiled
        self.token = token
        self.run: WorkflowRun = None  # type: ignore[assignment]  # set before the first node
        #: The run's cached nodes, and what the engine has been given for them.
        self.caching = node_caching(runtime, workflow, compiled)
        self._place_nodes()

    @property
    def native_caching(self) -> _NodeCaching | None:
        """What the engine is given for the run's cached nodes; ``None`` if there are none."""
        return None if self.caching is None else self.caching[1]

    # --- nodes in other processes -----------------------------------------------------

    def _place_nodes(self) -> None:
        #: The run's nodes that run in other processes; ``None`` if none does.
        self.elsewhere = nodes_elsewhere(self.runtime, self.workflow, self.compiled)
        #: What is logged in this process, once a worker has to know.
        self.levels: tuple[int, dict[str, int]] | None = None
        #: Nobody waits for the run any more.
        self.is_over = False

    @property
    def remote(self) -> _RemoteNodes | None:
        """What the engine is given for them; ``None`` if there are none."""
        return None if self.elsewhere is None else self.elsewhere.remote

    def run_elsewhere(
        self, index: int, inputs: dict[str, Any], dialect: str, own_execute: bool, logs: bool
    ) -> tuple[Any, BaseException | None] | None:
        """Its output or what it has raised, of a node in another process; ``None`` if it is to run here."""
        assert self.elsewhere is not None
        return self.elsewhere.run(self, index, inputs, dialect, own_execute, logs)

    def is_worth_a_process(self, index: int) -> None:
        """A node that is measured has proved to be long, and to compute."""
        assert self.elsewhere is not None
        self.elsewhere.consider(index)

    def before_watched_run(self, index: int, inputs: dict[str, Any]) -> WatchedRun | None:
        """What is there before such a node runs."""
        assert self.elsewhere is not None
        return self.elsewhere.before_watched_run(index, inputs)

    def after_watched_run(self, index: int, inputs: dict[str, Any], output: Any, watched: WatchedRun | None) -> None:
        """It has run: is it the same elsewhere?"""
        assert self.elsewhere is not None
        self.elsewhere.after_watched_run(index, inputs, output, watched)

    def is_given_up(self) -> bool:
        """Whether nobody wants to know what a node in another process returns, which is killed then."""
        return self.is_over or (self.token is not None and ends_nodes(self.token))

    def given_up(self) -> BaseException:
        """What a node ends with that was killed for that."""
        reason = None if self.token is None else self.token.reason
        return NodeEnded(message=f"Workflow cancelled: {reason or 'no reason provided'}")

    def was_taken(self, index: int) -> bool:
        """Whether a node has not run, because its output was kept."""
        return self.caching is not None and self.run.was_taken(index)

    def sanitize(self, index: int, values: dict[str, Any]) -> dict[str, Any]:
        """``validate_node_parameters`` with a node's security configuration."""
        config = self.compiled.instances[index].executor.security_config
        sanitized: dict[str, Any] = stock.security.validate_node_parameters(values, config, context="python_exec")
        return sanitized

    def is_cancelled(self) -> bool:
        """Whether the caller's token was cancelled."""
        return bool(self.token.is_cancelled)

    # --- what a node logs -----------------------------------------------------------

    def log_executing(self, index: int) -> None:
        """The first line of ``Node.execute``."""
        node = self.compiled.instances[index]
        node.logger.info(f"Executing node {node.id}")

    def log_validated(self, index: int, names: list[str]) -> None:
        """The line of ``validate_node_parameters``."""
        if self.compiled.instances[index].executor.security_config.enable_audit_logging:
            _security_logger.info(f"Node parameters validated (python_exec): {names}")

    def log_executed(self, index: int, seconds: float) -> None:
        """The last line of ``Node.execute``."""
        node = self.compiled.instances[index]
        node.logger.info(f"Node {node.id} executed successfully in {seconds:.3f}s")

    # --- a node's own run -----------------------------------------------------------

    def run_with(self, index: int, inputs: Any) -> Any:
        """Calls ``run`` with what a class's own ``validate_inputs`` has returned."""
        return self.compiled.instances[index].run(**inputs)

    # --- a named function -----------------------------------------------------------

    def call_named_function(self, name: str, function: Any, namespace: dict[str, Any], inputs: dict[str, Any]) -> Any:
        """Calls the function that a node's code defines under ``function_name``."""
        return call_named_function(name, function, namespace, inputs)

    # --- failures -------------------------------------------------------------------

    def code_failed(self, index: int, error: Exception | None, elapsed: float | None) -> BaseException:
        """What ``CodeExecutor.execute_code`` raises for an error of the user's code."""
        config = self.compiled.instances[index].executor.security_config
        security = stock.security
        if elapsed is not None:
            text = f"Execution timeout: {elapsed:.2f}s > {config.execution_timeout}s"
            if config.enable_audit_logging:
                _security_logger.warning(text)
            timeout = security.ExecutionTimeoutError(text)
            timeout.__context__ = error
            return self.input_refused(index, timeout)
        assert error is not None
        error.__traceback__ = without_own_frames(error.__traceback__)
        memory_limit = self.run.memory_limit
        if isinstance(error, MemoryError) and memory_limit is not None and memory_limit.in_force:
            exceeded = security.MemoryLimitError(
                "Memory limit exceeded: code execution requested more than "
                f"{memory_limit.limit} bytes of additional address space"
            )
            exceeded.__cause__ = exceeded.__context__ = error
            return self.input_refused(index, exceeded)
        if isinstance(error, (security.ExecutionTimeoutError, security.MemoryLimitError)):
            return self.input_refused(index, error)
        return self._wrapped("Code execution failed", error, stock.code_frame)

    def function_failed(self, index: int, error: Exception) -> BaseException:
        """What ``CodeExecutor.execute_function`` raises for an error of the function."""
        return self._wrapped("Function execution failed", error, stock.function_frame)

    def parameter_missing(self, index: int, name: str) -> BaseException:
        """What ``CodeExecutor.execute_function`` raises for a parameter without a value."""
        missing = NodeExecutionError(f"Missing required parameter: {name}")
        missing.__context__ = sys.exc_info()[1]
        return self._wrapped("Function execution failed", missing, stock.missing_parameter_frame)

    def _wrapped(self, what: str, error: Exception, frame: str) -> BaseException:
        try:
            text = f"{what}: {error!s}\n{stock.format_with_frame(error, frame)}"
        except Exception as broken:  # its __str__ raises: stock reports that instead
            while_handling(error, broken)
            return self.input_refused(0, broken)
        _code_logger.error(text)
        wrapped = NodeExecutionError(text)
        wrapped.__context__ = error
        return wrapped

    def input_refused(self, index: int, error: Exception) -> BaseException:
        """What ``PythonCodeNode.run`` makes of an exception."""
        if isinstance(error, NodeExecutionError):
            return error
        _code_logger.error(f"Python code execution failed: {error}")
        refused = NodeExecutionError(f"Execution failed: {error!s}")
        refused.__context__ = error
        return refused

    def instance_failed(self, index: int, error: Exception) -> BaseException:
        """What ``ClassWrapper.execute`` raises when the class cannot be made."""
        name = self.compiled.instances[index].class_type.__name__
        failed = NodeExecutionError(f"Failed to create instance of {name}: {error}")
        failed.__cause__ = failed.__context__ = error
        return failed

    def execution_failed(self, index: int, error: Exception) -> BaseException:
        """What ``Node.execute`` makes of an exception."""
        if isinstance(error, (NodeValidationError, NodeExecutionError)):
            return error
        node = self.compiled.instances[index]
        try:
            text = f"Node {node.id} execution failed: {error}"
        except Exception as broken:  # its __str__ raises: stock raises that instead
            while_handling(error, broken)
            return broken
        node.logger.error(text, exc_info=error)
        failed = NodeExecutionError(f"Node '{node.id}' execution failed: {type(error).__name__}: {error}")
        failed.__cause__ = failed.__context__ = error
        return failed


def nodes_elsewhere(runtime: Any, workflow: Any, plan: CompiledWorkflow) -> IsolatedNodes | None:
    """The nodes of a run that run in other processes; ``None`` if there are none.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
    """
    isolation: Isolation = runtime._isolation
    if isolation.is_idle and not plan.isolated_nodes:
        return None
    return isolation.nodes_of(workflow, plan)


def caused_by(error: Exception, text: str) -> WorkflowExecutionError:
    """As ``raise WorkflowExecutionError(text) from error`` would leave it."""
    failed = WorkflowExecutionError(text)
    failed.__cause__ = failed.__context__ = error
    return failed


def while_handling(error: BaseException, raised: BaseException) -> None:
    """Gives ``raised`` the context it would have if ``error`` had been handled then."""
    outer = error.__context__
    first = raised
    while first.__context__ is not None and first.__context__ is not outer:
        first = first.__context__
    if first is not error:
        first.__context__ = error
