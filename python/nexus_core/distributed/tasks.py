"""What workers are asked to do."""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from distributed.worker import get_worker

from nexus_core._core import PlanStage
from nexus_core.distributed.carried_logs import LogRecords, collected_logs, this_process
from nexus_core.distributed.claims import claim, tries_again
from nexus_core.distributed.group_run import GroupRun, WholeRun, WorkerRun
from nexus_core.distributed.messages import ALONE, VERSIONS, Failure, GroupTask, Outcome
from nexus_core.distributed.node_events import NodeEvents, recorder_of_group
from nexus_core.errors import ClusterError, ClusterWorkerLost, NotShippable
from nexus_core.runtime.compiler import CompiledWorkflow
from nexus_core.runtime.local import LocalRuntime
from nexus_core.runtime.task_creation import contain_create_task, replaces_create_task
from nexus_core.shipping import Packed, ShippedWorkflow, carry, load, pack, unpack

__all__ = ["GroupFailed", "exports_of", "hold", "run_group"]


class GroupFailed(Exception):
    """A failure that Dask is to know of, because it is to try again.

    Args:
        outcome: Of the group.
    """

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome
        message = "" if outcome.failure is None else outcome.failure.error.message
        super().__init__(message)

    def __reduce__(self) -> tuple[type[GroupFailed], tuple[Outcome]]:
        return type(self), (self.outcome,)


def hold(value: Any) -> Any:
    """A value as Dask's, which brings it to the workers that need it, and to each once.

    Args:
        value: The value.
    """
    return value


def run_group(task: GroupTask, shipped: ShippedWorkflow, parameters: Packed | None, sources: list[Outcome]) -> Outcome:
    """Runs a group of nodes.

    Args:
        task: What to run.
        shipped: The workflow.
        parameters: Parameters of the members, if they come apart from the task.
        sources: Outcomes of the groups that it waits for.

    Returns:
        What has become of it, failures included.

    Raises:
        GroupFailed: If a node has failed, and Dask is to try again.
        ClusterWorkerLost: If it has begun before, and may not a second time.
        ClusterError: If it cannot run here, or its run is over.
    """
    if task.terms.versions != VERSIONS:
        wanted, here = (
            f"nexus-core {core} with Kailash {kailash}" for core, kailash in (task.terms.versions, VERSIONS)
        )
        raise ClusterError(f"the worker has {here}, and its client {wanted}: install the same versions on both")
    upstream = min((s.failure for s in sources if s.failure is not None), key=lambda f: f.place, default=None)
    members = dict(task.members)
    if upstream is not None:
        # What comes before the failure still runs, as it would if all were in one process.
        members = {node_id: place for node_id, place in members.items() if place < upstream.place}
        if not members:
            return Outcome(_NOTHING, _NOTHING, failure=upstream)
    workflow = load(shipped)
    runtime = _runtime(task.terms.options)
    plan = runtime._plan_for(workflow, None)
    if isinstance(plan, tuple):
        reasons = "; ".join(plan)
        raise ClusterError(f"the worker cannot run what its client can: {reasons}. Their environments are to be alike")
    if not task.may_run_again:
        before = claim(task.terms.token, task.number, task.terms.client)
        if before == "":
            raise ClusterError("the run that it belongs to is over")
        if before is not None:
            raise ClusterWorkerLost(tuple(members), before)
    packed = parameters if parameters is not None else task.parameters
    processed = None if packed is None else unpack(packed)
    token = _TaskToken()
    run: WorkerRun
    if task.is_whole:
        run = WholeRun(runtime, workflow, plan, processed, token, task.terms)
    else:
        stage = _stage(shipped.digest, plan, tuple(members))
        run = GroupRun(runtime, workflow, plan, processed, token, task.terms, stage, _prior(task, sources))
    if any(map(replaces_create_task, plan.instances)):
        contain_create_task()
    recorder = recorder_of_group()
    run.traced = recorder.begin_run("", plan.plan)
    with _collecting(task) as records:
        outcome = _run(task, run, members, upstream)
    worker = get_worker()
    outcome = replace(
        outcome,
        events=NodeEvents.of(recorder, _name(worker), _places_of(run, members)),
        records=None if records is None else records.on(worker.address),
    )
    failed = outcome.failure is not None and outcome.failure is not upstream
    # The last failure is an outcome as any other: what waits for it may have nodes that come before it.
    if task.raises and failed and tries_again():
        raise GroupFailed(outcome)
    return outcome


