"""Fixtures and workflows for tests on real Nexus apps."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

__all__ = ["app", "code_workflow", "function_workflow", "make_app"]


@pytest.fixture
def make_app() -> Iterator[Callable[[], Any]]:
    """Makes apps that listen nowhere, and closes them."""
    from nexus import Nexus

    made: list[Any] = []

    def make() -> Any:
        made.append(Nexus(enable_auth=False, rate_limit=None, enable_durability=False))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def app(make_app: Callable[[], Any]) -> Any:
    """An app that is attached."""
    import nexus_core

    made = make_app()
    nexus_core.attach(made)
    return made


def code_workflow(code: str = "result = 1", kind: str = "PythonCodeNode") -> Any:
    """A workflow of one node with this code."""
    from kailash.workflow.builder import WorkflowBuilder

    builder = WorkflowBuilder()
    builder.add_node(kind, "node", {"code": textwrap.dedent(code)})
    return builder.build()


def function_workflow(function: Callable[..., Any]) -> Any:
    """A workflow of one node that calls the function, which can count or wait for the test."""
    from kailash.nodes.code.python import PythonCodeNode
    from kailash.workflow.graph import Workflow

    built = Workflow("functions", "functions")
    built.add_node("node", PythonCodeNode.from_function(function, name="node"))
    return built
