"""OpenTelemetry: what is told about runs when a tracer provider is set."""

from __future__ import annotations

from typing import Any

import pytest

trace = pytest.importorskip("opentelemetry.trace")

from .cases import chain  # noqa: E402 - what follows needs OpenTelemetry
from .table import OURS  # noqa: E402


class _Provider(trace.TracerProvider):  # type: ignore[misc]
    """A provider that is not OpenTelemetry's stand-in for a missing one."""

    def get_tracer(self, *args: Any, **kwargs: Any) -> Any:
        return trace.NoOpTracer()


@pytest.mark.parametrize(("kind", "native"), [("LocalRuntime", False), ("AsyncLocalRuntime", True)])
def test_a_run_is_delegated_only_where_kailash_makes_spans(
    kind: str, native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with OURS[kind](enable_monitoring=False) as runtime:
        assert runtime.explain(chain()).native
        monkeypatch.setattr(trace, "_TRACER_PROVIDER", _Provider())
        assert runtime.explain(chain()).native is native
