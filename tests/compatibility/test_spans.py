"""OpenTelemetry: whoever records spans and metrics is told by the drop-in what Kailash's runtimes tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")

from kailash.nodes.code.python import PythonCodeNode
from kailash.runtime import metrics as kailash_metrics
from kailash.runtime import tracing
from kailash.runtime.cancellation import CancellationToken
from kailash.runtime.tracing import TracingLevel, WorkflowTracer
from kailash.tracking import TaskManager
from kailash.tracking.storage.deferred import DeferredStorageBackend
from kailash.workflow.graph import Workflow
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from .cases import Case as Runs
from .cases import calling, chain, cyclic, run, switch, unsuccessful
from .local_cases import awaited
from .table import OURS, STOCK


class Recorder(SpanProcessor):
    """Keeps the spans that were started, and those that were ended."""

    def __init__(self) -> None:
        self.started: list[ReadableSpan] = []
        self.ended: list[ReadableSpan] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.started.append(span)

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)

    def picture(self) -> list[Any]:
        """All spans in an order of their own, without times and ids."""
        names = {span.context.span_id: span.name for span in self.started if span.context}
        ended = {span.context.span_id for span in self.ended if span.context}
        return sorted(
            (
                span.name,
                names.get(span.parent.span_id) if span.parent else None,
                span.context.span_id in ended,
                str(span.status.status_code),
                str(span.status.description),
                sorted(
                    (key, "some" if key in ("node.duration_s", "workflow.run_id") else value)
                    for key, value in (span.attributes or {}).items()
                ),
                [(event.attributes["exception.type"], event.attributes["exception.message"]) for event in span.events],
            )
            for span in self.started
        )


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Callable[[TracingLevel], Recorder]:
    """Sets a provider that records, and a level for Kailash's tracer."""

    def record(level: TracingLevel) -> Recorder:
        provider, made = TracerProvider(), Recorder()
        provider.add_span_processor(made)
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
        monkeypatch.setattr(tracing, "_global_tracer", WorkflowTracer(level=level))
        return made

    return record


def failing(*, leaf: bool) -> Workflow:
    """Three nodes of which the second fails; it is a leaf, or it has a dependent."""
    workflow = Workflow("failing", "failing")
    for name, code in (("a", "result = 1"), ("b", "result = x / 0"), ("c", "result = x")):
        workflow.add_node(name, PythonCodeNode(name=name, code=code))
    workflow.connect("a", "b", {"result": "x"})
    workflow.connect("a" if leaf else "b", "c", {"result": "x"})
    return workflow


def fan() -> Workflow:
    """One node, and six that depend on it alone; two of those fail."""
    workflow = Workflow("fan", "fan")
    workflow.add_node("root", PythonCodeNode(name="root", code="result = 1"))
    for number in range(6):
        code = "result = x / 0" if number in (1, 4) else "import time; time.sleep(0.01); result = x"
        workflow.add_node(f"n{number}", PythonCodeNode(name=f"n{number}", code=code))
        workflow.connect("root", f"n{number}", {"result": "x"})
    return workflow


def _cancelled() -> dict[str, Any]:
    token = CancellationToken()
    token.cancel("enough")
    return {"cancellation_token": token}


def _cancelling() -> dict[str, Any]:
    return {"cancellation_token": _Cancelling.token}


class _Cancelling:
    token: CancellationToken


def cancels_itself() -> Workflow:
    """Two nodes of which the first cancels the run."""
    _Cancelling.token = CancellationToken()
    workflow = calling(lambda node: _Cancelling.token.cancel("enough"))
    workflow.add_node("late", PythonCodeNode(name="late", code="result = x"))
    workflow.connect("n", "late", {"result": "x"})
    return workflow


@dataclass
class Case(Runs):
    """A run, and whether it is native."""

    native: bool = field(default=True)


CASES: dict[str, Case] = {
    "chain": Case(),
    "chain with run history": Case(lambda: {"enable_monitoring": True}),
    "chain with a task manager": Case(call=lambda: {"task_manager": TaskManager(DeferredStorageBackend())}),
    "chain with a workflow context": Case(call=lambda: {"parameters": {"workflow_context": {"given": 1}}}),
    "debugged": Case(lambda: {"debug": True}),
    "one after the other": Case(lambda: {"max_concurrency": 1}, workflow=fan),
    "at the same time": Case(workflow=fan),
    "a failing leaf": Case(workflow=lambda: failing(leaf=True)),
    "a failing node with dependents": Case(workflow=lambda: failing(leaf=False)),
    "a failure that the output tells": Case(workflow=unsuccessful),
    "a branch that is not taken": Case(workflow=switch),
    "a pruned branch": Case(lambda: {"conditional_execution": "skip_branches"}, workflow=switch),
    "a cycle": Case(workflow=cyclic),
    "an awaited node": Case(workflow=awaited),
    "cancelled before the first node": Case(call=_cancelled),
    "cancelled by a node": Case(call=_cancelling, workflow=cancels_itself),
    "invalid inputs": Case(lambda: {"connection_validation": "strict"}, workflow=lambda: failing(leaf=False)),
}


