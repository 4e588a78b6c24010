"""What a run leaves behind node by node: a tracker's record, checkpoints, completion events.

Follows what stock does inside ``_execute_async``, ``_execute_workflow_async`` and
``_w1_emit_node_completion``, with stock's own functions for whatever is stored or compared.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from kailash.runtime.durable import (
    NodeCompletionEvent,
    build_checkpoint_key,
    check_shape_drift_or_raise,
    compute_workflow_fingerprint,
    decode_checkpoint_payload,
    encode_checkpoint_payload,
    redact_event_for_persistence,
    redacted_tracker_state_for_checkpoint,
    resolve_tenant_id,
)
from kailash.runtime.execution_tracker import ExecutionTracker

from nexus_core.runtime.compiler import CompiledWorkflow

__all__ = ["Durability", "begin_async", "fingerprint_of", "how_it_is_durable"]


def fingerprint_of(workflow: Any, plan: CompiledWorkflow) -> str:
    """Stock's fingerprint of a workflow's shape, computed once for each plan.

    Args:
        workflow: The workflow.
        plan: Its plan.
    """
    if plan.fingerprint is None:
        plan.fingerprint = compute_workflow_fingerprint(workflow)
    return plan.fingerprint


class Durability:
    """The durable side of one run.

    Attributes:
        tracker: What the run has completed; nodes that it knows are not run again.
        run_id: As events name the run.
        saves: Whether a checkpoint is saved after every node.
    """

    __slots__ = (
        "_fingerprint",
        "_idempotency_key",
        "_key",
        "_lock",
        "_logger",
        "_plan",
        "_runtime",
        "_tenant_id",
        "_workflow_id",
        "run_id",
        "saves",
        "tracker",
    )

    def __init__(self, runtime: Any, workflow: Any, plan: CompiledWorkflow, logger: logging.Logger) -> None:
        self._runtime = runtime
        self._plan = plan
        self._logger = logger
        self._workflow_id = getattr(workflow, "workflow_id", "") or ""
        self._fingerprint = ""
        self._tenant_id: str | None = None
        self._idempotency_key: str | None = None
        self._key: str | None = None
        self.run_id: str | None = None
        self.saves = False
        self.tracker: Any = None
        # Nodes end on several threads; a tracker expects one caller at a time.
        self._lock = threading.Lock()

    async def load(
        self,
        workflow: Any,
        parameters: Mapping[str, Any] | None,
        idempotency_key: str | None,
        force_resume_with_drift: bool,
    ) -> None:
        """Finds out what an earlier run under the same key has completed.

        Args:
            workflow: The workflow.
            parameters: The run's, which are part of the key.
            idempotency_key: The caller's key, or ``None``.
            force_resume_with_drift: Whether a workflow of another shape may go on.

        Raises:
            WorkflowShapeDriftError: If the checkpoint is of a workflow of another shape.
            ValueError: If the key is no text, or the checkpoint cannot be read.
        """
        runtime = self._runtime
        self._fingerprint = fingerprint_of(workflow, self._plan)
        self._tenant_id = resolve_tenant_id(runtime)
        self._idempotency_key = idempotency_key
        if idempotency_key is None:
            return
        key = self._key = build_checkpoint_key(
            self._fingerprint, idempotency_key, parameters, tenant_id=self._tenant_id
        )
        store = runtime._checkpoint_store
        if store is None:
            return
        self.saves = runtime._checkpoint_after_each_node
        try:
            blob = await store.load(key)
        except Exception as refused:
            self._logger.warning("durable.checkpoint.load_failed", extra={"error_type": type(refused).__name__})
            return
        if blob is not None:
            stored = decode_checkpoint_payload(blob)
            check_shape_drift_or_raise(
                idempotency_key=idempotency_key,
                stored_payload=stored,
                current_fingerprint=self._fingerprint,
                force_resume_with_drift=force_resume_with_drift,
            )
            self.tracker = ExecutionTracker.from_dict(stored.get("tracker", {}))

    def show_in(self, context: Any) -> None:
        """Puts everything where stock keeps it in an ``ExecutionContext``."""
        context._w1_workflow_fingerprint = self._fingerprint
        context._w1_checkpoint_key = self._key
        context._w1_tenant_id = self._tenant_id
        context._w1_idempotency_key = self._idempotency_key
        context._w1_run_id = self.run_id
        context._w1_execution_tracker = self.tracker

    @property
    def confirms(self) -> bool:
        """Whether anything has to be awaited for a node that has run."""
        return self.saves or self._runtime._hook_registry.subscriber_count > 0

    # --- the tracker --------------------------------------------------------------------

    def replayed(self, index: int) -> tuple[Any] | None:
        """The output of a node that need not run, in a tuple; ``None`` if it has to."""
        node_id = self._plan.node_ids[index]
        tracker = self.tracker
        if not tracker.is_completed(node_id):
            return None
        self._logger.info("Skipping node '%s' (restored from checkpoint)", node_id)
        return (tracker.get_output(node_id),)

    def record(self, index: int, output: Any) -> None:
        """Notes that a node has run."""
        with self._lock:
            self.tracker.record_completion(self._plan.node_ids[index], output)

    # --- events -------------------------------------------------------------------------

    def event(self, index: int, output: Any, began: float, ended: float) -> NodeCompletionEvent | None:
        """What subscribers are told of a node that has run; ``None`` if nobody listens.

        Args:
            index: The node's place in topological order.
            output: What it returned.
            began: When, in seconds since the epoch.
            ended: The same.
        """
        policy = getattr(self._runtime, "_classification_policy", None)
        if policy is None and not self._runtime._hook_registry.subscriber_count:
            return None
        started_at, ended_at = datetime.fromtimestamp(began, UTC), datetime.fromtimestamp(ended, UTC)
        event = NodeCompletionEvent(
            run_id=self.run_id,
            workflow_id=self._workflow_id,
            workflow_fingerprint=self._fingerprint,
            node_id=self._plan.node_ids[index],
            node_type=type(self._plan.instances[index]).__name__,
            outputs=output if isinstance(output, Mapping) else {"result": output},
            started_at=started_at,
            ended_at=ended_at,
            duration_ms=int((ended_at - started_at).total_seconds() * 1000),
            tenant_id=self._tenant_id,
            idempotency_key=self._idempotency_key,
            error=None,
            metadata={},
        )
        return redact_event_for_persistence(event, classification_policy=policy)

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody is told of completions."""
        return bool(self._runtime._hook_registry.subscriber_count)

    async def dispatch(self, event: NodeCompletionEvent) -> None:
        """Tells all subscribers; what they raise is logged."""
        await self._runtime._hook_registry.dispatch_async(event)

    # --- checkpoints --------------------------------------------------------------------

    async def save(self, indices: Iterable[int]) -> None:
        """Saves what the tracker knows, with these nodes among it.

        A store that fails is logged, once for each of the nodes, and fails nothing.
        """
        runtime = self._runtime
        async with runtime._get_or_create_checkpoint_lock(self.run_id or self._key):
            with self._lock:
                state = self.tracker.to_dict()
            redacted = redacted_tracker_state_for_checkpoint(
                state,
                classification_policy=getattr(runtime, "_classification_policy", None),
                workflow_id=self._workflow_id,
                workflow_fingerprint=self._fingerprint,
                tenant_id=self._tenant_id,
                idempotency_key=self._idempotency_key,
            )
            blob = encode_checkpoint_payload(
                workflow_fingerprint=self._fingerprint,
                tracker_state=redacted,
                tenant_id=self._tenant_id,
                workflow_id=self._workflow_id,
                idempotency_key=self._idempotency_key,
            )
            try:
                await runtime._checkpoint_store.save(self._key, blob)
            except asyncio.CancelledError:
                raise
            except Exception as refused:
                for index in indices:
                    node_id = self._plan.node_ids[index].encode()
                    self._logger.warning(
                        "durable.checkpoint.save_failed",
                        extra={
                            "node_id_hash": hashlib.sha256(node_id).hexdigest()[:8],
                            "error_type": type(refused).__name__,
                        },
                    )


