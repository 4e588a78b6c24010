"""What goes between workers."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("distributed")

from kailash.workflow.builder import WorkflowBuilder

from nexus_core.distributed import DaskRuntime

from .nodes import settled

pytestmark = pytest.mark.timeout(120)

_NUMBERS = 1_000_000
#: Less than they take as a pickle.
_BYTES = 4 * 2**20


def _brought(dask_worker: Any) -> int:
    log = dask_worker.transfer_incoming_log
    return sum(entry["total"] for entry in log if any("sized: " in str(key) for key in entry["keys"]))


def test_what_is_large_and_needed_by_one_group_alone_stays_on_its_worker(client: Any) -> None:
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "large", {"code": f"result = list(range({_NUMBERS}))"})
    builder.add_node("PythonCodeNode", "small", {"code": "result = len(x)"})
    builder.add_connection("large", "result", "small", "x")
    settled(client)
    annotations = {}
    for number, address in enumerate(client.scheduler_info(n_workers=-1)["workers"]):
        builder.add_node("PythonCodeNode", f"on{number}", {"code": "result = y + 1"})
        builder.add_connection("small", "result", f"on{number}", "y")
        annotations[f"on{number}"] = {"workers": [address]}
    workflow = builder.build(name="sized")
    with DaskRuntime(client, enable_monitoring=False, annotations=annotations) as runtime:
        first, _ = runtime.execute(workflow)
        before = sum(client.run(_brought).values())
        again, _ = runtime.execute(workflow)
        after = sum(client.run(_brought).values())
    assert again == first
    assert first["on0"]["result"] == first["on1"]["result"] == _NUMBERS + 1
    # The first run has brought all of it to the other worker, and found that out.
    assert before >= _BYTES
    assert after - before < _BYTES
