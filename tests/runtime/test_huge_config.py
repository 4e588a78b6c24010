"""A configuration that cannot be shown."""

from __future__ import annotations

import pytest
from kailash.nodes.code.python import PythonCodeNode
from kailash.sdk_exceptions import RuntimeExecutionError
from kailash.workflow.graph import Workflow

from nexus_core.runtime import LocalRuntime


def test_an_int_that_is_too_long_to_be_shown_is_left_to_kailash() -> None:
    def takes(x: int) -> int:
        return x

    workflow = Workflow("huge", "huge")
    workflow.add_node("a", PythonCodeNode.from_function(takes, name="a", config=10**5000))
    with LocalRuntime(enable_monitoring=False) as runtime, pytest.raises(RuntimeExecutionError):
        runtime.execute(workflow)
