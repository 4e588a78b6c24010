"""Programs for ``PythonCodeNode``: what does not depend on a run's inputs, done once."""

from __future__ import annotations

import builtins
import importlib
import inspect
import os
import re
import sys
from typing import Any, cast

from nexus_core.runtime import stock
from nexus_core.runtime.code_rules import NoProgram, ReadSets, checked, is_dynamic, is_set
from nexus_core.runtime.input_validation import validation_program

__all__ = [
    "CodeProgram", "NoProgram", "Shared", "code_program", "function_program", "imported", "is_plain_name", "read_sets",
]  # fmt: skip

CodeProgram = dict[str, Any]
#: What the nodes of one plan have in common: a dict each of them would else have of its own.
Shared = dict[Any, Any]

#: What ``PythonCodeNode.__init__`` takes itself; everything else in a node's
#: configuration was given by the user for the code.
_OWN_PARAMETERS = frozenset(inspect.signature(stock.PythonCodeNode.__init__).parameters) | {"function_name"}

_CONTEXT_FUNCTIONS = frozenset({"get_workflow_context", "set_workflow_context"})


def code_program(node: Any, shared: Shared) -> CodeProgram:
    """The native program of a node with a code string.

    Follows ``CodeExecutor.execute_code``.

    Args:
        node: A ``PythonCodeNode``.
        shared: Filled as the nodes of a plan are read.

    Raises:
        NoProgram: If Kailash has to run the node.
    """
    executor = node.executor
    trusted = bool(getattr(executor, "_trusted_mode", False))
    if type(executor) is not stock.CodeExecutor:
        raise NoProgram("it has an executor of its own class")
    if "coverage" in sys.modules:
        raise NoProgram("coverage is being measured, under which Kailash loads modules otherwise")
    sets = read_sets(shared)
    for held in (executor.allowed_modules, executor.allowed_builtins):
        if not is_set(held):
            raise NoProgram(f"its executor goes by a {type(held).__name__} where Kailash has a set")
    code, names, _ = checked(node.code, trusted, sets)
    function = node.config.get("function_name")
    if function is not None and not (isinstance(function, str) and function.isidentifier()):
        raise NoProgram(f"function_name is {function!r}, which names no function")
    own_config = None
    if function is not None:
        own_config = {k: v for k, v in node.config.items() if k not in _OWN_PARAMETERS}
    allowed_builtins = vars(builtins) if trusted else _builtins(executor, sets, shared)
    return {
        "kind": "code",
        "code": code,
        "namespace": _namespace(executor, names, node, sets, shared),
        "builtins": allowed_builtins,
        "builtins_are_live": trusted,
        "static_locals": _static_locals(node.config if own_config is None else own_config),
        "names_context": _sees_context(names),
        "names_asyncio": "asyncio" in names or is_dynamic(names),
        "odd_names": "vars" in names or is_dynamic(names),
        "function": function,
        "own_config": own_config,
        "timeout": float(executor.security_config.execution_timeout),
        "default_schema": _has_default_schema(node),
        "stock": _stock_functions(executor.security_config, shared),
    }


def is_plain_name(key: str) -> bool:
    """Whether sanitising leaves this key alone and never takes its value for a path."""
    lowered = key.lower()
    return key.isidentifier() and not (key in ("self", "config") or "path" in lowered or "file" in lowered)


def _sees_context(names: frozenset[str]) -> bool:
    return bool(_CONTEXT_FUNCTIONS & names) or is_dynamic(names)


def _stock_functions(config: Any, shared: Shared) -> dict[str, Any]:
    key = ("stock", id(config))
    if key not in shared:
        shared[key] = stock.stock_functions(config)
    return shared[key]


def read_sets(shared: Shared) -> ReadSets:
    """The sets that the nodes of a plan go by.

    Args:
        shared: Of the plan.
    """
    known = shared.get("sets")
    if known is None:
        known = shared["sets"] = ReadSets()
    return cast(ReadSets, known)


def imported(shared: Shared) -> set[str]:
    """Names of the modules that the nodes of a plan are given.

    Args:
        shared: Of the plan.
    """
    return cast("set[str]", shared.setdefault("modules", set()))


