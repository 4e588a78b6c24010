"""A Nexus app whose every channel executes on the Rust core."""

from __future__ import annotations

from nexus_core.nexus_app.attaching import attach, detach
from nexus_core.nexus_app.report import AttachReport, ChannelProblem

__all__ = ["AttachReport", "ChannelProblem", "attach", "detach"]
