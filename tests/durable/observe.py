"""Runs of one description under one key, and everything durable that they leave behind."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

from kailash.workflow.graph import Workflow

from differential.description import Description
from differential.normalise import normalise
from differential.snapshot import Picture, Snapshot

from .support import RecordingStore, Side, blob_content

__all__ = ["Attempt", "crashing", "observe"]

#: Kinds of nodes that are ``PythonCodeNode`` s, so that another body does not change the workflow's shape.
_PYTHON = frozenset({"code", "function", "class", "file"})
_TIMES = ("started_at", "ended_at", "duration_ms", "run_id")


@dataclasses.dataclass
class Attempt:
    """What one run left behind.

    Attributes:
        outcome: What it returned or raised.
        events: The completions that a subscriber was told of.
        blobs: The checkpoints that it saved, in order.
        states: Nodes' configurations and states afterwards.
    """

    outcome: Picture
    events: list[Picture]
    blobs: list[Any]
    states: Picture


def crashing(description: Description, node_id: str) -> Description | None:
    """The same shape with a node that raises; ``None`` if that would change the node's class."""
    if description.nodes[node_id].kind not in _PYTHON:
        return None
    other = copy.deepcopy(description)
    other.nodes[node_id] = type(other.nodes[node_id])("code", "raise ValueError('crash')")
    return other


def _state(workflow: Workflow) -> dict[str, Any]:
    names = ("seen", "own", "cleaned", "factor")
    return {
        node_id: (node.config, {name: vars(node)[name] for name in names if name in vars(node)})
        for node_id, node in workflow._node_instances.items()
    }


def observe(
    side: Side, attempts: list[Description], store: RecordingStore | None = None, **options: Any
) -> list[Attempt]:
    """Runs each description in turn, all under one key and into one store.

    Args:
        side: The runtime.
        attempts: What to run.
        store: Where checkpoints go.
        **options: Of the runtime.
    """
    store = store or RecordingStore()
    seen: list[Attempt] = []
    for description in attempts:
        workflow = description.build()
        parameters = copy.deepcopy(description.parameters)
        picture = Snapshot()
        events: list[Picture] = []
        given = {**description.options, **options}
        if not side.is_async:
            given["max_concurrency"] = 1  # in order, as on stock
        runtime = side.make(checkpoint_store=store, checkpoint_after_each_node=True, **given)
        runtime.on_node_complete(lambda event, events=events, picture=picture: events.append(_event(event, picture)))
        before = len(store.blobs)
        outcome: tuple[Any, ...]
        try:
            results = side.run(runtime, workflow, parameters, idempotency_key="the key")
            outcome = ("returned", dict(sorted(results.items())) if side.is_async else results)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001 - SystemExit of a node is an outcome as well
            outcome = ("raised", error)
        finally:
            runtime.close()
        seen.append(
            Attempt(
                (outcome[0], (Snapshot() if side.is_async else picture)(outcome[1])),
                events,
                [_blob(blob) for blob in store.blobs[before:]],
                picture(_state(workflow)),
            )
        )
    return seen


def _event(event: Any, picture: Snapshot) -> Picture:
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
    assert fields["started_at"] <= fields["ended_at"]
    for name in _TIMES:
        del fields[name]
    return picture(fields)


def _blob(blob: bytes) -> Any:
    content = blob_content(blob)
    return _normalised(content)


def _normalised(value: Any) -> Any:
    """Texts without addresses and the runtimes' own frames."""
    if isinstance(value, str):
        return normalise(value)
    if isinstance(value, dict):
        return {key: _normalised(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_normalised(item) for item in value]
    return repr(value)
