"""Kailash's own functions and classes, taken once at import.

Later replacements of a name in a Kailash module (a process-wide install, a test's
patch) do not change what is delegated to; where a patched function would change a
result, the plan notices (see ``compiler``).
"""

from __future__ import annotations

import inspect
import traceback
from typing import Any

from kailash import security
from kailash.nodes.base import Node, NodeParameter
from kailash.nodes.base_async import AsyncNode
from kailash.nodes.code import python as code_module
from kailash.nodes.code.python import CodeExecutor, FunctionWrapper, PythonCodeNode, SafeCodeChecker
from kailash.nodes.logic.operations import SwitchNode
from kailash.runtime import local as local_module
from kailash.runtime.async_local import AsyncLocalRuntime as StockAsyncLocalRuntime
from kailash.runtime.local import (
    ContentAwareExecutionError,
    create_content_aware_error,
    should_stop_on_content_failure,
)
from kailash.runtime.local import LocalRuntime as StockLocalRuntime
from kailash.runtime.template_resolver import resolve_templates
from kailash.utils.data_validation import DataTypeValidator
from kailash.workflow import Workflow

__all__ = [
    "AsyncNode",
    "CodeExecutor",
    "ContentAwareExecutionError",
    "DataTypeValidator",
    "FunctionWrapper",
    "Node",
    "NodeParameter",
    "PythonCodeNode",
    "SafeCodeChecker",
    "StockAsyncLocalRuntime",
    "StockLocalRuntime",
    "SwitchNode",
    "Workflow",
    "code_frame",
    "code_module",
    "create_content_aware_error",
    "format_with_frame",
    "function_frame",
    "local_module",
    "missing_parameter_frame",
    "resolve_templates",
    "security",
    "should_stop_on_content_failure",
    "stock_functions",
]


def stock_functions(config: object) -> dict[str, Any]:
    """The functions that native code asks, for a node with this security configuration."""
    return {
        "resolve_templates": resolve_templates,
        "sanitize_input": security.sanitize_input,
        "validate_node_output": DataTypeValidator.validate_node_output,
        "ensure_json_serializable": _WRAPPER._ensure_json_serializable,
        "config": config,
    }


def _identity(value: object) -> object:
    return value


_WRAPPER = FunctionWrapper(_identity)

_HEAD = "Traceback (most recent call last):\n"


def _frame_of(function: Any, statement: str, expression: str) -> str:
    """How a traceback shows the line of ``function`` that runs a user's code.

    Kailash puts whole tracebacks into its error messages, and the first frame in them is
    its own. The same message must name the same frame.
    """
    lines, first = inspect.getsourcelines(function)
    number, text = next((first + offset, line) for offset, line in enumerate(lines) if line.strip() == statement)
    column = text.index(expression)
    summary = traceback.FrameSummary(
        function.__code__.co_filename,
        number,
        function.__name__,
        end_lineno=number,
        colno=column,
        end_colno=column + len(expression),
    )
    return "".join(traceback.StackSummary.from_list([summary]).format())


def _frame_or_nothing(function: Any, statement: str, expression: str | None = None) -> str:
    try:
        return _frame_of(function, statement, expression or statement)
    except (OSError, StopIteration):  # no source at hand, or another version of it
        return ""


code_frame = _frame_or_nothing(CodeExecutor.execute_code, "exec(code, namespace, local_namespace)")
function_frame = _frame_or_nothing(CodeExecutor.execute_function, "return func(**kwargs)", "func(**kwargs)")
missing_parameter_frame = _frame_or_nothing(CodeExecutor.execute_function, "raise NodeExecutionError(")
_loop_frame = _frame_or_nothing(
    StockLocalRuntime.execute, "loop = asyncio.get_running_loop()", "asyncio.get_running_loop()"
)
_NO_LOOP = "RuntimeError: no running event loop\n"


def format_with_frame(error: BaseException, frame: str) -> str:
    """``traceback.format_exc()`` as it would read if stock had called the user's code.

    Args:
        error: What the user's code raised.
        frame: Stock's own frame, which called the user's code.
    """
    parts = traceback.format_exception(error)
    heads = [place for place, part in enumerate(parts) if part == _HEAD]
    if error.__traceback__ is not None and heads:
        parts.insert(heads[-1] + 1, frame)
    else:  # raised by the call itself, before any code of the user ran
        place = len(parts) - len(traceback.format_exception_only(error))
        parts[place:place] = [_HEAD, frame]
        heads.append(place)
    # Runs happen while the lack of an event loop is handled, in stock as here.
    if _NO_LOOP in parts and _loop_frame:
        end = parts.index(_NO_LOOP)
        begin = max((place for place in heads if place < end), default=end)
        parts[begin + 1 : end] = [_loop_frame]
    return "".join(parts)
