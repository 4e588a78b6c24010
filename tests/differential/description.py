"""A workflow as plain data, and how it is built afresh for each side of a comparison."""

from __future__ import annotations

import copy
import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kailash.nodes.base import Node
from kailash.nodes.code.python import PythonCodeNode
from kailash.nodes.logic.operations import MergeNode, SwitchNode
from kailash.nodes.transform.processors import FilterNode, Map, Sort
from kailash.workflow.graph import Workflow

from .callables import CLASSES, FUNCTIONS
from .custom_nodes import CUSTOM

SAMPLE_FILE = Path(__file__).with_name("file_sample.py")
STOCK_NODES: dict[str, type[Node]] = {cls.__name__: cls for cls in (SwitchNode, MergeNode, FilterNode, Map, Sort)}


class Big:
    """Becomes an int of more than 4,300 digits, which has no ``repr``, when it is copied for a run."""

    def __repr__(self) -> str:
        return "Big()"

    def __deepcopy__(self, memo: dict[int, Any]) -> int:
        return 10**4400


@dataclass
class NodeSpec:
    """One node: ``kind`` says how ``what`` is to be read."""

    kind: str
    what: str
    config: dict[str, Any] = field(default_factory=dict)

    def make(self, node_id: str) -> Node:
        """Construct the node; raises what Kailash raises for a bad config."""
        config = copy.deepcopy(self.config)
        if self.kind == "code":
            return PythonCodeNode(**{"name": node_id, **config}, code=self.what)
        if self.kind == "function":
            return PythonCodeNode.from_function(FUNCTIONS[self.what], **config)
        if self.kind == "class":
            return PythonCodeNode.from_class(CLASSES[self.what], **config)
        if self.kind == "file":
            key = "class_name" if self.what[0].isupper() else "function_name"
            return PythonCodeNode.from_file(SAMPLE_FILE, **{key: self.what})
        return (CUSTOM | STOCK_NODES)[self.what](**config)


@dataclass
class Edge:
    """An edge and its mapping of outputs to inputs."""

    source: str
    target: str
    mapping: dict[str, str]


@dataclass
class Description:
    """Everything that one comparison needs."""

    nodes: dict[str, NodeSpec]
    edges: list[Edge] = field(default_factory=list)
    parameters: Any = None
    # Writing the run history is most of a short run's time, so cases ask for it.
    options: dict[str, Any] = field(default_factory=lambda: {"enable_monitoring": False})
    runs: int = 1
    metadata: dict[str, Any] = field(default_factory=dict)

    def build(self) -> Workflow:
        """Build the workflow with node instances of its own."""
        workflow = Workflow(
            "differential",
            "differential",
            metadata={"created_at": dt.datetime(2020, 1, 1).isoformat(), **copy.deepcopy(self.metadata)},
        )
        for node_id, spec in self.nodes.items():
            workflow.add_node(node_id, spec.make(node_id))
        for edge in self.edges:
            workflow.connect(edge.source, edge.target, dict(edge.mapping))
        return workflow
