"""``AutoScaler``: as many workers as an app's load needs, by policies that can be explained."""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from nexus_core._app_workflows import checked_app
from nexus_core._checks import checked_seconds, checked_whole
from nexus_core.cache_tiers.forks import after_fork
from nexus_core.errors import NexusCoreError, TargetError
from nexus_core.monitoring.intervals import Intervals
from nexus_core.performance_monitor import PerformanceMonitor
from nexus_core.scaling import optimization, prediction
from nexus_core.scaling.app_plugin import join
from nexus_core.scaling.controller import NOT_ATTACHED, Controller, counted
from nexus_core.scaling.decisions import Decision
from nexus_core.scaling.policy import ScalingPolicy
from nexus_core.scaling.readings import check_metric
from nexus_core.scaling.rivals import Rivals
from nexus_core.scaling.timestamp import Timestamp, moment_of

__all__ = ["AutoScaler"]

_log = logging.getLogger("nexus_core.scaling")
_open = Rivals()


class AutoScaler:
    """Changes the number of an app's workers as policies ask for it.

    At each check it measures, asks the policies, and scales its target by what the one says that asks for most.
    What is scaled, and what is measured of it, is real; by default the places of the attached runtime, so that more
    nodes run at once. Workers that go end their work first.

    Policies may look at the metrics of `PerformanceMonitor`, at the guide's ``cpu_usage``, ``memory_usage``,
    ``request_rate`` and ``response_time`` (in ms), and at what is measured of the target: ``utilization`` (the
    percentage of their time that its workers are busy), ``demand`` (what that would be if nothing had to wait: above
    100 where they cannot keep up), ``queue_per_instance`` and ``active_instances``.

    Args:
        nexus_app: An open ``nexus.Nexus``; of one that is not attached there is nothing to scale, unless a target is given.
        target: What is scaled: an object with ``current()`` and ``scale(n)``, a runtime, a ``ThreadPool`` or
            ``ProcessPool``, or a Dask cluster. By default the runtime that the app is attached to.
        monitor: Where the metrics come from, if the app has a `PerformanceMonitor` already; it is only read while it
            samples by itself. By default one of its own.
        dry_run: Whether it only says what it would do.
        latency_target_ms: What a run may take, for `optimize_scaling_policies`; by default four times what it
            takes by itself.
        max_events: Events that are kept, and decisions.
        history: Checks whose metrics are kept.
        settle_seconds: How long a target may take until it has the workers that it was told to have.
        on_event: Called with each event. If it raises, that is logged once.
        clock: Tells the time in seconds instead of the system's clock; for tests.

    Attributes:
        app: The app.
        auto_scaling_enabled: Whether it was not stopped.

    Raises:
        TypeError: If ``nexus_app`` is no Nexus app, or an argument of the wrong kind.
        ValueError: If a number is out of range.
        TargetError: If the target is none, or does not answer.
        NexusCoreError: If the app is closed.

    Example:
        >>> from nexus import Nexus
        >>> import nexus_core
        >>> from nexus_core import AutoScaler
        >>> app = Nexus(enable_durability=False)
        >>> report = nexus_core.attach(app, thread_pool_size=1)
        >>> scaler = AutoScaler(app)
        >>> waiting = [12]
        >>> scaler.monitor.collect("orders", lambda: waiting[0])
        >>> _ = scaler.configure_scaling_policy("orders", {"metric": "orders", "target_per_instance": 4})
        >>> print(scaler.step().explain())
        from 1 to 3 instances: orders is 12 for each instance, to be 4: 3 needed
          * orders: wants 3: orders is 12 for each instance, to be 4: 3 needed
        >>> sorted(scaler.instances), report.runtime.thread_pool_size
        (['nexus-1', 'nexus-2', 'nexus-3'], 3)
        >>> app.close()
    """

    def __init__(
        self,
        nexus_app: Any,
        *,
        target: Any = None,
        monitor: PerformanceMonitor | None = None,
        dry_run: bool = False,
        latency_target_ms: float | None = None,
        max_events: int = 100,
        history: int = 2_000,
        settle_seconds: float = 60.0,
        on_event: Callable[[dict[str, Any]], object] | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.app = checked_app(nexus_app, "AutoScaler")
        if not isinstance(dry_run, bool):
            raise TypeError(f"dry_run must be True or False, got {dry_run!r}")
        if monitor is not None and not isinstance(monitor, PerformanceMonitor):
            raise TypeError(f"monitor must be a PerformanceMonitor, got {monitor!r}")
        for name, function in (("on_event", on_event), ("clock", clock)):
            if function is not None and not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}")
        self._latency_target = _milliseconds(latency_target_ms)
        self._max_events = checked_whole("max_events", max_events, 1)
        self._controller = Controller(
            self.app,
            target,
            monitor,
            dry_run=dry_run,
            max_events=self._max_events,
            history=checked_whole("history", history, 2),
            settle_seconds=checked_seconds("settle_seconds", settle_seconds, zero=True),
            on_event=on_event,
            clock=clock,
            taken=partial(_open.before, self),
        )
        self.auto_scaling_enabled = True
        self._intervals = Intervals("auto-scaling", "stop_auto_scaling()", "a target or collector of the scaler", _log)
        self._plugin = join(self.app, self)
        after_fork(self)
        _open.add(self)

    # --- what the guide has -----------------------------------------------------------

    @property
    def scaling_policies(self) -> dict[str, dict[str, Any]]:
        """By name the policies, as they are now; `configure_scaling_policy` changes them."""
        return {name: policy.as_dict() for name, policy in self._controller.policies.copy().items()}

    @property
    def monitor(self) -> PerformanceMonitor:
        """Where the metrics come from."""
        return self._controller.monitor

    @property
    def metrics_history(self) -> deque[dict[str, Any]]:
        """What was measured, check by check, the oldest first."""
        return self._controller.history

    @property
    def dry_run(self) -> bool:
        """Whether it only says what it would do; may be set."""
        return self._controller.dry_run

    @dry_run.setter
    def dry_run(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"dry_run must be True or False, got {value!r}")
        self._controller.dry_run = value

    @property
    def instances(self) -> dict[str, dict[str, Any]]:
        """The workers that there are now, under the guide's names; see `get_scaling_status`."""
        return self._controller.instances()

    @property
    def scaling_events(self) -> list[dict[str, Any]]:
        """The last events, the oldest first."""
        with self._controller.lock:
            return [event.copy() for event in self._controller.events]

    @property
    def scaling_thread(self) -> threading.Thread | None:
        """The thread that checks, or checked last; ``None`` before the first."""
        return self._intervals.thread

    def configure_scaling_policy(self, policy_name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Adds a policy, or replaces the one of that name.

        Args:
            policy_name: Its name.
            config: The guide's keys ``metric``, ``scale_up_threshold``, ``scale_down_threshold``, ``min_instances``,
                ``max_instances``, ``cooldown_period`` (seconds), ``scale_up_increment`` and
                ``scale_down_increment``; and those of ``scaling.ScalingPolicy``, as ``target`` instead of thresholds.

        Returns:
            ``policy_configured`` and ``policy``.

        Raises:
            TypeError: If a value is of the wrong kind.
            ValueError: If values contradict each other or those of another policy, or there is no such setting or metric; the
                policies are as they were.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import AutoScaler
            >>> with Nexus(enable_durability=False) as app:
            ...     scaler = AutoScaler(app)
            ...     reply = scaler.configure_scaling_policy("busy", {"metric": "utilization", "target": 60})
            >>> reply["policy_configured"], reply["policy"]["target"], reply["policy"]["max_instances"]
            ('busy', 60, 10)
        """
        policy = ScalingPolicy.of(policy_name, config)
        self._controller.configure(policy)
        return {"policy_configured": policy.name, "policy": policy.as_dict()}

    def remove_scaling_policy(self, policy_name: str) -> None:
        """Undoes `configure_scaling_policy`; the workers stay as many as they are.

        Args:
            policy_name: The policy's name.

        Raises:
            KeyError: If there is none of that name.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import AutoScaler
            >>> with Nexus(enable_durability=False) as app:
            ...     scaler = AutoScaler(app)
            ...     _ = scaler.configure_scaling_policy("cpu", {})
            ...     scaler.remove_scaling_policy("cpu")
            ...     scaler.scaling_policies
            {}
        """
        self._controller.remove(policy_name)

    def start_auto_scaling(self, check_interval: float = 60) -> dict[str, Any]:
        """Checks at intervals from now on, on a thread that keeps nothing alive.

        Started again with the same interval, it goes on as it does.

        Args:
            check_interval: Seconds from one check to the next; the first is made at once.

        Returns:
            ``auto_scaling_started`` (``True``), ``check_interval``, ``already_running``, ``dry_run``, and ``not_scaled``:
            why nothing is scaled, or ``None``.

        Raises:
            TypeError: If the interval is no number.
            ValueError: If it is not more than 0.
            TargetError: If the target does not tell how many workers it has, or another scaler of this process scales it.
            NexusCoreError: If it runs with another interval, the app is closed, or there is no thread to be had.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import AutoScaler
            >>> with Nexus(enable_durability=False) as app:
            ...     scaler = AutoScaler(app)
            ...     started = scaler.start_auto_scaling(30)
            ...     stopped = scaler.stop_auto_scaling()
            >>> started["auto_scaling_started"], started["check_interval"], started["not_scaled"]
            (True, 30, 'the app is not attached: nexus_core.attach(app)')
            >>> stopped["auto_scaling_stopped"]
            True
        """
        interval = checked_seconds("check_interval", check_interval)
        self._controller.check_open()
        target = self._controller.target()
        if target is not None:
            counted(target)
            other = None if self.dry_run else _open.before(self, target)
            if other is not None:
                raise TargetError(other)
        was_running = self._intervals.start(
            self,
            AutoScaler._step_aside,
            interval,
            check_open=self._controller.check_open,
            prepare=self._begin,
        )
        self.auto_scaling_enabled = True
        return {
            "auto_scaling_started": True,
            "check_interval": check_interval,
            "already_running": was_running,
            "dry_run": self.dry_run,
            "not_scaled": None if target is not None else NOT_ATTACHED,
        }

    def stop_auto_scaling(self) -> dict[str, Any]:
        """Makes no more checks; the workers stay as many as they are. Not started, it only says so.

        A check that is being made is waited for, for 5 s at most.

        Returns:
            ``auto_scaling_stopped`` (``True``), ``was_running``, and ``check_pending``: whether a target or collector still
            holds up the last check.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import AutoScaler
            >>> with Nexus(enable_durability=False) as app:
            ...     AutoScaler(app).stop_auto_scaling()
            {'auto_scaling_stopped': True, 'was_running': False, 'check_pending': False}
        """
        self.auto_scaling_enabled = False
        was_running, pending = self._intervals.stop()
        return {"auto_scaling_stopped": True, "was_running": was_running, "check_pending": pending}

    def get_scaling_status(self) -> dict[str, Any]:
        """What there is now.

        Returns:
            ``auto_scaling_enabled``, ``current_instances``, ``instances``: by the guide's names ``status``
            (``"running"``, ``"starting"`` or ``"draining"``), ``created_at``, ``policy`` that asked for it, ``worker``
            (its own name), ``state`` and ``load`` (from 0 to 1, or ``None``); ``active_policies``,
            ``recent_events`` (the last five), ``metrics_collected``; and ``running``, ``check_interval``, ``dry_run``,
            ``wanted_instances``, ``not_scaled``, ``last_decision`` and ``problems``.

        Example:
            >>> from nexus import Nexus
            >>> import nexus_core
            >>> from nexus_core import AutoScaler
            >>> with Nexus(enable_durability=False) as app:
            ...     _ = nexus_core.attach(app, thread_pool_size=2)
            ...     status = AutoScaler(app).get_scaling_status()
            >>> status["current_instances"], status["instances"]["nexus-2"]["status"], status["recent_events"]
            (2, 'running', [])
        """
        instances, current = self.instances, self._controller.current()
        with self._controller.lock:
            expected = self._controller.expected
            # One that starts workers only when they are needed may have fewer than it is to have.
            count = sum(each["status"] != "draining" for each in instances.values()) if current is None else current
            return {
                "auto_scaling_enabled": self.auto_scaling_enabled,
                "current_instances": count,
                "instances": instances,
                "active_policies": sum(policy.enabled for policy in self._controller.policies.values()),
                "recent_events": [event.copy() for event in list(self._controller.events)[-5:]],
                "metrics_collected": len(self.metrics_history),
                "running": self.is_running,
                "check_interval": self._intervals.interval,
                "dry_run": self.dry_run,
                "wanted_instances": count if expected is None else expected[0],
                "not_scaled": None
                if self._controller.closed or self._controller.target() is not None
                else NOT_ATTACHED,
                "last_decision": self._controller.decisions[-1].explain() if self._controller.decisions else None,
                "problems": self.problems,
            }

    def predict_scaling_needs(self, time_horizon_minutes: float = 30) -> dict[str, Any]:
        """What the metrics are going to be, and what the policies will ask for then.

        For each metric a robust line, exponential smoothing with a trend (Holt), and with a season where there is one
        (Holt-Winters), are tried on what is known by now; the one that would have foreseen it best is taken.

        Args:
            time_horizon_minutes: How far ahead.

        Returns:
            With fewer than ten checks only ``prediction``: ``"insufficient_data"``, and why. Otherwise
            ``time_horizon_minutes``; ``metric_trends``: by metric ``current``, ``projected``, ``trend_rate`` (for each check),
            ``direction``, and the model with its errors; ``scaling_predictions``: for each policy that will ask for a change
            ``action``, ``policy``, ``metric``, ``projected_value``, ``confidence`` (``"high"``, ``"medium"``,
            ``"low"``), ``probability``, ``threshold`` and ``in_minutes``; ``recommendation`` (``"monitor_closely"`` or
            ``"stable"``), its ``explanation`` in figures, and ``needed``: how many instances the load will take.

        Raises:
            TypeError: If the horizon is no number.
            ValueError: If it is not more than 0, or further ahead than a million checks.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import AutoScaler
            >>> now = [0.0]
            >>> with Nexus(enable_durability=False) as app:
            ...     scaler = AutoScaler(app, clock=lambda: now[0])
            ...     scaler.monitor.collect("orders", lambda: now[0] / 60)
            ...     _ = scaler.configure_scaling_policy("orders", {"metric": "orders"})
            ...     for _ in range(40):
            ...         now[0] += 60
            ...         decision = scaler.step()
            ...     found = scaler.predict_scaling_needs(45)
            >>> found["recommendation"], round(found["metric_trends"]["orders"]["projected"])
            ('monitor_closely', 85)
            >>> found["scaling_predictions"][0]["action"]
            'scale_up'
        """
        minutes = checked_seconds("time_horizon_minutes", time_horizon_minutes, what="a number of minutes")
        history, policies = self._recorded()
        current = int(history[-1]["active_instances"]) if history else 0
        return prediction.predicted(history, policies, minutes, current)

    def optimize_scaling_policies(
        self,
        *,
        latency_target_ms: float | None = None,
        candidates: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> dict[str, Any]:
        """What is wrong with the policies by what they have done, and which would have done better.

        The load that was recorded is replayed against the policies as they are, against variants of them, and against a
        demand kept at 50, 65 or 80 % of what the workers can do. It changes nothing.

        Args:
            latency_target_ms: What a run may take; by default what the scaler was made with.
            candidates: By name, configurations to try besides, each alone.

        Returns:
            ``analysis_period``, ``total_scaling_events``, ``optimization_recommendations``: for each ``issue``
            (``"scaling_oscillation"`` or ``"threshold_too_sensitive"``) a ``recommendation`` and what is suggested; and
            ``simulation``: ``candidates``, the recommended first, each with its ``policies``, cost (``instance_seconds``,
            ``mean_instances``), ``violations``, ``violation_share``, ``mean_response`` and ``p95_response`` in seconds,
            ``changes``, ``reversals``, and ``not_simulated``: its metrics that the replay cannot know, whose policies
            have no say in it; ``variants_left_out``: how many there are no time for, where there are many policies;
            ``recommended``, an ``explanation``, what it is based on, and how near a replay of what really happened
            comes to it.

        Raises:
            TypeError: If a value is of the wrong kind.
            ValueError: If a value is out of range, a candidate's contradict each other, or it is called ``"current"``.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import AutoScaler
            >>> with Nexus(enable_durability=False) as app:
            ...     found = AutoScaler(app).optimize_scaling_policies()
            >>> found["analysis_period"], found["total_scaling_events"], found["simulation"]["candidates"]
            ('last_100_events', 0, [])
        """
        allowed = _milliseconds(latency_target_ms) or self._latency_target
        if candidates is not None and not isinstance(candidates, Mapping):
            raise TypeError(f"candidates must be a mapping of names to configurations, got {candidates!r}")
        if "current" in (candidates or {}):
            raise ValueError("a candidate must not be called 'current': so the policies as they are are called")
        others = {name: ScalingPolicy.of(name, config) for name, config in (candidates or {}).items()}
        target = self._controller.target()
        for policy in others.values():
            check_metric(policy, self.monitor, target)
        history, policies = self._recorded()
        events = self.scaling_events
        return {
            "analysis_period": f"last_{self._max_events}_events",
            "total_scaling_events": len(events),
            "optimization_recommendations": optimization.found_in_events(events, self._controller.policies.copy()),
            "simulation": optimization.compared(history, policies, allowed, others),
        }

    # --- beyond the guide -------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether checks are made at intervals."""
        return self._intervals.is_running

    @property
    def closed(self) -> bool:
        """Whether the scaler was closed, or the app."""
        return self._controller.closed

    @property
    def decisions(self) -> list[Decision]:
        """The last decisions, those to do nothing too, the oldest first."""
        with self._controller.lock:
            return list(self._controller.decisions)

    @property
    def problems(self) -> dict[str, dict[str, object]]:
        """Targets, metrics and handlers that have raised or lied: how often, and the last error."""
        return self._controller.problems.as_dict()

    def step(self) -> Decision:
        """Checks once, now, beside what is done at intervals: measures, decides, and scales.

        Returns:
            What was decided, why, and what became of it. A target that raises, or tells no number of workers, is logged
            once, and nothing is scaled.

        Raises:
            NexusCoreError: If the app is closed, or a target, collector or handler calls it.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import AutoScaler
            >>> with Nexus(enable_durability=False) as app:
            ...     decision = AutoScaler(app).step()
            >>> decision.action, decision.reason
            ('hold', 'there is nothing to scale: the app is not attached: nexus_core.attach(app)')
        """
        return self._controller.step()

    def why(self, at: float | None = None) -> str:
        """Why there are as many workers as there are: what was decided, and what each policy asked for.

        Args:
            at: A time in seconds since 1970, as an event's ``timestamp``: what was decided last until then. By default
                the last decision.

        Returns:
            In words.

        Example:
            >>> from nexus import Nexus
            >>> import nexus_core
            >>> from nexus_core import AutoScaler
            >>> with Nexus(enable_durability=False) as app:
            ...     _ = nexus_core.attach(app)
            ...     scaler = AutoScaler(app)
            ...     _ = scaler.configure_scaling_policy("queue", {"metric": "queue_size", "scale_down_threshold": -1})
            ...     _ = scaler.step()
            ...     print(scaler.why())
            4 instances stay: queue: queue_size is 0, between -1 and 70
              - queue: wants 4: queue_size is 0, between -1 and 70
        """
        decisions = self.decisions
        if at is None:
            last = decisions[-1].explain() if decisions else "nothing has been decided yet"
            held_up = self._controller.held_up()
            return last if held_up is None else f"{held_up}\n{last}"
        # What was decided at an event is found even if the system's clock was set since.
        of_time = moment_of if isinstance(at, Timestamp) else float
        known = [each for each in decisions if of_time(each.at) <= of_time(at)]
        return known[-1].explain() if known else "nothing is known of what was decided until then"

    def close(self) -> None:
        """Stops, and leaves the app; the app does it when it closes. Waits for nothing, of a Dask scheduler 1 s at most.

        The workers stay as many as they are, and what was measured can still be read. A second call does nothing.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import AutoScaler
            >>> with Nexus(enable_durability=False) as app:
            ...     scaler = AutoScaler(app)
            ...     scaler.close()
            ...     scaler.closed
            True
        """
        if not self._controller.close():
            return
        self.auto_scaling_enabled = False
        self._intervals.stop_soon()
        _open.discard(self)
        self._plugin.leave(self.app)

    # --- inside -----------------------------------------------------------------------

    def _recorded(self) -> tuple[list[dict[str, Any]], list[ScalingPolicy]]:
        with self._controller.lock:
            return list(self.metrics_history), self._controller.enabled()

    def _begin(self) -> None:
        """It is not to matter any more what was before, and it is its turn after those that run already."""
        _open.started(self)
        self._controller.try_again()

    def _step_aside(self) -> None:
        """On the scaler's thread: the next check is not to miss for what this one has met."""
        if self.app.runtime is None:
            self.close()
        else:
            self._controller.problems.call("a check", self._step_while_open)

    def _step_while_open(self) -> None:
        try:
            self.step()
        except NexusCoreError:
            if not self.closed:
                raise

    def _after_fork(self) -> None:
        self._controller.begin_anew()
        self._intervals.begin_anew()


def _milliseconds(value: float | None) -> float | None:
    """Seconds."""
    if value is None:
        return None
    return checked_seconds("latency_target_ms", value, what="a number of milliseconds") / 1000


@atexit.register
def _close_all() -> None:
    """No thread is to be inside of native code that comes back to an interpreter which is going down."""
    for scaler in _open.all():
        scaler.close()
