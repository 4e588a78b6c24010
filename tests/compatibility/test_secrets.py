"""Secrets reach nodes on the drop-in as they reach them on Kailash's runtime."""

from __future__ import annotations

from typing import Any

import pytest
from kailash.nodes.base import Node, NodeParameter
from kailash.runtime.secret_provider import SecretProvider, SecretRequirement
from kailash.workflow.graph import Workflow

from .cases import Case, run


class _Asking(Node):
    """A node that asks for a secret, and returns what it was given."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {
            name: NodeParameter(name=name, type=str, required=False, description=name) for name in ("api_key", "text")
        }

    def get_secret_requirements(self) -> list[SecretRequirement]:
        return [SecretRequirement("key", "api_key")]

    def run(self, **inputs: Any) -> dict[str, Any]:
        return {"given": sorted(inputs.items())}


class _Provider(SecretProvider):
    """Knows one secret, and keeps what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def get_secret(self, name: str, version: str | None = None) -> str:
        self.asked.append(name)
        return f"secret {name}"

    def list_secrets(self) -> list[str]:
        return ["key"]


def asking() -> Workflow:
    """One node that asks for a secret."""
    workflow = Workflow("asking", "asking")
    workflow.add_node("n", _Asking())
    return workflow


@pytest.mark.parametrize(
    "call", [{}, {"parameters": {"text": "for all"}}, {"parameters": {"n": {"text": "own"}}}], ids=str
)
def test_a_node_is_given_what_kailash_gives_it(call: dict[str, Any]) -> None:
    case = Case(
        lambda: {"secret_provider": _Provider()},
        lambda: {name: dict(value) for name, value in call.items()},
        asking,
        seen=lambda runtime, run_id, call: runtime.secret_provider.asked,
    )
    expected = run("LocalRuntime", case, ours=False)
    actual = run("LocalRuntime", case, ours=True)
    assert actual.seen == expected.seen
    assert actual.runtime.engine_statistics() == {"native_runs": 1, "delegated_runs": {}}