async def begin_async(
    runtime: Any,
    workflow: Any,
    plan: CompiledWorkflow,
    inputs: dict[str, Any],
    context: Any,
    run_id: str,
    idempotency_key: str | None,
    force_resume_with_drift: bool,
    logger: logging.Logger,
) -> Durability:
    """What ``AsyncLocalRuntime.execute_workflow_async`` does before the first node.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
        inputs: The run's, which are part of the key.
        context: The caller's ``ExecutionContext``, or ``None``.
        run_id: The run's id.
        idempotency_key: See :meth:`Durability.load`.
        force_resume_with_drift: See :meth:`Durability.load`.
        logger: The runtime's.
    """
    durability = Durability(runtime, workflow, plan, logger)
    durability.run_id = run_id
    await durability.load(workflow, inputs, idempotency_key, force_resume_with_drift)
    if durability.tracker is None:
        durability.tracker = ExecutionTracker()
    if context is not None:
        durability.show_in(context)
    return durability


def how_it_is_durable(runtime: Any) -> tuple[str, ...]:
    """What ``explain`` says of checkpoints and hooks.

    Args:
        runtime: The runtime.
    """
    notes = []
    if runtime._checkpoint_store is not None and runtime._checkpoint_after_each_node:
        notes.append(
            "with an idempotency key, every node is checkpointed before its dependents start, "
            "and nodes that an earlier run has completed are replayed"
        )
    elif runtime._checkpoint_store is not None:
        notes.append("with an idempotency key, nodes that a checkpoint holds are replayed")
    subscribers = runtime._hook_registry.subscriber_count
    if subscribers:
        notes.append(f"{subscribers} subscriber(s) of completions are told of every node before its dependents start")
    return tuple(notes)
