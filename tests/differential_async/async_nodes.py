"""Node classes of a user's own for async runs, each for one way in which a node may differ.

What a node does beside returning is appended to ``SEEN``, which the observer empties
before each run.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from decimal import Decimal
from typing import Any

from kailash.nodes.base import Node, NodeParameter, register_node
from kailash.nodes.base_async import AsyncNode
from kailash.sdk_exceptions import NodeExecutionError, NodeValidationError

from differential.custom_nodes import Declares, OwnError, WithDict, WithoutText, parameter

SEEN: list[tuple[str, str]] = []
CALLER: ContextVar[str] = ContextVar("caller", default="unset")


def note(node: Node, event: str) -> None:
    """Record a side effect of ``node``."""
    SEEN.append((node.id, event))


def raised_by_choice(x: Any) -> BaseException:
    """Return an exception that ``x`` chooses."""
    return (
        OwnError("own", 1),
        NodeExecutionError("execution"),
        NodeValidationError("validation"),
        WithoutText(),
        PermissionError("not allowed"),
        TimeoutError("took long"),
        KeyError("key"),
    )[len(str(x)) % 7]


class DeclaresAsync(AsyncNode):
    """Base of the async nodes here: ``declared`` are the parameters."""

    declared: tuple[NodeParameter, ...] = (parameter("data"), parameter("x"), parameter("y"))

    def get_parameters(self) -> dict[str, NodeParameter]:
        return {item.name: item for item in self.declared}

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        note(self, "ran")
        return {"result": kwargs, "order": list(kwargs), "caller": CALLER.get()}


@register_node()
class EchoAsync(DeclaresAsync):
    """Shows which keyword arguments it got, in order, and the caller's context variable."""


@register_node()
class PausingAsync(DeclaresAsync):
    """Gives way to other tasks before it returns."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        for _ in range(3):
            await asyncio.sleep(0)
        return await super().async_run(**kwargs)


@register_node()
class TypedAsync(DeclaresAsync):
    """Typed parameters: required, optional, with default, with conversion."""

    declared = (
        parameter("data", dict, required=True),
        parameter("x", int, required=False, default=5),
        parameter("y", str, required=True, default="fallback"),
    )


@register_node()
class FailingAsync(DeclaresAsync):
    """Raises; x chooses what."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        note(self, "failed")
        raise raised_by_choice(kwargs.get("x"))


@register_node()
class CausedAsync(DeclaresAsync):
    """Raises with a cause of its own."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        try:
            {}["key"]
        except KeyError as error:
            raise OwnError("caused") from error
        return {}


@register_node()
class CleanupAsync(DeclaresAsync):
    """Has an async cleanup that leaves a mark; x says whether it raises, y whether the node fails."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        if kwargs.get("y") == 13:
            raise OwnError("before cleanup")
        return {**await super().async_run(**kwargs), "cleaned": getattr(self, "cleaned", 0)}

    async def cleanup(self) -> None:
        note(self, "cleaned")
        self.cleaned = getattr(self, "cleaned", 0) + 1
        if self.config.get("x") == 13:
            raise OwnError("cleanup")


@register_node()
class PlainCleanupAsync(DeclaresAsync):
    """Has a cleanup that is no coroutine."""

    def cleanup(self) -> None:
        note(self, "cleaned")


@register_node()
class NoneAsync(DeclaresAsync):
    """Returns None where a dict is asked for."""

    async def async_run(self, **kwargs: Any) -> Any:
        note(self, "ran")


@register_node()
class ContentFailureAsync(DeclaresAsync):
    """Reports failure in its output, which async runs hand on."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        note(self, "ran")
        return [{"success": False, "error": "said so"}, {"failed": True}, {"success": None}][len(str(kwargs)) % 3]


@register_node()
class NonDictAsync(DeclaresAsync):
    """Overrides execute_async and returns what no check has seen; x says what."""

    async def execute_async(self, **kwargs: Any) -> Any:
        note(self, "ran")
        return {None: None, 1: [1], 2: "text", 3: (1, 2), 13: {1, 2}}.get(kwargs.get("x"), {"unchecked": {1, 2}})


@register_node()
class RaisingExecuteAsync(DeclaresAsync):
    """Overrides execute_async and raises past the base class's handling."""

    async def execute_async(self, **kwargs: Any) -> Any:
        note(self, "failed")
        raise raised_by_choice(kwargs.get("x"))


@register_node()
class ContextAsync(DeclaresAsync):
    """Sets the caller's context variable, which nobody else may see."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        before = CALLER.get()
        CALLER.set(f"set by {self.id}")
        await asyncio.sleep(0)
        return {"result": before, "own": CALLER.get()}


@register_node()
class StatefulAsync(DeclaresAsync):
    """Keeps state on the instance across runs."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        self.seen = [*getattr(self, "seen", []), kwargs.get("x")]
        return {"result": len(self.seen), "seen": self.seen}