@pytest.mark.parametrize("level", [level for level in TracingLevel if level is not TracingLevel.NONE])
@pytest.mark.parametrize("name", CASES)
def test_a_native_run_makes_the_spans_that_kailashs_makes(
    name: str, level: TracingLevel, recorder: Callable[[TracingLevel], Recorder]
) -> None:
    pictures = []
    for ours in (False, True):
        spans = recorder(level)
        outcome = run("LocalRuntime", CASES[name], ours)
        pictures.append((outcome.seen, spans.picture()))
        if ours:
            assert outcome.runtime.engine_statistics() == {"native_runs": 1, "delegated_runs": {}}
    assert pictures[1] == pictures[0]


def test_the_cases_make_spans_of_every_kind(recorder: Callable[[TracingLevel], Recorder]) -> None:
    made = recorder(TracingLevel.FULL)
    for case in CASES.values():
        run("LocalRuntime", case, ours=True)
    pictures = made.picture()
    assert {picture[0] for picture in pictures} >= {"workflow.chain", "node.PythonCodeNode", "node.SwitchNode"}
    assert {picture[1] for picture in pictures if picture[0].startswith("node.")} >= {"workflow.fan", "workflow.chain"}
    assert {picture[2] for picture in pictures} == {True, False}
    assert {picture[3] for picture in pictures} == {"StatusCode.OK", "StatusCode.ERROR", "StatusCode.UNSET"}


def test_without_a_level_there_are_no_spans(recorder: Callable[[TracingLevel], Recorder]) -> None:
    made = recorder(TracingLevel.NONE)
    run("LocalRuntime", CASES["chain"], ours=True)
    assert made.started == []


@pytest.mark.parametrize("kind", STOCK)
def test_the_callers_span_is_the_current_one_in_nodes_and_the_runs_parent(
    kind: str, recorder: Callable[[TracingLevel], Recorder]
) -> None:
    seen = []
    for classes in (STOCK, OURS):
        made = recorder(TracingLevel.DETAILED)
        current: list[Any] = []

        def look(node: Any, current: list[Any] = current) -> None:
            current.append(getattr(trace.get_current_span(), "name", None))

        with (
            trace.get_tracer("test").start_as_current_span("caller"),
            classes[kind](enable_monitoring=False) as runtime,
        ):
            runtime.execute(calling(look))
        seen.append((current, made.picture()))
    assert seen[1] == seen[0]
    assert seen[0][0] == ["caller"]


def test_the_async_runtime_makes_no_spans_as_kailashs_makes_none(recorder: Callable[[TracingLevel], Recorder]) -> None:
    for ours in (False, True):
        made = recorder(TracingLevel.FULL)
        outcome = run("AsyncLocalRuntime", Runs(), ours)
        assert made.started == []
        if ours:
            assert outcome.runtime.engine_statistics() == {"native_runs": 1, "delegated_runs": {}}


# --- metrics --------------------------------------------------------------------------


def recorded(kind: str, ours: bool, case: Runs, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a meter provider has of a run, apart from durations."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader])
    with monkeypatch.context() as patch:
        patch.setattr(metrics, "get_meter", lambda name, *args, **kwargs: provider.get_meter(name))
        patch.setattr(kailash_metrics._metrics_mod, "get_meter", lambda name, *args, **kw: provider.get_meter(name))
        patch.setattr(kailash_metrics, "_global_bridge", kailash_metrics.MetricsBridge())
        for _ in range(2):
            run(kind, case, ours)
        data = reader.get_metrics_data()
    provider.shutdown()
    return sorted(
        (metric.name, sorted((point.attributes or {}).items()), getattr(point, "count", getattr(point, "value", None)))
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    )


@pytest.mark.parametrize("kind", STOCK)
@pytest.mark.parametrize("workflow", [chain, fan, cyclic, switch], ids=lambda built: built.__name__)
def test_the_metrics_bridge_counts_runs_as_kailashs_does(
    kind: str, workflow: Callable[[], Workflow], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Runs(workflow=workflow)
    expected = recorded(kind, False, case, monkeypatch)
    assert {name for name, _, _ in expected} >= {
        "kailash_workflow_executions_total", "kailash_workflow_duration_seconds",
    }  # fmt: skip
    assert recorded(kind, True, case, monkeypatch) == expected
