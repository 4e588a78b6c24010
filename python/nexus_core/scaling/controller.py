"""What an ``AutoScaler`` does at each check: measures, decides, scales, and remembers it."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from numbers import Real
from operator import index
from typing import Any, TypeVar

from nexus_core._app_workflows import attached_runtime, checked_app
from nexus_core._problems import Problems
from nexus_core.errors import NexusCoreError, TargetError
from nexus_core.metrics.process import process_metrics
from nexus_core.monitoring import prometheus
from nexus_core.performance_monitor import PerformanceMonitor
from nexus_core.scaling.backoff import Backoff
from nexus_core.scaling.decisions import PER_WORKER, Decider, Decision
from nexus_core.scaling.instances import InstanceBook
from nexus_core.scaling.policy import ScalingPolicy, check_together
from nexus_core.scaling.readings import Readings, check_metric
from nexus_core.scaling.slots import Slots
from nexus_core.scaling.targets import RuntimeTarget, made_target
from nexus_core.scaling.timestamp import Timestamp
from nexus_core.scaling.worker import Worker

__all__ = ["NOT_ATTACHED", "Controller", "counted"]

_log = logging.getLogger("nexus_core.scaling")

T = TypeVar("T")

# A target that takes longer holds a check up.
_PATIENCE = 1.0
# Nothing that is counted or timed comes to more, and what is made of it stays finite.
_LARGEST = 1e100

NOT_ATTACHED = "the app is not attached: nexus_core.attach(app)"


class Controller:
    """Checks an app when it is told to.

    Args:
        app: An open app.
        target: What is scaled, in any form; ``None`` for the runtime that the app is attached to.
        monitor: Where the metrics come from; ``None`` for one of its own.
        dry_run: Whether it only says what it would do.
        max_events: Events and decisions that are kept.
        history: Checks whose metrics are kept.
        settle_seconds: How long a target may take until it has the workers that it was told to have.
        on_event: Called with each event.
        clock: Tells the time; ``None`` for the system's.
        taken: Who else scales a target, in words; ``None`` if nobody does.

    Attributes:
        lock: Guards what is remembered; code of others runs without it.
    """

    def __init__(
        self,
        app: Any,
        target: Any,
        monitor: PerformanceMonitor | None,
        *,
        dry_run: bool,
        max_events: int,
        history: int,
        settle_seconds: float,
        on_event: Callable[[dict[str, Any]], object] | None,
        clock: Callable[[], float] | None,
        taken: Callable[[Any], str | None],
    ) -> None:
        self.app = app
        self.dry_run = dry_run
        self.closed = False
        self.problems = Problems(_log)
        self.policies: dict[str, ScalingPolicy] = {}
        self.events: deque[dict[str, Any]] = deque(maxlen=max_events)
        self.decisions: deque[Decision] = deque(maxlen=max_events)
        self.history: deque[dict[str, Any]] = deque(maxlen=history)
        self.lock = threading.RLock()
        #: How many workers there are to be, and since when, while the target has others.
        self.expected: tuple[int, float] | None = None
        # The policy that they are owed to.
        self._owed_to: str | None = None
        self._settle = settle_seconds
        self._on_event = on_event
        self._taken = taken
        # By what is asked of the target; another one has not failed yet.
        self._backoffs: dict[str, Backoff] = {}
        self._backed_off: Any = None
        # By the second no time goes back, and none is left out, when the system's clock is set.
        self._now, self._moment = (time.time, time.monotonic) if clock is None else (clock, clock)
        self._given = None if target is None else made_target(target)
        self._owns_target = self._given is not target
        self._own: RuntimeTarget | None = None
        self._decider = Decider()
        self._readings = Readings()
        self._book = InstanceBook()
        self._slots = Slots("worker")
        self._began = self._now()
        # Held while others' code is called: one check at a time.
        self._checking = threading.RLock()
        self._busy = threading.local()
        # What a check has called and since when, and what was known before.
        self._inside: tuple[str, float] | None = None
        self._count: int | None = None
        self._instances: dict[str, dict[str, Any]] = {}
        self._owns_monitor = monitor is None
        self.monitor = monitor if monitor is not None else _own_monitor(app, clock)

    def configure(self, policy: ScalingPolicy) -> None:
        """Adds a policy, or replaces the one of that name.

        Args:
            policy: The policy.

        Raises:
            ValueError: If there is no such metric, or it contradicts another policy.
        """
        check_metric(policy, self.monitor, self.target())
        with self.lock:
            others = [each for name, each in self.policies.items() if name != policy.name and each.enabled]
            if policy.enabled:
                check_together([*others, policy])
            self.policies[policy.name] = policy
            self._decider.forget(policy.name)

    def remove(self, name: str) -> None:
        """Undoes `configure`.

        Args:
            name: The policy's.

        Raises:
            KeyError: If there is none of that name.
        """
        with self.lock:
            if name not in self.policies:
                raise KeyError(f"there is no policy {name!r}; there are {sorted(self.policies)}")
            del self.policies[name]
            self._decider.forget(name)

    def enabled(self) -> list[ScalingPolicy]:
        """The policies that are looked at."""
        with self.lock:
            return [policy for policy in self.policies.values() if policy.enabled]

    def check_open(self) -> None:
        """Does nothing, if the scaler and the app are open.

        Raises:
            NexusCoreError: If they are not.
        """
        if self.closed:
            raise NexusCoreError("the scaler is closed, as its app may be; make a new one")
        checked_app(self.app, "AutoScaler")

    def target(self) -> Any:
        """What is scaled now; ``None`` if that is nothing."""
        if self._given is not None:
            return self._given
        runtime = None if self.app.runtime is None else attached_runtime(self.app)
        if runtime is None:
            self._own = None
            return None
        if self._own is None or self._own.runtime is not runtime:
            self._own = RuntimeTarget(runtime)
        return self._own

    def step(self) -> Decision:
        """Checks once, as of ``AutoScaler.step``."""
        if getattr(self._busy, "checking", False):
            raise NexusCoreError("a target, collector or handler of a scaler must not call step(): it would not end")
        self._busy.checking = True
        try:
            with self._checking:
                return self._step()
        finally:
            self._busy.checking = False

    def _called(self, name: str, function: Callable[[], T], what: str | None = None) -> T | None:
        """Calls others' code for a check, so that everybody can see what it waits for."""
        if not getattr(self._busy, "checking", False):
            return self.problems.call(name, function)
        self._inside = what or name, self._moment()
        try:
            return self.problems.call(name, function)
        finally:
            self._inside = None

    def instances(self) -> dict[str, dict[str, Any]]:
        """The workers that there are now, under the guide's names; those that there were while a check is held up."""
        if self.held_up():
            return {name: each.copy() for name, each in self._instances.items()}
        target = None if self.closed else self.target()
        workers: list[Any] | None = None
        if target is not None:
            workers = self._asked(target, "workers")
            if workers is None:
                count = self.problems.call("the target", partial(counted, target))
                if count is not None:
                    workers = self._slots.workers(count, self._now(), self._began)
        elif self._given is None:
            # An app that is not attached: the process is all there is.
            workers = [Worker("process", _process_started(), "running")]
        with self.lock:
            self._book.policy = None if self.expected is None else self._owed_to
            found = self.problems.call("the target's workers()", partial(self._book.seen, workers or []))
            self._instances = found or {}
            return {name: each.copy() for name, each in self._instances.items()}

    def held_up(self) -> str | None:
        """What a check has been waiting for, for more than a second; ``None`` if it waits for nothing."""
        inside = self._inside
        if inside is None or (waited := self._moment() - inside[1]) <= _PATIENCE:
            return None
        return f"a check is held up: {inside[0]} has not returned for {waited:.3g} s"

    def current(self) -> int | None:
        """How many workers the target says that it has; ``None`` if it does not say."""
        if self.held_up():
            return self._count
        target = None if self.closed else self.target()
        return None if target is None else self.problems.call("the target", partial(counted, target))

    def close(self) -> bool:
        """Makes no more checks, and lets go of what it has made for itself.

        Returns:
            Whether it was open.
        """
        with self.lock:
            if self.closed:
                return False
            self.closed = True
        if self._owns_monitor:
            self.monitor.close()
        close_target = getattr(self._given, "close", None)
        if self._owns_target and close_target is not None:
            self.problems.call("the target", close_target)
        return True

    def try_again(self) -> None:
        """A target that has failed is asked again at the next check."""
        self._backoffs.clear()

    def begin_anew(self) -> None:
        """For a forked child: whoever held a lock is not there."""
        self.lock, self._checking = threading.RLock(), threading.RLock()
        self._busy = threading.local()
        self._own = None
        # The check that may have waited for something is the parent's.
        self._inside = None

    # --- inside -----------------------------------------------------------------------

    def _step(self) -> Decision:
        self.check_open()
        moment = self._moment()
        now = Timestamp(self._now(), moment)
        target = self.target()
        if target is not self._backed_off:
            self._backed_off = target
            self.try_again()
        count = None if target is None else self._asked(target, "current", partial(counted, target))
        self._count = count
        # One that does not even say how many workers it has may take as long for the rest.
        metrics = self._measured(None if count is None else target, 1 if count is None else count, now)
        other = None if target is None or self.dry_run else self._taken(target)
        with self.lock:
            policies = self.enabled()
            if target is None or count is None or other is not None:
                reason = (
                    f"there is nothing to scale: {NOT_ATTACHED}"
                    if target is None
                    else other or self._last_problem() + self._backing_off("current", moment)
                )
                decision = Decision(now, "hold", count or 0, count or 0, None, reason, (), metrics)
            else:
                base, lie = self._base(count, moment)
                seen = _shared(metrics, count, base)
                decision = replace(
                    self._decider.decide(moment, seen, base, policies), at=now, metrics=metrics, error=lie
                )
                if decision.action == "scale_down" and count < base:
                    reason = f"{count} of {base} workers have come so far, and none goes before: {decision.reason}"
                    decision = replace(decision, action="hold", after=base, reason=reason)
                refused = self._backing_off(decision.action, moment)
                if refused:
                    reason = f"{decision.reason}, but the target has refused it: {self._last_problem()}{refused}"
                    decision = replace(decision, action="hold", after=base, reason=reason)
            # It may have been closed while somebody took his time.
            self.check_open()
        if decision.action != "hold":
            decision = self._carried_out(target, count or 0, decision, moment)
        event = None
        with self.lock:
            self.decisions.append(decision)
            if decision.outcome in ("applied", "dry_run"):
                event = _event_of(decision)
                self.events.append(event)
        if event is not None and self._on_event is not None:
            self.problems.call("the handler of events", partial(self._on_event, event.copy()))
        return decision

    def _measured(self, target: Any, count: int, now: Timestamp) -> dict[str, float | None]:
        monitor = self.monitor
        if self._owns_monitor or not monitor.monitoring_active:
            seen = self._called("the monitor", monitor.sample) or {}
            measured = {name: value for name, value in seen.items() if name != "timestamp"}
        else:
            measured = self._readings.from_series(monitor)
        busy, queued = (self._asked(target, what, _number_of(target, what)) for what in ("busy_seconds", "queued"))
        metrics = self._readings.completed(measured, now.moment, count, busy, queued)
        # A start, on another thread, may forget it.
        refused = self._backoffs.get("queued")
        if refused is not None and refused.failures:
            # What waits for other workers is not what waits for its.
            metrics.pop("queue_per_instance", None)
        with self.lock:
            self.history.append({"timestamp": now, **metrics})
        return metrics

    def _asked(self, target: Any, what: str, function: Callable[[], Any] | None = None) -> Any:
        """What the target says; ``None`` if it has no such method, or is left alone, as it fails again and again."""
        function = function or getattr(target, what, None)
        if function is None:
            return None
        backoff, moment = self._backoffs.setdefault(what, Backoff()), self._moment()
        if backoff.left(moment) > 0:
            return None
        told = f"the target's {what}()"
        name = "the target" if what == "current" else told
        failed = self.problems.count(name)
        found = self._called(name, function, told)
        if self.problems.count(name) > failed:
            backoff.failed(moment)
        else:
            backoff.succeeded()
        return found

    def _backing_off(self, what: str, moment: float) -> str:
        """How long the target is left alone, in words; nothing if it is not."""
        backoff = self._backoffs.get(what)
        if backoff is None or (left := backoff.left(moment)) <= 0:
            return ""
        return (
            f" ({backoff.failures} times in a row within {backoff.since(moment):.3g} s; "
            f"it is asked again in {left:.3g} s)"
        )

    def _base(self, count: int, moment: float) -> tuple[int, str | None]:
        """How many workers there are to be so far: what the target was told, while it is getting there.

        And what is to be said if it is not.
        """
        if self.expected is None:
            return count, None
        wanted, since = self.expected
        if count != wanted and moment - since <= self._settle:
            return wanted, None
        self.expected = None
        if count == wanted:
            return count, None
        lie = f"the target was told to have {wanted} workers, and says after {moment - since:.3g} s that it has {count}"

        def say() -> None:
            raise TargetError(lie)

        self.problems.call("the target", say)
        return count, lie

    def _carried_out(self, target: Any, count: int, decision: Decision, moment: float) -> Decision:
        if self.dry_run:
            with self.lock:
                self._decider.acted(decision, moment)
            return decision.with_outcome("dry_run")
        # Those that are there are not owed to it.
        self.problems.call("the target's workers()", self.instances)
        # While the target told of its workers it may have been closed: nothing is to be scaled while the app goes down.
        self.check_open()
        done = self._called("the target", partial(_scaled, target, decision.after), "the target's scale()")
        backoff = self._backoffs.setdefault(decision.action, Backoff())
        if done is None:
            backoff.failed(moment)
            error = self._last_problem()
            now_there = self._called("the target", partial(counted, target), "the target's current()")
            if now_there is not None and now_there != count:
                # It has done something before it failed: that is not to be repeated as often as it fails.
                with self.lock:
                    self._decider.acted(decision, moment)
                error += f" (it has {now_there} now)"
            return decision.with_outcome("failed", error)
        backoff.succeeded()
        with self.lock:
            self._decider.acted(decision, moment)
            self.expected, self._owed_to = (decision.after, moment), decision.policy
        self.problems.call("the target's workers()", self.instances)
        proposal = decision.proposal
        _log.info(
            "scaled from %d to %d instances: %s",
            decision.before,
            decision.after,
            proposal.reason if proposal else decision.reason,
        )
        return decision.with_outcome("applied")

    def _last_problem(self) -> str:
        return self.problems.last_error("the target") or "the target does not answer"


