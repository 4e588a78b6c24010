"""``IntelligentCache``: the performance guide's cache of workflow results, made real.

A result is only ever handed out for the inputs that it was computed from: what is kept is told
apart by a key of 256 bits, of which the guide's 16 digits are the visible part.
"""

from __future__ import annotations

import copy
import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from nexus_core._key_workflow import is_workflow
from nexus_core.cache import Cache
from nexus_core.cache_advice import Figures, advise, guide_size
from nexus_core.errors import NotKeyable
from nexus_core.keys import digest, guide_cache_key, key_of, workflow_digest

if TYPE_CHECKING:
    from nexus_core.cache_statistics import CacheStatistics
    from nexus_core.cache_what_if import WhatIf
    from nexus_core.cached_runs import ResultCache
    from nexus_core.cached_runs.snapshots import Snapshot

__all__ = ["CacheKey", "IntelligentCache"]

_log = logging.getLogger("nexus_core.intelligent_cache")

# The guide's limits.
_MAXSIZE = 1000
_TTL = 86_400
_EXPENSIVE_SECONDS = 2.0
_LARGE_BYTES = 10 * 1024 * 1024
_GOOD_PERCENT = 70

_DIGITS = 16
_NOTHING = b"nothing is ever kept under this"


class CacheKey(str):
    """The guide's 16 hexadecimal digits, with the full key that they are the visible part of.

    It is a ``str`` in every way. A copy that went through JSON or ``str()`` has the digits alone.

    Attributes:
        digest: The full key: 32 bytes.

    Example:
        >>> key = CacheKey("12bcad042f6b59ee", bytes(32))
        >>> key == "12bcad042f6b59ee", len(key.digest)
        (True, 32)
    """

    __slots__ = ("digest",)

    digest: bytes

    def __new__(cls, digits: str, digest: bytes) -> CacheKey:
        self = super().__new__(cls, digits)
        self.digest = digest
        return self

    def __getnewargs__(self) -> tuple[str, bytes]:  # type: ignore[override]
        return str(self), self.digest


class _Entry:
    """A result that is kept."""

    __slots__ = ("access_count", "cached_at", "key", "last_accessed", "metadata", "seconds", "snapshot")

    def __init__(self, key: str, snapshot: Snapshot, metadata: dict[str, Any], seconds: float) -> None:
        self.key = key
        self.snapshot = snapshot
        self.metadata = metadata
        self.seconds = seconds
        self.cached_at = self.last_accessed = time.time()
        self.access_count = 0


