"""Results by key: kept as private copies, computed once for all who ask at once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from kailash.sdk_exceptions import HardTimeLimitExceeded, SoftTimeLimitExceeded, WorkflowCancelledError

from nexus_core.cache import Cache
from nexus_core.cached_runs.kept import Kept, own_store
from nexus_core.cached_runs.outcomes import Status
from nexus_core.cached_runs.policies import CachePolicy, as_policy
from nexus_core.cached_runs.snapshots import NotPrivate, Snapshot
from nexus_core.cached_runs.tallies import Tally
from nexus_core.cached_runs.under_way import Computation, UnderWay
from nexus_core.errors import RecursiveLoad
from nexus_core.keys import digest

if TYPE_CHECKING:
    from nexus_core._core import _Load
    from nexus_core.cache_tiers import Tier

__all__ = ["OWN_ENDS", "Handed", "Kept", "ResultCache", "is_nested"]

_numbers = itertools.count(1)

#: Set while something is computed to be kept: what asks from inside must not wait for others,
#: who may wait for the place or the thread that it holds.
_computing: ContextVar[bool] = ContextVar("nexus_core_computing", default=False)

#: What a caller's own limits end concerns nobody else.
OWN_ENDS = (SoftTimeLimitExceeded, HardTimeLimitExceeded, WorkflowCancelledError)


def is_nested() -> bool:
    """Whether the caller is part of a computation that is to be kept."""
    return _computing.get()


class Handed(NamedTuple):
    """A result for one caller.

    Attributes:
        value: The caller's own.
        status: See ``CacheOutcome``.
        not_kept: Why what was computed is not kept; ``None`` if it is, or was found.
        age: Seconds since it was computed; ``None`` if it was just now.
    """

    value: Any
    status: Status
    not_kept: str | None = None
    age: float | None = None


class _Computed(NamedTuple):
    value: Any
    kept: Kept | None
    not_kept: str | None


class _NotKept(Exception):
    """Tells those who wait what was computed and is not kept."""

    def __init__(self, computed: _Computed) -> None:
        self.kept, self.reason = computed.kept, computed.not_kept
        super().__init__(computed.not_kept)


class _OnlyMine(BaseException):
    """What ended one caller's computation, and leaves it to the next who waits."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class ResultCache:
    """Keeps results of workflows and nodes, for one or several runtimes.

    Args:
        workflows: By a workflow's name or id: a policy, ``True`` for the usual one, or
            ``False`` for a workflow that must not be cached whatever it says itself.
        nodes: The same for single nodes, by ``"node_id"`` or ``"workflow/node_id"``.
        heuristics: Whether every workflow is cached, by ``CachePolicy.heuristic()``.
        maxsize: How many results are kept; ``None`` for no limit.
        max_bytes: How much they take together; ``None`` for no limit. With both limits, a
            result counts as ``max_bytes / maxsize`` at least.
        ttl: Seconds that a result is kept; ``None`` for no limit.
        tier: What several processes share, or what outlives them, behind the local cache: a
            ``RedisTier`` or ``SQLiteTier``. What cannot be written to it stays local.
        secret: Authenticates what is in the tier, as for ``TieredCache``.
        store: A ``Cache`` or ``TieredCache`` to keep results in, with its own limits, instead
            of one with these.
        name: The cache's name in statistics, metrics and errors.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If a size or a time is negative.

    Example:
        >>> from nexus_core import CachePolicy, ResultCache
        >>> cache = ResultCache(workflows={"prices": CachePolicy(ttl=60)})
        >>> cache.policy_of_workflow(["prices"]).ttl
        60
    """

    def __init__(
        self,
        *,
        workflows: Mapping[str, CachePolicy | bool] | None = None,
        nodes: Mapping[str, CachePolicy | bool] | None = None,
        heuristics: bool = False,
        maxsize: int | None = 1000,
        max_bytes: int | None = None,
        ttl: float | None = 86400,
        tier: Tier | None = None,
        secret: bytes | Sequence[bytes] | None = None,
        store: Any = None,
        name: str | None = None,
    ) -> None:
        self._workflows = _policies("workflows", workflows)
        self._nodes = _policies("nodes", nodes)
        self._heuristics = heuristics
        self._owns_store = store is None
        if store is None:
            store = own_store(maxsize, max_bytes, ttl, name or f"results-{next(_numbers)}", tier, secret)
        #: By key; a ``Cache``, or a ``TieredCache`` with one in front of its tier.
        self._store: Any = store
        self._is_tiered = not isinstance(store, Cache)
        self._local: Cache[Any, Kept] = store.local if self._is_tiered else store
        if self._is_tiered:
            from nexus_core.cached_runs.kept_encoding import teach

            teach()
        self._under_way = UnderWay()
        #: How runs of whole workflows were answered.
        self.runs = Tally()
        #: How single nodes were.
        self.node_runs = Tally()
        #: What is known of the nodes of plans. Not kept by the plans, which live longer than
        #: many a cache.
        self._nodes_of_plans: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    @property
    def name(self) -> str:
        """The cache's name."""
        name: str = self._store.name
        return name

    @property
    def ttl(self) -> float | None:
        """Seconds that a result is kept whose policy does not say; ``None`` for no limit."""
        ttl: float | None = self._store.ttl
        return ttl

    @property
    def is_tiered(self) -> bool:
        """Whether there is a tier behind the results of this process."""
        return self._is_tiered

    @property
    def store(self) -> Any:
        """What the results are kept in."""
        return self._store

    def statistics(self) -> dict[str, Any]:
        """How runs and nodes were answered, and what is kept.

        Returns:
            ``{"name", "entries", "bytes", "evicted", "expired", "runs", "nodes"}``; ``bytes`` is
            what the results take, about, and ``runs`` and ``nodes`` have the counts of ``hits``,
            ``misses``, ``waited`` and ``refreshed``, and those of ``bypassed`` and ``not_kept`` by
            reason. With a tier its figures are there under ``"tier"``.

        Example:
            >>> from nexus_core import ResultCache
            >>> ResultCache().statistics()["runs"]["hits"]
            0
        """
        kept = self._local.statistics()
        statistics: dict[str, Any] = {
            "name": self.name,
            "entries": kept.entries,
            "bytes": sum(entry.snapshot.size for entry in self._local.values() if isinstance(entry, Kept)),
            "evicted": kept.evicted,
            "expired": kept.expired,
            "runs": self.runs.as_dict(),
            "nodes": self.node_runs.as_dict(),
        }
        if self._is_tiered:
            statistics["tier"] = self._store.statistics().as_dict()
        return statistics

    # --- policies -------------------------------------------------------------------------

    def policy_of_workflow(self, names: Iterable[str], says: object = None) -> CachePolicy | None:
        """What is kept of a workflow; ``None`` if nothing.

        Args:
            names: Those under which it is registered, its own, and its id.
            says: What it says itself, as ``workflow.metadata["cacheable"]``.

        Raises:
            TypeError: If what it says is no policy.

        Example:
            >>> from nexus_core import ResultCache
            >>> ResultCache(heuristics=True).policy_of_workflow(['any']).always_seconds
            2.0
        """
        for name in names:
            if name in self._workflows:
                return self._workflows[name]
        if says is not None:
            return as_policy("a workflow's 'cacheable'", says)
        return CachePolicy.heuristic() if self._heuristics else None

    def set_policy(self, name: str, policy: CachePolicy | bool | None) -> None:
        """Gives what is kept of workflows of a name, or forgets it.

        Args:
            name: The name or id.
            policy: As for ``workflows``; ``None`` to leave it to other names, and to what the
                workflow says.

        Raises:
            TypeError: If it is no policy.

        Example:
            >>> from nexus_core import CachePolicy, ResultCache
            >>> cache = ResultCache()
            >>> cache.set_policy("prices", CachePolicy(ttl=60))
            >>> cache.policy_of_workflow(["prices"]).ttl
            60
        """
        if policy is None:
            self._workflows.pop(name, None)
        else:
            self._workflows[name] = as_policy(f"the policy of {name!r}", policy)

    def policy_of_node(self, node_id: str, workflow: str | None = None, says: object = None) -> CachePolicy | None:
        """What is kept of a node; ``None`` if nothing.

        Args:
            node_id: The node's id.
            workflow: Its workflow's name.
            says: What the workflow says of it itself.

        Raises:
            TypeError: If what it says is no policy.

        Example:
            >>> from nexus_core import ResultCache
            >>> ResultCache(nodes={'prices/load': True}).policy_of_node('load', 'prices') is None
            False
        """
        for label in (f"{workflow}/{node_id}", node_id):
            if label in self._nodes:
                return self._nodes[label]
        return as_policy(f"'cacheable' of node {node_id!r}", says)

    # --- results --------------------------------------------------------------------------

    def look(self, key: bytes) -> Handed | None:
        """The result under a key, if it is there in this process; never waits for a tier.

        The cache that it is kept in counts no miss: who finds nothing computes it, and asks there again.

        Args:
            key: 32 bytes.

        Example:
            >>> from nexus_core import ResultCache
            >>> ResultCache().look(b'k' * 32) is None
            True
        """
        return self._found(key, "hit", self._local._found(digest(key) if self._is_tiered else key))

    def get_or_compute(
        self,
        key: bytes,
        policy: CachePolicy,
        compute: Callable[[], Any],
        *,
        refresh: bool = False,
        alone: bool = False,
        why_not: Callable[[Any], str | None] | None = None,
    ) -> Handed:
        """The result under a key, computed once for all who ask at once if it is not there.

        Args:
            key: 32 bytes that stand for all that the result depends on.
            policy: What is kept, and for how long.
            compute: Called without arguments for the result; what it raises reaches all who
                wait, but for what the caller's own limits have ended.
            refresh: Whether it is computed anew in any case.
            alone: Whether the caller neither waits for others nor lets them wait for it.
            why_not: Says of a result why it must not be kept, ``None`` if it may.

        Returns:
            The caller's own copy, or what ``compute`` returned.

        Example:
            >>> from nexus_core import CachePolicy, ResultCache
            >>> cache = ResultCache()
            >>> for _ in range(2):
            ...     handed = cache.get_or_compute(b'k' * 32, CachePolicy(), lambda: {'rows': [1]})
            ...     print(handed.status, handed.value)
            miss {'rows': [1]}
            hit {'rows': [1]}
        """
        if not refresh and (found := self.look(key)) is not None:
            return found
        if refresh:
            return self._computed_and_put(key, policy, compute, why_not, refresh)
        if alone:
            found = self._found(key, "hit", self._store.get(key))
            return found or self._computed_and_put(key, policy, compute, why_not, refresh)
        began = time.time()
        mine: _Computed | None = None

        def factory() -> Kept:
            nonlocal mine
            try:
                mine = self._computed(policy, compute, why_not)
            except OWN_ENDS as error:
                raise _OnlyMine(error) from None
            if mine.kept is None or mine.not_kept is not None:
                raise _NotKept(mine)
            return mine.kept

        try:
            kept: Kept | None = self._store.get_or_set(key, factory, ttl=policy.ttl, tags=policy.tags or None)
        except _NotKept as told:
            kept = told.kept
        except _OnlyMine as ended:
            raise ended.error from ended.error.__cause__
        except RecursiveLoad:
            kept = None
        if mine is not None:
            return Handed(mine.value, "miss", mine.not_kept)
        found = self._found(key, _how(kept, began), kept)
        return found or self._computed_and_put(key, policy, compute, why_not, refresh)

    async def aget_or_compute(
        self,
        key: bytes,
        policy: CachePolicy,
        compute: Callable[[], Awaitable[Any]],
        *,
        refresh: bool = False,
        alone: bool = False,
        why_not: Callable[[Any], str | None] | None = None,
    ) -> Handed:
        """As :meth:`get_or_compute`, for tasks.

        Args:
            key: See there.
            policy: See there.
            compute: Called without arguments for what is awaited for the result.
            refresh: See there.
            alone: See there.
            why_not: See there.

        Example:
            >>> import asyncio
            >>> from nexus_core import CachePolicy, ResultCache
            >>> cache = ResultCache()
            >>> async def compute():
            ...     return {'rows': [1]}
            >>> asyncio.run(cache.aget_or_compute(b'k' * 32, CachePolicy(), compute)).value
            {'rows': [1]}
        """
        if not refresh and (found := self.look(key)) is not None:
            return found
        if refresh:
            return await self._acomputed_and_put(key, policy, compute, why_not, refresh)
        if alone:
            kept_now = await self._store.aget(key) if self._is_tiered else self._store.get(key)
            found = self._found(key, "hit", kept_now)
            return found or await self._acomputed_and_put(key, policy, compute, why_not, refresh)
        began = time.time()
        mine: _Computed | None = None

        async def factory() -> Kept:
            nonlocal mine
            try:
                mine = await self._acomputed(policy, compute, why_not)
            except OWN_ENDS as error:
                raise _OnlyMine(error) from None
            if mine.kept is None or mine.not_kept is not None:
                raise _NotKept(mine)
            return mine.kept

        try:
            kept: Kept | None = await self._store.aget_or_set(key, factory, ttl=policy.ttl, tags=policy.tags or None)
        except _NotKept as told:
            kept = told.kept
        except _OnlyMine as ended:
            raise ended.error from ended.error.__cause__
        except RecursiveLoad:
            kept = None
        if mine is not None:
            return Handed(mine.value, "miss", mine.not_kept)
        found = self._found(key, _how(kept, began), kept)
        return found or await self._acomputed_and_put(key, policy, compute, why_not, refresh)

    def _found(self, key: bytes, status: Status, kept: Kept | None) -> Handed | None:
        if kept is None:
            return None
        try:
            value = kept.snapshot.hand_out()
        except NotPrivate:
            # It was copied once; what its objects' own code does has changed since. What has
            # such objects is in no tier.
            self._local.pop(digest(key) if self._is_tiered else key, None)
            return None
        return Handed(value, status, None, kept.age())

    def _computed(
        self, policy: CachePolicy, compute: Callable[[], Any], why_not: Callable[[Any], str | None] | None
    ) -> _Computed:
        outer = _computing.set(True)
        began = time.perf_counter()
        try:
            value = compute()
        finally:
            _computing.reset(outer)
        return self._judged(policy, value, time.perf_counter() - began, why_not)

    async def _acomputed(
        self, policy: CachePolicy, compute: Callable[[], Awaitable[Any]], why_not: Callable[[Any], str | None] | None
    ) -> _Computed:
        outer = _computing.set(True)
        began = time.perf_counter()
        try:
            value = await compute()
        finally:
            _computing.reset(outer)
        return self._judged(policy, value, time.perf_counter() - began, why_not)

    @staticmethod
    def _judged(
        policy: CachePolicy, value: Any, seconds: float, why_not: Callable[[Any], str | None] | None
    ) -> _Computed:
        refused = None if why_not is None else why_not(value)
        if refused is not None:
            return _Computed(value, None, refused)
        try:
            snapshot = Snapshot(value)
        except NotPrivate as unfit:
            return _Computed(value, None, str(unfit))
        kept = Kept(snapshot, seconds, time.time())
        return _Computed(value, kept, policy.why_not_kept(seconds, snapshot.size))

    def _computed_and_put(
        self,
        key: bytes,
        policy: CachePolicy,
        compute: Callable[[], Any],
        why_not: Callable[[Any], str | None] | None,
        refresh: bool,
    ) -> Handed:
        with Computation(self._under_way, key, policy.tags) as computation:
            computed = self._computed(policy, compute, why_not)
            if computation.is_overruled:
                return _overruled(computed, refresh)
            self._under_way.overrule(key=key, but=computation)
            return self._put(key, policy, computed, refresh)

    async def _acomputed_and_put(
        self,
        key: bytes,
        policy: CachePolicy,
        compute: Callable[[], Awaitable[Any]],
        why_not: Callable[[Any], str | None] | None,
        refresh: bool,
    ) -> Handed:
        with Computation(self._under_way, key, policy.tags) as computation:
            computed = await self._acomputed(policy, compute, why_not)
            if computation.is_overruled:
                return _overruled(computed, refresh)
            self._under_way.overrule(key=key, but=computation)
            return await self._aput(key, policy, computed, refresh)

    def _put(self, key: bytes, policy: CachePolicy, computed: _Computed, refresh: bool) -> Handed:
        if computed.kept is not None and computed.not_kept is None:
            self._store.set(key, computed.kept, ttl=policy.ttl, tags=policy.tags or None)
        elif refresh:
            # What was there is known to be out of date.
            self._store.invalidate(key)
        return Handed(computed.value, "refresh" if refresh else "miss", computed.not_kept)

    def _begin(self, key: bytes, policy: CachePolicy, anew: bool) -> _Load:
        """A seat at a key, which is told when that is written or removed meanwhile."""
        name = digest(key) if self._is_tiered else key
        return self._local._load(name, 0, None, policy.tags, anew)[0]

    def _put_since(self, seat: _Load, key: bytes, policy: CachePolicy, computed: _Computed, refresh: bool) -> Handed:
        """As :meth:`_put`, unless the key was written or removed since a seat was taken."""
        if seat.is_overruled:
            return _overruled(computed, refresh)
        if refresh or self._is_tiered:
            return self._put(key, policy, computed, refresh)
        if computed.kept is not None and computed.not_kept is None:
            seat.finish(computed.kept, policy.ttl, list(policy.tags))
        return Handed(computed.value, "miss", computed.not_kept)

    async def _aput(self, key: bytes, policy: CachePolicy, computed: _Computed, refresh: bool) -> Handed:
        if not self._is_tiered:
            return self._put(key, policy, computed, refresh)
        if computed.kept is not None and computed.not_kept is None:
            await self._store.aset(key, computed.kept, ttl=policy.ttl, tags=policy.tags or None)
        elif refresh:
            await self._store.ainvalidate(key)
        return Handed(computed.value, "refresh" if refresh else "miss", computed.not_kept)

    # --- removal --------------------------------------------------------------------------

    def invalidate_tag(self, tag: str) -> int:
        """Forgets the results whose policy has a tag, in the tier too.

        Args:
            tag: The tag.

        Returns:
            How many there were in this process.

        Example:
            >>> from nexus_core import ResultCache
            >>> ResultCache().invalidate_tag('prices')
            0
        """
        self._under_way.overrule(tag=tag)
        count: int = self._store.invalidate_tag(tag)
        return count

    def clear(self) -> None:
        """Forgets all results, in the tier too.

        Example:
            >>> from nexus_core import ResultCache
            >>> ResultCache().clear()
        """
        self._under_way.overrule()
        self._store.clear()

    def close(self) -> None:
        """Closes the tier that the cache was made with; results of this process stay.

        Example:
            >>> from nexus_core import ResultCache
            >>> ResultCache().close()
        """
        if self._owns_store and self._is_tiered:
            self._store.close()

    def __enter__(self) -> ResultCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._local)


def _overruled(computed: _Computed, refresh: bool) -> Handed:
    not_kept = computed.not_kept or "it was removed or written while it was computed"
    return Handed(computed.value, "refresh" if refresh else "miss", not_kept)


def _how(kept: Kept | None, began: float) -> Status:
    """How a result was found that a caller has not computed: it was there when that one came, or not yet."""
    return "hit" if kept is not None and kept.made_at < began else "waited"


def _policies(name: str, given: Mapping[str, CachePolicy | bool] | None) -> dict[str, CachePolicy | None]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise TypeError(f"{name} must be a mapping from names to policies, got {given!r}")
    policies: dict[str, CachePolicy | None] = {}
    for label, policy in given.items():
        if not isinstance(label, str):
            raise TypeError(f"{name} must have strings for keys, got {label!r}")
        policies[label] = as_policy(f"{name}[{label!r}]", policy)
    return policies
