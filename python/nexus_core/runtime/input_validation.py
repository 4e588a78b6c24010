"""What ``Node.validate_inputs`` compares a node's inputs with, read once."""

from __future__ import annotations

import logging
from typing import Any

from nexus_core.runtime import stock

__all__ = ["VALIDATION_METHODS", "is_validated_by_stock", "validation_program"]

_logger = logging.getLogger("kailash.nodes.base")

#: What stock's validation consists of.
VALIDATION_METHODS = (
    "validate_inputs", "_get_cached_parameters", "_get_cache_key", "_apply_cached_mapping", "_extract_mapping_pattern",
    "_safe_compare", "_resolve_parameters", "_validate_resolved_parameters", "_suggest_parameter_mapping",
)  # fmt: skip


def is_validated_by_stock(node: Any) -> bool:
    """Whether nothing of stock's validation is replaced in a node's class."""
    kind = type(node)
    return all(getattr(kind, name, None) is getattr(stock.Node, name, None) for name in VALIDATION_METHODS)


def validation_program(node: Any, parameters: dict[str, Any]) -> dict[str, Any] | None:
    """A description of a node's validation, or ``None`` if its own method has to validate.

    Args:
        node: A node that is validated by stock.
        parameters: What its ``get_parameters`` returns.
    """
    if type(parameters) is not dict:
        return None
    declared: list[tuple[str, Any, bool, Any, list[str], bool]] = []
    for name, parameter in parameters.items():
        if type(name) is not str or type(parameter) is not stock.NodeParameter:
            return None
        if not (parameter.type is Any or isinstance(parameter.type, type)):
            return None
        declared.append(
            (
                name,
                None if parameter.type is Any else parameter.type,
                parameter.required,
                parameter.default,
                [*([parameter.workflow_alias] if parameter.workflow_alias else []), *parameter.auto_map_from],
                parameter.auto_map_primary,
            )
        )
    special = [name for name in node._SPECIAL_PARAMS if type(name) is str]
    if len(special) != len(node._SPECIAL_PARAMS):
        return None
    return {
        "declared": declared,
        "special": special,
        "warn_unknown": _UnknownWarning(node, parameters),
        # Who remembers nothing does not look at names: that one of them is ``self`` is for the node's own method.
        "is_strict": bool(node._strict_unknown_params or not node._cache_enabled),
        "remembers": bool(node._cache_enabled),
    }


class _UnknownWarning:
    """Logs the warning of ``Node.validate_inputs`` about inputs that no parameter takes."""

    def __init__(self, node: Any, parameters: dict[str, Any]) -> None:
        self._node = node
        self._declared = list(parameters)
        self._texts: dict[frozenset[str], str] = {}

    def __call__(self, names: list[str]) -> None:
        # In the order that stock's own set has.
        unknown = set(names)
        key = frozenset(unknown)
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = self._text(unknown)
        _logger.warning("[NODE] %s", text)

    def _text(self, unknown: set[str]) -> str:
        text = (
            f"Unknown parameter(s) for {type(self._node).__name__}: {sorted(unknown)}. "
            f"Valid parameters: {sorted(self._declared)}."
        )
        hints = []
        for name in unknown:
            close = self._node._suggest_parameter_mapping(name, self._declared)
            if close:
                hints.append(f"  '{name}' -> did you mean {close}?")
        if hints:
            text += " Suggestions:\n" + "\n".join(hints)
        return text
