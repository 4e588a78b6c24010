"""Apps and workflows of this process."""

from __future__ import annotations

from typing import Any

from kailash.channels import ChannelConfig, ChannelType, CLIChannel
from kailash.workflow.builder import WorkflowBuilder
from kailash.workflow.graph import Workflow
from nexus import Nexus

from nexus_core.runtime import AsyncLocalRuntime


class CountingRuntime(AsyncLocalRuntime):
    """Ours; it counts the calls of what channels call."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.calls = 0

    async def execute_workflow_async(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        return await super().execute_workflow_async(*args, **kwargs)


def make_app(**options: Any) -> Nexus:
    """An app that listens nowhere."""
    return Nexus(enable_auth=False, rate_limit=None, enable_durability=False, **options)


def one_node(code: str = "result = 1") -> Workflow:
    """A workflow of one code node."""
    builder = WorkflowBuilder()
    builder.add_node("PythonCodeNode", "node", {"code": code})
    return builder.build()


def gateway(app: Nexus) -> Any:
    """The app's gateway."""
    return app._http_transport.gateway


def api(app: Nexus, name: str) -> Any:
    """What serves a workflow over HTTP."""
    return gateway(app)._workflow_apis[name]


def routes(app: Nexus, name: str) -> list[tuple[str, frozenset[str]]]:
    """The routes of a workflow, in order."""
    found = api(app, name).app.router.routes
    return [(route.path, frozenset(getattr(route, "methods", None) or ())) for route in found]


def cli_channel(app: Nexus, **options: Any) -> CLIChannel:
    """A command line on the app's workflows."""
    config = ChannelConfig(name="cli", channel_type=ChannelType.CLI)
    return CLIChannel(config, workflow_server=gateway(app), **options)
