"""What a plan is made from, and is made anew for when it has changed."""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any

from nexus_core.cached_runs.nodes import METADATA_KEY
from nexus_core.processes.statements import ISOLATION_KEY, RETRY_KEY
from nexus_core.runtime import stock
from nexus_core.runtime.code_rules import CHECKER_METHODS, is_set
from nexus_core.runtime.generic_nodes import SWITCH_METHODS
from nexus_core.runtime.input_validation import VALIDATION_METHODS

__all__ = ["class_is_stock", "watched_classes", "watched_dicts"]

_CONTEXT_METHODS = ("get_workflow_context", "set_workflow_context")
_NODE_METHODS = (
    "execute", "execute_async", "run", "validate_inputs", "validate_outputs",
    "get_parameters", "get_output_schema", "_is_json_serializable",
    "cleanup", "id", "_strict_unknown_params", "_SPECIAL_PARAMS", *SWITCH_METHODS[1:], *_CONTEXT_METHODS,
    *(name for name in VALIDATION_METHODS if name != "validate_inputs"), "cacheable", ISOLATION_KEY, RETRY_KEY,
)  # fmt: skip
_EXECUTOR_METHODS = ("execute_code", "execute_function", "check_code_safety", "_trusted_mode")
_INSTANCE_KEYS = [
    "execute", "execute_async", "run", "validate_inputs", "validate_outputs",
    "get_parameters", "get_output_schema", "cleanup", "config",
    "code", "function", "class_type", "process_method", "executor", "sandbox_mode",
    "_input_schema", "_output_schema", "_cache_enabled", "_cached_params", "_strict_unknown_params", "_SPECIAL_PARAMS",
    "_is_json_serializable", *SWITCH_METHODS[1:], *(name for name in VALIDATION_METHODS if name != "validate_inputs"),
    "cacheable", ISOLATION_KEY, RETRY_KEY, *_CONTEXT_METHODS,
]  # fmt: skip
_SECURITY_NAMES = [
    "sanitize_input", "validate_node_parameters", "validate_file_path",
    "memory_limit_guard", "execution_timeout", "SafeCodeChecker", "ALLOWED_MODULES",
]  # fmt: skip
#: What the code of nodes is given beside modules.
_HELPERS = ["get_data_path", "get_input_data_path", "get_output_data_path"]

_ORIGINALS: dict[tuple[type, str], Any] = {
    (owner, name): getattr(owner, name)
    for owner, names in (
        (stock.PythonCodeNode, _NODE_METHODS),
        (stock.CodeExecutor, _EXECUTOR_METHODS),
    )
    for name in names
    if hasattr(owner, name)
} | {(stock.SafeCodeChecker, name): getattr(stock.SafeCodeChecker, name, None) for name in CHECKER_METHODS}
_SECURITY_ORIGINALS = {
    (module.__name__, name): getattr(module, name)
    for module in (stock.security, stock.code_module)
    for name in _SECURITY_NAMES
    if isinstance(getattr(module, name, None), (FunctionType, type))
}


def class_is_stock() -> bool:
    """Whether ``PythonCodeNode``, and what it goes by, are as they were imported."""
    methods = all(getattr(owner, name, None) is m for (owner, name), m in _ORIGINALS.items())
    return methods and all(
        getattr(sys.modules.get(module), name, None) is function
        for (module, name), function in _SECURITY_ORIGINALS.items()
    )


def watched_dicts(
    workflow: Any, order: tuple[str, ...], breathe: Callable[[], object], modules: Iterable[str] = ()
) -> Iterator[tuple[dict[Any, Any], list[Any] | None]]:
    """Every dict that a plan is read from, and the keys that matter, or ``None`` for all.

    Args:
        workflow: A built workflow.
        order: Its nodes.
        breathe: Called now and then, for others to have their turns.
        modules: Those that its programs have.
    """
    graph = workflow.graph
    yield vars(workflow), ["graph", "_node_instances", "metadata", "_topo_cache"]
    yield workflow._node_instances, None
    yield graph._edge_attrs, None
    yield workflow.metadata, ["connection_contracts", METADATA_KEY, ISOLATION_KEY, RETRY_KEY]
    yield vars(stock.security), _SECURITY_NAMES
    yield vars(stock.code_module), _SECURITY_NAMES
    for attributes in list(graph._edge_attrs.values()):
        breathe()
        yield attributes, None
        mapping = attributes.get("mapping")
        if isinstance(mapping, dict):
            yield mapping, None
    executors: set[int] = set()
    allowed: dict[int, Any] = {}
    for node_id in order:
        breathe()
        node = workflow._node_instances[node_id]
        yield vars(node), _INSTANCE_KEYS
        yield node.config, None
        if type(getattr(node, "_cached_params", None)) is dict:
            yield node._cached_params, None
        executor: Any = getattr(node, "executor", None)
        if type(executor) is not stock.CodeExecutor:
            continue
        allowed[id(executor.allowed_builtins)] = executor.allowed_builtins
        yield vars(executor), None
        if id(executor.security_config) not in executors:
            executors.add(id(executor.security_config))
            yield vars(executor.security_config), None
    yield sys.modules, ["coverage", *modules]
    if allowed:
        names: set[Any] = set().union(*filter(is_set, allowed.values()))
        yield vars(builtins), [name for name in names if type(name) is str]
        helpers = sys.modules.get("kailash.utils.data_paths")
        if helpers is not None:
            yield vars(helpers), _HELPERS
        environment = getattr(os.environ, "_data", None)
        if isinstance(environment, dict):
            yield environment, [os.environ.encodekey("CI")]


def watched_classes(order: tuple[str, ...], instances: dict[str, Any]) -> list[tuple[type, list[str]]]:
    """Every class that a plan goes by, and the methods that matter.

    Args:
        order: The workflow's nodes.
        instances: Each of them, by its id.
    """
    classes = {type(instances[node_id]) for node_id in order}
    watched = [(found, list(_NODE_METHODS)) for found in sorted(classes, key=lambda c: c.__name__)]
    if stock.PythonCodeNode in classes:
        watched.append((stock.CodeExecutor, list(_EXECUTOR_METHODS)))
        watched.append((stock.SafeCodeChecker, list(CHECKER_METHODS)))
    return watched
