"""Pools of connections and threads as resources of an app's workflows."""

from __future__ import annotations

from typing import Any

from nexus_core._app_workflows import attached_runtime
from nexus_core.errors import NexusCoreError
from nexus_core.optimizer.changes import Change, Refused, Target, no_change
from nexus_core.resource_pools.app_resources import PLUGIN_NAME

__all__ = ["PoolUse", "asks_for_resources", "pools_of"]


def pools_of(app: Any) -> Any:
    """The app's ``ResourcePoolManager``, or ``None``.

    Args:
        app: The app.
    """
    membership = app._plugins.get(PLUGIN_NAME)
    return None if membership is None else membership._manager


def asks_for_resources(target: Target) -> list[str]:
    """The nodes of a workflow whose code asks for a resource.

    Args:
        target: The workflow.
    """
    from nexus_core.best_practices.workflow_facts import facts_of

    nodes = facts_of(target.name, target.workflow).nodes.values()
    return [node.name for node in nodes if any(call.split(".")[-1] == "get_resource" for call in node.calls)]


class PoolUse:
    """The app's pools, with a manager that is made where there is none."""

    def __init__(self) -> None:
        self._users = 0
        self._made: Any = None

    def is_on(self, app: Any) -> bool:
        """Whether what runs on the app's runtime finds the pools.

        Args:
            app: The app.
        """
        runtime, membership = attached_runtime(app), app._plugins.get(PLUGIN_NAME)
        return membership is not None and runtime is not None and membership.resources.reaches_workflows

    def offer(self, target: Target) -> Change:
        """Has the workflow's nodes find the app's pools.

        Args:
            target: The workflow.

        Raises:
            Refused: If none of its nodes asks for a resource.
        """
        asking = asks_for_resources(target)
        if not asking:
            raise Refused(
                "none of its nodes asks for a resource: await get_resource('name') in an AsyncPythonCodeNode gives "
                "a pool of the app's ResourcePoolManager"
            )
        manager = pools_of(target.app)
        if manager is not None and manager is not self._made:
            names = ", ".join(map(repr, [*manager.connection_pools, *manager.thread_pools])) or "none yet"
            return no_change(f"{', '.join(asking)} find the app's pools already ({names})")
        return Change(
            f"the app has a ResourcePoolManager, whose pools {', '.join(asking)} will find: "
            "optimizer.pools.create_connection_pool('name', ...) makes one",
            lambda: self._begin(target.app),
            lambda: self._end(),
        )

    def withhold(self, target: Target) -> Change:
        """Has the pools of a manager that is not ours stay.

        Args:
            target: The workflow.

        Raises:
            Refused: Always: who made it closes it.
        """
        raise Refused("the app's ResourcePoolManager was made by somebody else; its close() takes its pools away")

    def _begin(self, app: Any) -> None:
        from nexus_core.resource_pool_manager import ResourcePoolManager

        self._users += 1
        if self._made is None or self._made.closed:
            try:
                self._made = ResourcePoolManager(app)
            except NexusCoreError:
                self._users -= 1
                raise

    def _end(self) -> None:
        self._users -= 1
        if not self._users and self._made is not None:
            made, self._made = self._made, None
            made.close()
