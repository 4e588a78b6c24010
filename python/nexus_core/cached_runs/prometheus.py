"""Caches of results in ``/metrics``: one collector on prometheus_client's default registry for all of them."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nexus_core.cached_runs.result_cache import ResultCache

__all__ = ["hide", "show"]

_lock = threading.Lock()
#: By the cache's address, with how many apps show it.
_shown: dict[int, tuple[ResultCache, int]] = {}
_collector: Any = None


def show(cache: ResultCache) -> bool:
    """Has a cache appear, if prometheus_client is installed; for as many apps as call this.

    Args:
        cache: The cache.

    Returns:
        Whether it does.
    """
    global _collector
    try:
        from prometheus_client import REGISTRY
    except ImportError:
        return False
    with _lock:
        _, apps = _shown.get(id(cache), (cache, 0))
        _shown[id(cache)] = (cache, apps + 1)
        if _collector is None:
            _collector = _Collector()
            REGISTRY.register(_collector)
    return True


def hide(cache: ResultCache) -> None:
    """Has it disappear with the last app that shows it, and the collector with the last cache.

    Args:
        cache: The cache.
    """
    global _collector
    with _lock:
        shown, apps = _shown.pop(id(cache), (cache, 0))
        if apps > 1:
            _shown[id(cache)] = (shown, apps - 1)
        if _shown or _collector is None:
            return
        collector, _collector = _collector, None
    from prometheus_client import REGISTRY

    REGISTRY.unregister(collector)


class _Collector:
    """Reads the figures when they are asked for."""

    def describe(self) -> list[Any]:
        """Nothing in advance: asked for names, the registry would collect."""
        return []

    def collect(self) -> Iterator[Any]:
        """The figures of every cache, by its name: those of one name together."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        with _lock:
            caches = [cache for cache, _ in _shown.values()]
        figures: dict[str, Counter[Any]] = {}
        for cache in caches:
            figures.setdefault(cache.name, Counter()).update(_figures(cache.statistics()))
        prefix = "nexus_core_result_cache"
        answered = CounterMetricFamily(
            f"{prefix}_answers", "Runs and nodes by how the cache answered them", labels=["cache", "of", "answer"]
        )
        entries = GaugeMetricFamily(f"{prefix}_entries", "Results that are kept", labels=["cache"])
        size = GaugeMetricFamily(f"{prefix}_bytes", "What they take in memory, about", labels=["cache"])
        removed = CounterMetricFamily(f"{prefix}_removed", "Results that were kept", labels=["cache", "cause"])
        for name, counts in figures.items():
            entries.add_metric([name], counts["entries"])
            size.add_metric([name], counts["bytes"])
            for cause in ("evicted", "expired"):
                removed.add_metric([name, cause], counts[cause])
            for of in ("runs", "nodes"):
                for answer in _ANSWERS:
                    answered.add_metric([name, of, answer], counts[of, answer])
        yield from (answered, entries, size, removed)


_ANSWERS = ("hit", "miss", "waited", "refresh", "bypass")
_COUNTED_AS = {"hits": "hit", "misses": "miss", "waited": "waited", "refreshed": "refresh"}


def _figures(statistics: dict[str, Any]) -> dict[Any, int]:
    counts: dict[Any, int] = {name: statistics[name] for name in ("entries", "bytes", "evicted", "expired")}
    for of in ("runs", "nodes"):
        for counted, answer in _COUNTED_AS.items():
            counts[of, answer] = statistics[of][counted]
        counts[of, "bypass"] = sum(statistics[of]["bypassed"].values())
    return counts
