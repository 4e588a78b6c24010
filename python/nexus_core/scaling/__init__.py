"""What ``AutoScaler`` is made of: targets, policies, decisions, forecasts and a simulator."""

from __future__ import annotations

from nexus_core.errors import TargetError
from nexus_core.scaling.dask_target import DaskTarget
from nexus_core.scaling.decisions import Decider, Decision, Proposal
from nexus_core.scaling.forecast import Forecast, forecast_of
from nexus_core.scaling.load_record import LoadRecord
from nexus_core.scaling.policy import ScalingPolicy
from nexus_core.scaling.simulator import Outcome, simulated
from nexus_core.scaling.targets import PoolTarget, RuntimeTarget, ScalingTarget
from nexus_core.scaling.worker import Worker

__all__ = [
    "DaskTarget",
    "Decider",
    "Decision",
    "Forecast",
    "LoadRecord",
    "Outcome",
    "PoolTarget",
    "Proposal",
    "RuntimeTarget",
    "ScalingPolicy",
    "ScalingTarget",
    "TargetError",
    "Worker",
    "forecast_of",
    "simulated",
]