class IntelligentCache:
    """Keeps results of workflows, and says from what it measured which size would do better.

    It keeps 1,000 results for 24 hours, as the guide has it. Results are copied when they
    are kept and when they are handed out. Given to ``nexus_core.attach(app, cache=...)``, it
    caches the app's runs by itself, see :attr:`results`. Safe to use from threads.

    Args:
        nexus_app: The ``nexus.Nexus`` whose results are kept. The code of its workflows is part of
            their keys.
        maxsize: How many results are kept.
        ttl: Seconds that a result is kept; ``None`` for no limit.

    Attributes:
        app: The app.
        not_kept: How many results were not kept, by reason.
        ambiguous_lookups: How often digits alone were asked for that stand for several results.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If ``maxsize`` is below 1, or ``ttl`` is negative.

    Example:
        >>> from nexus import Nexus
        >>> from nexus_core import IntelligentCache
        >>> with Nexus(enable_durability=False) as app:
        ...     cache_system = IntelligentCache(app)
        ...     key = cache_system.generate_cache_key("data-processor", {"data": "test_dataset_1"})
        ...     print(key, cache_system.get_cached_result(key))
        ...     cache_system.cache_workflow_result(key, {"rows": 3}, {"execution_time": 2.5})
        ...     cache_system.get_cached_result(key)
        12bcad042f6b59ee None
        {'rows': 3}
    """

    def __init__(self, nexus_app: Any, *, maxsize: int = _MAXSIZE, ttl: float | None = _TTL) -> None:
        if nexus_app is None:
            raise TypeError("IntelligentCache needs the Nexus app whose results it keeps, got None")
        if isinstance(maxsize, bool) or not isinstance(maxsize, int):
            raise TypeError(f"maxsize must be an integer, got {maxsize!r}")
        if maxsize < 1:
            raise ValueError(f"maxsize must be at least 1, got {maxsize!r}")
        self.app = nexus_app
        name = f"intelligent-cache of {getattr(nexus_app, 'name', 'nexus')}"
        # A lookup is rare beside what it spares: every key is looked at.
        self._kept: Cache[bytes, _Entry] = Cache(maxsize, ttl, what_if=1.0, name=name)
        self._lock = threading.Lock()
        self._results: ResultCache | None = None
        self._seconds_saved = 0.0
        self._spoiled = 0
        self.not_kept: Counter[str] = Counter()
        self.ambiguous_lookups = 0

    # --- what the guide has ---------------------------------------------------------------

    @property
    def result_cache(self) -> Mapping[str, dict[str, Any]]:
        """The results by key, each with its ``metadata``, ``cached_at``, ``access_count`` and ``last_accessed``.

        Looking counts nothing, and what is handed out is a copy.
        """
        return _Results(self)

    @property
    def metadata_cache(self) -> Mapping[str, dict[str, Any]]:
        """What was given as metadata, by key."""
        return {entry.key: copy.deepcopy(entry.metadata) for entry in self._entries()}

    @property
    def performance_cache(self) -> Mapping[str, dict[str, Any]]:
        """By key: how long the result took to compute, its bytes, and how much time it has saved."""
        return {
            entry.key: {
                "execution_time": entry.seconds,
                "result_size": entry.snapshot.size,
                "access_count": entry.access_count,
                "time_saved": entry.seconds * entry.access_count,
            }
            for entry in self._entries()
        }

    @property
    def cache_stats(self) -> dict[str, int]:
        """``hits``, ``misses`` and ``evictions``; those of :attr:`results` included."""
        figures = self._kept.statistics()
        runs = self._runs()
        return {
            "hits": figures.hits - self._spoiled + runs["hits"],
            "misses": figures.misses + self._spoiled + runs["misses"],
            "evictions": figures.evicted + runs["evictions"],
        }

    def generate_cache_key(
        self, workflow_name: str, inputs: Any, parameters: Mapping[str, Any] | None = None
    ) -> CacheKey:
        """The key of a run.

        Of what can be written as JSON the digits are those that the guide's formula gives. The full
        key tells apart what they do not, and changes with the workflow's code, where the app
        has a workflow of that name.

        Args:
            workflow_name: The workflow's name.
            inputs: Its inputs.
            parameters: Its parameters; ``None`` is the same as none at all.

        Returns:
            16 hexadecimal digits, a ``str`` that carries the full key.

        Raises:
            NotKeyable: If something in them has no key: give it one with
                ``nexus_core.keys.register``, leave it out, or use a key of your own, which may
                be any string.
            TypeError: If the name is no string.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> cache_system = IntelligentCache(object())
            >>> cache_system.generate_cache_key("prices", {"day": 1}) == cache_system.generate_cache_key("prices", {"day": 2})
            False
        """
        if not isinstance(workflow_name, str):
            raise TypeError(f"workflow_name must be a string, got {workflow_name!r}")
        inside = {} if parameters is None else parameters
        try:
            code = self._code_of(workflow_name)
            full = digest(("guide", workflow_name, code, key_of(workflow_name, inputs, inside)))
        except NotKeyable as error:
            raise NotKeyable(
                error.path,
                error.type_name,
                f"{error.reason}; leave it out of the key, teach it with nexus_core.keys.register(), or use any "
                "string of your own as the key",
            ) from error
        try:
            digits = guide_cache_key(workflow_name, inputs, inside)
        except NotKeyable:
            digits = full.hex()[:_DIGITS]
        return CacheKey(digits, full)

    def should_cache_result(self, workflow_name: str, execution_time: float, result_size: float) -> dict[str, Any]:
        """Whether a result is worth keeping, by the guide's heuristics: over 2 s always, else under 10 MiB.

        Args:
            workflow_name: The workflow's name.
            execution_time: Seconds that it took.
            result_size: Bytes that its result takes.

        Returns:
            ``should_cache``, ``reason`` and ``cache_priority``.

        Raises:
            TypeError: If a figure is no number.
            ValueError: If one is negative or NaN.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> IntelligentCache(object()).should_cache_result("prices", 2.5, 100)
            {'should_cache': True, 'reason': 'Expensive computation', 'cache_priority': 'high'}
        """
        seconds = _figure("execution_time", execution_time)
        size = _figure("result_size", result_size)
        if seconds > _EXPENSIVE_SECONDS:
            return {"should_cache": True, "reason": "Expensive computation", "cache_priority": "high"}
        if size < _LARGE_BYTES:
            return {"should_cache": True, "reason": "Reasonable result size", "cache_priority": "medium"}
        reason = "Result too large or computation too fast"
        return {"should_cache": False, "reason": reason, "cache_priority": "low"}

    def cache_workflow_result(self, cache_key: str, result: Any, metadata: Mapping[str, Any] | None) -> None:
        """Keeps a result, as it is now.

        What cannot be copied is not kept, and counted in :attr:`not_kept`.

        Args:
            cache_key: What :meth:`generate_cache_key` returned, or any string.
            result: The result.
            metadata: What belongs to it. ``execution_time``, in seconds, is what a hit saves.

        Raises:
            TypeError: If the key is no string, or the metadata no mapping.
            ValueError: If ``execution_time`` is negative or NaN.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> cache_system = IntelligentCache(object())
            >>> cache_system.cache_workflow_result("a key", [1, 2], {"execution_time": 0.5})
            >>> cache_system.performance_cache["a key"]["execution_time"]
            0.5
        """
        key = _checked_key(cache_key)
        if metadata is not None and not isinstance(metadata, Mapping):
            raise TypeError(f"metadata must be a mapping or None, got {metadata!r}")
        about = dict(metadata or {})
        seconds = _figure("metadata['execution_time']", about.get("execution_time", 0.0))
        try:
            kept_about = copy.deepcopy(about)
        except Exception as error:
            raise TypeError(f"metadata must be something that can be copied: {error}") from error
        try:
            entry = _Entry(key, private_copy(result), kept_about, seconds)
        except Exception as error:
            if not _is_not_private(error):
                raise
            with self._lock:
                self.not_kept[str(error)] += 1
            _log.info("the result under %s is not kept: %s", key, error)
            return
        self._kept[_full(key)] = entry

    def get_cached_result(self, cache_key: str) -> Any:
        """The result that is kept under a key.

        Args:
            cache_key: What :meth:`generate_cache_key` returned, or the string that the result was
                kept under. Digits alone will do as long as one result has them.

        Returns:
            A copy of the result; ``None`` if there is none.

        Raises:
            TypeError: If the key is no string.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> IntelligentCache(object()).get_cached_result("nobody") is None
            True
        """
        full = self._found(_checked_key(cache_key))
        entry = self._kept.get(full)
        if entry is None:
            return None
        try:
            result = entry.snapshot.hand_out()
        except Exception as error:
            if not _is_not_private(error):
                raise
            # It was copied once; what its objects' own code does has changed since.
            self._kept.pop(full, None)
            with self._lock:
                self._spoiled += 1
                self.not_kept[str(error)] += 1
            return None
        with self._lock:
            entry.access_count += 1
            entry.last_accessed = time.time()
            self._seconds_saved += entry.seconds
        return result

    def get_cache_performance_stats(self) -> dict[str, Any]:
        """The figures as the guide has them, those of :attr:`results` included.

        Returns:
            ``cache_entries``, ``total_requests``, ``hit_rate_percent``, ``cache_stats`` and
            ``memory_efficiency``, which is ``"good"`` over 70 per cent.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> IntelligentCache(object()).get_cache_performance_stats()["memory_efficiency"]
            'needs_optimization'
        """
        counts = self.cache_stats
        requests = counts["hits"] + counts["misses"]
        percent = counts["hits"] / requests * 100 if requests else 0
        return {
            "cache_entries": len(self._kept) + self._runs()["entries"],
            "total_requests": requests,
            "hit_rate_percent": round(percent, 2),
            "cache_stats": counts,
            "memory_efficiency": "good" if percent > _GOOD_PERCENT else "needs_optimization",
        }

    def optimize_cache_configuration(self) -> dict[str, Any]:
        """What would make the cache do better, from what was measured.

        Each recommendation names the figures that it is made from: what half and twice the size would
        have found, what expired, what was evicted, what the results take and have saved.

        Returns:
            ``current_performance``, ``recommendations`` and ``suggested_cache_size``: by the
            measurements, or by the guide's formula where too little was asked for yet.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> IntelligentCache(object()).optimize_cache_configuration()["suggested_cache_size"]
            0.0
        """
        stats = self.get_cache_performance_stats()
        advice = [advise(figures) for figures in self._figures()]
        sizes = [size for _, size in advice if size is not None]
        return {
            "current_performance": stats["memory_efficiency"],
            "recommendations": [text for texts, _ in advice for text in texts],
            "suggested_cache_size": max(sizes) if sizes else guide_size(stats["cache_entries"]),
        }

    # --- beyond the guide -----------------------------------------------------------------

    @property
    def results(self) -> ResultCache:
        """The results of the app's own runs, by the guide's heuristics.

        ``nexus_core.attach(app, cache=IntelligentCache(app))`` fills it.
        """
        from nexus_core.cached_runs import ResultCache

        with self._lock:
            if self._results is None:
                name = f"runs of {getattr(self.app, 'name', 'nexus')}"
                store: Cache[bytes, Any] = Cache(self._kept.maxsize, self._kept.ttl, what_if=1.0, name=name)
                self._results = ResultCache(heuristics=True, store=store)
            return self._results

    def statistics(self) -> CacheStatistics:
        """What the cache counted and measured, without :attr:`results`.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> IntelligentCache(object()).statistics().maxsize
            1000
        """
        return self._kept.statistics()

    def what_if(self, sizes: Iterable[int] = (), *, factors: Iterable[float] = ()) -> WhatIf:
        """What other sizes would have done with what was asked lately, without :attr:`results`.

        Args:
            sizes: As for ``Cache.what_if``.
            factors: The same.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> IntelligentCache(object()).what_if().twice.maxsize
            2000
        """
        return self._kept.what_if(sizes, factors=factors)

    def invalidate(self, cache_key: str) -> bool:
        """Forgets the result under a key.

        Args:
            cache_key: As for :meth:`get_cached_result`.

        Returns:
            Whether there was one.

        Raises:
            TypeError: If the key is no string.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> IntelligentCache(object()).invalidate("nobody")
            False
        """
        return self._kept.invalidate(self._found(_checked_key(cache_key)))

    def clear(self) -> None:
        """Forgets all results, those of :attr:`results` included; the counts stay.

        Example:
            >>> from nexus_core import IntelligentCache
            >>> IntelligentCache(object()).clear()
        """
        self._kept.clear()
        if self._results is not None:
            self._results.clear()

    def __repr__(self) -> str:
        return f"<IntelligentCache of {getattr(self.app, 'name', self.app)!r}: {self._kept.currsize} of {self._kept.maxsize}>"

    # --- inside ---------------------------------------------------------------------------

    def _entries(self) -> list[_Entry]:
        return list(self._kept.values())

    def _code_of(self, workflow_name: str) -> bytes | None:
        workflows = getattr(self.app, "_workflows", None)
        workflow = workflows.get(workflow_name) if isinstance(workflows, Mapping) else None
        return workflow_digest(workflow) if is_workflow(workflow) else None

    def _found(self, key: str) -> bytes:
        """The full key; of digits alone, that of the only result that has them."""
        if isinstance(key, CacheKey):
            return key.digest
        candidates = [full for full, entry in self._kept.items() if entry.key == key]
        if len(candidates) > 1:
            with self._lock:
                self.ambiguous_lookups += 1
            return _NOTHING
        return candidates[0] if candidates else _full(key)

    def _runs(self) -> dict[str, int]:
        results = self._results
        if results is None:
            return {"hits": 0, "misses": 0, "evictions": 0, "entries": 0}
        figures = results.statistics()
        counts = figures["runs"]
        return {
            "hits": counts["hits"] + counts["waited"],
            "misses": counts["misses"],
            "evictions": figures["evicted"],
            "entries": figures["entries"],
        }

    def _figures(self) -> list[Figures]:
        entries = self._entries()
        with self._lock:
            by_hand = Figures(
                about="",
                statistics=self._kept.statistics(),
                what_if=self._kept.what_if(),
                sizes=[entry.snapshot.size for entry in entries],
                unused=sum(entry.access_count == 0 for entry in entries),
                seconds_saved=self._seconds_saved,
                not_kept=dict(self.not_kept),
                ambiguous=self.ambiguous_lookups,
            )
        results = self._results
        if results is None:
            return [by_hand]
        store: Cache[bytes, Any] = results.store
        runs = Figures(
            about="Runs: ",
            statistics=store.statistics(),
            what_if=store.what_if(),
            sizes=[kept.snapshot.size for kept in store.values()],
            not_kept=results.statistics()["runs"]["not_kept"],
        )
        return [by_hand, runs]


