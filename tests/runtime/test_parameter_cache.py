"""Without Kailash's cache of resolved parameters (``KAILASH_DISABLE_PARAM_CACHE``)."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from kailash.runtime.local import LocalRuntime as StockLocalRuntime
from kailash.workflow.builder import WorkflowBuilder

from nexus_core.runtime import LocalRuntime

SWITCH = ("SwitchNode", {"condition_field": "a", "operator": "==", "value": 1})


@pytest.mark.parametrize("given", [{"self": 3}, {"self": 3, "data2": 4}, {"nobody_knows": 3}, {}], ids=str)
@pytest.mark.parametrize(("kind", "config"), [("MergeNode", {}), SWITCH], ids=["merge", "switch"])
def test_inputs_that_no_parameter_takes_are_treated_as_kailash_does(
    kind: str, config: dict[str, Any], given: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("KAILASH_DISABLE_PARAM_CACHE", "true")
    found = []
    for runtime_class in (StockLocalRuntime, LocalRuntime):
        builder = WorkflowBuilder()
        builder.add_node(kind, "n", config)
        workflow = builder.build()
        caplog.clear()
        with caplog.at_level(logging.WARNING, "kailash.nodes.base"), runtime_class(enable_monitoring=False) as runtime:
            for _ in range(2):
                output = runtime.execute(workflow, parameters={"n": given})[0]["n"]
                found.append({key: value for key, value in output.items() if key != "_exception"})
        found.append([record.getMessage() for record in caplog.records if record.name == "kailash.nodes.base"])
    assert found[:3] == found[3:]
    assert ("multiple values for argument 'self'" in str(found[0])) == ("self" in given)
