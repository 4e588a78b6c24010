"""What the tests do with every public method and property of the runtimes.

Each function gets a runtime on which ``chain`` has run once, and returns what a caller sees, apart
from times and what is measured of the machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from kailash.nodes.code.python import PythonCodeNode
from kailash.runtime.progress import report_progress
from kailash.runtime.resource_manager import FixedDelayStrategy

from .cases import calling, chain, switch

__all__ = ["ASYNC", "SHARED", "Question"]

Question = Callable[[Any], Any]

#: Retries, so that there is something to ask about.
RETRYING = {"retry_policy_config": {"max_attempts": 2, "default_strategy": {"type": "fixed_delay"}}}
LIMITED = {"resource_limits": {"max_memory_mb": 1_000_000, "enforcement_policy": "warn"}}

_TIMES = {"timestamp", "last_check", "runtime_id", "memory_usage", "rss_mb", "generated_at", "analysis_timestamp"}


def timeless(value: Any) -> Any:
    """A report without clocks, ids, and what was measured."""
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in _TIMES}
    if isinstance(value, list | tuple):
        return [timeless(item) for item in value]
    return f"about {type(value).__name__}" if isinstance(value, float) else value


def raised(function: Callable[[], Any]) -> tuple[str, str]:
    """The error of a call that fails."""
    try:
        function()
    except Exception as error:
        return type(error).__qualname__, str(error)
    raise AssertionError("it did not fail")


def answered(function: Callable[[], Any]) -> Any:
    """What a call returns, or its error: some reports need psutil, which need not be installed."""
    try:
        return function()
    except Exception as error:
        return type(error).__qualname__, str(error)


def _node() -> PythonCodeNode:
    return PythonCodeNode(name="n", code="result = x + 1")


def _alone(runtime: Any) -> Any:
    answer = asyncio.run(runtime.execute_node_with_enterprise_features(_node(), "n", {"x": 1}))
    # The retry engine's answer tells of its attempts, with their times.
    return getattr(answer, "value", answer), getattr(answer, "total_attempts", None)


def _shared(runtime: Any) -> Any:
    with runtime.acquire() as same:
        counts = [runtime.ref_count]
        assert same is runtime
    return [*counts, runtime.ref_count]


def _released(runtime: Any) -> Any:
    runtime.acquire()
    runtime.release()
    counts = [runtime.ref_count]
    runtime.close()
    return [*counts, runtime.ref_count, raised(runtime.acquire)]


def _hooks(runtime: Any) -> Any:
    heard: list[Any] = []
    forget = runtime.on_node_complete(lambda event: heard.append((event.node_id, dict(event.outputs))))
    asyncio.run(runtime.execute_async(chain()))
    forget()
    asyncio.run(runtime.execute_async(chain()))
    return sorted(heard)


def _progress(runtime: Any) -> Any:
    heard: list[Any] = []
    runtime.progress_registry.register(lambda update: heard.append((update.node_id, update.current, update.message)))
    asyncio.run(runtime.execute_async(calling(lambda node: report_progress(1, 2, "half"))))
    return heard


def _analytics(runtime: Any) -> Any:
    before = timeless(runtime.get_execution_analytics())
    runtime.record_execution_performance(chain(), 0.5, 2, True, 0.25)
    plans = [list(runtime.get_execution_plan_cached(switch(), {"s": {"true_output": 1}})) for _ in range(2)]
    after = timeless(runtime.get_execution_analytics())
    optimised = runtime.optimize_runtime_performance()
    health = timeless(answered(runtime.get_health_diagnostics))
    runtime.clear_analytics_data(keep_patterns=False)
    return before, plans, after, optimised, health, timeless(runtime.get_execution_path_debug_info())


def _performance(runtime: Any) -> Any:
    seen = [runtime.get_performance_report()]
    runtime.set_automatic_mode_switching(True)
    runtime.set_performance_monitoring(True)
    asyncio.run(runtime.execute_async(chain()))
    runtime.set_performance_monitoring(False)
    return [*seen, timeless(runtime.get_performance_report()), timeless(runtime.get_execution_path_debug_info())]


def _compatibility(runtime: Any) -> Any:
    workflow = chain()
    silent = runtime.generate_compatibility_report(workflow), runtime.get_compatibility_report_markdown(workflow)
    runtime.set_compatibility_reporting(True)
    report = timeless(runtime.generate_compatibility_report(workflow))
    return silent, report, runtime.get_compatibility_report_markdown(workflow).splitlines()[0]


def _retries(runtime: Any) -> Any:
    runtime.register_retry_strategy("fixed", FixedDelayStrategy(max_attempts=1, delay=0.0))
    runtime.register_retry_strategy_for_exception(OSError, FixedDelayStrategy(max_attempts=1, delay=0.0))
    runtime.add_retriable_exception(OSError)
    runtime.add_non_retriable_exception(ValueError)
    seen = (
        type(runtime.get_retry_policy_engine()).__name__,
        timeless(runtime.get_retry_analytics()),
        timeless(runtime.get_retry_metrics_summary()),
        timeless(runtime.get_strategy_effectiveness()),
        timeless(runtime.get_retry_configuration()),
    )
    runtime.reset_retry_metrics()
    return seen, timeless(runtime.get_retry_metrics_summary())


def _resources(runtime: Any) -> Any:
    def kinds(report: Any) -> Any:
        return sorted(report) if isinstance(report, dict) else report

    return (
        kinds(answered(runtime.get_resource_metrics)),
        kinds(answered(lambda: runtime.get_execution_metrics("run"))),
        timeless(runtime.get_runtime_metrics()),
        timeless(runtime.get_health_status()),
    )


def _persistence(runtime: Any) -> Any:
    async def questions() -> Any:
        await runtime.shutdown_gracefully()
        try:
            await runtime.start_persistent_mode()
        except RuntimeError as error:
            refused = str(error)
        else:
            refused = ""
            await runtime.shutdown_gracefully(timeout=1)
        try:
            await runtime.get_shared_connection_pool("pool", {})
        except (RuntimeError, ValueError) as error:
            return refused, str(error)
        raise AssertionError("a pool without a configuration was made")

    manager = type(runtime.connection_pool_manager).__name__
    return runtime.can_execute_workflow(), manager, asyncio.run(questions())


def _no_run(runtime: Any) -> Any:
    return (
        raised(lambda: runtime.signal("nobody", "go")),
        raised(lambda: asyncio.run(runtime.query("nobody", "what"))),
        runtime.get_signal_channel("nobody"),
        runtime.get_query_registry("nobody"),
    )


def _validation(runtime: Any) -> Any:
    before = runtime.get_validation_metrics()
    runtime.reset_validation_metrics()
    after = runtime.get_validation_metrics()
    return sorted(before), after["performance_summary"], timeless(after["security_report"])


def _shutdown(runtime: Any) -> Any:
    called: list[str] = []
    runtime.shutdown_coordinator.register("ours", lambda: called.append("ours"), priority=3)
    asyncio.run(runtime.shutdown_coordinator.shutdown())
    return called, runtime.shutdown_coordinator is runtime.shutdown_coordinator


#: What a method of both runtimes is asked, with the options of the runtime that it is asked of.
SHARED: dict[str, tuple[Question, dict[str, Any]]] = {
    **dict.fromkeys(("acquire", "ref_count", "__enter__", "__exit__"), (_shared, {})),
    **dict.fromkeys(("close", "release"), (_released, {})),
    "mark_externally_managed": (lambda runtime: runtime.mark_externally_managed() is runtime, {}),
    "cleanup": (lambda runtime: asyncio.run(runtime.cleanup()), {}),
    "shutdown_coordinator": (_shutdown, {}),
    **dict.fromkeys(("signal", "query", "get_signal_channel", "get_query_registry"), (_no_run, {})),
    "progress_registry": (_progress, {}),
    "on_node_complete": (_hooks, {}),
    **dict.fromkeys(("get_validation_metrics", "reset_validation_metrics"), (_validation, {})),
    "validate_workflow": (
        lambda runtime: (runtime.validate_workflow(chain()), runtime.validate_workflow(switch())),
        {},
    ),
    **dict.fromkeys(
        (
            "get_execution_analytics",
            "record_execution_performance",
            "clear_analytics_data",
            "get_execution_plan_cached",
            "get_health_diagnostics",
            "optimize_runtime_performance",
            "get_execution_path_debug_info",
        ),
        (_analytics, {}),
    ),
    **dict.fromkeys(
        ("set_performance_monitoring", "get_performance_report", "set_automatic_mode_switching"), (_performance, {})
    ),
    **dict.fromkeys(
        ("set_compatibility_reporting", "generate_compatibility_report", "get_compatibility_report_markdown"),
        (_compatibility, {}),
    ),
    **dict.fromkeys(
        ("get_resource_metrics", "get_execution_metrics", "get_runtime_metrics", "get_health_status"),
        (_resources, {}),
    ),
    **dict.fromkeys(
        (
            "get_retry_policy_engine",
            "get_retry_analytics",
            "get_retry_metrics_summary",
            "get_strategy_effectiveness",
            "register_retry_strategy",
            "register_retry_strategy_for_exception",
            "add_retriable_exception",
            "add_non_retriable_exception",
            "reset_retry_metrics",
            "get_retry_configuration",
        ),
        (_retries, {}),
    ),
    "execute_node_with_enterprise_features": (_alone, {}),
    "execute_node_with_enterprise_features_sync": (
        lambda runtime: runtime.execute_node_with_enterprise_features_sync(_node(), "n", {"x": 1}),
        {},
    ),
    **dict.fromkeys(
        (
            "start_persistent_mode",
            "shutdown_gracefully",
            "get_shared_connection_pool",
            "can_execute_workflow",
            "connection_pool_manager",
        ),
        (_persistence, {}),
    ),
    "execute": (lambda runtime: runtime.execute(chain())[0], {}),
    "execute_async": (lambda runtime: asyncio.run(runtime.execute_async(chain()))[0], {}),
}

#: Asked again of a runtime that has something to say.
WITH_OPTIONS: dict[str, dict[str, Any]] = {
    "get_retry_configuration": RETRYING,
    "get_resource_metrics": LIMITED,
    "can_execute_workflow": {"persistent_mode": True},
    "execute_node_with_enterprise_features": RETRYING,
}


async def _executed(runtime: Any) -> Any:
    results, _ = await runtime.execute_workflow_async(chain(), {})
    return results


async def _entered(runtime: Any) -> Any:
    async with runtime as same:
        results, _ = await same.execute_workflow_async(chain(), {})
        return same is runtime, results


async def _semaphore(runtime: Any) -> Any:
    async with runtime.execution_semaphore:
        return runtime.execution_semaphore._value


def _awaited(function: Callable[[Any], Any]) -> Question:
    return lambda runtime: asyncio.run(function(runtime))


#: What only the asynchronous runtime has.
ASYNC: dict[str, tuple[Question, dict[str, Any]]] = {
    "execute_workflow_async": (_awaited(_executed), {}),
    **dict.fromkeys(("__aenter__", "__aexit__"), (_awaited(_entered), {})),
    "execution_semaphore": (_awaited(_semaphore), {}),
}
