"""Which nodes of a plan are cached, by which keys, and what is kept of them."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from types import FunctionType, MappingProxyType
from typing import Any, Protocol

from kailash.nodes.base import Node
from kailash.nodes.base_async import AsyncNode
from kailash.workflow.credentials import get_credential_store

from nexus_core._core import WorkflowPlan, _digest, _Load, _NodeCaching, _NodeFlights
from nexus_core._key_reductions import reduction
from nexus_core._key_workflow import WorkflowReduction, versions
from nexus_core.cached_runs import result_cache
from nexus_core.cached_runs.nodes_asked import Asked, now_asked
from nexus_core.cached_runs.policies import CachePolicy
from nexus_core.cached_runs.result_cache import ResultCache
from nexus_core.cached_runs.run_options import mark_of
from nexus_core.cached_runs.snapshots import is_apart, shares
from nexus_core.errors import NotKeyable

__all__ = [
    "CachedNodes",
    "awaited",
    "cached_nodes",
    "may_read_context",
    "node_caching",
    "notes_on_cached_nodes",
    "what_nodes_say",
]

#: Where a workflow says which of its nodes may be cached: ids, or policies by id.
METADATA_KEY = "cacheable_nodes"

#: Set while a cached node runs: runs that begin inside of it wait for no others, who may wait for it.
_inside: ContextVar[bool] = ContextVar("nexus_core_inside_cached_node", default=False)

#: Programs whose description a plan watches completely: their digest holds as long as the plan.
_FIXED = frozenset({"code", "named function"})
#: With one of these in its code, a code node may look at the workflow context of its run.
_DYNAMIC = ("workflow_context", "globals", "builtins")
_CONTEXT_NAMES = frozenset({"get_workflow_context", "set_workflow_context", "_workflow_context"})
_KAILASH_BASES = frozenset({Node, AsyncNode, object})

_RETURNS_INPUTS = "it returns objects that it was given"
_READS_CONTEXT = "it may read the workflow context of its run"
_IN_CYCLES = "a node in a cycle is told of its iteration"

_flights: weakref.WeakKeyDictionary[ResultCache, _NodeFlights] = weakref.WeakKeyDictionary()
_flights_lock = threading.Lock()


class Plan(Protocol):
    """What is needed of a compiled workflow."""

    plan: WorkflowPlan
    node_ids: tuple[str, ...]
    instances: tuple[Any, ...]
    explanations: tuple[Any, ...]
    cycles: Any
    cacheable_nodes: dict[str, Any]


def what_nodes_say(workflow: Any, node_ids: tuple[str, ...]) -> dict[str, Any]:
    """What a workflow and its nodes say of being cached themselves; not checked yet.

    Args:
        workflow: A built workflow.
        node_ids: Its nodes, in the order of its plan.

    Returns:
        What is said, by node id; under the empty string, what the workflow says.
    """
    said: dict[str, Any] = {}
    if (listed := workflow.metadata.get(METADATA_KEY)) is not None:
        said[""] = listed
    for node_id in node_ids:
        says = getattr(workflow._node_instances[node_id], "cacheable", None)
        if says is not None and says is not False:
            said[node_id] = says
    return said


def _listed(given: Any) -> Mapping[str, Any]:
    """Policies by node id, as a workflow's metadata holds them."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return given
    if isinstance(given, (list, tuple, set, frozenset)) and all(isinstance(node_id, str) for node_id in given):
        return dict.fromkeys(given, True)
    raise TypeError(f"workflow.metadata[{METADATA_KEY!r}] must hold node ids, or policies by node id, got {given!r}")


