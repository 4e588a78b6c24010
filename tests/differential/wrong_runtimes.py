"""Deliberately wrong runtimes: each breaks one promise, and the comparison must notice.

They are made from stock itself, so that nothing but the named fault differs.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

from kailash.nodes.code import python as python_node
from kailash.sdk_exceptions import RuntimeExecutionError, WorkflowExecutionError
from kailash.workflow.graph import Workflow

from .subject import StockRuntime

Answer = tuple[dict[str, Any], str | None]


class _Wrong(StockRuntime):
    """Base: passes everything on to stock."""

    def execute(self, workflow: Workflow, task_manager: Any = None, parameters: Any = None, **more: Any) -> Answer:
        results, run_id = self.stock(workflow, task_manager=task_manager, parameters=parameters, **more)
        return self.spoil(results), run_id

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        """Run as stock does."""
        answer: Answer = super().execute(workflow, **more)
        return answer

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return the results that the wrong runtime hands out."""
        return results


def _each_dict(value: Any, change: Any) -> Any:
    if type(value) is dict:
        return change({key: _each_dict(item, change) for key, item in value.items()})
    if type(value) is list:
        return [_each_dict(item, change) for item in value]
    return value


class LosesKeyOrder(_Wrong):
    """Hands out dicts with their keys sorted."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        spoilt: dict[str, Any] = _each_dict(results, lambda d: dict(sorted(d.items(), key=lambda kv: str(kv[0]))))
        return spoilt


class OrdersResultsByCompletion(_Wrong):
    """Hands out the nodes in another order."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        return dict(reversed(results.items()))


class TurnsTrueIntoOne(_Wrong):
    """Confuses bool with int, as a careless conversion through another language would."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        spoilt: dict[str, Any] = _each_dict(
            results, lambda d: {k: int(v) if isinstance(v, bool) else v for k, v in d.items()}
        )
        return spoilt


class CopiesWhatStockShares(_Wrong):
    """Hands out copies."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        return {
            key: {k: copy.copy(v) if isinstance(v, (dict, list)) else v for k, v in value.items()}
            if isinstance(value, dict)
            else value
            for key, value in results.items()
        }


class SharesWhatStockCopies(_Wrong):
    """Passes a source's output on as it is, where stock rebuilds dicts on the way."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        from kailash.runtime import local

        kept = local.DataTypeValidator.validate_node_output
        local.DataTypeValidator.validate_node_output = staticmethod(lambda node_id, output: output)
        try:
            return super().stock(workflow, **more)
        finally:
            local.DataTypeValidator.validate_node_output = staticmethod(kept)


class SwallowsLeafFailures(_Wrong):
    """Leaves out what stock records for a failed leaf."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in results.items() if not (isinstance(v, dict) and "_exception" in v)}


class LosesTheException(_Wrong):
    """Records a failed leaf without the exception's context."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        for value in results.values():
            if isinstance(value, dict) and isinstance(value.get("_exception"), BaseException):
                value["_exception"].__context__ = value["_exception"].__cause__ = None
        return results


class RaisesForLeaves(_Wrong):
    """Raises where stock records."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        for key, value in results.items():
            if isinstance(value, dict) and "_exception" in value:
                raise WorkflowExecutionError(f"Node '{key}' failed")
        return results


class IgnoresParameters(_Wrong):
    """Never looks at the parameters."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        return super().stock(workflow, **{**more, "parameters": None})


class KeepsWorkflowContextInParameters(_Wrong):
    """Leaves the caller's parameters as they were."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        parameters = more["parameters"]
        return super().stock(
            workflow, **{**more, "parameters": dict(parameters) if isinstance(parameters, dict) else parameters}
        )


class SkipsSanitising(_Wrong):
    """Hands code its inputs as they came."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        kept = python_node.validate_node_parameters
        python_node.validate_node_parameters = lambda parameters, *_, **__: dict(parameters)
        try:
            return super().stock(workflow, **more)
        finally:
            python_node.validate_node_parameters = kept


class SkipsTheSafetyCheck(_Wrong):
    """Runs code that stock refuses."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        kept = python_node.CodeExecutor.check_code_safety
        python_node.CodeExecutor.check_code_safety = lambda self, code: (True, [], [])
        try:
            return super().stock(workflow, **more)
        finally:
            python_node.CodeExecutor.check_code_safety = kept


class SkipsTheJsonCheck(_Wrong):
    """Lets outputs through that are not JSON."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        from kailash.nodes.base import Node

        kept = Node._is_json_serializable
        Node._is_json_serializable = lambda self, obj: True
        try:
            return super().stock(workflow, **more)
        finally:
            Node._is_json_serializable = kept


class ReportsTheCauseItself(_Wrong):
    """Raises the inner error instead of stock's wrapper."""

    def execute(self, workflow: Workflow, **more: Any) -> Answer:
        try:
            return super().execute(workflow, **more)
        except RuntimeExecutionError as error:
            if error.__cause__ is not None:
                raise error.__cause__ from None
            raise


class ForgetsTheCause(_Wrong):
    """Raises the right error without its cause."""

    def execute(self, workflow: Workflow, **more: Any) -> Answer:
        try:
            return super().execute(workflow, **more)
        except RuntimeExecutionError as error:
            error.__cause__ = None
            raise


