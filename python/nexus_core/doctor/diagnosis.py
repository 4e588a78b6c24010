"""An examination: the facts, and what to change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nexus_core.doctor.environment import examine_environment
from nexus_core.doctor.environment_checks import check_environment, check_imports, check_logging
from nexus_core.doctor.findings import Finding
from nexus_core.errors import AttachError

__all__ = ["Diagnosis", "examine"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Attributes:
        environment: See ``examine_environment``.
        app: See ``examine_app``; ``None`` where no app was examined, or it cannot be attached.
        findings: What to change, problems first.
    """

    environment: Mapping[str, Any]
    app: Mapping[str, Any] | None
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> int:
        """How many findings are problems."""
        return sum(finding.level == "problem" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Everything as dicts, lists and plain values.

        Returns:
            ``environment``, ``app``, ``findings`` and ``problems``.
        """
        return {
            "environment": dict(self.environment),
            "app": None if self.app is None else dict(self.app),
            "findings": [asdict(finding) for finding in self.findings],
            "problems": self.problems,
        }


def examine(app: Any = None) -> Diagnosis:
    """Examines the environment, and an app if one is given; what is installed of Kailash is imported.

    Args:
        app: An open ``nexus.Nexus``, or ``None``. One that is not attached is attached for a
            moment; so none that serves.

    Returns:
        What was found.

    Example:
        >>> examine().as_dict()["app"] is None
        True
    """
    environment = examine_environment()
    findings = [*check_environment(environment), *check_imports(environment)]
    seen = None
    if app is not None:
        from nexus_core.doctor.app import check_app, examine_app

        findings += check_logging()
        try:
            seen = examine_app(app)
        except AttachError as error:
            remedy = "what the line says; where it names nothing, look for the versions above that are not tested"
            findings.append(Finding("problem", "cannot-be-attached", f"the app cannot be attached: {error}", remedy))
        else:
            findings += check_app(app, seen)
    findings.sort(key=lambda finding: finding.level != "problem")
    return Diagnosis(environment, seen, tuple(findings))
