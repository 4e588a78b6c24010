"""What runs natively, and why the rest does not."""

from __future__ import annotations

from dataclasses import dataclass, field

from nexus_core.errors import NexusCoreError

__all__ = ["REFUSED", "DelegationError", "Explanation", "NodeExplanation"]


#: How every reason begins for which Kailash's rules refuse a node's code.
REFUSED = "its code is refused: "


class DelegationError(NexusCoreError, RuntimeError):
    """A run that the native engine cannot do, in a runtime made with ``strict=True``.

    Attributes:
        reasons: Why, one sentence each.
    """

    def __init__(self, reasons: tuple[str, ...]) -> None:
        self.reasons = reasons
        super().__init__(
            "this run would be delegated to Kailash's own runtime: "
            + "; ".join(reasons)
            + ". Change that, or make the runtime without strict=True"
        )


@dataclass(frozen=True, slots=True)
class NodeExplanation:
    """How one node runs.

    Attributes:
        node_id: The node's id.
        node_type: The name of its class.
        program: ``"code"``, ``"function"``, ``"class"``, ``"named function"``: the
            native program for its body; ``"run"``: its own ``run`` is called, between native
            checks of inputs and outputs; ``"execute"``: its own ``execute`` is called;
            ``"async"``: it is awaited on the runtime's event loop.
        reason: Why it has no native program, or ``None`` if it has one.
        place: ``"here"``; ``"process"`` if it runs in a worker process; ``"measured"`` if it will once it has
            proved to be long and to compute.
    """

    node_id: str
    node_type: str
    program: str
    reason: str | None = None
    place: str = "here"

    @property
    def native(self) -> bool:
        """Whether the node's body runs as a native program."""
        return self.reason is None

    @property
    def is_refused(self) -> bool:
        """Whether ``CodeExecutor.check_code_safety`` refuses the node's code: it raises whenever it is to run."""
        return self.reason is not None and self.reason.startswith(REFUSED)


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a workflow runs on a runtime.

    Attributes:
        native: Whether the native engine schedules the run.
        reasons: Why it does not, one sentence each; empty if it does.
        nodes: One explanation a node, in topological order.
        notes: What else a user may want to know.
    """

    native: bool
    reasons: tuple[str, ...] = ()
    nodes: tuple[NodeExplanation, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        lines = (
            ["Runs on the native engine."]
            if self.native
            else ["Delegated to Kailash's own runtime:", *(f"  - {text}" for text in self.reasons)]
        )
        width = max((len(node.node_id) for node in self.nodes), default=0)
        for node in self.nodes:
            how = node.program if node.native else f"{node.program} ({node.reason})"
            where = {"here": "", "process": ", in a process", "measured": ", measured"}[node.place]
            lines.append(f"  {node.node_id:<{width}}  {node.node_type}: {how}{where}")
        lines.extend(f"Note: {note}" for note in self.notes)
        return "\n".join(lines)
