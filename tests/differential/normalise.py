"""Text with everything removed that may differ between two equal runs.

Stock puts whole tracebacks into error messages. Frames of the runtimes themselves
(files of ``kailash`` and ``nexus_core``) are an implementation detail and are
removed; frames of user code stay, line numbers included.
"""

from __future__ import annotations

import re

# A frame header and the source and caret lines below it: those are indented deeper.
_FRAME = re.compile(r'^ *File "(?P<file>[^"\n]*)", line (?P<line>\d+), in [^\n]*\n(?: {4,}[^\n]*(?:\n|\Z))*', re.M)
_OURS = re.compile(r"(?:^|/)(?:kailash|nexus_core)/")
_REPEATED = re.compile(r"\[Previous line repeated \d+ more times?\]")
# What was being done at the limit depends on how deep the caller already was.
_RECURSION = re.compile(r"maximum recursion depth exceeded(?: while [a-zA-Z ]+[a-z]| in comparison)?")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")
_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_DURATION = re.compile(r"\b\d+\.\d+(?:e-?\d+)? ?(?:s|ms|seconds|milliseconds)\b")
_TIMESTAMP = re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+\d\d:\d\d)?")
_ELAPSED = re.compile(r"'(elapsed_time|average_iteration_time)': \d+\.\d+(?:e-?\d+)?")
_RUNTIME_ID = re.compile(r"\b(?:runtime|run)_[0-9a-f_]{6,}\b")


def _frame(match: re.Match[str]) -> str:
    return "" if _OURS.search(match["file"]) else match[0]


def normalise(text: str) -> str:
    """Return ``text`` without the runtimes' own frames, addresses, ids and durations."""
    text = _FRAME.sub(_frame, text)
    for pattern, placeholder in (
        (_REPEATED, "[repeated]"),
        (_RECURSION, "maximum recursion depth exceeded"),
        (_UUID, "<uuid>"),
        (_ADDRESS, "<address>"),
        (_TIMESTAMP, "<time>"),
        (_DURATION, "<duration>"),
        (_ELAPSED, r"'\1': <duration>"),
        (_RUNTIME_ID, "<id>"),
    ):
        text = pattern.sub(placeholder, text)
    return text
