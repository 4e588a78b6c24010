"""Where an app's workflows find its pools: the resource registries of its gateway and its runtime."""

from __future__ import annotations

import logging
from typing import Any

__all__ = ["PLUGIN_NAME", "AppResources"]

PLUGIN_NAME = "nexus-core-resource-pools"

_ATTACHED = "nexus-core"

_log = logging.getLogger("nexus_core.resource_pools")


async def _stays(resource: object) -> None:
    """A registry that cleans up does not close what is not its own."""


class AppResources:
    """The pools of one app, in every registry that its workflows look into.

    Args:
        app: The app.
    """

    def __init__(self, app: Any) -> None:
        from kailash.resources import ResourceRegistry

        gateway = getattr(getattr(app, "_http_transport", None), "gateway", None)
        own = getattr(gateway, "resource_registry", None)
        self._own = own if own is not None else ResourceRegistry()
        self._registries = [self._own]
        self._factories: dict[str, Any] = {}
        self._runtimes: list[Any] = []
        attached = app._plugins.get(_ATTACHED)
        if attached is not None:
            self.follow(attached.runtime)

    @property
    def reaches_workflows(self) -> bool:
        """Whether a runtime looks into one of its registries."""
        return any(runtime.resource_registry in self._registries for runtime in self._runtimes)

    def follow(self, runtime: Any) -> None:
        """Makes the pools visible to what runs on a runtime, too.

        Args:
            runtime: An ``AsyncLocalRuntime``; one without a registry gets the app's.
        """
        if runtime.resource_registry is None:
            runtime.resource_registry = self._own
        elif runtime.resource_registry not in self._registries:
            registry = runtime.resource_registry
            taken = [name for name in self._factories if registry.has_factory(name)]
            if taken:
                _log.warning("the runtime has other resources under the names of these pools: %s", ", ".join(taken))
            self._registries.append(registry)
            for name, factory in self._factories.items():
                if name not in taken:
                    registry.register_factory(name, factory, cleanup_handler=_stays)
        if not any(runtime is other for other in self._runtimes):
            self._runtimes.append(runtime)

    def has(self, name: str) -> bool:
        """Whether a registry has a resource of that name."""
        return any(registry.has_factory(name) for registry in self._registries)

    def add(self, name: str, pool: Any) -> None:
        """Makes a pool visible under a name that is free."""
        from nexus_core.resources import PooledResourceFactory

        factory = self._factories[name] = PooledResourceFactory(pool)
        for registry in self._registries:
            registry.register_factory(name, factory, cleanup_handler=_stays)

    def remove_all(self) -> None:
        """Takes every pool out of every registry, and the app's registry from the runtimes."""
        for registry in self._registries:
            for name, factory in self._factories.items():
                if registry._factories.get(name) is factory:
                    _forget(registry, name)
        self._factories.clear()
        for runtime in self._runtimes:
            if runtime.resource_registry is self._own:
                runtime.resource_registry = None
        self._runtimes.clear()


def _forget(registry: Any, name: str) -> None:
    """What a registry has no function for."""
    for attribute in (
        "_factories",
        "_resources",
        "_locks",
        "_health_checks",
        "_cleanup_handlers",
        "_resource_metadata",
        "_circuit_breakers",
        "_weak_refs",
    ):
        getattr(registry, attribute, {}).pop(name, None)