def exports_of(outcome: Outcome) -> Outcome:
    """What other groups need of a group's outcome; the rest stays where it is.

    Args:
        outcome: The group's.
    """
    return Outcome(outcome.exported, _NOTHING, failure=outcome.failure)


def _collecting(task: GroupTask) -> AbstractContextManager[LogRecords | None]:
    """Collects what the client is to log, unless it is this process, which does so anyway."""
    return nullcontext() if task.terms.process == this_process() else collected_logs(task.terms.levels)


def _name(worker: Any) -> str:
    """As the dashboard names a worker: by a name that was given to it, or by its address."""
    return worker.name if worker.name == worker.address else f"worker {worker.name}"


def _places_of(run: WorkerRun, members: dict[str, int]) -> list[int]:
    """Where the client has each node that this worker has by number; those of other groups do not matter."""
    return [members.get(node_id, 0) for node_id in run.plan.node_ids]


def _prior(task: GroupTask, sources: list[Outcome]) -> dict[str, Any]:
    """Outputs that the members wait for."""
    known: dict[str, Any] = {}
    for source in sources:
        # Each group has a copy of its own, as its results must not change with what others do to them.
        packed = source.exported
        known.update(unpack(Packed(packed.header, [bytearray(buffer) for buffer in packed.buffers])))
    return {node_id: known[node_id] for node_id in task.inputs if node_id in known}


def _run(task: GroupTask, run: WorkerRun, members: dict[str, int], failure: Failure | None) -> Outcome:
    results: dict[str, Any] = {}
    run_id: str | None = None
    watch = _Watch()
    try:
        results, run_id = run.runtime._run_here_or_on_bridge(run, {})
    except BaseException as error:
        failure = _failure(run, members, error)
        if not task.is_whole:
            outputs = {} if run.native is None else run.native.outputs()
            results = {
                node_id: outputs[node_id]
                for node_id, place in members.items()
                if place < failure.place and node_id in outputs
            }
    finally:
        watch.stop()
    exported = {node_id: output for node_id, output in results.items() if node_id in task.exports}
    kept = {node_id: output for node_id, output in results.items() if node_id not in task.exports}
    try:
        packed = pack(exported), pack(kept)
    except NotShippable as refused:
        raise _refusal(results, refused) from refused.__cause__
    host = run.host
    return Outcome(
        *packed,
        seconds=_seconds(run, members, watch),
        failure=failure,
        failed=() if host is None else _places(run, members, host.failed),
        validated=() if host is None else _places(run, members, host.validated),
        rows=run.rows(),
        run_id=run_id,
    )


def _places(run: WorkerRun, members: dict[str, int], numbers: list[int]) -> tuple[int, ...]:
    """Where the client has nodes."""
    return tuple(sorted(members[run.plan.node_ids[number]] for number in numbers))


def _failure(run: WorkerRun, members: dict[str, int], error: BaseException) -> Failure:
    """Which node has ended the group, and with what."""
    ids = run.plan.node_ids
    ends_at_once = run.is_whole or not isinstance(error, Exception)
    enders = {} if run.host is None else run.host.enders
    place = next((members[ids[number]] for number, ender in enders.items() if ender is error), None)
    if place is None:
        ended = {} if run.native is None else run.native.outputs()
        place = next((place for node_id, place in members.items() if node_id not in ended), min(members.values()))
    return Failure(place, carry(run.as_raised(error)), ends_at_once)


