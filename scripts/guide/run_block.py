"""Runs one mended block, in a process of its own, and writes down what its calls returned.

python run_block.py BLOCK.py RECORD.json CLASS…
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from promises import keys_of_value

#: Classes that the guide makes inside of methods, and what stands for each.
INNER = {
    "ConnectionPool": ("nexus_core.resource_pools", "ManagedConnectionPool"),
    "ThreadPool": ("nexus_core.resource_pools", "ManagedThreadPool"),
    "PerformanceTest": ("nexus_core.best_practices", "PerformanceTest"),
}


def classes(names: list[str]) -> dict[str, type]:
    """The package's classes, by the guide's names."""
    import importlib

    import nexus_core

    found = {}
    for name in names:
        if name in INNER:
            module, own = INNER[name]
            found[name] = getattr(importlib.import_module(module), own)
        else:
            found[name] = getattr(nexus_core, name)
    return found


class Recorder:
    """Watches the public methods of classes."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Any]] = {}
        self.seconds: dict[str, list[float]] = {}
        self.statuses: dict[str, dict[str, int]] = {}
        self.instances: dict[str, Any] = {}
        self.signatures: dict[str, list[list[Any]]] = {}

    def watch(self, title: str, cls: type) -> None:
        self._watch_init(title, cls)
        for name in dir(cls):
            if name.startswith("_"):
                continue
            raw = inspect.getattr_static(cls, name)
            function = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
            if not inspect.isfunction(function):
                continue
            self.signatures[f"{title}.{name}"] = [
                [p.name, None if p.default is p.empty else repr(p.default), p.kind.name]
                for p in inspect.signature(function).parameters.values()
                if p.name != "self"
            ]
            kind = type(raw) if isinstance(raw, (staticmethod, classmethod)) else (lambda given: given)
            setattr(cls, name, kind(self._watched(f"{title}.{name}", function)))

    def _watch_init(self, title: str, cls: type) -> None:
        init = cls.__init__  # type: ignore[misc]

        @functools.wraps(init)
        def watched(instance: Any, *arguments: Any, **options: Any) -> None:
            init(instance, *arguments, **options)
            self.instances[title] = instance

        cls.__init__ = watched  # type: ignore[misc]

    def _watched(self, title: str, function: Any) -> Any:
        def note(began: float, reply: Any) -> Any:
            self.seconds.setdefault(title, []).append(time.perf_counter() - began)
            self.replies.setdefault(title, []).append(keys_of_value(reply))
            for each in reply.get("results", ()) if isinstance(reply, dict) else ():
                if isinstance(each, dict) and "status" in each:
                    counts = self.statuses.setdefault(title, {})
                    said = str(each["status"]) + (f" ({each['error']})" if each.get("error") else "")
                    counts[said] = counts.get(said, 0) + 1
            return reply

        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*arguments: Any, **options: Any) -> Any:
                began = time.perf_counter()
                return note(began, await function(*arguments, **options))

            return awaited

        @functools.wraps(function)
        def called(*arguments: Any, **options: Any) -> Any:
            began = time.perf_counter()
            return note(began, function(*arguments, **options))

        return called

    def record(self) -> dict[str, Any]:
        attributes = {
            title: sorted(name for name in dir(instance) if not name.startswith("_"))
            for title, instance in self.instances.items()
        }
        return {
            "replies": self.replies, "seconds": self.seconds, "signatures": self.signatures, "attributes": attributes,
            "statuses": self.statuses,
        }  # fmt: skip


def main() -> None:
    block, to, *names = sys.argv[1:]
    logging.basicConfig(level=logging.WARNING)
    logging.getLogger("nexus_core.load_testing").setLevel(logging.INFO)
    recorder = Recorder()
    for title, cls in classes(names).items():
        recorder.watch(title, cls)
    namespace: dict[str, Any] = {"__name__": "__main__", "__file__": block}
    try:
        exec(compile(Path(block).read_text(encoding="utf-8"), block, "exec"), namespace)
    finally:
        Path(to).write_text(json.dumps(recorder.record()), encoding="utf-8")
        app = namespace.get("app")
        if app is not None:
            app.close()


if __name__ == "__main__":
    main()
