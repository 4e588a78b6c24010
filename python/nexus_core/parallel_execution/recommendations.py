"""What a target throughput needs: by queueing theory from what was measured, else by the guide's formulas."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from nexus_core.parallel_execution.measurements import ServiceTime
from nexus_core.parallel_execution.queueing import mean_wait, servers_needed

__all__ = ["Shape", "by_queueing_theory", "by_the_guide"]

# The share of the interpreter's time that may be used; above it queues for it grow long.
_MOST_CPU = 0.8


@dataclass(frozen=True, slots=True)
class Shape:
    """What a run of a workflow may use at once.

    Attributes:
        nodes: Nodes side by side.
        threads: Synchronous nodes side by side.
    """

    nodes: int
    threads: int


def by_the_guide(target: float) -> dict[str, Any]:
    """The guide's formulas, at least one of everything.

    Args:
        target: Runs a second.
    """
    return {
        "concurrent_executions": max(1, math.ceil(min(target * 2, 50))),
        "resource_allocation": {
            "cpu_cores": max(1, min(int(target // 10), 8)),
            "memory_mb": max(1, math.ceil(min(target * 100, 4096))),
            "thread_pool_size": max(1, math.ceil(min(target, 20))),
        },
        "caching_strategy": {
            "result_cache_size": max(1, math.ceil(target * 10)),
            "metadata_cache_ttl": 300,
            "enable_distributed_cache": target > 100,
        },
        "based_on": {
            "concurrent_executions": "guide",
            "cpu_cores": "guide",
            "memory_mb": "guide",
            "thread_pool_size": "guide",
            "caching_strategy": "guide",
        },
        "figures": {"target_throughput": target},
        "explanation": ["no run of the workflow was measured; these are the guide's formulas"],
    }


def by_queueing_theory(
    target: float, service: ServiceTime, shape: Shape, longest_wait: float | None, arrival_variability: float
) -> dict[str, Any]:
    """What the target needs, for a workflow whose service time is known.

    A run holds its threads while it waits and while it computes. Computing takes longer the busier the
    interpreter is: by processor sharing, ``cpu / (1 - utilization)``. The runs that are needed at once
    follow by Allen and Cunneen. Memory and caches are the guide's, which no run shows.

    Args:
        target: Runs a second.
        service: The service time.
        shape: What a run may use at once.
        longest_wait: Seconds that a run may wait on average; a tenth of its service time by default.
        arrival_variability: Squared coefficient of variation of the times between arrivals.
    """
    processes = max(1, math.ceil(target * service.cpu / _MOST_CPU - 1e-9))
    share = target / processes
    utilization = share * service.cpu
    seconds = service.blocking + service.cpu / (1 - utilization)
    wait = 0.1 * service.mean if longest_wait is None else longest_wait
    servers = servers_needed(share, seconds, wait, arrival_variability, service.variability)
    threads = servers * shape.threads
    reply = by_the_guide(target)
    reply["concurrent_executions"] = servers
    reply["resource_allocation"].update(cpu_cores=processes, thread_pool_size=max(1, threads))
    for measured in ("concurrent_executions", "cpu_cores", "thread_pool_size"):
        reply["based_on"][measured] = "measured"
    reply["figures"] = {
        "target_throughput": target,
        "service_time": service.mean,
        "service_time_variability": service.variability,
        "service_time_method": service.method,
        "cpu_time": service.cpu,
        "blocking_time": service.blocking,
        "cpu_share": service.cpu / service.mean if service.mean else 0.0,
        "runs_measured": service.runs,
        "processes": processes,
        "throughput_per_process": share,
        "cpu_utilization": utilization,
        "time_in_system": seconds,
        "longest_wait": wait,
        "expected_wait": mean_wait(share, seconds, servers, arrival_variability, service.variability),
        "expected_in_service": share * seconds,
        "nodes_side_by_side": shape.nodes,
        "threads_side_by_side": shape.threads,
        "max_concurrent_nodes": max(1, servers * shape.nodes),
    }
    reply["explanation"] = _explain(target, service, reply["figures"], servers, threads)
    return reply


def _explain(target: float, service: ServiceTime, figures: dict[str, Any], servers: int, threads: int) -> list[str]:
    known = (
        f"a run takes {service.mean * 1e3:.3g} ms, {service.cpu * 1e3:.3g} ms of it computing and "
        f"{service.blocking * 1e3:.3g} ms waiting ({service.runs} runs, {service.method})"
    )
    said = [known]
    if figures["processes"] > 1:
        said.append(
            f"{target:g} runs a second compute for {target * service.cpu:.2f} s each second, more than the "
            f"{_MOST_CPU:.0%} of one interpreter that are to be used: {figures['processes']} processes, and what "
            "follows is for each of them"
        )
    said.append(
        f"{figures['throughput_per_process']:g} runs a second keep {figures['expected_in_service']:.2f} runs busy; with "
        f"{servers} at once a run waits {figures['expected_wait'] * 1e3:.3g} ms on average (at most "
        f"{figures['longest_wait'] * 1e3:.3g} ms were asked for)"
    )
    said.append(
        f"a run has up to {figures['threads_side_by_side']} synchronous nodes side by side: {threads} threads"
        if threads
        else "no node is synchronous: no threads are needed"
    )
    return said
