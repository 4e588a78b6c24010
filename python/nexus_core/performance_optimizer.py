"""``PerformanceOptimizer``: what the performance guide optimizes, done to the app's runtime and measured."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nexus_core._app_workflows import attached_runtime, checked_app, registered_workflow
from nexus_core._checks import checked_whole
from nexus_core.errors import NexusCoreError

if TYPE_CHECKING:
    from nexus_core.cached_runs import CachePolicy
    from nexus_core.optimizer.changes import Change, Target
    from nexus_core.optimizer.measuring import Comparison
    from nexus_core.optimizer.switches import Switch

__all__ = ["PerformanceOptimizer"]

_log = logging.getLogger("nexus_core.optimizer")

_NOT_MEASURED = "not measured: pass sample_inputs"

# Runs at once where no limit says how many.
_AT_ONCE = 10


class PerformanceOptimizer:
    """Optimizes how an app's workflows are executed, and measures what came of it.

    What is changed is taken back by :meth:`revert`. An app that is not attached is attached
    (``nexus_core.attach``) by the first change, and detached by ``revert()``.

    Args:
        nexus_app: An open ``nexus.Nexus``.

    Attributes:
        app: The app.
        performance_metrics: What :meth:`benchmark_workflow_registration` and
            :meth:`optimize_workflow_execution` last returned, under ``"workflow_registration"`` and,
            by workflow, ``"workflow_execution"``.
        optimization_strategies: The names of the strategies that :meth:`enable` takes, and what they are for.

    Raises:
        TypeError: If it is no Nexus app.
        NexusCoreError: If the app is closed.

    Example:
        >>> from nexus import Nexus
        >>> from nexus_core import PerformanceBestPractices, PerformanceOptimizer
        >>> app = Nexus(enable_durability=False)
        >>> app.register("data-processor", PerformanceBestPractices.create_optimized_workflow())
        >>> optimizer = PerformanceOptimizer(app)
        >>> found = optimizer.optimize_workflow_execution("data-processor")
        >>> found["optimizations_applied"][-1], found["expected_improvement"]
        ('max_concurrent_executions', 'not measured: pass sample_inputs')
        >>> "enable_caching" in found["not_applied"]  # it does not say that it may be cached
        True
        >>> _ = optimizer.revert()
        >>> app.close()
    """

    def __init__(self, nexus_app: Any) -> None:
        from nexus_core.optimizer.switches import STRATEGIES, Switches

        self.app = checked_app(nexus_app, "PerformanceOptimizer")
        self.performance_metrics: dict[str, Any] = {}
        self.optimization_strategies = dict(STRATEGIES)
        self._switches = Switches()
        #: In the order in which they were put in force, by what they are for and the workflow.
        self._changes: dict[tuple[str, str], Change] = {}
        #: Strategies for workflows that are registered from now on: whether, and with which options.
        self._for_all: dict[str, tuple[bool, dict[str, Any]]] = {}
        self._attached_by_us = False
        self._listens_to: Any = None
        self._lock = threading.RLock()

    @property
    def pools(self) -> Any:
        """The app's ``ResourcePoolManager``, or ``None``."""
        from nexus_core.optimizer.pooling import pools_of

        return pools_of(self.app)

    # --- the guide's methods ------------------------------------------------------------

    def benchmark_workflow_registration(self, count: int = 10) -> dict[str, Any]:
        """Times how long the app takes to register workflows of one node.

        They are registered on all channels under the guide's names (``perf-test-0`` and so on, without those
        that are taken), and removed again by ``app.deregister``. A version of Nexus without that
        keeps them, under names that say what they are.

        Args:
            count: How many.

        Returns:
            The guide's ``total_workflows``, ``avg_registration_time``, ``min_registration_time`` and
            ``max_registration_time`` in seconds, and ``performance_score``, ``"excellent"`` if none took 0.1 s and
            ``"good"`` otherwise; ``registration_times`` of each, and ``left_registered``: the names of those that
            could not be removed.

        Raises:
            TypeError: If ``count`` is no whole number.
            ValueError: If it is less than one.
            NexusCoreError: If the app is closed.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceOptimizer
            >>> with Nexus(enable_durability=False) as app:
            ...     found = PerformanceOptimizer(app).benchmark_workflow_registration()
            >>> found["total_workflows"], found["left_registered"]
            (10, [])
        """
        from nexus_core.optimizer.registration import timed_registrations

        number = checked_whole("count", count, 1)
        checked_app(self.app, "PerformanceOptimizer")
        before = set(self.app._workflows)
        found = self.performance_metrics["workflow_registration"] = timed_registrations(self.app, number)
        with self._lock:
            # What strategies for all workflows have changed about those that are gone again.
            for name in {name for _, name in self._changes} - before - set(found["left_registered"]):
                self.revert(name)
        return found

    def optimize_workflow_execution(
        self,
        workflow_name: str,
        sample_inputs: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        *,
        runs: int = 20,
        cacheable: bool | CachePolicy | None = None,
        enable_caching: bool = True,
        parallel_nodes: bool | int = True,
        resource_pooling: bool = True,
        result_streaming: bool = True,
        memory_optimization: bool = True,
        execution_timeout: float | None = 30,
        max_concurrent_executions: int | None = 10,
    ) -> dict[str, Any]:
        """Applies the guide's options to the runs of a workflow, and measures what they bring.

        With sample inputs the workflow is executed, for real and with all its side effects, several
        times as often as ``runs`` says: without the changes and with them in turns. If outcomes differ, or runs take
        5 % and 0.1 ms longer, nothing is kept. It blocks until then: on an event loop, call it by
        ``asyncio.to_thread``. What was changed for the workflow before is taken back first.

        Args:
            workflow_name: The name that the workflow is registered under.
            sample_inputs: Inputs of one run, or of several different ones.
            runs: Timed runs of each side.
            cacheable: That results may be kept although the workflow does not say so, or how: equal
                inputs must give equal results, and runs have no side effects.
            enable_caching: Results are kept, if the workflow says that they may be or ``cacheable`` does.
            parallel_nodes: The runtime gets room for the nodes that are independent, or for so many.
            resource_pooling: Nodes that ask for a resource find the app's pools.
            result_streaming: The workflow has its route ``/stream``.
            memory_optimization: Free memory is given back to the system after runs.
            execution_timeout: Seconds that a run may take, or ``None``.
            max_concurrent_executions: Runs that may be under way at once, or ``None``.

        Returns:
            The guide's ``workflow_name``, ``optimizations_applied`` (the options that are in force),
            ``expected_improvement``, ``memory_savings`` and ``throughput_increase``; ``details`` of what is
            in force and ``not_applied`` by option, ``warnings``, ``attached`` (whether the app was by
            this call), and ``figures``: an ``ExecutionFigures``, or ``None``.

        Raises:
            TypeError: If an argument is of the wrong kind.
            ValueError: If a number is out of range.
            UnknownWorkflow: If there is no such workflow.
            NexusCoreError: If the app is closed, or its runtime is of an unknown version of Kailash.

        Example:
            >>> from kailash.workflow.builder import WorkflowBuilder
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceOptimizer
            >>> builder = WorkflowBuilder()
            >>> _ = builder.add_node("PythonCodeNode", "double", {"code": "result = 2 * x"})
            >>> app = Nexus(enable_durability=False)
            >>> app.register("double", builder.build(cacheable=True))
            >>> optimizer = PerformanceOptimizer(app)
            >>> found = optimizer.optimize_workflow_execution("double", {"x": 21}, runs=10)
            >>> found["figures"].cached_seconds < 0.1
            True
            >>> _ = optimizer.revert()
            >>> app.close()
        """
        from nexus_core.optimizer.options import planners

        samples = _checked_samples(sample_inputs)
        count = checked_whole("runs", runs, 1)
        plans = planners(
            self._switches,
            cacheable=cacheable,
            enable_caching=enable_caching,
            parallel_nodes=parallel_nodes,
            resource_pooling=resource_pooling,
            result_streaming=result_streaming,
            memory_optimization=memory_optimization,
            execution_timeout=execution_timeout,
            max_concurrent_executions=max_concurrent_executions,
        )
        with self._lock:
            attached = attached_runtime(self.app) is None
            target = self._target(workflow_name)
            reply = self._optimized(target, plans, samples, count, max_concurrent_executions)
        reply["attached"] = attached
        self.performance_metrics.setdefault("workflow_execution", {})[workflow_name] = reply
        return reply

    # --- strategies ---------------------------------------------------------------------

    def enable(self, strategy: str, workflow: str | None = None, **options: Any) -> dict[str, str]:
        """Switches a strategy on.

        Args:
            strategy: One of :attr:`optimization_strategies`; ``docs/optimizer.md`` says what each changes.
            workflow: The name of a registered workflow; by default for all, those that are registered later
                included. Those that it cannot be switched on for are left out.
            options: ``cacheable`` of ``"workflow_caching"``, ``nodes`` of ``"parallel_execution"``.

        Returns:
            By workflow, what was changed; nothing for those where it was on.

        Raises:
            TypeError: If there is no such option.
            ValueError: If there is no such strategy.
            UnknownWorkflow: If there is no such workflow.
            StrategyRefused: If it cannot be switched on for the workflow, or is not safe for it.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceBestPractices, PerformanceOptimizer
            >>> app = Nexus(enable_durability=False)
            >>> app.register("optimized", PerformanceBestPractices.create_optimized_workflow())
            >>> optimizer = PerformanceOptimizer(app)
            >>> optimizer.enabled("workflow_caching", "optimized")
            False
            >>> _ = optimizer.enable("workflow_caching", "optimized", cacheable=True)
            >>> optimizer.enabled("workflow_caching", "optimized")
            True
            >>> _ = optimizer.revert()
            >>> app.close()
        """
        return self._set(strategy, workflow, True, options)

    def disable(self, strategy: str, workflow: str | None = None) -> dict[str, str]:
        """Switches a strategy off.

        Args:
            strategy: As for :meth:`enable`.
            workflow: As for :meth:`enable`.

        Returns:
            By workflow, what was changed; nothing for those where it was off.

        Raises:
            ValueError: If there is no such strategy.
            UnknownWorkflow: If there is no such workflow.
            StrategyRefused: If it cannot be switched off for the workflow.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceBestPractices, PerformanceOptimizer
            >>> app = Nexus(enable_durability=False)
            >>> app.register("optimized", PerformanceBestPractices.create_optimized_workflow())
            >>> optimizer = PerformanceOptimizer(app)
            >>> optimizer.disable("result_streaming", "optimized")
            {'optimized': 'there is no /workflows/optimized/stream'}
            >>> _ = optimizer.revert()
            >>> app.close()
        """
        return self._set(strategy, workflow, False, {})

    def enabled(self, strategy: str, workflow: str | None = None) -> bool:
        """Whether a strategy is in force, whoever has switched it on.

        Args:
            strategy: As for :meth:`enable`.
            workflow: The name of a registered workflow; by default, whether it is for all of them.

        Raises:
            ValueError: If there is no such strategy.
            UnknownWorkflow: If there is no such workflow.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceOptimizer
            >>> with Nexus(enable_durability=False) as app:
            ...     PerformanceOptimizer(app).enabled("intelligent_scheduling")  # not attached
            False
        """
        switch = self._switch(strategy)
        checked_app(self.app, "PerformanceOptimizer")
        names = list(self.app._workflows) if workflow is None else [workflow]
        for name in names:
            registered_workflow(self.app, name)
        if attached_runtime(self.app) is None:
            return False
        return bool(names) and all(switch.is_on(self._target(name)) for name in names)

    def warm(self, workflow_name: str) -> bool:
        """Makes a workflow's plan now, so that its first run need not.

        Args:
            workflow_name: The name that the workflow is registered under.

        Returns:
            Whether it has one: Kailash needs none for what it runs itself.

        Raises:
            UnknownWorkflow: If there is no such workflow.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceBestPractices, PerformanceOptimizer
            >>> app = Nexus(enable_durability=False)
            >>> app.register("optimized", PerformanceBestPractices.create_optimized_workflow())
            >>> optimizer = PerformanceOptimizer(app)
            >>> optimizer.warm("optimized")
            True
            >>> _ = optimizer.revert()
            >>> app.close()
        """
        from nexus_core.optimizer.loading import read

        with self._lock:
            return read(self._target(workflow_name)) is None

    def revert(self, workflow_name: str | None = None) -> dict[str, list[str]]:
        """Takes back what was changed, the last first: everything is as it was.

        Args:
            workflow_name: For this workflow, which need not be registered any more; by default for all,
                and the app is detached if a change has attached it.

        Returns:
            By workflow, the options and strategies that were taken back.

        Raises:
            TypeError: If the name is no string.

        Example:
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceBestPractices, PerformanceOptimizer
            >>> app = Nexus(enable_durability=False)
            >>> app.register("optimized", PerformanceBestPractices.create_optimized_workflow())
            >>> optimizer = PerformanceOptimizer(app)
            >>> _ = optimizer.disable("intelligent_scheduling", "optimized")
            >>> optimizer.revert()
            {'optimized': ['intelligent_scheduling']}
            >>> app.close()
        """
        from nexus_core.nexus_app import detach

        if workflow_name is not None and not isinstance(workflow_name, str):
            raise TypeError(f"a workflow's name must be a string, got {workflow_name!r}")
        reverted: dict[str, list[str]] = {}
        with self._lock:
            if workflow_name is None:
                self._for_all.clear()
                self._stop_listening()
            for key in reversed(list(self._changes)):
                option, name = key
                if workflow_name in (None, name):
                    self._changes.pop(key).take_back()
                    reverted.setdefault(name, []).append(option)
            if workflow_name is None and self._attached_by_us:
                self._attached_by_us = False
                if self.app.runtime is not None and attached_runtime(self.app) is not None:
                    detach(self.app)
        return reverted

    # --- within -------------------------------------------------------------------------

    def _target(self, workflow_name: str) -> Target:
        """A workflow, with the app attached."""
        from nexus_core.nexus_app import attach
        from nexus_core.optimizer.changes import Target

        checked_app(self.app, "PerformanceOptimizer")
        workflow = registered_workflow(self.app, workflow_name)
        if attached_runtime(self.app) is None:
            attach(self.app)
            self._attached_by_us = True
        runtime = attached_runtime(self.app)
        if not hasattr(runtime, "_rules"):
            raise NexusCoreError(
                "Kailash is of a version whose runtimes nexus-core cannot read; nothing can be changed"
            )
        return Target(self.app, self.app._plugins["nexus-core"], runtime, workflow_name, workflow)

    def _switch(self, strategy: str) -> Switch:
        found = self._switches.by_name.get(strategy) if isinstance(strategy, str) else None
        if found is None:
            known = ", ".join(map(repr, self._switches.by_name))
            raise ValueError(f"no strategy {strategy!r}; there are {known}")
        return found

    # --- optimizing a workflow ----------------------------------------------------------

    def _optimized(
        self,
        target: Target,
        plans: dict[str, Callable[[Target], Change] | str],
        samples: list[Mapping[str, Any]],
        runs: int,
        limit: int | None,
    ) -> dict[str, Any]:
        earlier = {key: change for key, change in self._changes.items() if key[1] == target.name and key[0] in plans}
        for change in reversed(earlier.values()):
            change.take_back()
        applied: dict[str, Change] = {}
        refused: dict[str, str] = {}
        compared: Comparison | None = None
        warnings: list[str] = []
        try:
            self._apply(target, plans, applied, refused)
            if samples:
                warnings += _side_effects(target)
                for warning in warnings:
                    _log.warning("measuring workflow %r: %s", target.name, warning)
                compared = self._compare(target, applied, samples, runs, limit)
                warnings += self._judge(compared, applied, refused)
        except BaseException:
            for change in reversed(applied.values()):
                change.take_back()
            for change in earlier.values():
                change.put()
            raise
        for key in earlier:
            del self._changes[key]
        self._changes.update({(option, target.name): change for option, change in applied.items()})
        figures = None if compared is None else compared.figures
        reason = _NOT_MEASURED
        if compared is not None and figures is None:
            reason = f"not measured: {compared.problem}"
        return {
            "workflow_name": target.name,
            "optimizations_applied": list(applied),
            "expected_improvement": reason if figures is None else figures.improvement(),
            "memory_savings": reason if figures is None else figures.memory(),
            "throughput_increase": reason if figures is None else figures.throughput(),
            "details": {option: change.detail for option, change in applied.items()},
            "not_applied": refused,
            "warnings": warnings,
            "figures": figures,
            "executions": 0 if compared is None else compared.runs,
        }

    def _apply(
        self,
        target: Target,
        plans: dict[str, Callable[[Target], Change] | str],
        applied: dict[str, Change],
        refused: dict[str, str],
    ) -> None:
        from nexus_core.optimizer.changes import Refused

        for option, plan in plans.items():
            if isinstance(plan, str):
                refused[option] = plan
                continue
            try:
                change = plan(target)
            except Refused as reason:
                refused[option] = str(reason)
            else:
                change.put()
                applied[option] = change

    def _compare(
        self, target: Target, applied: dict[str, Change], samples: list[Mapping[str, Any]], runs: int, limit: int | None
    ) -> Comparison:
        from nexus_core.optimizer.measuring import compare

        at_once = min(runs, _AT_ONCE if limit is None else limit)
        caches = applied.get("enable_caching")
        return _elsewhere(lambda: compare(target, list(applied.values()), samples, runs, at_once, caches))

    def _judge(self, compared: Comparison, applied: dict[str, Change], refused: dict[str, str]) -> list[str]:
        """Takes back what must not be kept, and says what is to be minded."""
        figures = compared.figures
        reason = compared.problem
        if reason is None and figures is not None and figures.is_worse:
            reason = f"with all of them together, {figures.improvement()}"
        if reason is not None:
            for option in reversed(list(applied)):
                applied.pop(option).take_back()
                refused[option] = reason
        if compared.is_repeatable:
            return []
        if "enable_caching" in applied:
            applied.pop("enable_caching").take_back()
            refused["enable_caching"] = "equal inputs gave different results"
        return ["equal inputs gave different results: only nodes and errors were compared, not values"]

    # --- switching strategies -----------------------------------------------------------

    def _set(self, strategy: str, workflow: str | None, on: bool, options: dict[str, Any]) -> dict[str, str]:
        from nexus_core.optimizer.changes import Refused, StrategyRefused
        from nexus_core.optimizer.options import checked_switch_options

        switch = self._switch(strategy)
        checked_switch_options(strategy, switch.options, options)
        changed: dict[str, str] = {}
        with self._lock:
            if workflow is not None:
                target = self._target(workflow)
                try:
                    said = self._set_one(strategy, switch, target, on, options)
                except Refused as reason:
                    raise StrategyRefused(strategy, workflow, str(reason)) from None
                return {} if said is None else {workflow: said}
            checked_app(self.app, "PerformanceOptimizer")
            for name in list(self.app._workflows):
                try:
                    said = self._set_one(strategy, switch, self._target(name), on, options)
                except Refused as reason:
                    _log.info("%s of workflow %r: %s", strategy, name, reason)
                else:
                    if said is not None:
                        changed[name] = said
            self._for_all[strategy] = (on, options)
            self._listen()
        return changed

    def _set_one(self, strategy: str, switch: Switch, target: Target, on: bool, options: dict[str, Any]) -> str | None:
        """Switches one; returns what was changed."""
        key = (strategy, target.name)
        said = None
        if switch.is_on(target) is not on and key in self._changes:
            # What has switched it to what it is now.
            change = self._changes.pop(key)
            change.take_back()
            said = f"as before: no longer {change.detail}"
        if switch.is_on(target) is not on or options:
            change = switch.on(target, **options) if on else switch.off(target)
            before = self._changes.pop(key, None)
            if before is not None:
                before.take_back()
            change.put()
            self._changes[key] = change
            said = change.detail
        return said

    def _listen(self) -> None:
        """Hears of workflows that are registered from now on."""
        if not self.app._workflows and attached_runtime(self.app) is None:
            from nexus_core.nexus_app import attach

            attach(self.app)
            self._attached_by_us = True
        attachment = self.app._plugins["nexus-core"]
        if self._listens_to is not attachment:
            self._stop_listening()
            attachment.on_registered.append(self._registered)
            self._listens_to = attachment

    def _stop_listening(self) -> None:
        attachment, self._listens_to = self._listens_to, None
        if attachment is not None and self._registered in attachment.on_registered:
            attachment.on_registered.remove(self._registered)

    def _registered(self, name: str, api: Any) -> None:
        from nexus_core.optimizer.changes import Refused

        with self._lock:
            for strategy, (on, options) in self._for_all.items():
                try:
                    self._set_one(strategy, self._switch(strategy), self._target(name), on, options)
                except Refused as reason:
                    _log.info("%s of workflow %r: %s", strategy, name, reason)


