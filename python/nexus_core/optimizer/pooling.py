"""Pools of connections and threads as resources of an app's workflows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from nexus_core.optimizer.changes import Change, Refused, Target, no_change
from nexus_core.resource_pools.app_resources import PLUGIN_NAME

__all__ = ["asks_for_resources", "is_offered", "offer", "pools_of", "withhold"]

#: By managers that were made for what was optimized, how many changes want them.
_users: WeakKeyDictionary[Any, int] = WeakKeyDictionary()
_changing = threading.RLock()


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


def is_offered(target: Target) -> bool:
    """Whether what runs on the app's runtime finds the pools.

    Args:
        target: A workflow of the app.
    """
    membership = target.app._plugins.get(PLUGIN_NAME)
    return membership is not None and bool(membership.resources.reaches_workflows)


def offer(target: Target) -> Change:
    """Has the workflow's nodes find the app's pools, with a manager that is made where there is none.

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
    if manager is not None and manager not in _users:
        names = ", ".join(map(repr, [*manager.connection_pools, *manager.thread_pools])) or "none yet"
        return no_change(f"{', '.join(asking)} find the app's pools already ({names})")
    return Change(
        f"the app has a ResourcePoolManager, whose pools {', '.join(asking)} will find: "
        "optimizer.pools.create_connection_pool('name', ...) makes one",
        lambda: _use(target.app),
    )


def withhold(target: Target) -> Change:
    """Has the app's pools stay where they are.

    Args:
        target: The workflow.

    Raises:
        Refused: Always: who made their manager closes it.
    """
    raise Refused("the app's ResourcePoolManager was made by somebody else; its close() takes its pools away")


def _use(app: Any) -> Callable[[], None]:
    from nexus_core.resource_pool_manager import ResourcePoolManager

    def leave() -> None:
        with _changing:
            _users[manager] -= 1
            if _users[manager]:
                return
            del _users[manager]
        manager.close()

    with _changing:
        manager = pools_of(app)
        if manager is None or manager not in _users:
            manager = ResourcePoolManager(app)
        _users[manager] = _users.get(manager, 0) + 1
    return leave
