"""Single nodes of workflows, run in a worker process by the same native programs as in its parent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from kailash.nodes.code.python import PythonCodeNode

from nexus_core._core import MemoryLimit, WorkflowPlan, _run_single_node
from nexus_core.errors import NotShippable
from nexus_core.processes.isolation import Isolation
from nexus_core.processes.node_state import NodeState
from nexus_core.processes.tasks import NodeTask, RaisedInNode
from nexus_core.runtime.compiler import Awaits, CompiledWorkflow, compiled
from nexus_core.runtime.node_host import NodeHost
from nexus_core.runtime.run_options import run_options
from nexus_core.shipping.exceptions import restore
from nexus_core.shipping.workflows import SingleNodes, load

__all__ = ["node_runner"]

#: Workflows that a worker keeps; its parent is told when it asks for one that is gone.
MOST_WORKFLOWS = 64

#: What a node returns, what it has set in the workflow context, and in itself.
Outcome = tuple[Any, dict[str, Any], tuple[dict[str, Any], list[str]] | None]

_workflows: OrderedDict[str, _Nodes] = OrderedDict()
#: Its own nodes run where they are.
_RUNTIME = SimpleNamespace(_cached_runs=None, _isolation=Isolation(False, None))


def node_runner(task: NodeTask) -> Callable[[], Outcome] | None:
    """What runs a node and returns its output and what it has set in the workflow context.

    Args:
        task: Which node, and what it is given.

    Returns:
        ``None`` if the workflow is not here.
    """
    nodes = _workflows.get(task.digest)
    if nodes is None:
        if task.workflow is None:
            return None
        nodes = _workflows[task.digest] = _Nodes(load(task.workflow))
        while len(_workflows) > MOST_WORKFLOWS:
            _workflows.popitem(last=False)
    else:
        _workflows.move_to_end(task.digest)
    node = nodes.get(task.node_id)
    if task.handled is None:
        return lambda: node.run(task)
    return lambda: _run_handling(node, task)


def _run_handling(node: _SingleNode, task: NodeTask) -> Outcome:
    """Runs a node while an exception is being handled, as where it comes from."""
    handled = task.handled
    assert handled is not None
    error = RuntimeError(handled) if isinstance(handled, str) else restore(handled)
    traceback = error.__traceback__
    try:
        raise error
    except BaseException as now:
        if traceback is not None:
            now.__traceback__ = traceback
        return node.run(task)


class _Nodes:
    """The nodes of one workflow, each with a plan of its own, made when it first runs."""

    def __init__(self, workflow: Any) -> None:
        self._parts = SingleNodes(workflow)
        self._nodes: dict[str, _SingleNode] = {}

    def get(self, node_id: str) -> _SingleNode:
        node = self._nodes.get(node_id)
        if node is None:
            node = self._nodes[node_id] = _SingleNode(self._parts.part(node_id))
        return node


class _SingleNode:
    def __init__(self, workflow: Any) -> None:
        self._workflow = workflow
        self._plan: CompiledWorkflow | None = None
        self._memory_limit: MemoryLimit | None = None
        (node,) = workflow._node_instances.values()
        # The others are Kailash's own, and hold nothing of a run.
        self._state = None if type(node) is PythonCodeNode else NodeState(node)

    def run(self, task: NodeTask) -> Outcome:
        """Runs the node as the parent would.

        Args:
            task: What it is given.

        Raises:
            RaisedInNode: If it raises.
        """
        state = self._state
        if state is not None and task.state is not None:
            state.set(task.state)
        plan = self._plan
        if plan is None or not plan.plan.is_current():
            plan = self._plan = compiled(self._workflow, Awaits.NONE)
            self._memory_limit = plan.plan.memory_limit(1)
        context = _Context(task.context, task.withheld)
        host = _WorkerHost(self._workflow, plan, context, self._memory_limit)
        options = run_options(
            max_concurrency=1,
            stock_execute=task.own_execute,
            logs_nodes=task.logs,
            guards_each_node=plan.guarded_by is not None and not task.own_execute,
        )
        native: WorkflowPlan = plan.plan
        failure: BaseException | None = None
        output = None
        try:
            output = _run_single_node(
                native,
                host,
                options,
                0,
                task.inputs,
                context,
                self._memory_limit,
                task.dialect,  # type: ignore[arg-type]  # one of those that there are
            )
        except BaseException as error:
            failure = error
        finally:
            host.release()
        changes = None if state is None else state.taken()
        if failure is not None:
            raise RaisedInNode(failure, context.changes(), changes)
        return output, context.changes(), changes


class _Withheld:
    """Stands for what is in the parent's workflow context and cannot leave it."""

    def __init__(self, key: str, reason: str) -> None:
        self.__dict__["_told"] = (f"workflow_context[{key!r}]", "object", reason)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotShippable(*self.__dict__["_told"])

    def __setattr__(self, name: str, value: Any) -> None:
        raise NotShippable(*self.__dict__["_told"])


class _Context(dict[str, Any]):
    """A run's workflow context; what cannot leave the parent fails when it is used."""

    def __init__(self, given: dict[str, Any], withheld: dict[str, str]) -> None:
        super().__init__(given)
        self._before = dict(given)
        for key, reason in withheld.items():
            self[key] = self._before[key] = _Withheld(key, reason)

    def changes(self) -> dict[str, Any]:
        """What was set."""
        before = self._before
        return {key: value for key, value in self.items() if key not in before or before[key] is not value}


class _WorkerHost(NodeHost):
    """Asked by the native program where Kailash's own functions have to decide."""

    __slots__ = ("_context",)

    def __init__(
        self, workflow: Any, plan: CompiledWorkflow, context: dict[str, Any], memory_limit: MemoryLimit | None
    ) -> None:
        super().__init__(_RUNTIME, workflow, plan, None)
        self._context = context
        self.run = SimpleNamespace(memory_limit=memory_limit)  # type: ignore[assignment]  # all that is asked of it

    def give_context(self, index: int, context: dict[str, Any]) -> None:
        """Lets a node see the run's workflow context."""
        self.compiled.instances[index]._workflow_context = context

    def context_functions(self) -> tuple[Callable[..., Any], Callable[..., None]]:
        """``get_workflow_context`` and ``set_workflow_context`` of the run."""
        context = self._context

        def get_workflow_context(key: str, default: Any = None) -> Any:
            return context.get(key, default)

        def set_workflow_context(key: str, value: Any) -> None:
            context[key] = value

        return get_workflow_context, set_workflow_context

    def execute_in_round(self, index: int, keywords: dict[str, Any]) -> Any:
        """Runs a node of a cycle that has no native program."""
        return self.compiled.instances[index].execute(**keywords)

    def release(self) -> None:
        """Leaves nothing of the run in the node."""
        for node in self.compiled.instances:
            vars(node).pop("_workflow_context", None)
