"""What can be seen of a built workflow without running it."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from nexus_core.best_practices.side_by_side import most_side_by_side

__all__ = ["NodeFacts", "WorkflowFacts", "facts_of"]

# What keeps a thread waiting, by the start of its dotted name.
_BLOCKING = (
    "time.sleep", "requests.", "urllib.request.", "http.client.", "socket.", "subprocess.", "os.system", "sqlite3.",
    "psycopg.", "psycopg2.", "pymysql.", "redis.", "httpx.get", "httpx.post",
)  # fmt: skip
# What makes a connection of its own.
_CONNECTING = (
    "sqlite3.connect", "psycopg.connect", "psycopg2.connect", "pymysql.connect", "mysql.connector.connect",
    "redis.Redis", "redis.from_url", "asyncpg.connect", "pymongo.MongoClient", "http.client.HTTPConnection",
    "http.client.HTTPSConnection", "requests.get", "requests.post", "sqlalchemy.create_engine",
)  # fmt: skip
_ENCODING = ("json.dumps", "pickle.dumps", "base64.b64encode")
_DECODING = ("json.loads", "pickle.loads", "base64.b64decode")
_RETRY_SETTINGS = ("max_retries", "retries", "retry", "retry_count", "retry_attempts", "retry_policy", "retry_config")
_EXTERNAL_CLASSES = ("SQL", "HTTP", "REST", "Database", "Redis", "GraphQL", "API", "Vector")


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What can be seen of a node.

    Attributes:
        name: Its id.
        kind: Its class's name.
        calls: Dotted names that its code calls, as far as they are modules' own.
        handles_errors: Whether its code has a ``try`` or its configuration retries.
        timeout: The ``timeout`` of its configuration, or ``None``.
        is_async: Whether it is awaited.
    """

    name: str
    kind: str
    calls: frozenset[str]
    handles_errors: bool
    timeout: Any
    is_async: bool

    def calling(self, names: tuple[str, ...]) -> list[str]:
        """Those of its calls that begin so."""
        return sorted(call for call in self.calls if call.startswith(names))

    @property
    def blocking(self) -> list[str]:
        """Its calls that keep a thread waiting."""
        return [] if self.is_async else self.calling(_BLOCKING)

    @property
    def reaching_out(self) -> list[str]:
        """Its calls that can fail through no fault of its own."""
        return sorted({*self.calling(_BLOCKING), *self.connecting} - {"time.sleep"})

    @property
    def connecting(self) -> list[str]:
        """Its calls that make a connection of its own."""
        return self.calling(_CONNECTING)

    @property
    def is_external(self) -> bool:
        """Whether it is a node of a class for databases or services."""
        return any(part in self.kind for part in _EXTERNAL_CLASSES)


@dataclass(frozen=True, slots=True)
class WorkflowFacts:
    """What can be seen of a workflow.

    Attributes:
        name: The name that it is registered under.
        nodes: Its nodes by id.
        edges: Source node, output, target node, input.
        widest: How many nodes do not depend on one another, at most.
        levels: How many levels.
        synchronous_side_by_side: The same of nodes that are not awaited.
    """

    name: str
    nodes: dict[str, NodeFacts]
    edges: tuple[tuple[str, str, str, str], ...]
    widest: int
    levels: int
    synchronous_side_by_side: int = field(default=0)

    def repeated_transfers(self) -> Iterator[str]:
        """Outputs that go to one node more than once."""
        seen: set[tuple[str, str, str]] = set()
        for source, output, target, _ in self.edges:
            if (source, output, target) in seen:
                yield f"{self.name}: {source}.{output} goes to {target} more than once"
            seen.add((source, output, target))

    def undone_transformations(self) -> Iterator[str]:
        """Edges whose source encodes what their target decodes."""
        for source, target in sorted({(edge[0], edge[2]) for edge in self.edges}):
            for encoded, decoded in zip(_ENCODING, _DECODING, strict=True):
                if encoded in self.nodes[source].calls and decoded in self.nodes[target].calls:
                    yield f"{self.name}: {source} calls {encoded} and {target} {decoded}"


def facts_of(name: str, workflow: Any) -> WorkflowFacts:
    """Looks at a built workflow.

    Args:
        name: The name that it is registered under.
        workflow: A Kailash ``Workflow``.
    """
    nodes = {node_id: _node(node_id, node) for node_id, node in workflow._node_instances.items()}
    edges = tuple(
        (edge.source_node, edge.source_output, edge.target_node, edge.target_input) for edge in workflow.connections
    )
    sources: dict[str, set[str]] = {node: set() for node in nodes}
    for source, _, target, _ in edges:
        sources[target].add(source)
    levels = _levels(sources)
    widest = most_side_by_side(levels, sources, set(nodes))
    blocking = {name for name, node in nodes.items() if not node.is_async}
    synchronous = most_side_by_side(levels, sources, blocking)
    return WorkflowFacts(name, nodes, edges, widest, len(levels), synchronous)


def _levels(sources: dict[str, set[str]]) -> list[list[str]]:
    """Nodes by the longest way to them; those on a cycle are left out."""
    levels: list[list[str]] = []
    done: set[str] = set()
    while ready := [node for node in sources if node not in done and sources[node] <= done]:
        levels.append(ready)
        done.update(ready)
    return levels


def _node(node_id: str, node: Any) -> NodeFacts:
    from kailash.nodes.base_async import AsyncNode

    config = node.config if isinstance(node.config, dict) else {}
    tree = _code(node, config)
    calls = frozenset(_calls(tree)) if tree is not None else frozenset()
    tries = tree is not None and any(isinstance(part, ast.Try) for part in ast.walk(tree))
    retries = any(config.get(name) for name in _RETRY_SETTINGS)
    kind = type(node).__name__
    return NodeFacts(node_id, kind, calls, tries or retries, config.get("timeout"), isinstance(node, AsyncNode))


def _code(node: Any, config: dict[str, Any]) -> ast.AST | None:
    """The node's code, if it has some that can be read."""
    source = config.get("code")
    function = getattr(node, "function", None)
    if not isinstance(source, str):
        if not inspect.isfunction(function):
            return None
        try:
            source = textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError):
            return None
    try:
        return ast.parse(source)
    except SyntaxError:
        return None


def _calls(tree: ast.AST) -> Iterator[str]:
    """The dotted names of what is called, with the names that imports give undone."""
    names: dict[str, str] = {}
    for part in ast.walk(tree):
        if isinstance(part, ast.Import):
            for alias in part.names:
                names[alias.asname or alias.name.split(".")[0]] = (
                    alias.name if alias.asname else alias.name.split(".")[0]
                )
        elif isinstance(part, ast.ImportFrom) and part.module:
            for alias in part.names:
                names[alias.asname or alias.name] = f"{part.module}.{alias.name}"
    for part in ast.walk(tree):
        if isinstance(part, ast.Call):
            dotted = _dotted(part.func)
            if dotted is not None:
                first, dot, rest = dotted.partition(".")
                yield names.get(first, first) + dot + rest


def _dotted(expression: ast.expr) -> str | None:
    if isinstance(expression, ast.Name):
        return expression.id
    if isinstance(expression, ast.Attribute):
        before = _dotted(expression.value)
        return None if before is None else f"{before}.{expression.attr}"
    return None
