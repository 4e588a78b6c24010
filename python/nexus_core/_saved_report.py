"""Reports that can be read by people and by programs, and kept in a file."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import Any

__all__ = ["SavedReport"]


class SavedReport(dict[str, Any]):
    """A report: a dict which can be shown as Markdown and as HTML."""

    def to_markdown(self) -> str:
        """The report as Markdown."""
        raise NotImplementedError

    def to_html(self) -> str:
        """The report as a page of its own, with plots, that needs no network."""
        raise NotImplementedError

    def save(self, path: str | PathLike[str]) -> Path:
        """Writes the report, as its ending says: ``.html``, ``.md`` or ``.json``.

        Args:
            path: The file.

        Returns:
            Its path.

        Raises:
            ValueError: If it ends otherwise.
        """
        to = Path(path)
        if to.suffix in (".html", ".htm"):
            text = self.to_html()
        elif to.suffix == ".md":
            text = self.to_markdown()
        elif to.suffix == ".json":
            text = json.dumps(self, indent=2, default=str) + "\n"
        else:
            raise ValueError(f"a report is saved as .html, .md or .json, got {str(path)!r}")
        to.write_text(text, encoding="utf-8")
        return to
