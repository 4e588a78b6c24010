"""Run a description on one async runtime class and record everything a caller can see."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import gc
import re
import warnings
from collections import Counter
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any

from kailash.resources import ResourceRegistry
from kailash.resources.factory import ResourceFactory
from kailash.runtime.async_local import ExecutionContext
from kailash.workflow.graph import Workflow

from differential.observe import _NODE_STATE
from differential.snapshot import Picture, Snapshot, text_of, type_name

from .async_nodes import CALLER, SEEN, Interrupt
from .description import AsyncDescription

__all__ = ["Run", "Watched", "error_picture", "observe"]

_FAILED = re.compile(r"(?:Sync node|Node) '(.*?)' execution failed: ", re.S)
_RUN_ID = re.compile(r"run_\d{13,}(?:_\w+)?")
# An AsyncPythonCodeNode replaces this while it runs; two that overlap leave a replacement behind.
_CREATE_TASK = asyncio.create_task


@contextlib.contextmanager
def warnings_of_this_run() -> Iterator[list[warnings.WarningMessage]]:
    """Record all warnings but those of earlier runs' leftovers, which a garbage collection may bring up at any time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield warned
    finally:
        if was_enabled:
            gc.enable()


class NumberFactory(ResourceFactory):
    """Makes the resource ``number``."""

    async def create(self) -> Any:
        return 42

    def get_config(self) -> dict[str, Any]:
        return {}


@dataclass
class Run:
    """What one run looked like from outside.

    Attributes:
        outcome: What was returned or raised, without the results themselves.
        failed: The node that the error names, if it names one.
        results: The picture of each node's result.
        order: The nodes in the order of the results.
        parameters: The picture of the inputs afterwards.
        states: The picture of each node's config and state that is comparable after the run.
        events: What the nodes did, each thing once; the comparable part of it.
        strays: Descendants of the failed node that did something all the same.
        durations: Nodes with a duration in the given context.
        context: The rest of the given context.
        changed: Context variables of the caller that the run changed.
        warned: Python warnings.
        beside: Whether nodes may have run beside the one that failed.
    """

    outcome: Picture
    failed: str | None
    results: dict[str, Picture]
    order: list[str]
    parameters: Picture
    states: dict[str, Picture]
    events: set[tuple[str, str]]
    strays: set[str]
    durations: set[str]
    context: Picture
    changed: list[str]
    warned: Counter[tuple[str, str]]
    beside: bool


def error_picture(error: BaseException) -> Picture:
    """Return types and texts of an error and of its causes."""
    chain: list[tuple[str, str]] = []
    current: BaseException | None = error
    while current is not None:
        chain.append((type_name(type(current)), text_of(current)))
        current = current.__cause__
    return tuple(chain)


def run_id_form(run_id: object) -> str:
    """Return what kind of run id this is: stock's is a time, ours has something unique after it."""
    return "run_<id>" if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) else repr(run_id)


@dataclass
class Watched:
    """What the observer wants to know of a run beside its result."""

    answer: Any = None
    error: BaseException | None = None
    changed: list[str] | None = None

    def since(self, before: contextvars.Context) -> None:
        """Note which context variables are not as they were."""
        after = contextvars.copy_context()
        names = [var.name for var in after if var not in before or before[var] is not after[var]]
        self.changed = sorted(names + [var.name for var in before if var not in after])


async def _call(runtime: Any, description: AsyncDescription, workflow: Any, inputs: Any, context: Any) -> Any:
    if description.entry == "execute_async":
        return await runtime.execute_async(workflow, parameters=inputs, **description.limits)
    keywords = dict(description.limits)
    if context is not None:
        keywords["context"] = context
    return await runtime.execute_workflow_async(workflow, inputs, **keywords)


async def _awaited(runtime: Any, description: AsyncDescription, workflow: Any, inputs: Any, context: Any) -> Watched:
    watched = Watched()
    if description.caller is not None:
        CALLER.set(description.caller)
    before, tasks = contextvars.copy_context(), asyncio.all_tasks()
    try:
        watched.answer = await _call(runtime, description, workflow, inputs, context)
    except (KeyboardInterrupt, SystemExit):
        raise  # it ends the loop
    except BaseException as error:  # noqa: BLE001 - whatever a node raises is an outcome
        watched.error = error
    watched.since(before)
    # Stock leaves nodes running beside one that failed; they must not reach into the next run.
    others = asyncio.all_tasks() - tasks
    if others:
        await asyncio.wait(others, timeout=20)
    return watched


def _synchronous(runtime: Any, description: AsyncDescription, workflow: Any, inputs: Any) -> Watched:
    watched = Watched()
    if description.caller is not None:
        CALLER.set(description.caller)
    before = contextvars.copy_context()
    try:
        watched.answer = runtime.execute(workflow, parameters=inputs, **description.limits)
    except BaseException as error:  # noqa: BLE001 - whatever a node raises is an outcome
        if type(error) is KeyboardInterrupt:
            raise
        watched.error = error
    watched.since(before)
    return watched