class WordsErrorsItsOwnWay(_Wrong):
    """Raises the right type with other words."""

    def execute(self, workflow: Workflow, **more: Any) -> Answer:
        try:
            return super().execute(workflow, **more)
        except RuntimeExecutionError as error:
            raise RuntimeExecutionError(str(error).replace("workflow execution", "run")) from error.__cause__


class NumbersItsRuns(_Wrong):
    """Returns a run id of another form."""

    def execute(self, workflow: Workflow, **more: Any) -> Answer:
        return super().execute(workflow, **more)[0], "run_1"


class LeavesOutSkippedNodes(_Wrong):
    """Drops the ``None`` of a skipped node."""

    def spoil(self, results: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in results.items() if value is not None}


class IgnoresContentFailures(_Wrong):
    """Takes ``success: False`` for a success."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{**more, "content_aware_success_detection": False})


class NeverValidatesConnections(_Wrong):
    """Runs as if ``connection_validation`` were off."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**{**more, "connection_validation": "off"})


class WritesNoAuditTrail(_Wrong):
    """Leaves the caller's workflow context without the audit trail."""

    def execute(self, workflow: Workflow, task_manager: Any = None, parameters: Any = None, **more: Any) -> Answer:
        context = parameters.get("workflow_context") if isinstance(parameters, dict) else None
        answer = super().execute(workflow, task_manager, parameters, **more)
        if isinstance(context, dict):
            context.pop("_audit_trail", None)
        return answer


class _Planned(_Wrong):
    """Base of those that keep something of a workflow from its first run."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.plans: dict[int, Any] = {}


class RunsAStaleCopy(_Planned):
    """Keeps every node instance and edge of the first run."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        if id(workflow) not in self.plans:
            stale = copy.copy(workflow)
            stale._node_instances = dict(workflow._node_instances)
            stale.graph = _copy_graph(workflow)
            self.plans[id(workflow)] = stale
        return super().stock(self.plans[id(workflow)], **more)


class RunsStaleCode(_Planned):
    """Keeps each node's code string of the first run, edges and instances being current."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        changed = []
        for node in workflow._node_instances.values():
            if isinstance(getattr(node, "code", None), str):
                known = self.plans.setdefault(id(node), (node, node.code))[1]
                if known != node.code:
                    changed.append((node, node.code))
                    node.code = known
        try:
            return super().stock(workflow, **more)
        finally:
            for node, code in changed:
                node.code = code


class RunsStaleConfig(_Planned):
    """Keeps each node's config of the first run."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        current = {}
        for node in workflow._node_instances.values():
            known = self.plans.setdefault(id(node), (node, _copied(node.config)))[1]
            current[id(node)] = (node, node.config)
            node.config = _copied(known)
        try:
            return super().stock(workflow, **more)
        finally:
            for node, config in current.values():
                node.config = config


class IgnoresInstancePatches(_Wrong):
    """Calls the class's run and execute although the instance has its own."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        hidden = []
        for node in workflow._node_instances.values():
            for name in ("run", "execute", "validate_inputs", "validate_outputs"):
                if name in vars(node):
                    hidden.append((node, name, vars(node).pop(name)))
        try:
            return super().stock(workflow, **more)
        finally:
            for node, name, value in hidden:
                setattr(node, name, value)


class LogsNothing(_Wrong):
    """Says nothing in the log."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        before = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        try:
            return super().stock(workflow, **more)
        finally:
            logging.disable(before)


class LogsTwice(_Wrong):
    """Says everything about missing outputs twice."""

    def stock(self, workflow: Workflow, **more: Any) -> Answer:
        kept = self.logger.warning

        def twice(*args: Any, **keywords: Any) -> None:
            kept(*args, **keywords)
            kept(*args, **keywords)

        self.logger.warning = twice
        try:
            return super().stock(workflow, **more)
        finally:
            del self.logger.warning


def _copied(config: dict[str, Any]) -> dict[str, Any]:
    return {key: dict(value) if type(value) is dict else value for key, value in config.items()}


def _copy_graph(workflow: Workflow) -> Any:
    graph = type(workflow.graph)()
    graph.add_nodes_from(workflow.graph.nodes(data=True))
    for source, target, data in workflow.graph.edges(data=True):
        graph.add_edge(source, target, **{**data, "mapping": dict(data.get("mapping", {}))})
    return graph


WRONG_OUTCOME: tuple[type[Any], ...] = (
    LosesKeyOrder, OrdersResultsByCompletion, TurnsTrueIntoOne, CopiesWhatStockShares, SharesWhatStockCopies,
    SwallowsLeafFailures, LosesTheException, RaisesForLeaves, IgnoresParameters, KeepsWorkflowContextInParameters,
    SkipsSanitising, SkipsTheSafetyCheck, SkipsTheJsonCheck, ReportsTheCauseItself, ForgetsTheCause,
    WordsErrorsItsOwnWay, NumbersItsRuns, LeavesOutSkippedNodes, IgnoresContentFailures, NeverValidatesConnections,
    WritesNoAuditTrail,
)  # fmt: skip
WRONG_PLAN: tuple[type[Any], ...] = (RunsAStaleCopy, RunsStaleCode, RunsStaleConfig, IgnoresInstancePatches)
WRONG_LOGS: tuple[type[Any], ...] = (LogsNothing, LogsTwice)
