"""``PerformanceBestPractices``: the guide's checklist, checked, and its load tests, real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from nexus_core.best_practices.checklist import CheckedItem
    from nexus_core.best_practices.performance_test import PerformanceTest
    from nexus_core.best_practices.report import PerformanceReport

__all__ = ["PerformanceBestPractices"]


class PerformanceBestPractices:
    """What makes workflows fast, whether an app does it, and how fast they are.

    Example:
        >>> from nexus import Nexus
        >>> import nexus_core
        >>> from nexus_core import PerformanceBestPractices
        >>> practices = PerformanceBestPractices()
        >>> app = Nexus(enable_durability=False)
        >>> report = nexus_core.attach(app)
        >>> app.register("optimized", practices.create_optimized_workflow())
        >>> tester = practices.performance_testing_framework(app)
        >>> measured = tester.run_load_test("optimized", 2, 0.2, think_time=0.01, warmup_seconds=0)
        >>> measured["error_count"], measured["total_requests"] > 0
        (0, True)
        >>> practices.workflow_optimization_checklist(app)["resource_management"][3].status
        'holds'
        >>> app.close()
    """

    @overload
    @staticmethod
    def workflow_optimization_checklist(app: None = None) -> dict[str, list[str]]: ...
    @overload
    @staticmethod
    def workflow_optimization_checklist(app: Any) -> dict[str, list[CheckedItem]]: ...
    @staticmethod
    def workflow_optimization_checklist(app: Any = None) -> dict[str, list[str]] | dict[str, list[CheckedItem]]:
        """The guide's checklist; with an app each item is checked.

        Args:
            app: An open ``nexus.Nexus``, or ``None`` for the list alone. Nothing is run or changed.

        Returns:
            By category the items: texts, or with an app what holds, what does not, and how it was seen.

        Raises:
            TypeError: If it is no Nexus app.
            NexusCoreError: If the app is closed.

        Example:
            >>> from nexus_core import PerformanceBestPractices
            >>> list(PerformanceBestPractices.workflow_optimization_checklist())
            ['workflow_design', 'resource_management', 'scaling_configuration', 'monitoring_setup']
        """
        from nexus_core.best_practices.checklist import plain_checklist

        if app is None:
            return plain_checklist()
        from nexus_core._app_workflows import checked_app
        from nexus_core.best_practices.checks import check_app

        return check_app(checked_app(app, "the checklist"))

    @staticmethod
    def create_optimized_workflow() -> Any:
        """A workflow as the guide writes it, which runs on Kailash's own runtimes and on ours.

        Validation and preprocessing run at the same time. It takes ``data``, a dict with ``records``, or
        ``records`` alone, and with neither reports none.

        Returns:
            A ``WorkflowBuilder``.

        Example:
            >>> from nexus_core import PerformanceBestPractices
            >>> from nexus_core.runtime import LocalRuntime
            >>> builder = PerformanceBestPractices.create_optimized_workflow()
            >>> with LocalRuntime() as runtime:
            ...     results, _ = runtime.execute(builder.build(), parameters={"data": {"records": [{"id": 1}]}})
            >>> results["finalize_results"]["result"]["total_records"]
            1
        """
        from nexus_core.best_practices.optimized_workflow import create_optimized_workflow

        return create_optimized_workflow()

    @staticmethod
    def performance_testing_framework(nexus_app: Any) -> PerformanceTest:
        """Load tests of an app's workflows.

        Args:
            nexus_app: An open ``nexus.Nexus``.

        Returns:
            What has ``run_load_test`` and ``run_benchmark_suite``.

        Raises:
            TypeError: If it is no Nexus app.
            NexusCoreError: If the app is closed.

        Example:
            >>> from nexus import Nexus
            >>> import nexus_core
            >>> from nexus_core import PerformanceBestPractices
            >>> app = Nexus(enable_durability=False)
            >>> app.register("optimized", PerformanceBestPractices.create_optimized_workflow())
            >>> report = nexus_core.attach(app)
            >>> tester = PerformanceBestPractices.performance_testing_framework(app)
            >>> results = tester.run_benchmark_suite(["optimized"], duration_seconds=0.1, think_time=0.01)
            >>> list(results["optimized"])
            ['light_load', 'medium_load', 'heavy_load', 'performance_grade', 'grade_reason']
            >>> app.close()
        """
        from nexus_core.best_practices.performance_test import PerformanceTest

        return PerformanceTest(nexus_app)

    @staticmethod
    def generate_performance_report(
        test_results: Mapping[str, Any], optimization_recommendations: Sequence[Any]
    ) -> PerformanceReport:
        """A report of what was measured.

        Args:
            test_results: What ``run_benchmark_suite`` has returned, or by workflow's name what
                ``run_load_test`` has.
            optimization_recommendations: Sentences to include.

        Returns:
            A dict with the guide's keys. The average grade, the critical issues (with
            ``critical_issue_details``, which name them) and the next steps are computed.
            ``to_markdown()``, ``to_html()`` and ``save(path)`` show it.

        Raises:
            TypeError: If the arguments are of the wrong kind.

        Example:
            >>> from nexus_core import PerformanceBestPractices
            >>> report = PerformanceBestPractices.generate_performance_report({}, ["Cache what is asked for again"])
            >>> report["executive_summary"]["optimization_opportunities"]
            1
        """
        from nexus_core.best_practices.report import make_report

        return make_report(test_results, optimization_recommendations)