class CachedNodes:
    """The nodes of one plan that one cache keeps.

    Args:
        cache: Where they are kept.
        plan: The plan.
        policies: What is kept of which node, by its place in the plan.
    """

    def __init__(self, cache: ResultCache, plan: Plan, policies: dict[int, CachePolicy]) -> None:
        self._cache = cache
        self._ids = plan.node_ids
        self._instances = plan.instances
        self._in_cycles = plan.cycles is not None
        self.policies = policies
        #: Why nodes that are meant to be cached are not, by their place.
        self.refusals: dict[int, str] = {}
        described: list[tuple[bytes | None, bool, str | None] | None] = [None] * len(plan.node_ids)
        for place, policy in policies.items():
            digest, refusal = self._first_digest(place, plan.explanations[place])
            if refusal is not None:
                self.refusals[place] = refusal
            described[place] = (digest, policy.vary is not None, refusal)
        nodes = [
            None if node is None else {"digest": node[0], "varies": node[1], "refusal": node[2]} for node in described
        ]
        self._native = {
            refreshes: None if self._in_cycles else _NodeCaching(_Keeper(self, cache, refreshes), nodes)
            for refreshes in (False, True)
        }

    def native(self, what: Asked) -> _NodeCaching | None:
        """What runs are given; ``None`` if they cache nothing.

        Args:
            what: See ``nexus_core.cached_runs.nodes_asked.asked``.
        """
        if self._in_cycles:
            for place in self.policies:
                self._cache.node_runs.add("bypass", self._reason(place, _IN_CYCLES))
        return self._native[what == "refresh"]

    def explain(self) -> tuple[str, ...]:
        """Which nodes are cached, and why others are not, a sentence each."""
        if self._in_cycles:
            return (f"nodes are not cached: {_IN_CYCLES}",) if self.policies else ()
        kept = [self._ids[place] for place in sorted(self.policies) if place not in self.refusals]
        told = [f"cached nodes: {', '.join(kept)}"] if kept else []
        told += [f"node {self._ids[place]!r} is not cached: {why}" for place, why in sorted(self.refusals.items())]
        return tuple(told)

    # --- keys -----------------------------------------------------------------------------

    def _first_digest(self, place: int, explanation: Any) -> tuple[bytes | None, str | None]:
        """What holds as long as the plan, or ``None``; and why the node is not cached, or ``None``."""
        node, program = self._instances[place], explanation.program
        if explanation.is_refused:
            # The node does not say so, and may have been allowed when it last ran.
            return None, self._reason(place, explanation.reason)
        if may_read_context(node, program):
            return None, self._reason(place, _READS_CONTEXT)
        try:
            digest = self.describe(place)
        except Exception as refused:  # what its objects' own code raises
            return None, self.reason(place, refused)
        return (digest if program in _FIXED else None), None

    def describe(self, place: int) -> bytes:
        """The digest of what decides a node's output beside its inputs: class, configuration, code, state.

        Args:
            place: The node's place in the plan.

        Raises:
            NotKeyable: If something in it has no key.
        """
        node = self._instances[place]
        parts = {
            "versions": versions(),
            "class": type(node).__name__,
            # A code node's variables have this order, and so its outputs.
            "order": tuple(node.config),
            "config": node.config,
            "node": node,
        }
        return _digest(parts, "node", WorkflowReduction())

    def vary(self, place: int, inputs: dict[str, Any]) -> Any:
        """The further part of a key that a policy makes of the inputs.

        Args:
            place: The node's place in the plan.
            inputs: Its inputs.
        """
        vary = self.policies[place].vary
        return None if vary is None else vary(MappingProxyType(inputs))

    def reason(self, place: int, error: BaseException) -> str:
        """Why a node has no key, as it is counted.

        Args:
            place: The node's place in the plan.
            error: What the attempt has raised.
        """
        if isinstance(error, NotKeyable):
            return self._reason(place, f"a value of type {error.type_name} has no key: {error.reason}")
        return self._reason(place, f"its key cannot be made: {type(error).__name__}")

    def _reason(self, place: int, why: str) -> str:
        return f"node {self._ids[place]!r}: {why}"

    # --- what is kept ---------------------------------------------------------------------

    def begin(self, refreshes: bool, place: int, key: bytes) -> _Load:
        """A seat at a node's key in the cache, before the node runs: it is told of changes meanwhile.

        Args:
            refreshes: Whether what runs already is out of date.
            place: The node's place in the plan.
            key: Its key.
        """
        return self._cache._begin(key, self.policies[place], refreshes)

    def keep(
        self,
        refreshes: bool,
        place: int,
        key: bytes,
        inputs: dict[str, Any],
        output: Any,
        seconds: float,
        why_not: str | None,
        seat: _Load,
    ) -> result_cache.Kept | None:
        """Keeps what a node has returned, as its policy says.

        Args:
            refreshes: Whether it ran although it may have been kept.
            place: The node's place in the plan.
            key: Its key.
            inputs: What it was given.
            output: What it has returned.
            seconds: For how long it ran.
            why_not: Why it must not be kept; ``None`` if it may.
            seat: What :meth:`begin` has returned.

        Returns:
            What others who wait are handed copies of; ``None`` if there can be none.
        """
        if why_not is None and shares(output, inputs):
            why_not = _RETURNS_INPUTS
        policy = self.policies[place]
        judged = self._cache._judged(policy, output, seconds, lambda _: why_not)
        not_kept = self._cache._put_since(seat, key, policy, judged, refreshes).not_kept
        not_kept = None if not_kept is None else self._reason(place, not_kept)
        self._cache.node_runs.add("refresh" if refreshes else "miss", not_kept)
        return judged.kept

    async def awaited(
        self,
        native: _NodeCaching,
        is_nested: bool,
        place: int,
        inputs: dict[str, Any],
        registry: Any,
        execute: Callable[[], Awaitable[Any]],
    ) -> tuple[Any, bool]:
        """What an awaited node returns, from the cache if it is there; and whether it was there.

        Args:
            native: What :meth:`native` has given the run.
            is_nested: Whether the run has begun inside of a cached node.
            place: The node's place in the plan.
            inputs: The node's inputs.
            registry: The resources that it is given with them, or ``None``.
            execute: Called without arguments for what is awaited for the output.
        """
        told, also = inputs, None
        if registry:
            told = {name: value for name, value in inputs.items() if name != "resource_registry"}
            also = mark_of(registry)
        key = native.key(place, told, also)
        if key is None:
            return await execute(), False

        async def executed() -> Any:
            outer = _inside.set(True)
            try:
                return await execute()
            finally:
                _inside.reset(outer)

        def why_not(output: Any) -> str | None:
            if native.reports_failure(output):
                return "it reports a failure"
            if not native.is_unchanged(place, told, key, also):
                return "it changes what it is given, or itself"
            return _RETURNS_INPUTS if shares(output, told) else None

        handed = await self._cache.aget_or_compute(
            key,
            self.policies[place],
            executed,
            refresh=native is self._native[True],
            alone=is_nested,
            why_not=why_not,
        )
        not_kept = None if handed.not_kept is None else self._reason(place, handed.not_kept)
        self._cache.node_runs.add(handed.status, not_kept)
        return handed.value, handed.status in ("hit", "waited")