class Observer:
    """Observes the runs of one description on one runtime."""

    def __init__(self, runtime: Any, description: AsyncDescription, workflow: Workflow) -> None:
        self.runtime, self.description, self.workflow = runtime, description, workflow
        self.inputs = copy.deepcopy(description.parameters)
        self.picture = Snapshot()
        self.runs: list[Run] = []
        self.context: ExecutionContext | None = None

    def all_runs(self) -> list[Run]:
        """Run as often as described."""
        try:
            if self.description.entry == "execute":
                for _ in range(self.description.runs):
                    # A context of its own, so that the caller's variable is not set for the next run.
                    contextvars.copy_context().run(self.run_in_thread)
            elif self.description.one_loop:
                self.run_loop(self.run_all_in_loop())
            else:
                for _ in range(self.description.runs):
                    self.run_loop(self.run_in_loop())
        finally:
            asyncio.create_task = _CREATE_TASK
        return self.runs

    def run_loop(self, main: Coroutine[Any, Any, None]) -> None:
        before = len(self.runs)
        try:
            asyncio.run(main)
        except (SystemExit, Interrupt) as error:
            del self.runs[before:]  # what the observer saw while the loop was taken down
            self.picture = Snapshot()
            self.record(Watched(error=error), [])

    async def run_all_in_loop(self) -> None:
        for _ in range(self.description.runs):
            await asyncio.Task(self.run_in_loop())

    async def run_in_loop(self) -> None:
        asyncio.create_task = _CREATE_TASK
        self.prepare()
        with warnings_of_this_run() as warned:
            watched = await _awaited(self.runtime, self.description, self.workflow, self.inputs, self.context)
        self.record(watched, warned)

    def run_in_thread(self) -> None:
        asyncio.create_task = _CREATE_TASK
        self.prepare()
        with warnings_of_this_run() as warned:
            watched = _synchronous(self.runtime, self.description, self.workflow, self.inputs)
        self.record(watched, warned)

    def prepare(self) -> None:
        SEEN.clear()
        form = self.description.context
        if form == "fresh" or (form == "shared" and self.context is None):
            self.context = ExecutionContext()
            self.context.variables.update(copy.deepcopy(self.description.variables))

    def record(self, watched: Watched, warned: list[warnings.WarningMessage]) -> None:
        """Keep the picture of a run."""
        description, picture = self.description, self.picture
        answer, error = watched.answer, watched.error
        failed, order, results = None, [], {}
        if error is not None:
            match = _FAILED.match(text_of(error))
            failed = match[1] if match and match[1] in description.nodes else None
            outcome: Picture = ("raised", error_picture(error))
        elif type(answer) is tuple and len(answer) == 2 and type(answer[0]) is dict:
            order = list(answer[0])
            results = {key: picture(answer[0][key]) for key in sorted(order)}
            outcome = ("returned", run_id_form(answer[1]))
        else:
            outcome = ("returned", picture(answer))
        settled = self.settled(failed)
        events = set(SEEN)
        after = description.descendants(failed) if failed else set()
        nodes = self.workflow._node_instances
        self.runs.append(
            Run(
                outcome, failed, results, order, picture(self.inputs),
                {key: self.state(nodes[key]) for key in sorted(settled)},
                {event for event in events if event[0] in settled},
                {node_id for node_id, _ in events} & after,
                set(self.context.metrics.node_durations) & settled if self.context else set(),
                self.given_context(), watched.changed or [],
                Counter((each.category.__name__, str(each.message)) for each in warned),
                bool(failed and set(description.nodes) - settled - after),
            )
        )  # fmt: skip

    def settled(self, failed: str | None) -> set[str]:
        """Return the nodes whose state does not depend on timing: all of them unless one failed.

        Which nodes run beside one that fails is left to the runtime; what comes before it is not.
        """
        if failed is None:
            return set(self.description.nodes)
        if self.description.is_sequential:
            order = list(self.workflow.get_execution_order())
            return set(order[: order.index(failed) + 1])
        return {*self.description.ancestors(failed), failed}

    def state(self, node: Any) -> Picture:
        own = {name: vars(node)[name] for name in _NODE_STATE if name in vars(node)}
        return self.picture((node.config, own))

    def given_context(self) -> Picture:
        context = self.context
        if context is None:
            return ()
        metrics = context.metrics
        return (
            self.picture(context.variables),
            ("errors", metrics.error_count),
            ("retries", metrics.retry_count),
            ("resources", tuple(sorted(metrics.resource_access_count.items()))),
            ("timed", metrics.total_duration > 0),
            ("connections", tuple(sorted(context.get_connection_state().items(), key=str))),
            ("tasks", len(context.tasks)),
        )


def observe(runtime_class: type[Any], description: AsyncDescription, workflow: Workflow | None = None) -> list[Run]:
    """Run ``description`` on a fresh workflow and return what each run looked like.

    One numbering of objects covers all runs, so sharing between two runs shows too.
    """
    workflow = workflow or description.build()
    options = dict(description.options)
    if description.registry:
        options["resource_registry"] = ResourceRegistry()
        options["resource_registry"].register_factory("number", NumberFactory())
    runtime = runtime_class(**options)
    try:
        return Observer(runtime, description, workflow).all_runs()
    finally:
        runtime.close()
