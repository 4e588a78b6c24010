"""What an installation and an app are like, what is wrong with them, and what to do."""

from __future__ import annotations

from nexus_core.doctor.diagnosis import Diagnosis, examine
from nexus_core.doctor.findings import Finding

__all__ = ["Diagnosis", "Finding", "examine"]