class _Keeper:
    """What the engine asks of a cache, as it looks it up."""

    def __init__(self, nodes: CachedNodes, cache: ResultCache, refreshes: bool) -> None:
        self.store = cache._store
        self.is_near = not cache._is_tiered
        self.refreshes = refreshes
        with _flights_lock:
            self.flights = _flights.setdefault(cache, _NodeFlights())
        self.computing = result_cache._computing
        self.inside = _inside
        self.running_loop = asyncio._get_running_loop
        self.reduce = reduction
        self.apart = _apart
        self.count = cache.node_runs.add
        self.reason = nodes.reason
        self.describe = nodes.describe
        self.vary = nodes.vary
        self.begin = partial(nodes.begin, refreshes)
        self.keep = partial(nodes.keep, refreshes)
        self.own_ends = result_cache.OWN_ENDS


def cached_nodes(cache: ResultCache, workflow: Any, plan: Plan) -> CachedNodes | None:
    """The nodes of a plan that a cache keeps; ``None`` if none.

    Args:
        cache: The cache.
        workflow: The workflow of the plan.
        plan: The plan.

    Raises:
        TypeError: If what a node says of itself is no policy.
    """
    if not (cache._nodes or plan.cacheable_nodes):
        return None
    known, name = cache._nodes_of_plans, workflow.name
    entry: tuple[Any, CachedNodes | None] | None = known.get(plan.plan)
    if entry is None or entry[0] != name:
        found = _policies(cache, name, plan.node_ids, plan.cacheable_nodes)
        policies = {place: found[node_id] for place, node_id in enumerate(plan.node_ids) if node_id in found}
        entry = known[plan.plan] = (name, CachedNodes(cache, plan, policies) if policies else None)
    return entry[1]


