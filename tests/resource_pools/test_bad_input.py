"""What makes no sense is refused, with the pool's name and the numbers, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nexus_core.errors import NexusCoreError
from nexus_core.resource_pool_manager import ResourcePoolManager


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("",), ValueError, "a pool needs a name, got ''"),
        (("nul\0",), ValueError, "a pool's name must have no null character"),
        ((7,), TypeError, "a pool's name must be a string, got 7"),
        (("db", -1, 5), ValueError, "pool 'db': pool_size must be at least 0, got -1"),
        (("db", 0, 0), ValueError, "pool 'db': max_connections must be at least 1, got 0"),
        (("db", 6, 5), ValueError, "pool 'db': pool_size 6 is more than max_connections 5"),
        (("db", "6", 5), TypeError, "pool 'db': pool_size must be a whole number, got '6'"),
        (("db", 1.5, 5), TypeError, "pool 'db': pool_size must be a whole number, got 1.5"),
        (("db", True, 5), TypeError, "pool 'db': pool_size must be a whole number, got True"),
    ],
)
def test_a_senseless_connection_pool(
    manager: ResourcePoolManager, arguments: tuple[Any, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        manager.create_connection_pool(*arguments)
    assert manager.connection_pools == {}
    assert not manager.data_path.exists()


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("nul\0",), ValueError, "a pool's name must have no null character"),
        (("work", 0, 5), ValueError, "pool 'work': thread_count must be at least 1, got 0"),
        (("work", 2, 0), ValueError, "pool 'work': max_queue_size must be at least 1, got 0"),
        (("work", None, 5), TypeError, "pool 'work': thread_count must be a whole number, got None"),
    ],
)
def test_a_senseless_thread_pool(
    manager: ResourcePoolManager, arguments: tuple[Any, ...], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        manager.create_thread_pool(*arguments)
    assert manager.thread_pools == {}


@pytest.mark.parametrize("option", ["name", "min_size", "max_size"])
def test_options_that_are_arguments_under_another_name(manager: ResourcePoolManager, option: str) -> None:
    with pytest.raises(TypeError, match=f"pool 'db': {option} is given by"):
        manager.create_connection_pool("db", 1, 2, **{option: 1})
    with pytest.raises(TypeError, match="name is given by"):
        manager.create_thread_pool("work", 1, 2, name="other")


def test_unknown_options(manager: ResourcePoolManager) -> None:
    with pytest.raises(TypeError, match="max_idleness"):
        manager.create_connection_pool("db", 1, 2, max_idleness=3)
    with pytest.raises(TypeError, match="when_ful"):
        manager.create_thread_pool("work", 1, 2, when_ful="block")
    assert (manager.connection_pools, manager.thread_pools) == ({}, {})
    # The names are free still.
    manager.create_connection_pool("db", 1, 2)
    manager.create_thread_pool("work", 1, 2)


def test_a_name_that_is_taken(manager: ResourcePoolManager) -> None:
    manager.create_connection_pool("shared", 1, 2)
    before = manager.connection_pools["shared"]
    for create in (manager.create_connection_pool, manager.create_thread_pool):
        with pytest.raises(ValueError, match=r"there is a connection pool 'shared' already.*size=1, max_size=2"):
            create("shared")
    assert manager.connection_pools == {"shared": before}
    manager.create_thread_pool("work", 3, 5)
    with pytest.raises(ValueError, match=r"there is a thread pool 'work' already.*thread_count=3"):
        manager.create_connection_pool("work")


def test_no_app(make_app: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"not a Nexus app: builtins.object"):
        ResourcePoolManager(object())
    app = make_app()
    app.close()
    with pytest.raises(NexusCoreError, match="the app is closed"):
        ResourcePoolManager(app)


def test_an_app_with_a_manager(app: Any, manager: ResourcePoolManager) -> None:
    with pytest.raises(NexusCoreError, match="has a ResourcePoolManager already"):
        ResourcePoolManager(app)
    manager.create_connection_pool("still", 1, 2)
