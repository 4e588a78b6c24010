"""Which runs are left to Kailash's own runtime, and why."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from kailash.runtime.trust.context import TrustVerificationMode, get_runtime_trust_context

from nexus_core._core import MethodWatch
from nexus_core.runtime import stock
from nexus_core.runtime.known_sources import LOCAL_RUNTIME, reasons_not_known

__all__ = [
    "MethodGuard",
    "metrics_are_read",
    "notes_on_delegation",
    "reasons_to_delegate",
    "stands_in",
    "watch_of_methods",
]


#: Classes of runtimes that are remembered.
_MOST_CLASSES = 64


class MethodGuard:
    """Methods of stock that the native engine stands in for.

    A subclass or a test that replaces one expects it to be called.

    Args:
        stock_class: Kailash's runtime.
        names: The methods; those that it does not have are left out.
        still_called: Those of them that the engine calls wherever stock does.
    """

    def __init__(self, stock_class: type, names: tuple[str, ...], still_called: frozenset[str] = frozenset()) -> None:
        self._originals = {name: getattr(stock_class, name) for name in names if hasattr(stock_class, name)}
        self._still_called = still_called
        self._refresh()

    def _refresh(self) -> None:
        self._methods_of = attrgetter(*self._originals)
        self._expected = tuple(self._originals.values())
        #: By class; a class that is made and dropped again and again is not kept for ever.
        self._watches: dict[type, MethodWatch] = {}

    def stands_in(self, method: Any) -> None:
        """Makes a method of the native runtime the one that a subclass may replace.

        Args:
            method: Of the native runtime; stock's has the same name.
        """
        self._originals[method.__name__] = method
        self._refresh()

    def watch_of(self, runtime: Any) -> MethodWatch | None:
        """What notices that methods of a runtime are replaced, once :meth:`replaced` has found none.

        Args:
            runtime: The runtime.
        """
        return self._watches.get(type(runtime))

    def replaced(self, runtime: Any) -> tuple[str, ...]:
        """The names of those that are not stock's on this runtime."""
        # Asked for every run: a patched class looks like any other until then.
        kind, own = type(runtime), vars(runtime)
        watch = self._watches.get(kind)
        if watch is not None and watch.is_untouched(runtime, own):
            return ()
        methods = self._methods_of(kind)
        if methods == self._expected and self._originals.keys().isdisjoint(own):
            if len(self._watches) >= _MOST_CLASSES:
                self._watches.clear()
            self._watches[kind] = MethodWatch(kind, list(self._originals))
            return ()
        return tuple(
            name
            for (name, original), method in zip(self._originals.items(), methods, strict=True)
            if name in own or (method is not original and name not in self._still_called)
        )


_methods = MethodGuard(
    stock.StockLocalRuntime,
    (
        "_execute_workflow_async",
        "_execute_single_node",
        "_prepare_node_inputs",
        "_should_skip_conditional_node",
        "_should_stop_on_error",
        "_process_workflow_parameters",
        "_validate_connection_contracts",
        "_flush_deferred_storage_sqlite",
        "_get_effective_trust_context",
    ),
    # The others are called by the engine at most where inputs are out of the ordinary.
    still_called=frozenset({"_should_stop_on_error"}),
)
stands_in = _methods.stands_in
_replaced_methods = _methods.replaced
watch_of_methods = _methods.watch_of


#: Why every run is left to a Kailash that the engine does not recognise.
_NOT_KNOWN = reasons_not_known(LOCAL_RUNTIME)


def metrics_are_read(bridge: Any) -> bool:
    """Whether what Kailash's metrics bridge records reaches anybody.

    Until somebody sets a provider, OpenTelemetry's instruments stand in for real ones and
    record nothing.

    Args:
        bridge: What ``kailash.runtime.metrics.get_metrics_bridge`` returns.
    """
    counter = bridge._workflow_counter
    return getattr(counter, "_real_instrument", counter) is not None


def _is_ordinary(runtime: Any, workflow: Any, parameters: Any) -> bool:
    """The usual case in one look: nothing that Kailash would have to do."""
    return (
        type(workflow) is stock.Workflow
        and (parameters is None or type(parameters) is dict)
        and not (runtime.enable_security or runtime.enable_audit or runtime.enable_resource_limits)
        and runtime._audit_generator is None
        and runtime._trust_verification_mode is TrustVerificationMode.DISABLED
        and runtime._trust_context is None
        and get_runtime_trust_context() is None
        and not _replaced_methods(runtime)
    )


def reasons_to_delegate(
    runtime: Any,
    workflow: Any,
    parameters: Any = None,
) -> tuple[str, ...]:
    """Why Kailash has to run this; empty if the native engine may.

    Args:
        runtime: The runtime.
        workflow: What is to run.
        parameters: The run's parameters.

    Returns:
        Reasons, one sentence each.
    """
    if not _NOT_KNOWN and _is_ordinary(runtime, workflow, parameters):
        return ()
    reasons = list(_NOT_KNOWN)
    if type(workflow) is not stock.Workflow:
        reasons.append("it is not a built Workflow")
    if parameters is not None and type(parameters) is not dict:
        reasons.append("its parameters are not a dict")
    features = (
        (runtime.enable_security and runtime.user_context, "access control is Kailash's"),
        (runtime.enable_audit, "audit logging is Kailash's"),
        (runtime.enable_resource_limits, "resource limits are enforced by Kailash"),
        (runtime._audit_generator is not None, "its audit generator is Kailash's"),
        (
            runtime._trust_verification_mode != TrustVerificationMode.DISABLED
            or runtime._trust_context is not None
            or get_runtime_trust_context() is not None,
            "trust verification is Kailash's",
        ),
    )
    reasons.extend(reason for applies, reason in features if applies)
    reasons.extend(f"{name} is replaced" for name in _replaced_methods(runtime))
    return tuple(dict.fromkeys(reasons))


def notes_on_delegation(runtime: Any) -> tuple[str, ...]:
    """What a user who asked for it does not get in a delegated run of ``LocalRuntime``.

    Args:
        runtime: The runtime.

    Returns:
        Notes, one sentence each.
    """
    lost = ["delegated: no node has a native program"]
    if runtime.max_concurrency != 1:
        lost.append("delegated: nodes run one after the other, whatever max_concurrency is")
    if runtime.enable_monitoring:
        lost.append("delegated: run history is written before execute returns")
    return tuple(lost)
