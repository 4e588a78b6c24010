"""What workers are asked to do."""

from __future__ import annotations

import atexit
import threading
import time
from collections import OrderedDict
from typing import Any

from distributed.worker import get_worker

from nexus_core._core import PlanStage
from nexus_core.distributed.claims import claim
from nexus_core.distributed.group_run import GroupRun, WholeRun, WorkerRun
from nexus_core.distributed.messages import Failure, GroupTask, Outcome
from nexus_core.errors import NotShippable, WorkerLost
from nexus_core.runtime.compiler import CompiledWorkflow, compiled
from nexus_core.runtime.local import LocalRuntime
from nexus_core.shipping import Packed, ShippedWorkflow, carry, load, pack, unpack

__all__ = ["GroupFailed", "hold", "run_group"]


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
        WorkerLost: If it has begun before, and may not a second time.
    """
    upstream = min((s.failure for s in sources if s.failure is not None), key=lambda f: f.place, default=None)
    members = task.members
    if upstream is not None and members is not None:
        # What comes before the failure still runs, as it would if all were in one process.
        members = tuple(place for place in members if place < upstream.place)
        if not members:
            return Outcome(_NOTHING, _NOTHING, failure=upstream)
    workflow = load(shipped)
    runtime = _runtime(task.terms.options)
    plan = compiled(workflow, runtime._awaits())
    if not task.may_run_again:
        before = claim(task.terms.token, task.number)
        if before is not None:
            raise WorkerLost(_ids(plan, members), before)
    packed = parameters if parameters is not None else task.parameters
    processed = None if packed is None else unpack(packed)
    token = _TaskToken()
    if members is None:
        return _run_whole(task, WholeRun(runtime, workflow, plan, processed, token, task.terms), runtime)
    prior = _prior(task, sources)
    stage = _stage(shipped.digest, plan, members)
    run = GroupRun(runtime, workflow, plan, processed, token, task.terms, stage, prior)
    outcome = _run_members(task, run, runtime, members, upstream)
    if task.raises and outcome.failure is not None and outcome.failure is not upstream:
        raise GroupFailed(outcome)
    return outcome


def _ids(plan: CompiledWorkflow, members: tuple[int, ...] | None) -> tuple[str, ...]:
    return plan.node_ids if members is None else tuple(plan.node_ids[place] for place in members)


def _prior(task: GroupTask, sources: list[Outcome]) -> dict[str, Any]:
    """Outputs that the members wait for."""
    known: dict[str, Any] = {}
    for source in sources:
        # Each group has a copy of its own, as its results must not change with what others do to them.
        packed = source.exported
        known.update(unpack(Packed(packed.header, [bytearray(buffer) for buffer in packed.buffers])))
    return {node_id: known[node_id] for node_id in task.inputs if node_id in known}


def _run_members(
    task: GroupTask, run: GroupRun, runtime: LocalRuntime, members: tuple[int, ...], upstream: Failure | None
) -> Outcome:
    failure = upstream
    ids = run.plan.node_ids
    began = time.perf_counter()
    try:
        results, _ = runtime._run_here_or_on_bridge(run, {})
    except BaseException as error:
        failure = _failure(run, members, error)
        outputs = {} if run.native is None else run.native.outputs()
        results = {ids[p]: outputs[ids[p]] for p in members if p < failure.place and ids[p] in outputs}
    elapsed = time.perf_counter() - began
    return _outcome(task, run, results, elapsed, failure)


def _run_whole(task: GroupTask, run: WholeRun, runtime: LocalRuntime) -> Outcome:
    failure, run_id = None, None
    results: dict[str, Any] = {}
    began = time.perf_counter()
    try:
        results, run_id = runtime._run_here_or_on_bridge(run, {})
    except BaseException as error:
        failure = Failure(0, carry(run.as_raised(error)), ends_at_once=True)
    return _outcome(task, run, results, time.perf_counter() - began, failure, run_id)


def _failure(run: GroupRun, members: tuple[int, ...], error: BaseException) -> Failure:
    """Which node has ended the group, and with what."""
    enders = {} if run.host is None else run.host.enders
    place = next((place for place, ender in enders.items() if ender is error), None)
    if place is None:
        ended = {} if run.native is None else run.native.outputs()
        place = next((p for p in members if run.plan.node_ids[p] not in ended), members[0])
    return Failure(place, carry(run.as_raised(error)), ends_at_once=not isinstance(error, Exception))


def _outcome(
    task: GroupTask,
    run: WorkerRun,
    results: dict[str, Any],
    elapsed: float,
    failure: Failure | None,
    run_id: str | None = None,
) -> Outcome:
    exported = {node_id: output for node_id, output in results.items() if node_id in task.exports}
    kept = {node_id: output for node_id, output in results.items() if node_id not in task.exports}
    host = run.host
    try:
        packed = pack(exported), pack(kept)
    except NotShippable as refused:
        raise _refusal(run, results, refused) from refused.__cause__
    return Outcome(
        *packed,
        seconds=_seconds(run, elapsed),
        failure=failure,
        failed=() if host is None else host.failed,
        validated=() if host is None else host.validated,
        rows=run.rows(),
        run_id=run_id,
    )


def _refusal(run: WorkerRun, results: dict[str, Any], refused: NotShippable) -> NotShippable:
    """Names the node whose output cannot go."""
    for node_id, output in results.items():
        try:
            pack(output)
        except NotShippable as why:
            return NotShippable(f"output{why.path}", why.type_name, why.reason, node_id)
    return refused


def _seconds(run: WorkerRun, elapsed: float) -> dict[int, float]:
    """What each node has added to the time that all took: less than its own where they ran together."""
    if run.native is None or run.plan.cycles is not None:
        return {}
    places = {node_id: place for place, node_id in enumerate(run.plan.node_ids)}
    spans = {places[node_id]: end - start for node_id, _, start, end in run.native.trace()}
    total = sum(spans.values())
    share = min(1.0, elapsed / total) if total > 0 else 1.0
    return {place: seconds * share for place, seconds in spans.items()}


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
_runtimes: dict[tuple[tuple[str, Any], ...], LocalRuntime] = {}
_stages: OrderedDict[tuple[str, tuple[int, ...]], tuple[CompiledWorkflow, PlanStage]] = OrderedDict()


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


def _stage(digest: str, plan: CompiledWorkflow, members: tuple[int, ...]) -> PlanStage:
    """The nodes as a part of the plan, which remembers how long they took the last time."""
    key = digest, members
    with _lock:
        known = _stages.get(key)
        if known is not None and known[0] is plan:
            _stages.move_to_end(key)
            return known[1]
    stage = plan.plan.stage(list(members))
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
