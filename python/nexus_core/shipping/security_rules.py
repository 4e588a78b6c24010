"""What Kailash lets nodes do in this process, for others in which they are to do no more than that."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["SecurityRules", "current"]


@dataclass(frozen=True, slots=True)
class SecurityRules:
    """What held in a process at one time.

    Attributes:
        kind: The class of its ``SecurityConfig``.
        attributes: Those of that configuration.
        modules: Those that code may import; ``None`` if it had nothing that runs code.
    """

    kind: type
    attributes: dict[str, Any]
    modules: frozenset[str] | None

    def __reduce__(self) -> tuple[Any, ...]:
        # Equal ones are equal bytes.
        return _again, (self.kind, self.attributes, None if self.modules is None else sorted(self.modules))

    def apply(self) -> None:
        """Has them hold in the calling process."""
        from kailash import security
        from kailash.nodes.code import python as code_module

        security.set_security_config(self._config())
        if self.modules is not None:
            allowed = code_module.ALLOWED_MODULES
            allowed.intersection_update(self.modules)
            allowed.update(self.modules)

    def apply_to(self, nodes: Iterable[Any]) -> None:
        """Gives nodes with code what they were made with where the rules are from.

        Args:
            nodes: Nodes that were made here.
        """
        from kailash.nodes.code.python import CodeExecutor

        config = self._config()
        for node in nodes:
            executor = vars(node).get("executor")
            if type(executor) is CodeExecutor:
                executor.security_config = config
                if self.modules is not None:
                    executor.allowed_modules = set(self.modules)

    def _config(self) -> Any:
        config: Any = object.__new__(self.kind)
        vars(config).update(_copied(self.attributes))
        return config


def current() -> SecurityRules | None:
    """What holds in the calling process; ``None`` if nobody has imported Kailash.

    Example:
        >>> import kailash.nodes.code
        >>> "math" in current().modules
        True
    """
    security = sys.modules.get("kailash.security")
    if security is None:
        return None
    config = security.get_security_config()
    modules = getattr(sys.modules.get("kailash.nodes.code.python"), "ALLOWED_MODULES", None)
    return SecurityRules(type(config), _copied(vars(config)), None if modules is None else frozenset(modules))


def _again(kind: type, attributes: dict[str, Any], modules: list[str] | None) -> SecurityRules:
    return SecurityRules(kind, attributes, None if modules is None else frozenset(modules))


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes whose lists nobody else changes."""
    return {name: list(value) if type(value) is list else value for name, value in attributes.items()}
