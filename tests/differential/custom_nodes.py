"""Node classes of a user's own, each for one way in which a node may differ."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from kailash.nodes.base import Node, NodeParameter, register_node
from kailash.nodes.base_async import AsyncNode
from kailash.sdk_exceptions import NodeExecutionError, NodeValidationError


def parameter(name: str, kind: Any = Any, required: bool = False, default: Any = None, **more: Any) -> NodeParameter:
    """Shorten the declarations below."""
    return NodeParameter(name=name, type=kind, required=required, default=default, description=f"the {name}", **more)


class Declares(Node):
    """Base of the nodes here: ``declared`` are the parameters."""

    declared: tuple[NodeParameter, ...] = (parameter("data"), parameter("x"), parameter("y"))

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {item.name: item for item in self.declared}

    def run(self, **kwargs: Any) -> dict[str, Any]:
        return {"result": kwargs}


@register_node()
class EchoNode(Declares):
    """Overrides run only; shows exactly which keyword arguments it got, in order."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        return {"result": kwargs, "order": list(kwargs), "types": [type(v).__name__ for v in kwargs.values()]}


@register_node()
class TypedNode(Declares):
    """Typed parameters: required, optional, with default, with conversion."""

    declared = (
        parameter("data", dict, required=True),
        parameter("x", int, required=False, default=5),
        parameter("y", str, required=True, default="fallback"),
        parameter("flag", bool),
        parameter("ratio", float),
        parameter("items", list),
    )


@register_node()
class MappedNode(Declares):
    """Aliases and automatic mapping of inputs."""

    declared = (
        parameter("left", auto_map_from=["x", "data"]),
        parameter("right", int, workflow_alias="y"),
        parameter("rest", auto_map_primary=True),
    )


@register_node()
class RequiredNode(Declares):
    """One required parameter without a default."""

    declared = (parameter("data", required=True),)


@register_node()
class OutputSchemaNode(Declares):
    """Outputs are checked and converted against a schema."""

    def get_output_schema(self) -> dict[str, NodeParameter]:
        return {
            item.name: item
            for item in (
                parameter("count", int, required=True),
                parameter("label", str),
                parameter("extra", dict),
            )
        }

    def run(self, **kwargs: Any) -> dict[str, Any]:
        outputs: dict[str, Any] = {"zebra": 1, "label": kwargs.get("x"), "extra": kwargs.get("data")}
        if kwargs.get("y") is not None:
            outputs["count"] = kwargs["y"]
        return outputs


@register_node()
class OwnExecuteNode(Declares):
    """Overrides execute, so nothing of the base class's checks applies."""

    def execute(self, **kwargs: Any) -> dict[str, Any]:
        return {"result": {"executed": kwargs}, "unchecked": {1, 2}}


@register_node()
class WrappingExecuteNode(Declares):
    """Overrides execute and calls the base class's."""

    def execute(self, **kwargs: Any) -> dict[str, Any]:
        return {"wrapped": super().execute(**kwargs)}


@register_node()
class OwnValidationNode(Declares):
    """Overrides validate_inputs: adds, renames and refuses."""

    def validate_inputs(self, **kwargs: Any) -> dict[str, Any]:
        if kwargs.get("x") == 13:
            raise NodeValidationError("thirteen is refused")
        return {"validated": sorted(kwargs), **{key: kwargs[key] for key in kwargs if key != "y"}}


@register_node()
class OwnOutputCheckNode(Declares):
    """Overrides validate_outputs."""

    def validate_outputs(self, outputs: dict[str, Any]) -> dict[str, Any]:
        return {"checked": super().validate_outputs(outputs)}


@register_node()
class StatefulNode(Declares):
    """Keeps state on the instance across runs."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        self.seen = [*getattr(self, "seen", []), kwargs.get("x")]
        return {"result": len(self.seen), "seen": self.seen}


@register_node()
class SelfConfiguringNode(Declares):
    """Changes its own config while running; the next run must see it."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        self.config["x"] = self.config.get("x", 0) if isinstance(self.config.get("x", 0), int) else 0
        self.config["x"] += 1
        return {"result": self.config["x"]}


@register_node()
class NonDictNode(Declares):
    """Returns something that is not a dict; x says what."""

    def run(self, **kwargs: Any) -> Any:
        return {None: None, 1: [1], 2: "text", 3: (1, 2)}.get(kwargs.get("x"), 7)