def _checked_samples(given: Any) -> list[Mapping[str, Any]]:
    if given is None:
        return []
    if isinstance(given, Mapping):
        return [given]
    if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
        raise TypeError(f"sample_inputs must be a mapping of inputs, or a list of such, got {given!r}")
    for number, inputs in enumerate(given):
        if not isinstance(inputs, Mapping):
            raise TypeError(f"sample_inputs[{number}] must be a mapping, got {inputs!r}")
    if not given:
        raise ValueError("sample_inputs is an empty list; pass the inputs of at least one run, or None")
    return list(given)


def _side_effects(target: Target) -> list[str]:
    """What the runs that measure do beside their results, as far as it can be seen."""
    from nexus_core.best_practices.workflow_facts import facts_of

    nodes = facts_of(target.name, target.workflow).nodes.values()
    outside = [node.name for node in nodes if node.is_external or node.reaching_out]
    if not outside:
        return []
    return [f"{', '.join(outside)} reach outside, and did so in every measured run"]


def _elsewhere(work: Callable[[], Coroutine[Any, Any, Comparison]]) -> Comparison:
    """Runs something on a thread with an event loop of its own: the caller may be on one."""
    from nexus_core.thread_pool import ThreadPool

    with ThreadPool(1, name="nexus-core measuring") as pool:
        return pool.submit(lambda: asyncio.run(work())).result()