def _builtins(executor: Any, sets: ReadSets, shared: Shared) -> dict[str, Any]:
    """One dict for all nodes of the plan that may use the same: executions copy it."""
    held = executor.allowed_builtins
    common = sets.common(held)
    for name in common.then:
        if not isinstance(name, str):
            raise NoProgram(f"its executor allows {name!r}, which names no builtin")
    # Code may reach all of them without naming one.
    common.whole = True
    common.look(common.then)
    key = ("builtins", id(held))
    if key not in shared:
        shared[key] = {name: getattr(builtins, name) for name in common.then if hasattr(builtins, name)}
    return cast("dict[str, Any]", shared[key])


def _namespace(executor: Any, names: frozenset[str], node: Any, sets: ReadSets, shared: Shared) -> dict[str, Any]:
    """Modules under the names that the code mentions, and Kailash's helpers."""
    allowed = sets.own(executor.allowed_modules, None if is_dynamic(names) else names)
    if _sees_context(names):
        # Replaced by functions of the run, if that has a context of its own.
        return _modules_and_helpers(allowed, shared) | {
            "get_workflow_context": node.get_workflow_context,
            "set_workflow_context": node.set_workflow_context,
        }
    key = ("namespace", allowed)
    if key not in shared:
        shared[key] = _modules_and_helpers(allowed, shared)
    return cast("dict[str, Any]", shared[key])


def _modules_and_helpers(allowed: frozenset[str], shared: Shared) -> dict[str, Any]:
    from kailash.utils.data_paths import (
        get_data_path,
        get_input_data_path,
        get_output_data_path,
    )

    namespace: dict[str, Any] = {}
    modules = imported(shared)
    for name in allowed:
        if name == "scipy" and os.environ.get("CI"):
            continue
        modules.add(name)
        try:
            namespace[name] = importlib.import_module(name)
        except ImportError:
            continue
        except Exception as broken:
            raise NoProgram(f"module {name} cannot be imported: {broken!r}") from broken
    namespace["get_input_data_path"] = get_input_data_path
    namespace["get_output_data_path"] = get_output_data_path
    namespace["get_data_path"] = get_data_path
    return namespace


#: ``kailash.security.sanitize_input`` refuses longer strings.
_LONGEST_INPUT = 10_000
#: What it removes from strings. Asking it would import pandas and all the other libraries
#: whose types it knows.
_CHANGED_BY_SANITISING = re.compile(r"javascript:|</?(?:script|iframe|object|embed)", re.IGNORECASE)
_SCALARS = (type(None), bool, int, float, str)


def _static_locals(config: dict[str, Any]) -> dict[str, Any] | None:
    """A configuration as variables, if sanitising it always gives the same and says nothing."""
    if "config" in config:
        return None
    texts = []
    for key, value in config.items():
        if type(value) not in _SCALARS or not isinstance(key, str):
            return None
        if type(value) is str:
            lowered = key.lower()
            if "${" in value or "path" in lowered or "file" in lowered:
                return None
            texts.append(value)
    for text in texts:
        if len(text) > _LONGEST_INPUT:
            raise NoProgram(f"its configuration holds a string of {len(text)} characters")
        if _CHANGED_BY_SANITISING.search(text):
            # The change is logged at every execution.
            return None
    return dict(config)


def _has_default_schema(node: Any) -> bool:
    return not getattr(node, "_output_schema", None)


def function_program(node: Any, parameters: dict[str, Any]) -> dict[str, Any]:
    """The native program of a node made from a function or a class.

    Follows ``FunctionWrapper`` and ``ClassWrapper``.

    Raises:
        NoProgram: If Kailash has to run the node.
    """
    if type(node.executor) is not stock.CodeExecutor:
        raise NoProgram("it has an executor of its own class")
    if node.function:
        target, method = node.function, None
        signature = inspect.signature(target)
        listed = list(signature.parameters.values())
    else:
        target, method = node.class_type, node.process_method or "process"
        found = getattr(target, method, None)
        if not inspect.isfunction(found):
            raise NoProgram(f"its {method} is not a plain method")
        listed = list(inspect.signature(found).parameters.values())[1:]
    any_keyword = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in listed)
    return {
        "kind": "function",
        "target": target,
        "method": method,
        "parameters": [
            (p.name, p.default is not p.empty) for p in listed if p.kind is not inspect.Parameter.VAR_KEYWORD
        ],
        "takes_any_keyword": any_keyword,
        "validation": validation_program(node, parameters),
        "default_schema": _has_default_schema(node),
        "stock": stock.stock_functions(node.executor.security_config),
    }