class _Results(Mapping[str, dict[str, Any]]):
    """The results as the guide's dict has them."""

    def __init__(self, owner: IntelligentCache) -> None:
        self._owner = owner

    def __getitem__(self, key: str) -> dict[str, Any]:
        if isinstance(key, str):
            full = self._owner._found(key)
            for each, entry in self._owner._kept.items():
                if each == full:
                    return {
                        "result": entry.snapshot.hand_out(),
                        "metadata": copy.deepcopy(entry.metadata),
                        "cached_at": entry.cached_at,
                        "access_count": entry.access_count,
                        "last_accessed": entry.last_accessed,
                    }
        raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter([entry.key for entry in self._owner._entries()])

    def __len__(self) -> int:
        return len(self._owner._kept)

    def __repr__(self) -> str:
        return repr(dict(self))


def private_copy(result: Any) -> Snapshot:
    """What is kept of a result; :meth:`Snapshot.hand_out` gives further copies.

    Args:
        result: The result.

    Raises:
        nexus_core.cached_runs.snapshots.NotPrivate: If it cannot be copied.
    """
    from nexus_core.cached_runs.snapshots import Snapshot

    return Snapshot(result)


def _is_not_private(error: Exception) -> bool:
    from nexus_core.cached_runs.snapshots import NotPrivate

    return isinstance(error, NotPrivate)


def _checked_key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"cache_key must be a string, as generate_cache_key() returns, got {key!r}")
    return key


def _full(key: str) -> bytes:
    return key.digest if isinstance(key, CacheKey) else digest(("plain", str(key)))


def _figure(name: str, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise TypeError(f"{name} must be a number, got {given!r}")
    if math.isnan(given) or given < 0:
        raise ValueError(f"{name} must be at least 0, got {given!r}")
    return float(given)
