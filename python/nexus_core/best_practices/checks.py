"""The checks behind the checklist: each looks at an app and says what it saw."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any

from nexus_core.best_practices.app_facts import AppFacts
from nexus_core.best_practices.checklist import ITEMS, CheckedItem, Finding

__all__ = ["check_app"]

_ATTACH = "nexus_core.attach(app)"


def check_app(app: Any) -> dict[str, list[CheckedItem]]:
    """Checks every item of the checklist.

    Args:
        app: An open app.
    """
    facts = AppFacts.of(app)
    return {
        category: [_checked(name, text, CHECKS[name](facts)) for name, text in items.items()]
        for category, items in ITEMS.items()
    }


def _checked(name: str, text: str, found: Finding) -> CheckedItem:
    return CheckedItem(name, text, found.status, found.evidence, found.advice)


def _listed(found: Iterable[str], most: int = 5) -> str:
    names = list(found)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


# --- workflow design --------------------------------------------------------------------


def parallel_nodes(facts: AppFacts) -> Finding:
    wide = [workflow for workflow in facts.workflows if workflow.widest > 1]
    if not facts.workflows:
        return Finding("not_applicable", "no workflow is registered")
    if not wide:
        return Finding("not_applicable", f"none of {len(facts.workflows)} workflows has independent nodes")
    seen = _listed(f"{workflow.name} has up to {workflow.widest} nodes side by side" for workflow in wide)
    if facts.runtime is None:
        serial = [workflow for workflow in wide if workflow.synchronous_side_by_side > 1]
        if serial:
            return Finding(
                "does_not_hold",
                f"{seen}; Kailash's AsyncLocalRuntime runs synchronous nodes one after the other",
                f"{_ATTACH} runs them at the same time",
            )
        return Finding("holds", f"{seen}, which are awaited together")
    places, threads = facts.runtime.max_concurrent_nodes, facts.runtime.thread_pool_size
    seen = f"{seen}; the attached runtime runs {places} nodes at once, {threads} of them on threads"
    narrow = [workflow.name for workflow in wide if workflow.synchronous_side_by_side > min(places, threads)]
    if narrow:
        return Finding(
            "does_not_hold",
            f"{seen}, fewer than {_listed(narrow)} could use",
            "attach with a larger thread_pool_size and max_concurrent_nodes",
        )
    return Finding("holds", seen)


def data_transfer(facts: AppFacts) -> Finding:
    edges = sum(len(workflow.edges) for workflow in facts.workflows)
    if not edges:
        return Finding("not_applicable", "no workflow has connections")
    repeated = [text for workflow in facts.workflows for text in workflow.repeated_transfers()]
    if repeated:
        return Finding("does_not_hold", _listed(repeated), "connect it once")
    return Finding(
        "unknown",
        f"none of {edges} connections carries the same output to the same node twice; how much they carry "
        "only a run shows",
    )


def error_handling(facts: AppFacts) -> Finding:
    nodes = list(facts.nodes())
    if not nodes:
        return Finding("not_applicable", "no workflow is registered")
    risky = [(workflow, node) for workflow, node in nodes if node.is_external or node.reaching_out]
    bare = [f"{workflow.name}.{node.name}" for workflow, node in risky if not node.handles_errors]
    handled = sum(node.handles_errors for _, node in nodes)
    if bare:
        return Finding(
            "does_not_hold",
            f"{_listed(bare)} reach outside, and neither catch errors nor retry",
            "catch what can be mended, or set max_retries",
        )
    if handled:
        return Finding("holds", f"{handled} of {len(nodes)} nodes catch errors or retry, and all that reach outside")
    return Finding("not_applicable", f"none of {len(nodes)} nodes reaches outside; what they raise fails the run")


def node_types(facts: AppFacts) -> Finding:
    nodes = list(facts.nodes())
    if not nodes:
        return Finding("not_applicable", "no workflow is registered")
    blocking = [
        f"{workflow.name}.{node.name} calls {_listed(node.blocking, 2)}" for workflow, node in nodes if node.blocking
    ]
    if blocking:
        return Finding(
            "does_not_hold",
            f"synchronous code nodes wait on a thread: {_listed(blocking)}",
            "an AsyncPythonCodeNode, or Kailash's node for the service, waits without a thread",
        )
    return Finding("holds", f"no synchronous code node among {len(nodes)} nodes was seen to wait for anything")


def transformations(facts: AppFacts) -> Finding:
    edges = sum(len(workflow.edges) for workflow in facts.workflows)
    if not edges:
        return Finding("not_applicable", "no workflow has connections")
    undone = [text for workflow in facts.workflows for text in workflow.undone_transformations()]
    if undone:
        return Finding("does_not_hold", _listed(undone), "hand the value on as it is")
    return Finding("holds", f"along {edges} connections no node decodes what the node before it encodes")


# --- resources --------------------------------------------------------------------------


def connection_pools(facts: AppFacts) -> Finding:
    connections, _ = facts.pools()
    own = [
        f"{workflow.name}.{node.name} calls {_listed(node.connecting, 2)}"
        for workflow, node in facts.nodes()
        if node.connecting
    ]
    if own:
        return Finding(
            "does_not_hold",
            f"{_listed(own)} in every run",
            "ResourcePoolManager(app).create_connection_pool(...), and get_resource(...) in an asynchronous node",
        )
    if connections:
        return Finding("holds", f"the app has connection pools: {_listed(connections)}")
    external = [f"{workflow.name}.{node.name}" for workflow, node in facts.nodes() if node.is_external]
    if external:
        return Finding("unknown", f"{_listed(external)} keep connections of their own, which the app does not show")
    return Finding("not_applicable", "no node was seen to reach an external resource")


def caching(facts: AppFacts) -> Finding:
    found = facts.parts("cache")
    nodes = [f"{workflow.name}.{node.name}" for workflow, node in facts.nodes() if "Cache" in node.kind]
    if found or nodes:
        return Finding("holds", f"cached by {_listed(found + nodes)}")
    if not facts.workflows:
        return Finding("not_applicable", "no workflow is registered")
    cache = facts.result_cache()
    if cache is not None and cache.kept:
        return Finding("holds", f"the runtime's cache {cache.name!r} keeps results of {_listed(cache.kept)}")
    if facts.app._enable_durability:
        return Finding("holds", "the app's durability replays the replies to identical POST bodies from memory")
    if cache is not None:
        return Finding(
            "does_not_hold",
            f"the runtime has the cache {cache.name!r}, which keeps nothing: {_listed(cache.why_not, 3)}",
            "builder.build(cacheable=True) says that equal inputs always give equal results, without side effects",
        )
    return Finding(
        "does_not_hold",
        "no cache is bound to the app, no workflow has a cache node, and durability is off",
        "cache what is asked for again: nexus_core.attach(app, cache=IntelligentCache(app))",
    )


def resource_pools(facts: AppFacts) -> Finding:
    connections, threads = facts.pools()
    if connections or threads:
        seen = [f"{len(connections)} of connections", f"{len(threads)} of threads"]
        return Finding("holds", f"the app's ResourcePoolManager has pools: {', '.join(seen)}")
    expensive = [f"{workflow.name}.{node.name}" for workflow, node in facts.nodes() if node.connecting]
    if expensive:
        return Finding(
            "does_not_hold",
            f"the app has no ResourcePoolManager with pools, while {_listed(expensive)} make what could be kept",
            "ResourcePoolManager(app)",
        )
    return Finding("not_applicable", "no node was seen to make anything expensive in every run")


def timeouts(facts: AppFacts) -> Finding:
    runtime = facts.runtime if facts.runtime is not None else facts.app.runtime
    limit = getattr(runtime, "execution_timeout", None)
    own = sum(bool(node.timeout) for _, node in facts.nodes())
    nodes = f"; {own} nodes have a timeout of their own" if own else ""
    if limit:
        return Finding("holds", f"a run may take {limit} s{nodes}")
    return Finding(
        "does_not_hold", f"the runtime's execution_timeout is {limit!r}{nodes}", "attach with execution_timeout=30"
    )


def utilization(facts: AppFacts) -> Finding:
    return _monitored(facts) or _scraped(facts, "figures of the process")


def _monitored(facts: AppFacts, does: str = "measures") -> Finding | None:
    found = facts.parts("monitor")
    if not found:
        return None
    # Others than our own do not say whether they were started.
    idle = [name for name in found if getattr(facts.app._plugins[name], "monitoring_active", None) is False]
    if len(idle) == len(found):
        return Finding("does_not_hold", f"{_listed(found)} is bound to the app, and not started", "start_monitoring()")
    return Finding("holds", f"{_listed(name for name in found if name not in idle)} {does}")


def _scraped(facts: AppFacts, what: str) -> Finding:
    """An address that shows something is not yet somebody who looks at it."""
    if "/metrics" not in facts.paths():
        return Finding("does_not_hold", "the app has no /metrics", "update Nexus, or start a PerformanceMonitor(app)")
    if find_spec("prometheus_client") is None:
        return Finding(
            "does_not_hold",
            f"/metrics is there, but without prometheus_client it shows no {what}",
            "pip install nexus-core-rs[metrics]",
        )
    return Finding("unknown", f"/metrics shows {what}; whether anybody collects them only the collector knows")


# --- scaling ----------------------------------------------------------------------------


def scaling_policies(facts: AppFacts) -> Finding:
    found = facts.parts("scal")
    if found:
        # Others than our own do not say what they go by.
        policies = [getattr(facts.own(name, "scaler"), "scaling_policies", None) for name in found]
        if all(each is not None and not each for each in policies):
            return Finding(
                "does_not_hold",
                f"{_listed(found)} is bound to the app, and has no policy",
                "configure_scaling_policy()",
            )
        names = [str(name) for each in policies for name in each or ()]
        return Finding("holds", f"{_listed(found)} is bound to the app" + (f", with {_listed(names)}" if names else ""))
    return Finding(
        "does_not_hold", "no auto-scaler is bound to the app", "an AutoScaler with a policy for what grows first"
    )


def instance_limits(facts: AppFacts) -> Finding:
    runtime = facts.runtime if facts.runtime is not None else facts.app.runtime
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    places = getattr(runtime, "max_concurrent_nodes", None)
    if places is None:
        return Finding("unknown", f"a {type(runtime).__name__} does not say how many nodes run at once")
    if facts.runtime is None:
        return Finding(
            "does_not_hold",
            "not attached: each workflow has a runtime of its own, and their limits add up to "
            f"{places * max(1, len(facts.workflows))} nodes at once on {cores} cores",
            f"{_ATTACH} gives all of them one bound",
        )
    return Finding("holds", f"all workflows together run {places} nodes at once on {cores} cores")


def health_checks(facts: AppFacts) -> Finding:
    found = sorted(path for path in facts.paths() if path in ("/health", "/healthz", "/ready", "/readyz", "/live"))
    if found:
        return Finding("holds", f"the app answers at {_listed(found)}")
    return Finding("does_not_hold", "the app answers at no path for health checks", "nexus.probes")


def scaling_events(facts: AppFacts) -> Finding:
    found = facts.parts("scal")
    if found:
        return Finding("holds", f"{_listed(found)} keeps its events")
    return Finding("not_applicable", "without an auto-scaler there are no events")


def workload(facts: AppFacts) -> Finding:
    if facts.runtime is None:
        return Finding("does_not_hold", "not attached: nothing is learned from runs", _ATTACH)
    seen = facts.runtime.engine_statistics()
    runs, delegated = seen["native_runs"], seen["delegated_runs"]
    if delegated:
        reasons = _listed((f"{count} × {reason}" for reason, count in delegated.items()), 3)
        return Finding(
            "does_not_hold", f"{runs} runs were native, and Kailash had to do others: {reasons}", "see runtime.explain"
        )
    if not runs:
        return Finding("unknown", "nothing has run on the attached runtime yet")
    return Finding(
        "holds", f"{runs} runs were native; nodes that were seen to block start first, the longest path ahead"
    )


# --- monitoring -------------------------------------------------------------------------


def monitoring(facts: AppFacts) -> Finding:
    found = _monitored(facts)
    if found is None and facts.runtime is None:
        return Finding(
            "does_not_hold", "nothing that monitors is bound to the app, and /metrics shows no runs of it", _ATTACH
        )
    return found or _scraped(facts, "figures of runs")


def alerts(facts: AppFacts) -> Finding:
    found = facts.parts("alert")
    if found:
        return Finding("holds", f"{_listed(found)} has thresholds")
    thresholds = [getattr(facts.own(name, "monitor"), "thresholds", None) for name in facts.parts("monitor")]
    if thresholds and all(each is not None and not len(each) for each in thresholds):
        return Finding(
            "does_not_hold", f"{_listed(facts.parts('monitor'))} has no threshold", "monitor.thresholds[metric] = value"
        )
    return _monitored(facts, "has thresholds") or Finding(
        "does_not_hold",
        "nothing that alerts is bound to the app",
        "PerformanceMonitor(app) has thresholds; a scraper's own rules cannot be seen from here",
    )


def logs(facts: AppFacts) -> Finding:
    levels = {name: logging.getLogger(name).getEffectiveLevel() for name in ("nexus", "kailash", "nexus_core")}
    silent = [name for name in levels if not logging.getLogger(name).isEnabledFor(logging.WARNING)]
    shown = ", ".join(f"{name} at {logging.getLevelName(level)}" for name, level in levels.items())
    if silent:
        return Finding(
            "does_not_hold", f"warnings of {_listed(silent)} are dropped", "set their level to WARNING or lower"
        )
    heard = [name for name in levels if logging.getLogger(name).hasHandlers()]
    if len(heard) < len(levels):
        missing = _listed(name for name in levels if name not in heard)
        return Finding(
            "does_not_hold", f"{shown}; {missing} reach no handler", "logging.basicConfig(level=logging.INFO)"
        )
    return Finding("holds", f"{shown}, all with a handler")


def indicators(facts: AppFacts) -> Finding:
    runtime = facts.runtime if facts.runtime is not None else facts.app.runtime
    seen = [*facts.parts("monitor")]
    if find_spec("opentelemetry") is not None:
        from opentelemetry import metrics

        # Without an SDK the provider is one that forgets everything.
        if type(metrics.get_meter_provider()).__module__.startswith("opentelemetry.sdk"):
            seen.append("OpenTelemetry")
    if facts.runtime is not None:
        seen.append("the attached runtime since it was made (runtime.metrics())")
    if seen:
        return Finding("holds", f"kept by {_listed(seen)}")
    return Finding(
        "does_not_hold",
        f"nothing outlives a run of the {type(runtime).__name__}",
        _ATTACH,
    )


def reviews(facts: AppFacts) -> Finding:
    last = facts.last_load_test()
    if last is not None:
        return Finding("holds", f"{last[1]!r} was load-tested {last[0]:.0f} s ago by this process")
    return Finding("unknown", "no load test was run by this process; what others do cannot be seen from here")


CHECKS: dict[str, Callable[[AppFacts], Finding]] = {
    "parallel_nodes": parallel_nodes,
    "data_transfer": data_transfer,
    "error_handling": error_handling,
    "node_types": node_types,
    "transformations": transformations,
    "connection_pools": connection_pools,
    "caching": caching,
    "resource_pools": resource_pools,
    "timeouts": timeouts,
    "utilization": utilization,
    "scaling_policies": scaling_policies,
    "instance_limits": instance_limits,
    "health_checks": health_checks,
    "scaling_events": scaling_events,
    "workload": workload,
    "monitoring": monitoring,
    "alerts": alerts,
    "logging": logs,
    "indicators": indicators,
    "reviews": reviews,
}