@register_node()
class MutatingAsync(DeclaresAsync):
    """Changes what it was given."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        data = kwargs.get("data")
        if isinstance(data, dict):
            data["mutated"] = True
        elif isinstance(data, list):
            data.append("mutated")
        return {"result": data}


@register_node()
class OddOutputAsync(DeclaresAsync):
    """Outputs that are not plain JSON; x chooses which."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        odd = ({1, 2}, b"bytes", Decimal("1.5"), WithDict(), {"nan": float("nan"), 1: 2}, (1, (2, [3])), "\ud800")
        return {"value": odd[len(str(kwargs.get("x"))) % 7], "also": 1}


@register_node()
class ResourceAsync(DeclaresAsync):
    """Says whether it was given a registry, and fetches a resource from it."""

    declared = (parameter("resource_registry"), parameter("x"))

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        registry = kwargs.get("resource_registry")
        found = None if registry is None else await registry.get_resource(kwargs.get("x") or "number")
        return {"result": found, "given": sorted(kwargs)}


@register_node()
class RecordingNode(Declares):
    """A synchronous node that leaves a mark and sees the caller's context variable."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        note(self, "ran")
        return {"result": kwargs, "caller": CALLER.get()}


@register_node()
class FailingSync(Declares):
    """A synchronous node that leaves a mark and raises."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        note(self, "failed")
        raise raised_by_choice(kwargs.get("x"))


@register_node()
class RaisingExecuteSync(Declares):
    """Overrides execute and raises past the base class's handling."""

    def execute(self, **kwargs: Any) -> Any:
        note(self, "failed")
        raise raised_by_choice(kwargs.get("x"))


@register_node()
class NonDictSync(Declares):
    """Overrides execute and returns what no check has seen; x says what."""

    def execute(self, **kwargs: Any) -> Any:
        note(self, "ran")
        return {None: None, 1: [1], 2: "text", 3: (1, 2), 13: {1, 2}}.get(kwargs.get("x"), {"unchecked": {1, 2}})


@register_node()
class LoopProbe(Declares):
    """Says whether an event loop runs on its thread: none does on stock's worker threads."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return {"result": "no loop"}
        return {"result": "a loop"}


@register_node()
class RunsALoop(Declares):
    """Runs a coroutine to its end, as synchronous code may."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        async def inner() -> str:
            await asyncio.sleep(0)
            return CALLER.get()

        return {"result": asyncio.run(inner())}


@register_node()
class ContextSync(Declares):
    """Sets the caller's context variable; says what it was."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        before = CALLER.get()
        CALLER.set(f"set by {self.id}")
        return {"result": before}


@register_node()
class PlainCleanupSync(Declares):
    """A synchronous node with a cleanup, which async runs leave alone."""

    def cleanup(self) -> None:
        note(self, "cleaned")


class Interrupt(KeyboardInterrupt):
    """A KeyboardInterrupt that is not the tester's."""


def ending_by_choice(x: Any) -> BaseException:
    """Return an exception that ends more than a node; ``x`` chooses which."""
    return (BaseException("base"), asyncio.CancelledError("by hand"), SystemExit(3), Interrupt())[x]


class EndingAsync(DeclaresAsync):
    """Raises what is no ordinary failure."""

    async def async_run(self, **kwargs: Any) -> dict[str, Any]:
        raise ending_by_choice(kwargs["x"])


class EndingSync(Declares):
    """Raises what is no ordinary failure."""

    def run(self, **kwargs: Any) -> dict[str, Any]:
        raise ending_by_choice(kwargs["x"])


ENDING: dict[str, type[Node]] = {cls.__name__: cls for cls in (EndingAsync, EndingSync)}
ASYNC_NODES: dict[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        EchoAsync, PausingAsync, TypedAsync, FailingAsync, CausedAsync, CleanupAsync, PlainCleanupAsync, NoneAsync,
        ContentFailureAsync, NonDictAsync, RaisingExecuteAsync, ContextAsync, StatefulAsync, MutatingAsync,
        OddOutputAsync, ResourceAsync,
    )
}  # fmt: skip
SYNC_NODES: dict[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        RecordingNode, FailingSync, RaisingExecuteSync, NonDictSync, LoopProbe, RunsALoop, ContextSync,
        PlainCleanupSync,
    )
}  # fmt: skip
# Their effect on others depends on the order of nodes that stock runs in any order.
ORDER_MATTERS = {"MutatingAsync", "MutatingNode", "SharingNode", "mutates", "ContextSync", "ContextAsync"}
