"""``PerformanceOptimizer``: what the performance guide optimizes, done to the app's runtime and measured."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nexus_core._app_workflows import attached_runtime, checked_app, registered_workflow
from nexus_core._checks import checked_whole
from nexus_core.errors import NexusCoreError

if TYPE_CHECKING:
    from nexus_core.cached_runs import CachePolicy
    from nexus_core.optimizer.changes import Change, Target
    from nexus_core.optimizer.switches import Switch

__all__ = ["PerformanceOptimizer"]

_log = logging.getLogger("nexus_core.optimizer")

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
        from nexus_core.optimizer.attaching import AttachmentUse
        from nexus_core.optimizer.held_changes import HeldChanges
        from nexus_core.optimizer.switches import STRATEGIES

        self.app = checked_app(nexus_app, "PerformanceOptimizer")
        self.performance_metrics: dict[str, Any] = {}
        self.optimization_strategies = dict(STRATEGIES)
        self._changes = HeldChanges()
        #: Strategies for workflows that are registered from now on: whether, and with which options.
        self._for_all: dict[str, tuple[bool, dict[str, Any]]] = {}
        self._attachment = AttachmentUse(self.app)
        self._listens_to: Any = None
        #: Whoever changes something has the turn, for as long as it takes to measure it.
        self._turn = threading.RLock()
        #: Guards what is above, and is never held while a workflow is executed, which may register others.
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
        with self._turn:
            try:
                found = self.performance_metrics["workflow_registration"] = timed_registrations(self.app, number)
            finally:
                # What strategies for all workflows have changed about those that are gone again.
                for name in self._changes.workflows() - before - set(self.app._workflows):
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
            this call), ``executions`` (runs that measuring took) and ``figures``: an ``ExecutionFigures``, or ``None``.

        Raises:
            TypeError: If an argument is of the wrong kind.
            ValueError: If a number is out of range.
            UnknownWorkflow: If there is no such workflow.
            NexusCoreError: If the app is closed, or its runtime is of an unknown version of Kailash, or it was
                detached while it was measured.

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
        from nexus_core.optimizer.trial import Trial

        samples = _checked_samples(sample_inputs)
        count = checked_whole("runs", runs, 1)
        plans = planners(
            cacheable=cacheable,
            enable_caching=enable_caching,
            parallel_nodes=parallel_nodes,
            resource_pooling=resource_pooling,
            result_streaming=result_streaming,
            memory_optimization=memory_optimization,
            execution_timeout=execution_timeout,
            max_concurrent_executions=max_concurrent_executions,
        )
        at_once = min(count, max_concurrent_executions or _AT_ONCE)
        with self._turn:
            attached = attached_runtime(self.app) is None
            target = self._target(workflow_name)
            trial: Trial | None = None

            def tried() -> dict[str, Change]:
                nonlocal trial
                with self._lock:
                    trial = Trial(target, plans)
                try:
                    if samples:
                        trial.measure(samples, count, at_once)
                except BaseException:
                    trial.take_back()
                    raise
                return trial.applied

            try:
                self._changes.replace(workflow_name, plans, tried)
            except BaseException:
                self._leave_if_idle()
                raise
            assert trial is not None
            reply: dict[str, Any] = {**trial.reply(), "attached": attached}
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
            >>> with Nexus(enable_durability=False) as app:
            ...     app.register("optimized", PerformanceBestPractices.create_optimized_workflow())
            ...     PerformanceOptimizer(app).enable("workflow_caching", "optimized", cacheable=True)
            {'optimized': "results are kept for the cache's time, in a cache that the runtime is given"}
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
            >>> from nexus_core import PerformanceOptimizer
            >>> with Nexus(enable_durability=False) as app:  # for what will be registered
            ...     PerformanceOptimizer(app).disable("result_streaming")
            {}
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
        switch = _switch(strategy)
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
            >>> from kailash.workflow.builder import WorkflowBuilder
            >>> from nexus import Nexus
            >>> from nexus_core import PerformanceOptimizer
            >>> builder = WorkflowBuilder()
            >>> _ = builder.add_node("PythonCodeNode", "one", {"code": "result = 1"})
            >>> with Nexus(enable_durability=False) as app:
            ...     app.register("one", builder)
            ...     PerformanceOptimizer(app).warm("one")
            True
        """
        from nexus_core.optimizer.loading import read

        with self._turn:
            return read(self._target(workflow_name)) is None

    def revert(self, workflow_name: str | None = None) -> dict[str, list[str]]:
        """Takes back what was changed, the last first: everything is as it was, and as others have left it.

        Of several optimizers each takes back its own, in any order.

        Args:
            workflow_name: For this workflow, which need not be registered any more; by default for all,
                and the app is detached if it was attached for a change, and no other optimizer needs it.

        Returns:
            By workflow, the options and strategies that were taken back.

        Raises:
            TypeError: If the name is no string.
            ExceptionGroup: If some could not be taken back; all others were.

        Example:
            >>> import nexus, nexus_core
            >>> app = nexus.Nexus(enable_durability=False)
            >>> app.register("optimized", nexus_core.PerformanceBestPractices.create_optimized_workflow())
            >>> optimizer = nexus_core.PerformanceOptimizer(app)
            >>> optimizer.disable("intelligent_scheduling", "optimized")
            {'optimized': 'ready nodes start in topological order'}
            >>> optimizer.revert()
            {'optimized': ['intelligent_scheduling']}
            >>> app.close()
        """
        if workflow_name is not None and not isinstance(workflow_name, str):
            raise TypeError(f"a workflow's name must be a string, got {workflow_name!r}")
        with self._turn, self._lock:
            if workflow_name is None:
                self._for_all.clear()
                self._stop_listening()
            try:
                return self._changes.revert(workflow_name)
            finally:
                if workflow_name is None:
                    self._attachment.end()

    # --- within -------------------------------------------------------------------------

    def _target(self, workflow_name: str) -> Target:
        """A workflow, with the app attached."""
        from nexus_core.optimizer.changes import Target

        checked_app(self.app, "PerformanceOptimizer")
        workflow = registered_workflow(self.app, workflow_name)
        attachment = self._attachment.begin()
        if not hasattr(attachment.runtime, "_rules"):
            self._leave_if_idle()
            raise NexusCoreError(
                "Kailash is of a version whose runtimes nexus-core cannot read; nothing can be changed"
            )
        return Target(self.app, attachment, attachment.runtime, workflow_name, workflow)

    def _leave_if_idle(self) -> None:
        """What was attached for nothing is as it was."""
        if not self._changes and not self._for_all:
            self._attachment.end()

    def _set(self, strategy: str, workflow: str | None, on: bool, options: dict[str, Any]) -> dict[str, str]:
        from nexus_core.optimizer.changes import Refused, StrategyRefused
        from nexus_core.optimizer.options import checked_switch_options

        checked_switch_options(strategy, _switch(strategy).options, options)
        with self._turn, self._lock:
            if workflow is not None:
                try:
                    said = self._switch(strategy, workflow, on, options)
                except BaseException as error:
                    self._leave_if_idle()
                    if isinstance(error, Refused):
                        raise StrategyRefused(strategy, workflow, str(error)) from None
                    raise
                return {} if said is None else {workflow: said}
            checked_app(self.app, "PerformanceOptimizer")
            self._for_all[strategy] = (on, options)
            self._listen()
            said_of_all = {name: self._switched_of_all(strategy, name) for name in list(self.app._workflows)}
            return {name: said for name, said in said_of_all.items() if said is not None}

    def _switch(self, strategy: str, name: str, on: bool, options: dict[str, Any]) -> str | None:
        return self._changes.switch(strategy, _switch(strategy), self._target(name), on, options)

    def _switched_of_all(self, strategy: str, name: str) -> str | None:
        """What was changed about one of all workflows; nothing if the strategy is not for it."""
        from nexus_core.optimizer.changes import Refused

        try:
            return self._switch(strategy, name, *self._for_all[strategy])
        except Refused as reason:
            _log.info("%s of workflow %r: %s", strategy, name, reason)
            return None

    def _listen(self) -> None:
        """Hears of workflows that are registered from now on."""
        attachment = self._attachment.begin()
        if self._listens_to is not attachment:
            self._stop_listening()
            attachment.on_registered.append(self._registered)
            self._listens_to = attachment

    def _stop_listening(self) -> None:
        attachment, self._listens_to = self._listens_to, None
        if attachment is not None and self._registered in attachment.on_registered:
            attachment.on_registered.remove(self._registered)

    def _registered(self, name: str, api: Any) -> None:
        with self._lock:
            for strategy in list(self._for_all):
                self._switched_of_all(strategy, name)


def _switch(strategy: str) -> Switch:
    from nexus_core.optimizer.switches import SWITCHES

    found = SWITCHES.get(strategy) if isinstance(strategy, str) else None
    if found is None:
        raise ValueError(f"no strategy {strategy!r}; there are {', '.join(map(repr, SWITCHES))}")
    return found


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
