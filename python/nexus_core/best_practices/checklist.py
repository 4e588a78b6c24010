"""The guide's checklist, and an item of it as it was found in an app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["ITEMS", "CheckedItem", "Finding", "Status", "plain_checklist"]

Status = Literal["holds", "does_not_hold", "not_applicable", "unknown"]

_MARKS: dict[str, str] = {"holds": "✅", "does_not_hold": "❌", "not_applicable": "➖", "unknown": "❔"}

#: The guide's categories and items; the short name tells which check belongs to one.
ITEMS: dict[str, dict[str, str]] = {
    "workflow_design": {
        "parallel_nodes": "Use parallel execution for independent nodes",
        "data_transfer": "Minimize data transfer between nodes",
        "error_handling": "Implement proper error handling and retries",
        "node_types": "Use appropriate node types for specific tasks",
        "transformations": "Avoid unnecessary data transformations",
    },
    "resource_management": {
        "connection_pools": "Configure connection pooling for external resources",
        "caching": "Implement proper caching strategies",
        "resource_pools": "Use resource pools for expensive operations",
        "timeouts": "Set appropriate timeouts",
        "utilization": "Monitor resource utilization",
    },
    "scaling_configuration": {
        "scaling_policies": "Configure auto-scaling policies",
        "instance_limits": "Set appropriate instance limits",
        "health_checks": "Implement health checks",
        "scaling_events": "Monitor scaling events",
        "workload": "Optimize for your workload patterns",
    },
    "monitoring_setup": {
        "monitoring": "Set up real-time performance monitoring",
        "alerts": "Configure appropriate alert thresholds",
        "logging": "Implement comprehensive logging",
        "indicators": "Track key performance indicators",
        "reviews": "Regular performance reviews",
    },
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found.

    Attributes:
        status: Whether the practice holds; ``not_applicable`` where there is nothing that it is
            about, ``unknown`` where an app cannot show it.
        evidence: What was looked at, and what was there.
        advice: What would make it hold; empty where it does.
    """

    status: Status
    evidence: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class CheckedItem:
    """An item of the checklist, checked.

    Attributes:
        name: Its short name.
        text: The guide's words.
        status: As of :class:`Finding`.
        evidence: How it was seen.
        advice: What would make it hold; empty where it does.
    """

    name: str
    text: str
    status: Status
    evidence: str
    advice: str = ""

    @property
    def holds(self) -> bool:
        """Whether it was seen to hold."""
        return self.status == "holds"

    def __str__(self) -> str:
        ending = f" – {self.advice}" if self.advice else ""
        return f"{_MARKS[self.status]} {self.text}: {self.evidence}{ending}"


def plain_checklist() -> dict[str, list[str]]:
    """The checklist as the guide has it, unchecked."""
    return {category: [f"✅ {text}" for text in items.values()] for category, items in ITEMS.items()}
