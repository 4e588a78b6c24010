"""Programs for nodes of any class that leaves ``Node.execute`` as it is."""

from __future__ import annotations

from typing import Any

from kailash.nodes.logic.operations import MergeNode, SwitchNode
from kailash.runtime.progress import _current_node_id

from nexus_core.runtime import stock
from nexus_core.runtime.code_nodes import NoProgram
from nexus_core.runtime.input_validation import VALIDATION_METHODS, is_validated_by_stock, validation_program

__all__ = ["SWITCH_METHODS", "generic_program"]

#: What a switch consists of.
SWITCH_METHODS = ("run", "_evaluate_condition", "_sanitize_case_name", "_handle_list_grouping")
_SWITCH = {name: getattr(SwitchNode, name, None) for name in SWITCH_METHODS}

#: Of a node's instance: with one of its own, only its ``execute`` knows what it does.
_OWN = frozenset({"execute", "run", "validate_outputs", "get_output_schema", "_is_json_serializable", "id"}).union(
    VALIDATION_METHODS
)
_EXECUTE = stock.Node.execute
_MERGE_EXECUTE = MergeNode.execute
#: Schemas that are the same for every execution.
_FIXED_SCHEMAS = (SwitchNode.get_output_schema,)


def generic_program(node: Any) -> dict[str, Any]:
    """The native program around a node's ``run``.

    Follows ``Node.execute``.

    Raises:
        NoProgram: If the node's own ``execute`` has to be called.
    """
    kind = type(node)
    refuses = None
    if kind.execute is _MERGE_EXECUTE:
        # It looks at this input, and calls ``Node.execute``.
        refuses = "merge_type"
    elif kind.execute is not _EXECUTE:
        raise NoProgram("its class has an execute of its own")
    if not _OWN.isdisjoint(vars(node)):
        raise NoProgram("a method of the instance was replaced")
    if kind.id is not stock.Node.id:
        raise NoProgram("its class has an id of its own")
    validation = None
    if is_validated_by_stock(node):
        try:
            parameters = node._get_cached_parameters()
        except Exception as broken:
            raise NoProgram(f"it cannot say which parameters it takes: {broken!r}") from broken
        validation = validation_program(node, parameters)
    return {
        "kind": "run",
        "validation": validation,
        "outputs": _schema(node),
        "refuses": refuses,
        "current_node": _current_node_id,
        "is_self_contained": kind in (SwitchNode, MergeNode),
        "needs_no_memory": kind is SwitchNode,
        "is_switch": kind is SwitchNode
        and all(getattr(kind, name, None) is method for name, method in _SWITCH.items())
        and vars(node).keys().isdisjoint(SWITCH_METHODS),
        "stock": stock.stock_functions(None),
    }


def _schema(node: Any) -> list[tuple[str, Any, bool]] | None:
    """The outputs that are compared natively; ``None`` if the node's own method has to look."""
    kind = type(node)
    for name in ("validate_outputs", "_is_json_serializable"):
        if getattr(kind, name) is not getattr(stock.Node, name):
            return None
    if kind.get_output_schema is stock.Node.get_output_schema:
        return []
    if kind.get_output_schema not in _FIXED_SCHEMAS:
        return None
    schema = []
    for name, parameter in node.get_output_schema().items():
        if not (parameter.type is Any or isinstance(parameter.type, type)):
            return None
        schema.append((name, None if parameter.type is Any else parameter.type, parameter.required))
    return schema