@register_node()
class ContentFailureNode(Declares):
    """Reports failure in its output rather than by raising."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        return [
            {"success": False, "error": "said so"},
            {"success": False},
            {"success": None, "error": None},
            {"failed": True, "error": "flagged"},
            {"failed": False, "success": True},
            {"success": "", "error": {"nested": 1}},
        ][len(str(kwargs.get("x"))) % 6]


class OwnError(Exception):
    """An exception type of the user's."""


class WithoutText(Exception):
    """Its text cannot be had."""

    def __str__(self) -> str:
        raise ValueError("no text")


@register_node()
class RaisingNode(Declares):
    """Raises; x chooses what."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        choice = len(str(kwargs.get("x"))) % 8
        if choice == 0:
            raise OwnError("own", 1)
        if choice == 1:
            raise NodeExecutionError("execution")
        if choice == 2:
            raise NodeValidationError("validation")
        if choice == 3:
            raise WithoutText
        if choice == 4:
            try:
                {}["key"]
            except KeyError as error:
                raise OwnError("caused") from error
        if choice == 5:
            raise OwnError("Trust verification denied")
        if choice == 6:
            raise PermissionError("not allowed")
        raise TimeoutError


@register_node()
class OddOutputNode(Declares):
    """Outputs that are not plain JSON; x chooses which."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        return {
            "value": [
                {1, 2},
                b"bytes",
                Decimal("1.5"),
                dt.datetime(2020, 1, 2),
                WithDict(),
                {"nan": float("nan"), 1: 2},
                (1, (2, [3])),
                Sub({"b": 1, "a": [2]}),
                "\ud800",
            ][len(str(kwargs.get("x"))) % 9],
            "also": 1,
        }


@register_node()
class SharingNode(Declares):
    """Hands out one list of its own again and again, and its inputs as they are."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        self.own = getattr(self, "own", [1])
        return {"result": self.own, "again": self.own, "data": kwargs.get("data"), "config": self.config.get("data")}


@register_node()
class MutatingNode(Declares):
    """Changes what it was given."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        data = kwargs.get("data")
        if isinstance(data, dict):
            data["mutated"] = True
        elif isinstance(data, list):
            data.append("mutated")
        return {"result": data}


@register_node()
class ContextNode(Declares):
    """Reads and writes the workflow context."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        before = self.get_workflow_context("count", 0)
        self.set_workflow_context("count", before + 1)
        return {"result": before, "given": self.get_workflow_context("given")}


@register_node()
class InitNode(Declares):
    """Has a constructor with a signature of its own (captured into config)."""

    def __init__(self, name: str = "named", factor: int = 2, **kwargs: Any) -> None:
        self.factor = factor
        super().__init__(name=name, **kwargs)

    def run(self, **kwargs: Any) -> dict[str, Any]:
        return {"result": self.factor, "config": sorted(self.config)}


@register_node()
class CleanupNode(Declares):
    """Has an async cleanup that leaves a mark, and may raise."""

    async def cleanup(self) -> None:
        self.cleaned = getattr(self, "cleaned", 0) + 1
        if self.config.get("x") == 13:
            raise OwnError("cleanup")

    def run(self, **kwargs: Any) -> dict[str, Any]:
        return {"result": getattr(self, "cleaned", 0)}


@register_node()
class AsyncEchoNode(AsyncNode):
    """Runs as a coroutine."""

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {name: parameter(name) for name in ("data", "x", "y")}

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        if kwargs.get("x") == 13:
            raise OwnError("async failure")
        return {"result": kwargs, "order": list(kwargs)}


class WithDict:
    """An object that converts itself."""

    def to_dict(self) -> dict[str, Any]:
        return {"converted": [1, Decimal("2.5")]}


class Sub(dict):  # type: ignore[type-arg]
    """A subclass of dict."""


CUSTOM: dict[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        EchoNode, TypedNode, MappedNode, RequiredNode, OutputSchemaNode, OwnExecuteNode, WrappingExecuteNode,
        OwnValidationNode, OwnOutputCheckNode, StatefulNode, SelfConfiguringNode, NonDictNode, ContentFailureNode,
        RaisingNode, OddOutputNode, SharingNode, MutatingNode, ContextNode, InitNode, CleanupNode, AsyncEchoNode,
    )
}  # fmt: skip
