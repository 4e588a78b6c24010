"""``PerformanceTest``: load tests with the guide's methods and reply keys."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from nexus_core._app_workflows import checked_app, registered_workflow
from nexus_core._checks import checked_seconds, checked_whole
from nexus_core.best_practices.app_facts import note_load_test
from nexus_core.best_practices.grades import grade_with_reason
from nexus_core.load_testing import ClosedLoop, LoadShape, LoadTest, LoadTestResult, OpenLoop

__all__ = ["PerformanceTest"]

_log = logging.getLogger("nexus_core.load_testing")

_LOADS = {"light_load": 5, "medium_load": 10, "heavy_load": 20}


class PerformanceTest:
    """Load tests of an app's workflows.

    Args:
        app: An open ``nexus.Nexus``.

    Attributes:
        app: The app.
        test_results: The result of every load test, the latest last.

    Raises:
        TypeError: If it is no Nexus app.
        NexusCoreError: If the app is closed.
    """

    def __init__(self, app: Any) -> None:
        self.app = checked_app(app, "a performance test")
        self.test_results: list[LoadTestResult] = []

    def run_load_test(
        self,
        workflow_name: str,
        concurrent_requests: int = 10,
        duration_seconds: float = 60,
        *,
        think_time: float = 0.1,
        requests_per_second: float | None = None,
        arrivals: Literal["constant", "poisson"] = "poisson",
        max_in_flight: int = 10_000,
        warmup_seconds: float | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Executes a workflow under load.

        A closed loop by default: so many users, each of whom waits for a reply. With
        ``requests_per_second`` an open loop, in which requests begin at times of their own.

        Args:
            workflow_name: The name that the workflow is registered under.
            concurrent_requests: Users of the closed loop; an open one has none.
            duration_seconds: How long to measure.
            think_time: Seconds that a user waits between two requests.
            requests_per_second: The rate of an open loop.
            arrivals: ``"poisson"`` or ``"constant"``, of an open loop.
            max_in_flight: Requests of an open loop that may be unanswered at once.
            warmup_seconds: Seconds under load before the measurement; by default a tenth of it, five at most.
            **options: Further arguments of ``nexus_core.load_testing.run_load_test``, such as ``inputs``,
                ``url`` and ``progress``.

        Returns:
            The guide's keys: ``workflow_name``, ``test_duration``, ``total_requests``, ``error_count``,
            ``error_rate`` in per cent, ``requests_per_second`` (answered), ``avg_response_time``,
            ``min_response_time`` and ``max_response_time`` in seconds; and ``percentiles``, ``errors``,
            ``timeline``, ``warmup_requests``, ``unfinished_requests``, ``answered_from_cache``, ``load``, ``target``, ``generator`` and
            ``stopped_by`` as in ``LoadTestResult``.

        Raises:
            TypeError: If an argument is of the wrong kind.
            ValueError: If a number is out of range.
            UnknownWorkflow: If there is no such workflow.
        """
        users = checked_whole("concurrent_requests", concurrent_requests, 1)
        seconds = checked_seconds("duration_seconds", duration_seconds)
        pause = checked_seconds("think_time", think_time, zero=True)
        shape: LoadShape = (
            ClosedLoop(users, pause)
            if requests_per_second is None
            else OpenLoop(checked_seconds("requests_per_second", requests_per_second), arrivals, max_in_flight)
        )
        return self._test(workflow_name, shape, seconds, warmup_seconds, options)

    def run_benchmark_suite(
        self,
        workflow_names: Sequence[str],
        *,
        duration_seconds: float = 30,
        think_time: float = 0.1,
        warmup_seconds: float | None = None,
        inputs: Mapping[str, Any] | None = None,
        on_test: Callable[[str, str, dict[str, Any]], object] | None = None,
        **options: Any,
    ) -> dict[str, dict[str, Any]]:
        """Tests workflows with 5, 10 and 20 users, and grades each by what was measured.

        An interrupt (Ctrl-C) ends the suite with what was measured so far. What a workflow was not
        graded for, it has no grade: ``None``.

        Args:
            workflow_names: Names that workflows are registered under.
            duration_seconds: How long to measure each load.
            think_time: Seconds that a user waits between two requests.
            warmup_seconds: As for :meth:`run_load_test`.
            inputs: By workflow's name, what :meth:`run_load_test` takes as ``inputs``.
            on_test: Called after every load with the workflow's name, the load's and what was measured.
            **options: Further arguments of :meth:`run_load_test`.

        Returns:
            By workflow's name ``light_load``, ``medium_load`` and ``heavy_load``, ``performance_grade`` by
            the guide's limits, and ``grade_reason``.

        Raises:
            TypeError: If ``workflow_names`` is a single name, or an argument is of the wrong kind.
            ValueError: If a number is out of range.
            UnknownWorkflow: If there is no such workflow; none is tested then.
        """
        if isinstance(workflow_names, (str, bytes)):
            raise TypeError(
                f"workflow_names must be a list of names, got {workflow_names!r}; pass [{workflow_names!r}]"
            )
        names = list(workflow_names)
        given = dict(inputs or {})
        for name in [*names, *given]:
            registered_workflow(self.app, name)
        if "inputs" in options:
            raise TypeError("inputs are given by workflow's name")
        seconds = checked_seconds("duration_seconds", duration_seconds)
        pause = checked_seconds("think_time", think_time, zero=True)
        results: dict[str, dict[str, Any]] = {}
        for name in names:
            found: dict[str, Any] = {}
            results[name] = found
            for load, users in _LOADS.items():
                _log.info("testing %s, %s: %d users for %g s", name, load, users, seconds)
                shape = ClosedLoop(users, pause)
                found[load] = self._test(name, shape, seconds, warmup_seconds, {**options, "inputs": given.get(name)})
                if on_test is not None:
                    on_test(name, load, found[load])
                if found[load]["stopped_by"] == "interrupt":
                    found.update(performance_grade=None, grade_reason="interrupted")
                    return results
            grade, reason = self.performance_grade(*(found[load] for load in _LOADS))
            found.update(performance_grade=grade, grade_reason=reason)
            _log.info("%s: %s (%s)", name, grade, reason)
        return results

    @staticmethod
    def performance_grade(
        light: Mapping[str, Any], medium: Mapping[str, Any], heavy: Mapping[str, Any]
    ) -> tuple[str, str]:
        """A grade by the guide's limits, and the figures that decided.

        Args:
            light: What :meth:`run_load_test` has returned for the light load.
            medium: For the medium load.
            heavy: For the heavy load.

        Returns:
            ``"A"`` to ``"D"``, and why.
        """
        return grade_with_reason(light, medium, heavy)

    def _test(
        self, name: str, shape: LoadShape, seconds: float, warmup: float | None, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        for taken in ("load", "duration", "warmup"):
            if taken in options:
                raise TypeError(f"{taken} is given by the arguments of the test")
        before = min(5.0, seconds / 10) if warmup is None else checked_seconds("warmup_seconds", warmup, zero=True)
        result = LoadTest(self.app, name, shape, duration=seconds, warmup=before, **options).run()
        self.test_results.append(result)
        note_load_test(self.app, name)
        return reply(result)


def reply(result: LoadTestResult) -> dict[str, Any]:
    """A result under the guide's keys, and more."""
    latency, everything = result.latency, result.as_dict()
    return {
        "workflow_name": result.workflow_name,
        "test_duration": result.seconds,
        "total_requests": result.succeeded + result.failed,
        "error_count": result.failed,
        "error_rate": result.error_rate,
        "requests_per_second": result.throughput,
        "avg_response_time": latency.mean,
        "min_response_time": latency.min,
        "max_response_time": latency.max,
        "percentiles": {name: getattr(latency, name) for name in ("p50", "p90", "p95", "p99", "p999", "max")},
        "errors": everything["errors"],
        "timeline": everything["timeline"],
        "warmup_requests": result.warmup_requests,
        "unfinished_requests": result.unfinished,
        "answered_from_cache": result.from_cache,
        "load": result.load,
        "target": result.target,
        "generator": everything["generator"],
        "stopped_by": result.stopped_by,
    }
