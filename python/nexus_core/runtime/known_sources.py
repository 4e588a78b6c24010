"""Which of Kailash's functions are those that the native engine was written after.

Asked only where Kailash is not of a tested version. A function whose source is another one
may do another thing, so whatever stands in for it is left to Kailash.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import io
import textwrap
import tokenize
from collections.abc import Iterable, Mapping
from typing import Any

from nexus_core.runtime.known_digests import DIGESTS
from nexus_core.versions import untested

__all__ = ["ASYNC_RUNTIME", "FUNCTIONS", "LOCAL_RUNTIME", "NODES", "current_digests", "digest", "reasons_not_known"]

#: What the engine does instead of Kailash when nodes run and branches are pruned, on either runtime.
NODES = {
    "kailash.nodes.base": (
        "Node.execute",
        "Node.validate_inputs",
        "Node.validate_outputs",
        "Node._resolve_parameters",
        "Node._validate_resolved_parameters",
        "Node._is_json_serializable",
    ),
    "kailash.nodes.base_async": ("AsyncNode.execute", "AsyncNode.execute_async"),
    "kailash.nodes.code.python": (
        "PythonCodeNode.run",
        "PythonCodeNode.execute_code",
        "PythonCodeNode.get_parameters",
        "PythonCodeNode.validate_inputs",
        "CodeExecutor.execute_code",
        "CodeExecutor.execute_function",
        "CodeExecutor.check_code_safety",
        "FunctionWrapper.execute",
        "FunctionWrapper._ensure_json_serializable",
        "ClassWrapper.execute",
    ),
    "kailash.runtime.mixins.conditional_execution": ("ConditionalExecutionMixin",),
    "kailash.analysis.conditional_branch_analyzer": ("ConditionalBranchAnalyzer",),
    "kailash.planning.dynamic_execution_planner": ("DynamicExecutionPlanner",),
    "kailash.runtime.hierarchical_switch_executor": ("HierarchicalSwitchExecutor",),
    "kailash.nodes.logic.operations": ("SwitchNode.run", "MergeNode.run"),
    "kailash.security": (
        "sanitize_input",
        "validate_node_parameters",
        "memory_limit_guard",
        "execution_timeout",
    ),
    "kailash.utils.data_validation": ("DataTypeValidator.validate_node_output",),
    "kailash.runtime.template_resolver": ("resolve_templates",),
    "kailash.workflow.graph": ("Workflow.validate", "Workflow.get_execution_order", "Workflow.connect"),
}

#: What the engine does instead of ``LocalRuntime``, and of what writes its run history.
LOCAL_RUNTIME = {
    **NODES,
    "kailash.runtime.local": (
        "LocalRuntime.execute",
        "LocalRuntime._execute_sync",
        "LocalRuntime._execute_async",
        "LocalRuntime._execute_workflow_async",
        "LocalRuntime._prepare_node_inputs",
        "LocalRuntime._process_workflow_parameters",
        "LocalRuntime._should_stop_on_error",
        "LocalRuntime._should_skip_conditional_node",
        "LocalRuntime._flush_deferred_storage_sqlite",
        "should_stop_on_content_failure",
        "create_content_aware_error",
    ),
    "kailash.runtime.mixins.cycle_execution": ("CycleExecutionMixin",),
    "kailash.workflow.cyclic_runner": ("CyclicWorkflowExecutor",),
    "kailash.tracking.storage.deferred": ("DeferredStorageBackend.flush_to_sqlite",),
    "kailash.tracking.storage.database": (
        "SQLiteStorage._initialize_schema",
        "SQLiteStorage.save_run",
        "SQLiteStorage.save_tasks_batch",
    ),
    "kailash.tracking.manager": (
        "TaskManager.create_run",
        "TaskManager.create_task",
        "TaskManager.update_run_status",
        "TaskManager.update_task_status",
        "TaskManager.update_task_metrics",
    ),
}

#: What the engine does instead of ``AsyncLocalRuntime``.
ASYNC_RUNTIME = {
    **NODES,
    "kailash.runtime.async_local": (
        "AsyncLocalRuntime.execute",
        "AsyncLocalRuntime.execute_async",
        "AsyncLocalRuntime.execute_workflow_async",
        "AsyncLocalRuntime._execute_workflow_internal",
        "AsyncLocalRuntime._execute_fully_async_workflow",
        "AsyncLocalRuntime._execute_mixed_workflow",
        "AsyncLocalRuntime._execute_sync_workflow",
        "AsyncLocalRuntime._execute_sync_workflow_internal",
        "AsyncLocalRuntime._execute_node_async",
        "AsyncLocalRuntime._execute_sync_node_async",
        "AsyncLocalRuntime._execute_sync_node_in_thread",
        "AsyncLocalRuntime._prepare_sync_node_inputs",
        "AsyncLocalRuntime._prepare_async_node_inputs",
        "AsyncLocalRuntime._should_skip_conditional_node",
    ),
}

#: All of them.
FUNCTIONS = {**LOCAL_RUNTIME, **ASYNC_RUNTIME}


def digest(function: Any) -> str | None:
    """A digest of a function's source without its comments, or ``None`` where it has none.

    Args:
        function: A function of Kailash's.

    Example:
        >>> import textwrap
        >>> digest(textwrap.dedent) != digest(textwrap.indent)
        True
    """
    try:
        source = inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        return None
    lines = textwrap.dedent(source).splitlines()
    try:
        for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
            if token.type == tokenize.COMMENT:
                row, column = token.start
                lines[row - 1] = lines[row - 1][:column]
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return None
    text = "\n".join(kept for line in lines if (kept := line.rstrip()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def found(module: str, name: str) -> Any:
    """A function of Kailash's by its module and qualified name; ``None`` if there is none."""
    try:
        value: Any = importlib.import_module(module)
    except ImportError:
        return None
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def current_digests() -> dict[str, str | None]:
    """The digests of the functions of the installed Kailash, by ``module:name``."""
    digests = {}
    for module, names in FUNCTIONS.items():
        for name in names:
            function = found(module, name)
            digests[f"{module}:{name}"] = None if function is None else digest(function)
    return digests


@functools.cache
def _is_known(module: str, name: str) -> bool:
    function = found(module, name)
    return function is not None and digest(function) in DIGESTS.get(f"{module}:{name}", ())


def reasons_not_known(functions: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """Why runs are left to a Kailash of an untested version; empty for a tested one.

    Args:
        functions: What the engine does instead of Kailash, as qualified names by module:
            :data:`LOCAL_RUNTIME` or :data:`ASYNC_RUNTIME`.
    """
    if not untested("kailash"):
        return ()
    return tuple(
        f"this version of Kailash's {name} is not known"
        for module, names in functions.items()
        for name in names
        if not _is_known(module, name)
    )