def _own_monitor(app: Any, clock: Callable[[], float] | None) -> PerformanceMonitor:
    monitor = PerformanceMonitor(app, clock=clock)
    # It only measures: who wants alerts makes one for them.
    for name in list(monitor.thresholds):
        del monitor.thresholds[name]
    # Nor is it one of the app's: a user's own is to have the names, and it ends with the scaler.
    monitor._plugin.leave(app)
    prometheus.hide(monitor)
    return monitor


def _process_started() -> float:
    return time.time() - (process_metrics().uptime_seconds or 0.0)


def counted(target: Any) -> int:
    """How many workers a target says that it has."""
    count = target.current()
    try:
        number = -1 if isinstance(count, bool) else index(count)
    except TypeError:
        number = -1
    if number < 0:
        raise TargetError(f"the target's current() must be a number of workers, got {count!r}")
    return number


def _number_of(target: Any, what: str) -> Callable[[], float | None] | None:
    """Asks a target for a number, if it can be asked that."""
    function = getattr(target, what, None)
    if function is None:
        return None

    def ask() -> float | None:
        found = function()
        if found is None:
            return None
        try:
            value = -1.0 if isinstance(found, bool) or not isinstance(found, Real) else float(found)
        except OverflowError:
            value = math.inf
        if not 0 <= value < _LARGEST:
            raise TargetError(f"the target's {what}() must be a number from 0 on, or None, got {found!r}")
        return value

    return ask


def _shared(metrics: Mapping[str, float | None], there: int, wanted: int) -> dict[str, float | None]:
    """Metrics as they will be once the workers are there that were asked for: nothing is asked for twice meanwhile."""
    share = there / wanted if wanted else 1.0
    return {
        name: value * share if value is not None and name in PER_WORKER else value for name, value in metrics.items()
    }


def _scaled(target: Any, count: int) -> bool:
    target.scale(count)
    return True


def _event_of(decision: Decision) -> dict[str, Any]:
    proposal = decision.proposal
    change = decision.after - decision.before
    return {
        "timestamp": decision.at,
        "action": decision.action,
        "policy": decision.policy,
        "metric_value": None if proposal is None else proposal.value,
        "threshold": None if proposal is None else proposal.threshold,
        ("instances_added" if change > 0 else "instances_removed"): abs(change),
        "total_instances": decision.after,
        "metric": None if proposal is None else proposal.metric,
        "reason": decision.reason,
        "dry_run": decision.outcome == "dry_run",
    }