def kept_nodes(cache: ResultCache, workflow: Any, node_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The nodes of a workflow that a cache is to keep.

    Args:
        cache: The cache.
        workflow: The workflow.
        node_ids: Ids of its nodes.

    Raises:
        TypeError: If what a node says of itself is no policy.
    """
    return tuple(_policies(cache, workflow.name, node_ids, what_nodes_say(workflow, node_ids)))


def _policies(cache: ResultCache, name: str, node_ids: Sequence[str], said: dict[str, Any]) -> dict[str, CachePolicy]:
    listed = _listed(said.get(""))
    found = {
        node_id: cache.policy_of_node(node_id, name, listed.get(node_id, said.get(node_id))) for node_id in node_ids
    }
    return {node_id: policy for node_id, policy in found.items() if policy is not None}


def node_caching(runtime: Any, workflow: Any, plan: Plan) -> tuple[CachedNodes, _NodeCaching] | None:
    """The cached nodes of a run, and what the engine is given for them; ``None`` if there are none.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
    """
    runs = runtime._cached_runs
    if runs is None:
        return None
    what = now_asked()
    cache = runs.cache
    nodes = None if what == "nothing" else cached_nodes(cache, workflow, plan)
    if nodes is not None and (why := _why_not_now(runtime)) is not None:
        cache.node_runs.add("bypass", why)
        return None
    native = None if nodes is None else nodes.native(what)
    return None if nodes is None or native is None else (nodes, native)


def notes_on_cached_nodes(runtime: Any, workflow: Any, plan: Plan, *, delegated: bool = False) -> tuple[str, ...]:
    """What there is to know of a workflow's cached nodes, a sentence each.

    Args:
        runtime: The runtime.
        workflow: The workflow.
        plan: Its plan.
        delegated: Whether Kailash runs it.
    """
    runs = runtime._cached_runs
    nodes = None if runs is None else cached_nodes(runs.cache, workflow, plan)
    if nodes is None:
        return ()
    if delegated:
        return ("nodes are not cached in runs that are delegated to Kailash",)
    return nodes.explain()


async def awaited(
    caching: tuple[CachedNodes, _NodeCaching] | None,
    is_nested: bool,
    place: int,
    inputs: dict[str, Any],
    registry: Any,
    execute: Callable[[], Awaitable[Any]],
) -> tuple[Any, bool]:
    """What an awaited node returns, from the cache if it is kept there; and whether it was.

    The run itself is no argument: the traceback of a node that fails leads here, and a run to its failures.

    Args:
        caching: What :func:`node_caching` has said of the run.
        is_nested: Whether the run has begun inside of a cached node.
        place: The node's place in the plan.
        inputs: Its inputs.
        registry: The resources among them, or ``None``.
        execute: Called without arguments for what is awaited for the output.
    """
    if caching is None or not caching[1].caches(place):
        return await execute(), False
    nodes, native = caching
    return await nodes.awaited(native, is_nested, place, inputs, registry, execute)


def _apart(inputs: dict[str, Any]) -> list[tuple[int, int]]:
    """Makes sure that nothing in a node's inputs that can change is in two places."""
    if not is_apart(inputs):
        raise NotKeyable("inputs", "dict", "an object in them is in two places")
    return []


def _why_not_now(runtime: Any) -> str | None:
    """Why no node of a run is cached that begins now: it may be given what no key has."""
    if runtime.user_context is not None:
        return "the runtime runs for a user"
    if getattr(runtime, "secret_provider", None) is not None:
        return "the runtime provides secrets"
    if get_credential_store()._store:
        return "credentials are given for the run"
    return None


def may_read_context(node: Any, program: str) -> bool:
    """Whether a node can look at the workflow context of its run.

    Args:
        node: The node.
        program: How it runs; see ``NodeExplanation``.
    """
    if program in _FIXED:
        return any(name in node.code for name in _DYNAMIC)
    if program in ("function", "class"):
        return False
    for base in type(node).__mro__:
        if base in _KAILASH_BASES:
            continue
        for member in vars(base).values():
            function = getattr(member, "__func__", member)
            if isinstance(function, FunctionType) and not _CONTEXT_NAMES.isdisjoint(function.__code__.co_names):
                return True
    return False
