"""Deliberately wrong async runtimes: each breaks one promise, and the comparison must notice.

They are made from stock itself, so that nothing but the named fault differs.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import types
import warnings
from typing import Any

from kailash.nodes.base import Node
from kailash.nodes.base_async import AsyncNode
from kailash.sdk_exceptions import WorkflowExecutionError

from differential.subject import StockRuntime

from .async_nodes import CALLER
from .subject import StockAsyncRuntime

Answer = tuple[dict[str, Any], str]


class _Wrong(StockAsyncRuntime):
    """Base: passes everything on to stock."""

    async def execute_workflow_async(self, workflow: Any, inputs: Any, *args: Any, **more: Any) -> Answer:
        results, run_id = await self.stock(workflow, inputs, *args, **more)
        return self.spoil(results), run_id

    async def stock(self, *args: Any, **more: Any) -> Answer:
        """Run as stock does."""
        answer: Answer = await super().execute_workflow_async(*args, **more)
        return answer

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the results that the wrong runtime hands out."""
        return results


class _WrongInputs(_Wrong):
    """Base of those that prepare a node's inputs in another way, in all plans."""

    def change(self, workflow: Any, node_id: str, outputs: Any, given: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        """Return what the node is given instead of ``inputs``."""
        raise NotImplementedError

    def _prepare_sync_node_inputs(self, workflow: Any, node_id: str, outputs: Any, given: Any) -> Any:
        inputs = super()._prepare_sync_node_inputs(workflow, node_id, outputs, given)
        return self.change(workflow, node_id, outputs, given, inputs)

    async def _prepare_async_node_inputs(self, workflow: Any, node_id: str, tracker: Any, context: Any) -> Any:
        inputs = await super()._prepare_async_node_inputs(workflow, node_id, tracker, context)
        return self.change(workflow, node_id, tracker.node_outputs, context.variables, inputs)


def _edges(workflow: Any, node_id: str) -> list[tuple[str, str, str]]:
    return [
        (source, key, target)
        for source, _, data in workflow.graph.in_edges(node_id, data=True)
        for key, target in data["mapping"].items()
    ]


class PassesTheValueOfResult(_WrongInputs):
    """Hands on what is under ``result``, as the synchronous runtime does."""

    def change(self, workflow: Any, node_id: str, outputs: Any, given: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        for source, key, target in _edges(workflow, node_id):
            if key == "result" and isinstance(outputs.get(source), dict) and "result" in outputs[source]:
                inputs[target] = outputs[source]["result"]
        return inputs


class OmitsMissingPaths(_WrongInputs):
    """Leaves a parameter out whose dotted key leads nowhere, as the synchronous runtime does."""

    def change(self, workflow: Any, node_id: str, outputs: Any, given: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        for _, key, target in _edges(workflow, node_id):
            if "." in key and inputs.get(target, 0) is None:
                del inputs[target]
        return inputs


class OmitsMissingKeys(_WrongInputs):
    """Leaves a parameter out whose plain key is missing, where stock hands on the whole output."""

    def change(self, workflow: Any, node_id: str, outputs: Any, given: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        for source, key, target in _edges(workflow, node_id):
            output = outputs.get(source)
            if key != "result" and "." not in key and isinstance(output, dict) and key not in output:
                inputs.pop(target, None)
        return inputs


class PrefersGivenInputs(_WrongInputs):
    """Lets what the caller gives win over what an edge brings."""

    def change(self, workflow: Any, node_id: str, outputs: Any, given: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        nodes = set(workflow.graph.nodes())
        own = given.get(node_id)
        return {
            **inputs,
            **{k: v for k, v in given.items() if k not in nodes},
            **(own if isinstance(own, dict) else {}),
        }


class PrefersWorkflowInputs(_WrongInputs):
    """Lets the workflow's inputs win over the node's own, whichever was given last."""

    def change(self, workflow: Any, node_id: str, outputs: Any, given: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        targets = {target for _, _, target in _edges(workflow, node_id)}
        nodes = set(workflow.graph.nodes())
        return {**inputs, **{k: v for k, v in given.items() if k not in nodes and k not in targets}}


class PassesOtherNodesInputs(_WrongInputs):
    """Hands what is meant for one node to all of them."""

    def change(self, workflow: Any, node_id: str, outputs: Any, given: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        return {**given, **inputs}


class CopiesInputs(_WrongInputs):
    """Hands nodes copies of dicts and lists."""

    def change(self, workflow: Any, node_id: str, outputs: Any, given: Any, inputs: dict[str, Any]) -> dict[str, Any]:
        return {k: type(v)(v) if type(v) in {dict, list} else v for k, v in inputs.items()}


class NeverSkips(_Wrong):
    """Runs nodes of branches that were not taken."""

    def _should_skip_conditional_node(self, *args: Any, **more: Any) -> bool:
        return False


class LeavesOutSkippedNodes(_Wrong):
    """Drops the ``None`` of a skipped node."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in results.items() if value is not None}


class ReversesTheOrder(_Wrong):
    """Hands out the nodes in another order."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        return dict(reversed(results.items()))


class WordsErrorsItsOwnWay(_Wrong):
    """Says of synchronous nodes in mixed plans what stock says of async ones."""

    async def stock(self, *args: Any, **more: Any) -> Answer:
        try:
            return await super().stock(*args, **more)
        except WorkflowExecutionError as error:
            raise WorkflowExecutionError(str(error).replace("Sync node", "Node", 1)) from error.__cause__


class ForgetsTheCause(_Wrong):
    """Raises the right error without its cause."""

    async def stock(self, *args: Any, **more: Any) -> Answer:
        try:
            return await super().stock(*args, **more)
        except WorkflowExecutionError as error:
            error.__cause__ = None
            raise


class ReportsTheCauseItself(_Wrong):
    """Raises the node's error instead of stock's wrapper."""

    async def stock(self, *args: Any, **more: Any) -> Answer:
        try:
            return await super().stock(*args, **more)
        except WorkflowExecutionError as error:
            raise (error.__cause__ or error) from None


class GoesOnAfterAFailedLeaf(_Wrong):
    """Records the failure of a leaf, as the synchronous runtime does."""

    async def stock(self, workflow: Any, *args: Any, **more: Any) -> Answer:
        try:
            return await super().stock(workflow, *args, **more)
        except WorkflowExecutionError as error:
            leaves = [node_id for node_id in workflow.graph.nodes() if not list(workflow.graph.successors(node_id))]
            for node_id in leaves:
                if f"'{node_id}' execution failed" in str(error):
                    return {node_id: {"error": str(error), "failed": True}}, "run_1700000000000"
            raise


class RunsWhatDependsOnAFailure(_Wrong):
    """Runs what comes after a failed node all the same, before it raises."""

    async def stock(self, workflow: Any, inputs: Any, *args: Any, **more: Any) -> Answer:
        try:
            return await super().stock(workflow, inputs, *args, **more)
        except WorkflowExecutionError as error:
            for node_id, node in workflow._node_instances.items():
                if f"'{node_id}' execution failed" not in str(error):
                    try:
                        await (node.execute_async() if isinstance(node, AsyncNode) else asyncio.to_thread(node.execute))
                    except Exception:  # noqa: BLE001, S112 - only the first failure is reported
                        continue
            raise


class LosesContextVariables(_Wrong):
    """Runs nodes without the caller's context variables."""

    async def stock(self, *args: Any, **more: Any) -> Answer:
        bare = contextvars.Context()
        return await asyncio.get_running_loop().create_task(super().stock(*args, **more), context=bare)


class LeaksContextVariables(_Wrong):
    """Sets a context variable of the caller's."""

    async def stock(self, *args: Any, **more: Any) -> Answer:
        answer = await super().stock(*args, **more)
        CALLER.set("leaked")
        return answer


class NumbersItsRuns(_Wrong):
    """Returns a run id of another form."""

    async def execute_workflow_async(self, *args: Any, **more: Any) -> Answer:
        return (await super().execute_workflow_async(*args, **more))[0], "1"


class ReturnsAList(_Wrong):
    """Returns results and id in another shape."""

    async def execute_workflow_async(self, *args: Any, **more: Any) -> Any:
        return list(await super().execute_workflow_async(*args, **more))


class NeverCleansUp(_Wrong):
    """Never calls a node's ``cleanup``."""

    async def stock(self, workflow: Any, *args: Any, **more: Any) -> Answer:
        nodes = [node for node in workflow._node_instances.values() if hasattr(node, "cleanup")]
        for node in nodes:
            node.cleanup = None
        try:
            return await super().stock(workflow, *args, **more)
        finally:
            for node in nodes:
                del node.cleanup


class WithholdsTheRegistry(_Wrong):
    """Gives nodes no resources."""

    def __init__(self, resource_registry: Any = None, **more: Any) -> None:
        super().__init__(**more)


class AlwaysAnalyses(_Wrong):
    """Runs async nodes as such although ``enable_analysis`` is off."""

    def __init__(self, enable_analysis: bool = True, **more: Any) -> None:
        super().__init__(**more)


class IgnoresTheContext(_Wrong):
    """Leaves the given context as it was."""

    async def stock(self, workflow: Any, inputs: Any, context: Any = None, **more: Any) -> Answer:
        given = {} if context is None else context.variables
        return await super().stock(workflow, {**given, **dict(inputs)}, None, **more)


class CountsNoErrors(_Wrong):
    """Leaves the given context without the number of errors."""

    async def stock(self, workflow: Any, inputs: Any, context: Any = None, **more: Any) -> Answer:
        try:
            return await super().stock(workflow, inputs, context, **more)
        finally:
            if context is not None:
                context.metrics.error_count = 0


class TimesNoNodes(_Wrong):
    """Leaves the given context without the nodes' durations."""

    async def stock(self, workflow: Any, inputs: Any, context: Any = None, **more: Any) -> Answer:
        try:
            return await super().stock(workflow, inputs, context, **more)
        finally:
            if context is not None:
                context.metrics.node_durations.clear()


class AcceptsAnyLimit(_Wrong):
    """Never looks at time limits."""

    async def stock(self, *args: Any, soft_time_limit: Any = None, time_limit: Any = None, **more: Any) -> Answer:
        return await super().stock(*args, **more)


class ChangesAfterTheFirstRun(_Wrong):
    """Answers the second run of a workflow with the results of the first."""

    first: dict[int, tuple[Any, Answer]] | None = None

    async def stock(self, workflow: Any, *args: Any, **more: Any) -> Answer:
        self.first = self.first or {}
        if id(workflow) not in self.first:
            self.first[id(workflow)] = (workflow, await super().stock(workflow, *args, **more))
        return self.first[id(workflow)][1]


class BlocksTheLoop(_Wrong):
    """Runs synchronous nodes on the loop's thread, where code that runs a loop fails."""

    async def _execute_sync_node_in_thread(self, node_instance: Any, inputs: dict[str, Any]) -> Any:
        return node_instance.execute(**inputs)

    async def _execute_sync_workflow(self, workflow: Any, context: Any) -> dict[str, Any]:
        return {"results": self._execute_sync_workflow_internal(workflow, context.variables)}


class AnswersAsTheSynchronousRuntime(_Wrong):
    """Hands out what ``LocalRuntime`` would."""

    async def stock(self, workflow: Any, inputs: Any, *args: Any, **more: Any) -> Answer:
        runtime = StockRuntime(enable_monitoring=False).mark_externally_managed()
        try:
            results, _ = await asyncio.to_thread(runtime.execute, workflow, parameters=dict(inputs))
        finally:
            runtime.close()
        return results, "run_1700000000000"


class SkipsTheJsonCheck(_Wrong):
    """Lets outputs through that are not JSON."""

    async def stock(self, *args: Any, **more: Any) -> Answer:
        kept = Node._is_json_serializable
        Node._is_json_serializable = lambda self, obj: True
        try:
            return await super().stock(*args, **more)
        finally:
            Node._is_json_serializable = kept


class Warns(_Wrong):
    """Warns of something."""

    async def stock(self, *args: Any, **more: Any) -> Answer:
        warnings.warn("of something", DeprecationWarning, stacklevel=2)
        return await super().stock(*args, **more)


class LogsNothing(_Wrong):
    """Says nothing in the log."""

    async def stock(self, *args: Any, **more: Any) -> Answer:
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            return await super().stock(*args, **more)
        finally:
            logging.disable(before)


class LogsTwice(_Wrong):
    """Says every error twice."""

    async def stock(self, *args: Any, **more: Any) -> Answer:
        logger = logging.getLogger("kailash.runtime.async_local")
        kept = logger.error
        logger.error = types.MethodType(lambda self, *a, **k: (kept(*a, **k), kept(*a, **k)), logger)  # type: ignore[method-assign]
        try:
            return await super().stock(*args, **more)
        finally:
            del logger.error


WRONG_OUTCOME: tuple[type[Any], ...] = (
    PassesTheValueOfResult, OmitsMissingPaths, OmitsMissingKeys, PrefersGivenInputs,
    PassesOtherNodesInputs, NeverSkips, LeavesOutSkippedNodes, ReversesTheOrder, WordsErrorsItsOwnWay,
    ForgetsTheCause, ReportsTheCauseItself, GoesOnAfterAFailedLeaf, RunsWhatDependsOnAFailure, LosesContextVariables,
    LeaksContextVariables, NumbersItsRuns, ReturnsAList, NeverCleansUp, AlwaysAnalyses,
    IgnoresTheContext, CountsNoErrors, TimesNoNodes, ChangesAfterTheFirstRun, BlocksTheLoop,
    AnswersAsTheSynchronousRuntime, SkipsTheJsonCheck, Warns,
)  # fmt: skip
# Random workflows meet these too seldom; the fixed cases always do.
WRONG_RARELY: tuple[type[Any], ...] = (AcceptsAnyLimit, CopiesInputs, PrefersWorkflowInputs, WithholdsTheRegistry)
WRONG_LOGS: tuple[type[Any], ...] = (LogsNothing, LogsTwice)