def _refusal(results: dict[str, Any], refused: NotShippable) -> NotShippable:
    """Names the node whose output cannot go."""
    for node_id, output in results.items():
        try:
            pack(output)
        except NotShippable as why:
            return NotShippable(f"output{why.path}", why.type_name, why.reason, node_id)
    return refused


def _seconds(run: WorkerRun, members: dict[str, int], watch: _Watch) -> dict[int, float]:
    """What each node adds to the time of a group: less than its own where they run together.

    Nodes that compute add the time that they took of all. Those that wait do so side by side, as many as the
    runtime has run at once; that is the same in whatever group, so groups do not change with their own sizes.
    """
    if run.native is None or run.is_whole:
        return {}
    spans = {members[node_id]: end - start for node_id, _, start, end in run.native.trace()}
    total = sum(spans.values())
    share = min(1.0, watch.elapsed / total) if total > 0 else 1.0
    works = watch.share_of_processor
    at_once = max(1, run.runtime.max_concurrency)
    return {
        place: works * seconds * share + min((1 - works) * seconds, ALONE) / at_once for place, seconds in spans.items()
    }


class _Watch:
    """How long a group takes, and for how much of that it has a processor."""

    def __init__(self) -> None:
        self.elapsed = 0.0
        self.share_of_processor = 1.0
        self._groups = self._change(1)
        self._began = time.perf_counter(), time.process_time()

    def stop(self) -> None:
        """The group has ended."""
        began, worked = self._began
        self.elapsed = time.perf_counter() - began
        # What others use at the same time cannot be told apart; each is taken to use as much.
        groups = (self._groups + self._change(-1) + 1) / 2
        if self.elapsed > 0:
            self.share_of_processor = min(1.0, (time.process_time() - worked) / (self.elapsed * groups))

    @staticmethod
    def _change(by: int) -> int:
        global _groups_at_work
        with _lock:
            _groups_at_work += by
            return _groups_at_work


class _TaskToken:
    """Says whether the task that this thread runs is still wanted."""

    reason = "the run that it belongs to is over"

    def __init__(self) -> None:
        worker = get_worker()
        self._tasks = worker.state.tasks
        self._key = worker.get_current_task()

    @property
    def is_cancelled(self) -> bool:
        """Dask takes a task that runs from a worker by changing its state."""
        task = self._tasks.get(self._key)
        return task is None or task.state in ("cancelled", "released", "forgotten")


# --- what a worker keeps ----------------------------------------------------------------

_NOTHING = pack({})
_MOST_STAGES = 1024
_lock = threading.Lock()
_groups_at_work = 0
_runtimes: dict[tuple[tuple[str, Any], ...], LocalRuntime] = {}
_stages: OrderedDict[tuple[str, tuple[str, ...]], tuple[CompiledWorkflow, PlanStage]] = OrderedDict()


def _runtime(options: tuple[tuple[str, Any], ...]) -> LocalRuntime:
    with _lock:
        known = _runtimes.get(options)
    if known is not None:
        return known
    made = LocalRuntime(**dict(options), enable_monitoring=False).mark_externally_managed()
    made.enable_trace()
    with _lock:
        known = _runtimes.setdefault(options, made)
    if known is not made:
        made.close()
    return known


def _stage(digest: str, plan: CompiledWorkflow, members: tuple[str, ...]) -> PlanStage:
    """The nodes as a part of the plan, which remembers how long they took the last time."""
    key = digest, members
    with _lock:
        known = _stages.get(key)
        if known is not None and known[0] is plan:
            _stages.move_to_end(key)
            return known[1]
    numbers = {node_id: number for number, node_id in enumerate(plan.node_ids)}
    stage = plan.plan.stage([numbers[node_id] for node_id in members])
    forgotten = None
    with _lock:
        _stages[key] = plan, stage
        if len(_stages) > _MOST_STAGES:
            forgotten = _stages.popitem(last=False)
    del forgotten
    return stage


def _close_runtimes() -> None:
    with _lock:
        made = list(_runtimes.values())
        _runtimes.clear()
    for runtime in made:
        runtime.close()


atexit.register(_close_runtimes)
