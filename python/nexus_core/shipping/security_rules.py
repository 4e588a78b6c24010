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
        builtins: Those that code may use; the same.
    """

    kind: type
    attributes: dict[str, Any]
    modules: frozenset[str] | None
    builtins: frozenset[str] | None

    def __reduce__(self) -> tuple[Any, ...]:
        # Equal ones are equal bytes.
        return _again, (self.kind, self.attributes, _listed(self.modules), _listed(self.builtins))

    def apply(self) -> None:
        """Has them hold in the calling process."""
        from kailash import security
        from kailash.nodes.code import python as code_module

        security.set_security_config(self._config())
        for allowed, names in (
            (code_module.ALLOWED_MODULES, self.modules),
            (code_module.ALLOWED_BUILTINS, self.builtins),
        ):
            if names is not None:
                allowed.intersection_update(names)
                allowed.update(names)

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
                # Theirs alone: what may be used here later on is another matter.
                if self.modules is not None:
                    executor.allowed_modules = set(self.modules)
                if self.builtins is not None:
                    executor.allowed_builtins = set(self.builtins)

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
    code_module = sys.modules.get("kailash.nodes.code.python")
    return SecurityRules(
        type(config),
        _copied(vars(config)),
        _names(getattr(code_module, "ALLOWED_MODULES", None)),
        _names(getattr(code_module, "ALLOWED_BUILTINS", None)),
    )


def _names(held: Iterable[str] | None) -> frozenset[str] | None:
    return None if held is None else frozenset(held)


def _listed(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _again(
    kind: type, attributes: dict[str, Any], modules: list[str] | None, builtins: list[str] | None
) -> SecurityRules:
    return SecurityRules(kind, attributes, _names(modules), _names(builtins))


def _copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Attributes whose lists nobody else changes."""
    return {name: list(value) if type(value) is list else value for name, value in attributes.items()}
